use super::super::sampling::ParentRule;
use super::*;
use remora_core::model::{Message, Owner, Tid};

/// A node with processes that talk to each other. Each exchange has a connection of its own.
struct Node {
    tracer: Tracer,
    next: u64,
}

#[derive(Clone)]
struct Seen {
    conn: ConnInfo,
    exchange: Exchange,
}

const FRONT: u32 = 100;
const BACK: u32 = 200;

fn settings() -> Settings {
    Settings { sampler: Sampler::new(ParentRule::Follow, 1.0, Errors::AsOthers), instrumented: Vec::new(), seed: 7 }
}

fn header(trace: u8, span: u8, flags: u8) -> TraceContext {
    TraceContext { trace: TraceId::new([trace; 16]).expect("valid"), parent: SpanId::new([span; 8]).expect("valid"), flags }
}

fn key(n: u32) -> CallKey {
    CallKey::new(n, 1, b"GET / HTTP/1.1")
}

impl Node {
    fn new() -> Self {
        Self::with(settings())
    }

    fn with(settings: Settings) -> Self {
        Self { tracer: Tracer::new(settings, Limits::default()), next: 0 }
    }

    fn seen(&mut self, role: Role, pid: u32, call: Option<CallKey>, context: Option<TraceContext>) -> Seen {
        self.next += 1;
        let at = Mono(self.next * 1000);
        let task = Task { pid: Pid(pid), tid: Tid(pid) };
        let conn = ConnInfo {
            id: ConnId(self.next),
            transport: Transport::Tcp,
            local: format!("10.0.0.1:{}", 1000 + pid).parse().expect("address"),
            remote: "10.0.9.9:80".parse().expect("address"),
            dialed: None,
            role: Some(role),
            owner: Some(Owner { pid: Pid(pid), comm: String::new() }),
            cgroup: None,
            opened: at,
            midway: false,
        };
        let exchange = Exchange {
            id: ExchangeId(self.next),
            role: Some(role),
            kind: if role == Role::Client { Kind::Client } else { Kind::Server },
            call,
            context,
            request: Message { first: at, last: at, body_bytes: None },
            sender: (role == Role::Client).then_some(task),
            responder: (role == Role::Server).then_some(task),
            ..Exchange::default()
        };
        Seen { conn, exchange }
    }

    /// A request that `pid` receives and reads.
    fn arrives(&mut self, pid: u32, call: Option<CallKey>, context: Option<TraceContext>) -> Seen {
        let seen = self.seen(Role::Server, pid, call, context);
        self.tracer.request(&seen.conn, &seen.exchange, Reported::Yes);
        self.tracer.read(seen.conn.id, Task { pid: Pid(pid), tid: Tid(pid) }, seen.exchange.request.first);
        seen
    }

    /// A request that `pid` sends.
    fn sends(&mut self, pid: u32, call: Option<CallKey>, context: Option<TraceContext>) -> Seen {
        let seen = self.seen(Role::Client, pid, call, context);
        self.tracer.request(&seen.conn, &seen.exchange, Reported::Yes);
        seen
    }

    /// As [`Node::arrives`], of a request that the user does not want.
    fn arrives_unwanted(&mut self, pid: u32, call: Option<CallKey>) -> Seen {
        let seen = self.seen(Role::Server, pid, call, None);
        self.tracer.request(&seen.conn, &seen.exchange, Reported::No);
        self.tracer.read(seen.conn.id, Task { pid: Pid(pid), tid: Tid(pid) }, seen.exchange.request.first);
        seen
    }

    fn ends(&mut self, seen: &Seen) -> SpanContext {
        self.tracer.finish(&seen.conn, &seen.exchange)
    }
}

#[test]
fn both_ends_of_a_call_without_context_share_a_trace() {
    let mut node = Node::new();
    let asked = node.sends(FRONT, Some(key(1)), None);
    let served = node.arrives(BACK, Some(key(1)), None);
    let (server, client) = (node.ends(&served), node.ends(&asked));
    assert_eq!((client.trace, client.parent), (ids::trace_id(&key(1)), None));
    assert_eq!((client.span, server.span), (ids::client_span_id(&key(1)), ids::server_span_id(&key(1))));
    assert_eq!((server.trace, server.parent), (client.trace, Some(client.span)));
    assert_eq!(node.tracer.in_flight(), 0);
}

#[test]
fn a_server_whose_client_is_not_observed_is_a_root_or_hangs_below_the_header() {
    let mut node = Node::new();
    let plain = node.arrives(BACK, Some(key(1)), None);
    let traced = node.arrives(BACK, Some(key(2)), Some(header(5, 6, 1)));
    assert_eq!(node.ends(&plain).parent, None);
    let context = node.ends(&traced);
    assert_eq!((context.trace, context.parent), (header(5, 6, 1).trace, Some(header(5, 6, 1).parent)));
}

#[test]
fn a_header_gives_the_trace_of_both_ends_and_the_client_is_between_it_and_the_server() {
    let mut node = Node::new();
    let asked = node.sends(FRONT, Some(key(1)), Some(header(5, 6, 1)));
    let served = node.arrives(BACK, Some(key(1)), Some(header(5, 6, 1)));
    let (client, server) = (node.ends(&asked), node.ends(&served));
    assert_eq!((client.trace, client.parent), (header(5, 6, 1).trace, Some(header(5, 6, 1).parent)));
    assert_eq!((server.trace, server.parent), (client.trace, Some(client.span)));
}

#[test]
fn a_chain_of_three_processes_is_one_trace() {
    let mut node = Node::new();
    let outer = node.arrives(FRONT, Some(key(1)), None);
    let asked = node.sends(FRONT, Some(key(2)), None);
    let served = node.arrives(BACK, Some(key(2)), None);
    let query = node.sends(BACK, Some(key(3)), None);
    let [query, served, asked, outer] = [query, served, asked, outer].map(|seen| node.ends(&seen));
    assert_eq!(outer.trace, ids::trace_id(&key(1)));
    assert!([asked, served, query].iter().all(|context| context.trace == outer.trace));
    assert_eq!([outer.parent, asked.parent, served.parent, query.parent], [None, Some(outer.span), Some(asked.span), Some(served.span)]);
}

#[test]
fn a_proxy_that_passes_the_header_on_is_between_the_two_calls() {
    let mut node = Node::new();
    let incoming = node.arrives(FRONT, Some(key(1)), Some(header(5, 6, 1)));
    let passed_on = node.sends(FRONT, Some(key(2)), Some(header(5, 6, 1)));
    let (passed_on, incoming) = (node.ends(&passed_on), node.ends(&incoming));
    assert_eq!((passed_on.trace, passed_on.parent), (incoming.trace, Some(incoming.span)));
}

#[test]
fn an_instrumented_process_keeps_its_own_span_as_parent_of_its_calls() {
    let mut node = Node::new();
    let _incoming = node.arrives(FRONT, Some(key(1)), Some(header(5, 6, 1)));
    let call = node.sends(FRONT, Some(key(2)), Some(header(5, 7, 1)));
    let other_trace = node.sends(FRONT, Some(key(3)), Some(header(8, 9, 1)));
    let (call, other_trace) = (node.ends(&call), node.ends(&other_trace));
    assert_eq!((call.trace, call.parent), (header(5, 7, 1).trace, Some(header(5, 7, 1).parent)));
    assert_eq!((other_trace.trace, other_trace.parent), (header(8, 9, 1).trace, Some(header(8, 9, 1).parent)));
}

#[test]
fn a_server_seen_before_its_client_still_comes_below_it() {
    let mut node = Node::new();
    let served = node.arrives(BACK, Some(key(2)), None);
    let outer = node.arrives(FRONT, Some(key(1)), None);
    let asked = node.sends(FRONT, Some(key(2)), None);
    let [served, asked, outer] = [served, asked, outer].map(|seen| node.ends(&seen));
    assert_eq!((asked.trace, asked.parent), (outer.trace, Some(outer.span)));
    assert_eq!((served.trace, served.parent), (outer.trace, Some(asked.span)));
}

#[test]
fn a_server_that_answered_before_its_client_is_seen_serves_nobody_any_more_and_still_comes_below_it() {
    let mut node = Node::new();
    let served = node.arrives(BACK, Some(key(2)), None);
    assert!(node.tracer.lacks_asker(&served.exchange));
    node.tracer.answered(&served.conn, &served.exchange);
    assert!(!node.tracer.lacks_asker(&served.exchange));
    let background = node.sends(BACK, Some(key(3)), None);
    let asked = node.sends(FRONT, Some(key(2)), None);
    let [served, background, asked] = [served, background, asked].map(|seen| node.ends(&seen));
    assert_eq!((served.trace, served.parent), (asked.trace, Some(asked.span)));
    assert_eq!((background.trace, background.parent), (ids::trace_id(&key(3)), None));
    let met = node.sends(FRONT, Some(key(4)), None);
    let server = node.arrives(BACK, Some(key(4)), None);
    assert!(!node.tracer.lacks_asker(&met.exchange) && !node.tracer.lacks_asker(&server.exchange));
}

#[test]
fn a_server_whose_trace_was_taken_along_stays_and_the_late_client_links_to_it() {
    let mut node = Node::new();
    let served = node.arrives(BACK, Some(key(2)), None);
    let query = node.sends(BACK, Some(key(3)), None);
    let outer = node.arrives(FRONT, Some(key(1)), None);
    let asked = node.sends(FRONT, Some(key(2)), None);
    let [query, served, asked, outer] = [query, served, asked, outer].map(|seen| node.ends(&seen));
    assert_eq!((served.trace, served.parent), (ids::trace_id(&key(2)), None));
    assert_eq!((query.trace, query.parent), (served.trace, Some(served.span)));
    assert_eq!((asked.trace, asked.parent), (outer.trace, Some(outer.span)));
    assert_eq!(asked.link, Some(Link { trace: served.trace, span: served.span }));
}

#[test]
fn two_late_ends_without_parents_agree_by_hash() {
    let mut node = Node::new();
    let served = node.arrives(BACK, Some(key(1)), None);
    let query = node.sends(BACK, Some(key(3)), None);
    let asked = node.sends(FRONT, Some(key(1)), None);
    let [query, served, asked] = [query, served, asked].map(|seen| node.ends(&seen));
    assert_eq!((served.trace, served.parent, asked.link), (asked.trace, Some(asked.span), None));
    assert_eq!(query.trace, asked.trace);
}

#[test]
fn two_nodes_of_an_instrumented_network_agree_without_speaking() {
    let networks = || Settings { instrumented: vec!["10.0.0.0/16".parse().expect("network")], ..settings() };
    let (mut here, mut there) = (Node::with(networks()), Node::with(networks()));
    let outer = here.arrives(FRONT, Some(key(1)), None);
    let asked = here.sends(FRONT, Some(key(2)), None);
    let served = there.arrives(BACK, Some(key(2)), None);
    let (asked, outer, served) = (here.ends(&asked), here.ends(&outer), there.ends(&served));
    assert_eq!((served.trace, served.parent), (asked.trace, Some(asked.span)));
    assert_eq!((asked.parent, asked.link), (None, Some(Link { trace: outer.trace, span: outer.span })));
}

#[test]
fn an_address_of_this_node_is_not_elsewhere() {
    let mut node = Node::with(Settings { instrumented: vec!["10.0.0.0/16".parse().expect("network")], ..settings() });
    let mut seen = node.seen(Role::Server, BACK, Some(key(1)), None);
    seen.conn.remote = "10.0.0.1:5555".parse().expect("address");
    node.tracer.request(&seen.conn, &seen.exchange, Reported::Yes);
    assert_eq!(node.ends(&seen).parent, None, "its client end is here, and was not seen: nobody exports it");
}

#[test]
fn datagrams_meet_by_the_clients_port_and_have_ids_of_their_own() {
    let mut node = Node::new();
    let mut asked = node.seen(Role::Client, FRONT, Some(CallKey::new(0, 0, b"\x12\x34query")), None);
    let mut served = node.seen(Role::Server, BACK, Some(CallKey::new(9, 9, b"\x12\x34query")), None);
    let mut stranger = node.seen(Role::Server, BACK, Some(CallKey::new(0, 0, b"\x12\x34query")), None);
    served.conn.remote = asked.conn.local;
    for seen in [&mut asked, &mut served, &mut stranger] {
        seen.conn.transport = Transport::Udp;
        node.tracer.request(&seen.conn, &seen.exchange, Reported::Yes);
    }
    let [asked, served, stranger] = [asked, served, stranger].map(|seen| node.ends(&seen));
    assert_eq!((served.trace, served.parent), (asked.trace, Some(asked.span)));
    assert_eq!(stranger.parent, None);
    assert_ne!(stranger.trace, asked.trace);
    assert_ne!(stranger.span, served.span);
}

#[test]
fn a_whole_trace_is_kept_or_dropped_together() {
    let ratio = |ratio| Settings { sampler: Sampler::new(ParentRule::Follow, ratio, Errors::AsOthers), ..settings() };
    let mut node = Node::with(ratio(0.0));
    let outer = node.arrives(FRONT, Some(key(1)), Some(header(5, 6, 1)));
    let asked = node.sends(FRONT, Some(key(2)), None);
    let served = node.arrives(BACK, Some(key(2)), None);
    let lonely = node.sends(300, Some(key(4)), None);
    assert_eq!([outer, asked, served, lonely].map(|seen| node.ends(&seen).kept), [true, true, true, false]);
    let mut node = Node::with(ratio(1.0));
    let outer = node.arrives(FRONT, Some(key(1)), Some(header(5, 6, 0)));
    let asked = node.sends(FRONT, Some(key(2)), None);
    assert_eq!([outer, asked].map(|seen| node.ends(&seen).kept), [false, false]);
}

#[test]
fn an_error_kept_out_of_a_dropped_trace_names_no_parent() {
    let sampler = Sampler::new(ParentRule::Follow, 0.0, Errors::Keep);
    let mut node = Node::with(Settings { sampler, ..settings() });
    let mut failed = node.arrives(BACK, Some(key(1)), Some(header(5, 6, 0)));
    let fine = node.arrives(BACK, Some(key(2)), Some(header(5, 6, 0)));
    failed.exchange.error = Some("500".to_owned());
    let (failed, fine) = (node.ends(&failed), node.ends(&fine));
    assert_eq!((failed.kept, failed.parent, failed.trace), (true, None, header(5, 6, 0).trace));
    assert!(!fine.kept);
}

#[test]
fn a_void_request_leaves_nothing() {
    let mut node = Node::new();
    let asked = node.sends(FRONT, Some(key(1)), None);
    node.tracer.void(&asked.conn, &asked.exchange);
    let served = node.arrives(BACK, Some(key(1)), None);
    assert_eq!(node.tracer.in_flight(), 1);
    assert_eq!(node.ends(&served).parent, None);
}

#[test]
fn exchanges_beyond_the_limit_are_counted_and_stand_alone() {
    let mut node = Node::new();
    node.tracer.limits.in_flight = 1;
    let one = node.arrives(BACK, Some(key(1)), None);
    let two = node.arrives(BACK, Some(key(2)), Some(header(5, 6, 1)));
    assert_eq!(node.ends(&two).parent, Some(header(5, 6, 1).parent));
    assert_eq!(node.ends(&one).trace, ids::trace_id(&key(1)));
    assert_eq!(node.tracer.counts().untracked, 1);
}

#[test]
fn what_hangs_below_an_unwanted_request_hangs_below_its_parent() {
    let mut node = Node::new();
    let asked = node.sends(FRONT, Some(key(1)), None);
    let unwanted = node.arrives_unwanted(BACK, Some(key(1)));
    let below = node.sends(BACK, Some(key(2)), None);
    let root = node.arrives_unwanted(FRONT, None);
    let alone = node.sends(FRONT, None, None);
    let (asked, below, alone) = (node.ends(&asked), node.ends(&below), node.ends(&alone));
    assert_eq!((below.trace, below.parent), (asked.trace, Some(asked.span)));
    assert_eq!(alone.parent, None, "nobody exports a span above it");
    let (unwanted, root) = (node.ends(&unwanted), node.ends(&root));
    assert_eq!((unwanted.parent, alone.trace), (Some(asked.span), root.trace));
}

#[test]
fn a_server_whose_client_is_unwanted_hangs_below_the_clients_parent() {
    let mut node = Node::new();
    let seen = node.seen(Role::Client, FRONT, Some(key(1)), None);
    node.tracer.request(&seen.conn, &seen.exchange, Reported::No);
    let served = node.arrives(BACK, Some(key(1)), None);
    assert_eq!(node.ends(&served).parent, None);
}
