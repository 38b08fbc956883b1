//! Which incoming request an outgoing one of the same process belongs to. A missing parent is a gap; a wrong one is a lie.
//!
//! Evidence, strongest first:
//! 1. The outgoing request carries the very header that exactly one incoming request carried: a proxy passed it on.
//! 2. The thread that sends it read exactly one request in flight. With others in flight that holds only in a process
//!    that was seen to answer from the thread that read; one that was seen to answer from another thread (a pool, a
//!    runtime that moves its tasks) is not judged by threads any more.
//! 3. Exactly one request is in flight in the process, and work is known to change threads there, or no reading thread
//!    is ever seen there. In a process whose threads keep their requests, another thread's call is background work.
//!
//! A request that its process has not read yet can have caused nothing.

use remora_core::model::{ConnId, ExchangeId, Mono, Pid, SpanId, Task, Tid, TraceContext};
use rustc_hash::FxHashMap;

/// A set of which only the size and, while it has one, the only member can be told: constant size and time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Few {
    count: u32,
    /// Exclusive or of the members: the member itself while there is one.
    mixed: u64,
}

impl Few {
    fn add(&mut self, id: ExchangeId) {
        self.count += 1;
        self.mixed ^= id.0;
    }

    fn remove(&mut self, id: ExchangeId) {
        self.count = self.count.saturating_sub(1);
        self.mixed ^= id.0;
    }

    fn only(&self) -> Option<ExchangeId> {
        (self.count == 1).then_some(ExchangeId(self.mixed))
    }
}

/// What was seen of a process's way to spread work over threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Threads {
    /// Nothing yet.
    #[default]
    Unproven,
    /// Answers came from the thread that had read the request.
    Keep,
    /// Some answer came from another thread, or one request was read by two.
    Change,
}

/// Whether reading threads are seen in a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Reads {
    #[default]
    Unseen,
    Seen,
}

#[derive(Debug, Default)]
struct Process {
    in_flight: Few,
    by_thread: FxHashMap<Tid, Few>,
    by_header: FxHashMap<SpanId, Few>,
    threads: Threads,
    reads: Reads,
    /// Requests in flight that found no room in the table.
    untracked: u32,
}

#[derive(Clone, Copy, Debug)]
struct Request {
    conn: ConnId,
    process: Option<Pid>,
    thread: Option<Tid>,
    header: Option<SpanId>,
    arrived: Mono,
}

/// Requests of one connection.
#[derive(Debug, Default)]
struct Conn {
    in_flight: Few,
    unread: Vec<ExchangeId>,
}

/// An incoming request, as it arrived.
#[derive(Clone, Copy, Debug)]
pub(super) struct Incoming {
    pub(super) id: ExchangeId,
    pub(super) conn: ConnId,
    /// Owner of the connection, if known.
    pub(super) process: Option<Pid>,
    pub(super) header: Option<TraceContext>,
    pub(super) arrived: Mono,
}

/// An outgoing request, as it left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outgoing {
    pub(super) process: Pid,
    pub(super) thread: Option<Tid>,
    pub(super) header: Option<TraceContext>,
    pub(super) sent: Mono,
}

/// All incoming requests in flight on the node.
#[derive(Debug)]
pub(super) struct Parents {
    requests: FxHashMap<ExchangeId, Request>,
    conns: FxHashMap<ConnId, Conn>,
    processes: FxHashMap<Pid, Process>,
    limit: usize,
}

/// Processes beyond this are forgotten while they serve nothing: exits may have been missed.
const PROCESSES: usize = 8192;

impl Parents {
    /// Follows at most `limit` requests at once.
    pub(super) fn new(limit: usize) -> Self {
        Self { requests: FxHashMap::default(), conns: FxHashMap::default(), processes: FxHashMap::default(), limit }
    }

    /// A request arrived.
    pub(super) fn open(&mut self, incoming: &Incoming) {
        if self.requests.len() >= self.limit {
            return self.untracked(incoming.process);
        }
        let request = Request {
            conn: incoming.conn,
            process: incoming.process,
            thread: None,
            header: incoming.header.map(|header| header.parent),
            arrived: incoming.arrived,
        };
        let conn = self.conns.entry(request.conn).or_default();
        conn.in_flight.add(incoming.id);
        conn.unread.push(incoming.id);
        self.requests.insert(incoming.id, request);
        self.enter(incoming.id, &request);
    }

    /// A request of `owner` arrived and is not followed: "the only one in flight" would be a guess until it is closed.
    pub(super) fn untracked(&mut self, owner: Option<Pid>) {
        if let Some(pid) = owner {
            self.process(pid).untracked += 1;
        }
    }

    /// `task` read what `conn` had received by `at`.
    pub(super) fn read(&mut self, conn: ConnId, task: Task, at: Mono) {
        let Some(entry) = self.conns.get_mut(&conn) else { return };
        let mut unread = std::mem::take(&mut entry.unread);
        let rest = entry.in_flight.only();
        let known = |id: &ExchangeId| self.requests.get(id).is_some_and(|request| request.arrived <= at);
        let mut read: Vec<ExchangeId> = unread.extract_if(.., |id| known(id)).collect();
        if read.is_empty() {
            // More of the same request: whoever reads last is the best guess, and two readers are a hand-off.
            read.extend(rest.filter(known));
        }
        self.conns.entry(conn).or_default().unread = unread;
        for id in read {
            self.bind(id, task);
        }
    }

    /// A request was answered by `responder` (`None`: unknown), or will not be.
    pub(super) fn close(&mut self, id: ExchangeId, owner: Option<Pid>, responder: Option<Task>) {
        let Some(request) = self.requests.remove(&id) else {
            if let Some(process) = owner.and_then(|pid| self.processes.get_mut(&pid)) {
                process.untracked = process.untracked.saturating_sub(1);
            }
            return;
        };
        self.leave(id, &request);
        self.leave_conn(id, request.conn);
        if let (Some(pid), Some(reader), Some(responder)) = (request.process, request.thread, responder)
            && responder.pid == pid
            && let Some(process) = self.processes.get_mut(&pid)
        {
            process.answered(reader, responder.tid);
        }
    }

    /// Forgets what was learned of processes that serve nothing and of which `lives` does not know any more: another
    /// program may come with the same number.
    pub(super) fn forget_ended(&mut self, lives: impl Fn(Pid) -> bool) {
        self.processes.retain(|pid, process| process.in_flight.count > 0 || process.untracked > 0 || lives(*pid));
    }

    /// The request in flight that `call` belongs to.
    pub(super) fn parent_of(&self, call: &Outgoing) -> Option<ExchangeId> {
        // With requests that are not followed nothing is "the only one".
        let process = self.processes.get(&call.process).filter(|process| process.untracked == 0)?;
        let passed_on = call.header.and_then(|header| process.by_header.get(&header.parent)).and_then(Few::only);
        let id = passed_on.or_else(|| process.candidate(call.thread))?;
        let request = self.requests.get(&id)?;
        let begun = request.thread.is_some() || process.reads == Reads::Unseen;
        (begun && request.arrived <= call.sent).then_some(id)
    }

    /// Who serves a request in flight, if known.
    pub(super) fn process_of(&self, id: ExchangeId) -> Option<Pid> {
        self.requests.get(&id)?.process
    }

    fn process(&mut self, pid: Pid) -> &mut Process {
        if self.processes.len() >= PROCESSES && !self.processes.contains_key(&pid) {
            self.processes.retain(|_, process| process.in_flight.count > 0 || process.untracked > 0);
        }
        self.processes.entry(pid).or_default()
    }

    fn bind(&mut self, id: ExchangeId, task: Task) {
        let Some(mut request) = self.requests.get(&id).copied() else { return };
        self.leave(id, &request);
        let second_reader = request.process == Some(task.pid) && request.thread.is_some_and(|tid| tid != task.tid);
        request.process = Some(task.pid);
        request.thread = Some(task.tid);
        self.requests.insert(id, request);
        self.enter(id, &request);
        let process = self.process(task.pid);
        process.reads = Reads::Seen;
        if second_reader {
            process.threads = Threads::Change;
        }
    }

    fn enter(&mut self, id: ExchangeId, request: &Request) {
        let Some(pid) = request.process else { return };
        let process = self.process(pid);
        process.in_flight.add(id);
        if let Some(tid) = request.thread {
            process.by_thread.entry(tid).or_default().add(id);
        }
        if let Some(header) = request.header {
            process.by_header.entry(header).or_default().add(id);
        }
    }

    fn leave(&mut self, id: ExchangeId, request: &Request) {
        let Some(process) = request.process.and_then(|pid| self.processes.get_mut(&pid)) else { return };
        process.in_flight.remove(id);
        remove_from(&mut process.by_thread, request.thread, id);
        remove_from(&mut process.by_header, request.header, id);
    }

    fn leave_conn(&mut self, id: ExchangeId, conn: ConnId) {
        let Some(entry) = self.conns.get_mut(&conn) else { return };
        entry.in_flight.remove(id);
        entry.unread.retain(|unread| *unread != id);
        if entry.in_flight.count == 0 {
            self.conns.remove(&conn);
        }
    }
}

impl Process {
    fn candidate(&self, thread: Option<Tid>) -> Option<ExchangeId> {
        let of_thread = thread.and_then(|tid| self.by_thread.get(&tid));
        match (self.threads, of_thread) {
            (Threads::Change, _) => self.in_flight.only(),
            (Threads::Keep, Some(few)) => few.only(),
            (Threads::Unproven, Some(_)) => self.in_flight.only(),
            (_, None) if self.reads == Reads::Unseen => self.in_flight.only(),
            (_, None) => None,
        }
    }

    fn answered(&mut self, reader: Tid, responder: Tid) {
        self.threads = match self.threads {
            Threads::Change => Threads::Change,
            _ if reader != responder => Threads::Change,
            _ => Threads::Keep,
        };
    }
}

fn remove_from<K: std::hash::Hash + Eq>(map: &mut FxHashMap<K, Few>, key: Option<K>, id: ExchangeId) {
    let Some(key) = key else { return };
    if let Some(few) = map.get_mut(&key) {
        few.remove(id);
        if few.count == 0 {
            map.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use remora_core::model::TraceId;

    const P: Pid = Pid(100);
    const R1: ExchangeId = ExchangeId(1);
    const R2: ExchangeId = ExchangeId(2);

    /// A node on which each event is one time step after the one before.
    struct Node {
        parents: Parents,
        now: u64,
    }

    impl Node {
        fn new() -> Self {
            Self { parents: Parents::new(1000), now: 0 }
        }

        fn tick(&mut self) -> Mono {
            self.now += 1;
            Mono(self.now)
        }

        /// Request `id` arrives on a connection of its own.
        fn arrives(&mut self, id: ExchangeId) {
            self.arrives_with(id, ConnId(id.0), None);
        }

        fn arrives_with(&mut self, id: ExchangeId, conn: ConnId, header: Option<TraceContext>) {
            let arrived = self.tick();
            self.parents.open(&Incoming { id, conn, process: Some(P), header, arrived });
        }

        fn read(&mut self, conn: u64, tid: u32) {
            let at = self.tick();
            self.parents.read(ConnId(conn), Task { pid: P, tid: Tid(tid) }, at);
        }

        fn answered(&mut self, id: ExchangeId, tid: u32) {
            self.parents.close(id, Some(P), Some(Task { pid: P, tid: Tid(tid) }));
        }

        fn call(&mut self, tid: u32) -> Option<ExchangeId> {
            self.call_with(Some(tid), None)
        }

        fn call_with(&mut self, tid: Option<u32>, header: Option<TraceContext>) -> Option<ExchangeId> {
            let sent = self.tick();
            self.parents.parent_of(&Outgoing { process: P, thread: tid.map(Tid), header, sent })
        }

        /// One whole request, read and answered.
        fn serves(&mut self, reader: u32, responder: u32) {
            let id = ExchangeId(1_000_000 + self.now);
            self.arrives(id);
            self.read(id.0, reader);
            self.answered(id, responder);
        }

        fn is_empty(&self) -> bool {
            self.parents.requests.is_empty()
                && self.parents.conns.is_empty()
                && self
                    .parents
                    .processes
                    .values()
                    .all(|process| process.in_flight == Few::default() && process.by_thread.is_empty() && process.by_header.is_empty())
        }
    }

    fn header(span: u8) -> TraceContext {
        TraceContext { trace: TraceId::new([1; 16]).expect("valid"), parent: SpanId::new([span; 8]).expect("valid"), flags: 1 }
    }

    #[test]
    fn a_threaded_server_has_each_call_below_the_request_of_its_thread() {
        let mut node = Node::new();
        node.serves(10, 10);
        node.arrives(R1);
        node.read(1, 10);
        node.arrives(R2);
        node.read(2, 11);
        assert_eq!([10, 11, 10].map(|tid| node.call(tid)), [Some(R1), Some(R2), Some(R1)]);
        node.answered(R1, 10);
        assert_eq!(node.call(10), None, "an idle thread's call belongs to nothing");
        node.answered(R2, 11);
        assert!(node.is_empty());
    }

    #[test]
    fn before_a_process_showed_that_threads_keep_requests_several_in_flight_are_ambiguous() {
        let mut node = Node::new();
        node.arrives(R1);
        node.read(1, 10);
        assert_eq!(node.call(10), Some(R1));
        node.arrives(R2);
        node.read(2, 11);
        assert_eq!(node.call(10), None);
    }

    #[test]
    fn one_thread_with_one_request_has_a_parent_and_with_two_has_none() {
        let mut node = Node::new();
        node.serves(10, 10);
        node.arrives(R1);
        node.read(1, 10);
        assert_eq!(node.call(10), Some(R1));
        node.arrives(R2);
        assert_eq!(node.call(10), Some(R1), "the second was not read yet");
        node.read(2, 10);
        assert_eq!(node.call(10), None);
        node.answered(R1, 10);
        assert_eq!(node.call(10), Some(R2));
    }

    #[test]
    fn in_a_pool_that_hands_work_on_only_the_only_request_is_a_parent() {
        let mut node = Node::new();
        node.serves(10, 20);
        node.arrives(R1);
        node.read(1, 10);
        assert_eq!(node.call(21), Some(R1));
        node.arrives(R2);
        node.read(2, 10);
        assert_eq!([10, 20, 21].map(|tid| node.call(tid)), [None, None, None]);
    }

    #[test]
    fn a_background_thread_has_no_parent_while_another_thread_serves() {
        let mut node = Node::new();
        node.serves(10, 10);
        node.arrives(R1);
        node.read(1, 10);
        assert_eq!(node.call(99), None);
        assert_eq!(node.call(10), Some(R1));
    }

    #[test]
    fn a_runtime_that_moves_tasks_is_not_judged_by_threads() {
        // R1 was read on thread 10 and goes on on thread 11, which has just read R2.
        let mut node = Node::new();
        node.serves(10, 20);
        node.arrives(R1);
        node.read(1, 10);
        node.arrives(R2);
        node.read(2, 11);
        assert_eq!(node.call(11), None);
        node.answered(R2, 12);
        assert_eq!(node.call(11), Some(R1));
    }

    #[test]
    fn one_read_covers_all_pipelined_requests_that_had_arrived() {
        let mut node = Node::new();
        node.serves(10, 10);
        node.arrives_with(R1, ConnId(1), None);
        node.arrives_with(R2, ConnId(1), None);
        node.read(1, 10);
        assert_eq!(node.call(10), None, "both are in flight");
        node.answered(R1, 10);
        assert_eq!(node.call(10), Some(R2));
        node.answered(R2, 10);
        assert!(node.is_empty());
    }

    #[test]
    fn a_read_that_is_told_late_does_not_bind_the_next_request() {
        let mut node = Node::new();
        node.serves(10, 10);
        node.arrives_with(R1, ConnId(1), None);
        let at_r1 = Mono(node.now);
        node.answered(R1, 10);
        node.arrives_with(R2, ConnId(1), None);
        node.parents.read(ConnId(1), Task { pid: P, tid: Tid(10) }, at_r1);
        assert_eq!(node.call(10), None, "R2 was not read by anyone");
        node.read(1, 11);
        assert_eq!([10, 11].map(|tid| node.call(tid)), [None, Some(R2)]);
    }

    #[test]
    fn where_no_thread_is_ever_seen_the_only_request_in_flight_is_the_parent() {
        let mut node = Node::new();
        node.arrives(R1);
        assert_eq!(node.call_with(None, None), Some(R1));
        assert_eq!(node.call(10), Some(R1));
        node.arrives(R2);
        assert_eq!(node.call_with(None, None), None);
    }

    #[test]
    fn a_call_of_an_unknown_thread_has_no_parent_where_threads_keep_requests() {
        let mut node = Node::new();
        node.serves(10, 10);
        node.arrives(R1);
        node.read(1, 10);
        assert_eq!(node.call_with(None, None), None);
    }

    #[test]
    fn a_request_read_by_two_threads_is_a_hand_off() {
        let mut node = Node::new();
        node.serves(10, 10);
        node.arrives(R1);
        node.read(1, 10);
        node.read(1, 11);
        assert_eq!([10, 11, 12].map(|tid| node.call(tid)), [Some(R1); 3]);
    }

    #[test]
    fn a_header_passed_on_unchanged_finds_its_request_among_many() {
        let mut node = Node::new();
        node.serves(10, 10);
        node.arrives_with(R1, ConnId(1), Some(header(1)));
        node.arrives_with(R2, ConnId(2), Some(header(2)));
        node.read(1, 10);
        node.read(2, 10);
        assert_eq!(node.call_with(Some(10), Some(header(2))), Some(R2));
        assert_eq!(node.call_with(Some(10), Some(header(3))), None);
        let twice = ExchangeId(3);
        node.arrives_with(twice, ConnId(3), Some(header(2)));
        node.read(3, 10);
        assert_eq!(node.call_with(Some(10), Some(header(2))), None, "two requests carry it");
    }

    #[test]
    fn a_process_id_that_comes_back_inherits_nothing() {
        let mut node = Node::new();
        node.serves(10, 20);
        node.parents.forget_ended(|pid| pid == P);
        assert!(!node.parents.processes.is_empty(), "it lives");
        node.parents.forget_ended(|_| false);
        assert!(node.parents.processes.is_empty());
        node.arrives(R2);
        node.read(2, 10);
        node.arrives(ExchangeId(3));
        node.answered(ExchangeId(3), 10);
        assert_eq!(node.call(20), None, "that hand-offs happen was learned of the other program");
    }

    #[test]
    fn a_forked_child_that_reads_is_the_server() {
        let mut node = Node::new();
        node.arrives(R1);
        let child = Task { pid: Pid(101), tid: Tid(101) };
        node.parents.read(ConnId(1), child, Mono(5));
        node.now = 5;
        let call = |process: Pid| Outgoing { process, thread: Some(Tid(process.0)), header: None, sent: Mono(6) };
        assert_eq!(node.parents.parent_of(&call(child.pid)), Some(R1));
        assert_eq!(node.parents.parent_of(&call(P)), None);
    }

    #[test]
    fn requests_beyond_the_limit_make_their_process_ambiguous_until_they_are_answered() {
        let mut node = Node::new();
        node.parents.limit = 1;
        node.arrives(R1);
        node.arrives(R2);
        assert_eq!(node.call_with(None, None), None);
        node.answered(R2, 10);
        assert_eq!(node.call_with(None, None), Some(R1));
        assert_eq!(node.parents.requests.len(), 1);
    }
}
