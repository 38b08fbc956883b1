//! Calls seen at this node, by the key that both their ends compute: answers "key → trace context of the other end".
//!
//! Holds each end until the other comes or it has aged out, and a bounded number of them: a forgotten call costs the
//! link between two spans, never a wrong one. Later the other node's agent can be asked at the same place.

use remora_core::model::{CallKey, ExchangeId, Mono, SpanId, TraceId};
use rustc_hash::FxHashMap;
use std::time::Duration;

/// An end that asks, as it decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClientEnd {
    pub(super) trace: TraceId,
    /// What the server's span hangs below; `None` if the client's is not reported and has no parent.
    pub(super) span: Option<SpanId>,
    pub(super) kept: bool,
}

/// An end that answers and was seen before the end that asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ServerEnd {
    pub(super) exchange: ExchangeId,
    pub(super) trace: TraceId,
    /// What others may link to, if anything.
    pub(super) span: Option<SpanId>,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Client(ClientEnd),
    Server(ServerEnd),
}

/// Two generations of calls with one end: the older is dropped when the younger is full or old.
#[derive(Debug)]
pub(super) struct Calls {
    young: FxHashMap<CallKey, End>,
    old: FxHashMap<CallKey, End>,
    /// When the young generation began.
    since: Mono,
    /// How long an end waits at least for the other, unless there are too many.
    patience: Duration,
    /// Most entries of a generation.
    limit: usize,
    crowded_out: u64,
}

impl Calls {
    pub(super) fn new(limit: usize, patience: Duration) -> Self {
        let limit = (limit / 2).max(1);
        Self { young: FxHashMap::default(), old: FxHashMap::default(), since: Mono(0), patience, limit, crowded_out: 0 }
    }

    /// The asking end of `call`, if it was seen before. It is given once: a call has two ends.
    pub(super) fn client_of(&mut self, call: &CallKey) -> Option<ClientEnd> {
        match self.peek(call)? {
            End::Client(end) => {
                self.forget(call);
                Some(end)
            }
            End::Server(_) => None,
        }
    }

    /// The answering end of `call`, if it was seen before. It is given once.
    pub(super) fn server_of(&mut self, call: &CallKey) -> Option<ServerEnd> {
        match self.peek(call)? {
            End::Server(end) => {
                self.forget(call);
                Some(end)
            }
            End::Client(_) => None,
        }
    }

    pub(super) fn note_client(&mut self, call: CallKey, end: ClientEnd, now: Mono) {
        self.note(call, End::Client(end), now);
    }

    pub(super) fn note_server(&mut self, call: CallKey, end: ServerEnd, now: Mono) {
        self.note(call, End::Server(end), now);
    }

    /// The request that was noted under `call` was none.
    pub(super) fn forget(&mut self, call: &CallKey) {
        self.young.remove(call);
        self.old.remove(call);
    }

    /// Ends that were dropped for want of room.
    pub(super) fn crowded_out(&self) -> u64 {
        self.crowded_out
    }

    fn peek(&self, call: &CallKey) -> Option<End> {
        self.young.get(call).or_else(|| self.old.get(call)).copied()
    }

    fn note(&mut self, call: CallKey, end: End, now: Mono) {
        if now.since(self.since) >= self.patience {
            self.turn(now);
        } else if self.young.len() >= self.limit {
            self.crowded_out += self.old.len() as u64;
            self.turn(now);
        }
        self.old.remove(&call);
        self.young.insert(call, end);
    }

    fn turn(&mut self, now: Mono) {
        std::mem::swap(&mut self.young, &mut self.old);
        self.young.clear();
        // What a burst needed is given back.
        self.young.shrink_to(self.limit.min(2 * self.old.len()));
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn call(n: u32) -> CallKey {
        CallKey::new(n, 0, b"GET")
    }

    fn client(n: u32) -> ClientEnd {
        use crate::trace::ids;
        ClientEnd { trace: ids::trace_id(&call(n)), span: Some(ids::client_span_id(&call(n))), kept: true }
    }

    #[test]
    fn an_end_is_given_to_the_other_end_once() {
        let mut calls = Calls::new(8, Duration::from_secs(10));
        calls.note_client(call(1), client(1), Mono(1));
        assert_eq!(calls.server_of(&call(1)), None);
        assert_eq!(calls.client_of(&call(1)), Some(client(1)));
        assert_eq!(calls.client_of(&call(1)), None);
    }

    #[test]
    fn an_end_waits_for_its_patience_and_is_then_forgotten() {
        let mut calls = Calls::new(8, Duration::from_secs(10));
        calls.note_client(call(1), client(1), Mono(SECOND));
        calls.note_client(call(2), client(2), Mono(11 * SECOND));
        assert_eq!(calls.peek(&call(1)).map(|_| ()), Some(()));
        calls.note_client(call(3), client(3), Mono(22 * SECOND));
        calls.note_client(call(4), client(4), Mono(33 * SECOND));
        assert!(calls.client_of(&call(1)).is_none());
        assert!(calls.client_of(&call(3)).is_some());
        assert_eq!(calls.crowded_out(), 0);
    }

    #[test]
    fn the_table_stays_bounded_and_counts_what_it_dropped() {
        let mut calls = Calls::new(100, Duration::from_secs(10));
        for n in 0..1000 {
            calls.note_client(call(n), client(n), Mono(1));
            assert!(calls.young.len() + calls.old.len() <= 100);
        }
        assert!(calls.client_of(&call(999)).is_some());
        assert!(calls.client_of(&call(0)).is_none());
        assert!(calls.crowded_out() >= 900 - 50, "{}", calls.crowded_out());
    }
}
