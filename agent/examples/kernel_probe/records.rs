//! Records of one connection, compared with what its process did.

use crate::exchange::{Exchange, Turn, question};
use crate::verdict::Verdict;
use remora::bpf::Captured;
use remora_ebpf::wire::{
    Amount, Counter, Datagram, EGRESS, INGRESS, Listen, Open, ROLE_CLIENT, ROLE_OWN, ROLE_SERVER, Read, Record, Segment, TAIL, Totals,
};
use std::net::IpAddr;
use std::time::Duration;

/// Counters that must stay zero.
pub(crate) const LOSSES: [Counter; 4] = [Counter::RingFull, Counter::Unparsed, Counter::NoStorage, Counter::OnListener];
/// Bytes of an answer that are copied before there is a policy.
const FIRST_ANSWER: usize = remora_ebpf::wire::FIRST_RESPONSE_BYTES as usize;
/// State of `Totals::old_state` of a connect without answer (`TCP_SYN_SENT`).
const SYN_SENT: u8 = 2;
/// Waits of 10 ms before records are given up.
const PATIENCE: usize = 3000;

/// All records so far.
#[derive(Default)]
pub(crate) struct Collected {
    segments: Vec<(Segment, Vec<u8>)>,
    datagrams: Vec<(Datagram, Vec<u8>)>,
    opens: Vec<Open>,
    closes: Vec<Totals>,
    reads: Vec<Read>,
    listens: Vec<Listen>,
    malformed: usize,
}

impl Collected {
    /// Takes what waits, until `enough` or patience is over; what is missing then fails its check.
    pub(crate) fn drain_until(&mut self, captured: &mut Captured, enough: impl Fn(&Self) -> bool) {
        for _ in 0..PATIENCE {
            captured.drain(usize::MAX, |record| match record {
                Ok(record) => self.take(record),
                Err(_) => self.malformed += 1,
            });
            if enough(self) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn take(&mut self, record: Record<'_>) {
        match record {
            Record::Segment(head, data) => self.segments.push((head, data.to_vec())),
            Record::Datagram(head, data) => self.datagrams.push((head, data.to_vec())),
            Record::Open(open) => self.opens.push(open),
            Record::Close(totals) => self.closes.push(totals),
            Record::Read(read) => self.reads.push(read),
            Record::Listen(listen) => self.listens.push(listen),
            Record::Totals(_) | Record::Early(..) => {}
        }
    }

    /// The last record of the client's socket, which says most.
    pub(crate) fn client(&self, exchange: &Exchange) -> Option<Open> {
        self.opens.iter().rfind(|open| open.role == ROLE_CLIENT && open.remote_port == exchange.server.port()).copied()
    }

    /// The last record of the accepted socket.
    pub(crate) fn server(&self, exchange: &Exchange) -> Option<Open> {
        self.opens.iter().rfind(|open| open.role == ROLE_SERVER && open.local_port == exchange.server.port()).copied()
    }

    /// A socket of the process that captures, by the port that it dialled.
    pub(crate) fn own(&self, port: u16) -> Option<Open> {
        self.opens.iter().find(|open| open.role == ROLE_OWN && open.remote_port == port).copied()
    }

    pub(crate) fn segments_of(&self, cookie: u64) -> usize {
        self.segments.iter().filter(|(head, _)| head.cookie == cookie).count()
    }

    pub(crate) fn close(&self, cookie: u64) -> Option<&Totals> {
        self.closes.iter().find(|totals| totals.cookie == cookie)
    }
}

/// What there must be.
pub(crate) struct Expected<'a> {
    /// Exchanged before there was a policy.
    pub(crate) first: &'a [Turn],
    /// Exchanged afterwards.
    pub(crate) later: &'a [Turn],
    /// The policy.
    pub(crate) amount: Amount,
    /// Whether reads are reported.
    pub(crate) reads: bool,
}

impl Expected<'_> {
    fn turns(&self) -> impl Iterator<Item = Turn> {
        self.first.iter().chain(self.later).copied()
    }

    fn requests(&self) -> Stream {
        Stream { messages: self.turns().map(Turn::request).collect(), heads: self.heads(usize::MAX) }
    }

    fn answers(&self) -> Stream {
        Stream { messages: self.turns().map(Turn::answer).collect(), heads: self.heads(FIRST_ANSWER) }
    }

    /// Least bytes that must be copied of the beginning of each message.
    fn heads(&self, first: usize) -> Vec<usize> {
        let later = self.amount.take(0, u32::MAX) as usize;
        self.first.iter().map(|_| first).chain(self.later.iter().map(|_| later)).collect()
    }
}

/// All bytes of a direction.
struct Stream {
    messages: Vec<Vec<u8>>,
    heads: Vec<usize>,
}

/// Judges everything about one exchange.
pub(crate) fn judge(seen: &Collected, exchange: &Exchange, expected: &Expected<'_>, verdict: &mut Verdict) {
    let family = exchange.server.ip();
    verdict.equal(&format!("{family} malformed records"), seen.malformed, 0);
    let (Some(client), Some(server)) = (seen.client(exchange), seen.server(exchange)) else {
        return verdict.check(&format!("{family} both ends are announced"), Err(format!("only {:?}", seen.opens)));
    };
    announced(&client, &server, exchange, verdict);
    let nothing = expected.amount.is_nothing();
    let ends = [("client", client.cookie, exchange.client_tid), ("server", server.cookie, exchange.server_tid)];
    for (end, cookie, tid) in ends {
        let (sent, received) =
            if end == "client" { (expected.requests(), expected.answers()) } else { (expected.answers(), expected.requests()) };
        verdict
            .check(&format!("{family} {end} bytes sent"), same_bytes(seen, cookie, EGRESS, &sent, nothing.then_some(expected.first.len())));
        verdict.check(
            &format!("{family} {end} bytes received"),
            same_bytes(seen, cookie, INGRESS, &received, nothing.then_some(expected.first.len())),
        );
        verdict.check(&format!("{family} {end} sending thread"), senders(seen, cookie, exchange.pid, tid, expected));
        // What a client reads is an answer: no request is served with it, and nothing is reported.
        if expected.reads && end == "server" {
            verdict.check(&format!("{family} {end} reading thread"), readers(seen, cookie, exchange.pid, tid));
        }
        let total = |stream: &Stream| stream.messages.iter().map(|message| message.len() as u64).sum::<u64>();
        // Retransmissions count once; a busy machine has some.
        let close = seen.close(cookie).map(|close| (close.bytes_sent, close.bytes_received));
        verdict.equal(&format!("{family} {end} totals at close"), close, Some((total(&sent), total(&received))));
    }
    refused(seen, exchange, verdict);
    listener(seen, exchange, verdict);
    datagram(seen, exchange, verdict);
}

fn wide(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

fn announced(client: &Open, server: &Open, exchange: &Exchange, verdict: &mut Verdict) {
    let family = exchange.server.ip();
    let here = wide(family);
    let port = exchange.server.port();
    let comm = std::env::current_exe().unwrap().file_name().unwrap().as_encoded_bytes().to_vec();
    verdict.equal(&format!("{family} client addresses"), (client.local, client.remote), (here, here));
    verdict.equal(&format!("{family} server addresses"), (server.local, server.remote), (here, here));
    verdict.equal(&format!("{family} client's port at the server"), client.local_port, server.remote_port);
    verdict.equal(&format!("{family} dialled address"), (client.dialed, client.dialed_port), (here, port));
    verdict.equal(&format!("{family} dialling process"), client.tgid, exchange.pid);
    verdict.equal(&format!("{family} dialling command"), client.comm.split(|byte| *byte == 0).next(), Some(&comm[..comm.len().min(15)]));
    verdict.equal(&format!("{family} seen from the start"), (client.midway, server.midway), (0, 0));
    let handshakes = [client, server].map(|open| open.time > 0 && open.established >= open.time);
    verdict.equal(&format!("{family} handshake times"), handshakes, [true; 2]);
    let cgroups = [client, server].map(|open| open.cgroup > 0);
    verdict.equal(&format!("{family} cgroups"), cgroups, [true; 2]);
}

/// The records of a direction follow its stream to its end (or that of message `until`, where policy says nothing after it), what
/// they copied is the stream's, and it is at least the head and the tail of every message.
fn same_bytes(seen: &Collected, cookie: u64, direction: u8, stream: &Stream, until: Option<usize>) -> Result<(), String> {
    let all = stream.messages.concat();
    let covered: usize = stream.messages.iter().take(until.unwrap_or(usize::MAX)).map(Vec::len).sum();
    let segments: Vec<_> =
        seen.segments.iter().filter(|(head, _)| head.cookie == cookie && head.direction == direction && head.len > 0).collect();
    let start = segments.first().ok_or("no segment")?.0.seq;
    let mut copied = vec![false; all.len()];
    let mut next = 0;
    for (head, data) in segments {
        let at = head.seq.wrapping_sub(start) as usize;
        if at < next {
            return Err(format!("a range starts at {at}, before {next}"));
        }
        next = at + head.len as usize;
        let tail = &head.tail[..head.tail_len as usize];
        for (from, bytes) in [(at, &data[..]), (next - tail.len(), tail)] {
            if all.get(from..from + bytes.len()) != Some(bytes) {
                return Err(format!("{} copied bytes at {from} are not the stream's", bytes.len()));
            }
            copied[from..from + bytes.len()].fill(true);
        }
    }
    if next != covered {
        return Err(format!("ranges end at {next} instead of {covered}"));
    }
    let mut at = 0;
    for (message, head) in stream.messages.iter().zip(&stream.heads).take(until.unwrap_or(usize::MAX)) {
        let head = message.len().min(*head);
        if let Some(missing) = copied[at..at + head].iter().position(|copied| !copied) {
            return Err(format!("byte {missing} of the message at {at} is missing, its first {head} are wanted"));
        }
        let tail = message.len().min(TAIL as usize);
        at += message.len();
        if copied[at - tail..at].contains(&false) {
            return Err(format!("the tail of the message before {at} is missing"));
        }
    }
    Ok(())
}

/// Each burst's first segment names the sending thread, and no segment another.
fn senders(seen: &Collected, cookie: u64, pid: u32, tid: u32, expected: &Expected<'_>) -> Result<(), String> {
    let named: Vec<(u32, u32)> = seen
        .segments
        .iter()
        .filter(|(head, _)| head.cookie == cookie && head.direction == EGRESS && head.tid != 0)
        .map(|(head, _)| (head.tgid, head.tid))
        .collect();
    let bursts = expected.first.len() + if expected.amount.is_nothing() { 0 } else { expected.later.len() };
    match named.iter().find(|named| **named != (pid, tid)) {
        Some(other) => Err(format!("{other:?} instead of {:?}", (pid, tid))),
        None if named.len() != bursts => Err(format!("{} segments of {bursts} bursts name it", named.len())),
        None => Ok(()),
    }
}

/// Reads name the reading thread.
fn readers(seen: &Collected, cookie: u64, pid: u32, tid: u32) -> Result<(), String> {
    let named: Vec<(u32, u32)> = seen.reads.iter().filter(|read| read.cookie == cookie).map(|read| (read.tgid, read.tid)).collect();
    match named.iter().find(|named| **named != (pid, tid)) {
        Some(other) => Err(format!("{other:?} instead of {:?}", (pid, tid))),
        None if named.is_empty() => Err("no read".into()),
        None => Ok(()),
    }
}

fn refused(seen: &Collected, exchange: &Exchange, verdict: &mut Verdict) {
    let family = exchange.server.ip();
    let open = seen.opens.iter().find(|open| open.dialed_port == exchange.refused);
    let close = open.and_then(|open| seen.close(open.cookie)).map(|close| close.old_state);
    verdict.equal(&format!("{family} refused connect"), (open.map(|open| open.tgid), close), (Some(exchange.pid), Some(SYN_SENT)));
}

fn listener(seen: &Collected, exchange: &Exchange, verdict: &mut Verdict) {
    let family = exchange.server.ip();
    let states: Vec<(u8, u32, [u8; 16])> = seen
        .listens
        .iter()
        .filter(|listen| listen.port == exchange.server.port())
        .map(|listen| (listen.ended, listen.tgid, listen.local))
        .collect();
    let whole = [0, 1].map(|ended| (ended, exchange.pid, wide(family)));
    verdict.equal(&format!("{family} listener"), states, whole.to_vec());
}

fn datagram(seen: &Collected, exchange: &Exchange, verdict: &mut Verdict) {
    let family = exchange.server.ip();
    let sent = seen.datagrams.iter().find(|(head, _)| head.direction == EGRESS && head.open.tgid == exchange.pid);
    let found = sent.map(|(head, data)| (head.open.remote, head.open.remote_port, head.tid, data.clone()));
    verdict.equal(&format!("{family} datagram to port 53"), found, Some((wide(family), 53, exchange.client_tid, question())));
}
