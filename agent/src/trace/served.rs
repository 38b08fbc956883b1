//! Which request a log line belongs to: the only one that its writer was serving when it can have been written.
//!
//! A table of the requests that processes of this node serve or have just served. Of when a line was written only a
//! window is known; it belongs to a request if no other request of the same writer was in flight at any moment of that
//! window. Where that cannot be told — too many requests, requests that were not followed, a window that begins before
//! the table does or ends after what it has heard of — it belongs to none. A missing id is a gap; a wrong one is a lie.
//!
//! Bounded: the oldest answered requests are forgotten first, and windows that reach back to those are not judged.

use super::SpanContext;
use remora_core::model::{ExchangeId, Pid, nanos};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::time::Duration;

/// Requests in flight that are followed.
const IN_FLIGHT: usize = 65_536;
/// Answered requests that are remembered.
const ANSWERED: usize = 32_768;
/// For so long: lines of files that are read late are older.
const MEMORY: Duration = Duration::from_secs(60);
/// A server whose client went away may go on with the request for so long.
const UNAWARE: Duration = Duration::from_secs(30);
/// A request that began before the table did, and was not seen to, is believed to be over after this.
const WARM_UP: Duration = Duration::from_secs(1);

/// Nanoseconds since the Unix epoch.
pub type UnixNanos = u64;

/// What happened to a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// It is in flight.
    Began {
        /// Its number.
        id: ExchangeId,
        /// Who serves it, if known.
        process: Option<Pid>,
        /// Its first byte.
        at: UnixNanos,
        /// Its span; `None` if it is not followed or not reported.
        span: Option<SpanContext>,
    },
    /// It was answered, or will not be.
    Ended {
        /// Its number.
        id: ExchangeId,
        /// Who served it, if known.
        process: Option<Pid>,
        /// Its first byte.
        began: UnixNanos,
        /// The last byte of its answer, or when it was given up.
        at: UnixNanos,
        /// Its span as it is exported; `None` if it is not.
        span: Option<SpanContext>,
        /// How it ended.
        end: End,
    },
    /// It was none.
    Void(ExchangeId),
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its answer was seen to its end.
    Answered,
    /// It was not, and its server may not know yet that nobody waits any more.
    GivenUp,
}

/// When a line was written: in none of the moments outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// First moment.
    pub from: UnixNanos,
    /// Last moment.
    pub to: UnixNanos,
}

#[derive(Clone, Debug)]
struct Request {
    began: UnixNanos,
    /// `MAX` while it is in flight.
    ended: UnixNanos,
    span: Option<SpanContext>,
}

impl Request {
    fn meets(&self, window: Window) -> bool {
        self.began <= window.to && window.from <= self.ended
    }
}

/// Requests of one process.
#[derive(Debug, Default)]
struct Process {
    in_flight: FxHashMap<ExchangeId, Request>,
    /// In the order of their ends.
    answered: VecDeque<Request>,
}

impl Process {
    fn all(&self, window: Window) -> impl Iterator<Item = &Request> {
        let first = self.answered.partition_point(|request| request.ended < window.from);
        self.answered.range(first..).chain(self.in_flight.values()).filter(move |request| request.meets(window))
    }

    fn is_empty(&self) -> bool {
        self.in_flight.is_empty() && self.answered.is_empty()
    }
}

/// See the module.
#[derive(Debug)]
pub struct Served {
    /// By who serves them; `None` may be anyone.
    processes: FxHashMap<Option<Pid>, Process>,
    /// Whose each request in flight is.
    owners: FxHashMap<ExchangeId, Option<Pid>>,
    /// Whose the answered requests are, the oldest first.
    order: VecDeque<Option<Pid>>,
    /// Nothing is known of moments before.
    since: UnixNanos,
    /// Everything that happened before this was told.
    until: UnixNanos,
}

impl Served {
    /// A table that begins at `now`.
    #[must_use]
    pub fn new(now: UnixNanos) -> Self {
        let since = now.saturating_add(nanos(WARM_UP));
        Self { processes: FxHashMap::default(), owners: FxHashMap::default(), order: VecDeque::new(), since, until: 0 }
    }

    /// Takes note.
    pub fn tell(&mut self, told: Told) {
        match told {
            Told::Began { id, process, at, span } => self.began(id, process, Request { began: at, ended: UnixNanos::MAX, span }),
            Told::Ended { id, process, began, at, span, end } => {
                self.void(id);
                let ended = at.max(began);
                self.ended(process, Request { began, ended, span });
                if end == End::GivenUp {
                    self.ended(process, Request { began: ended, ended: ended.saturating_add(nanos(UNAWARE)), span: None });
                }
            }
            Told::Void(id) => self.void(id),
        }
    }

    /// Everything that happened before `until` was told.
    pub fn heard(&mut self, until: UnixNanos) {
        self.until = until;
        let old = until.saturating_sub(nanos(MEMORY));
        while let Some(process) = self.order.front() {
            let oldest = self.processes.get(process).and_then(|process| process.answered.front());
            if oldest.is_some_and(|request| request.ended >= old) {
                break;
            }
            self.forget_oldest();
        }
    }

    /// Something was not told: nothing is known of moments before `now`.
    pub fn missed(&mut self, now: UnixNanos) {
        *self = Self::new(now);
    }

    /// Whose requests there are.
    pub fn processes(&self) -> impl Iterator<Item = Pid> {
        self.processes.keys().flatten().copied()
    }

    /// The span of the only request in flight in the window, if one of `own` served it. Those of `strangers`, of which
    /// nobody knows whether they belong to the same writer, may be the ones that the line belongs to, and never are.
    #[must_use]
    pub fn only(&self, own: &[Pid], strangers: &[Pid], window: Window) -> Option<&SpanContext> {
        if window.from < self.since || window.to > self.until || window.from > window.to {
            return None;
        }
        let met = |process: Option<Pid>| self.processes.get(&process).into_iter().flat_map(move |process| process.all(window));
        let mut others = strangers.iter().map(|pid| Some(*pid)).chain([None]).flat_map(met);
        let mut own = own.iter().flat_map(|pid| met(Some(*pid)));
        let only = own.next()?;
        if own.next().is_some() || others.next().is_some() { None } else { only.span.as_ref() }
    }

    fn began(&mut self, id: ExchangeId, process: Option<Pid>, request: Request) {
        if self.owners.len() >= IN_FLIGHT {
            // One that is not in the table could be the second of any window from now on.
            return self.missed(request.began);
        }
        self.void(id);
        self.owners.insert(id, process);
        self.processes.entry(process).or_default().in_flight.insert(id, request);
    }

    fn ended(&mut self, process: Option<Pid>, request: Request) {
        if self.order.len() >= ANSWERED {
            self.forget_oldest();
        }
        let answered = &mut self.processes.entry(process).or_default().answered;
        // Ends are told nearly in their order.
        let at = answered.iter().rposition(|other| other.ended <= request.ended).map_or(0, |before| before + 1);
        answered.insert(at, request);
        self.order.push_back(process);
    }

    fn void(&mut self, id: ExchangeId) {
        let Some(owner) = self.owners.remove(&id) else { return };
        if let Some(process) = self.processes.get_mut(&owner) {
            process.in_flight.remove(&id);
            if process.is_empty() {
                self.processes.remove(&owner);
            }
        }
    }

    fn forget_oldest(&mut self) {
        let Some(owner) = self.order.pop_front() else { return };
        let Some(process) = self.processes.get_mut(&owner) else { return };
        if let Some(gone) = process.answered.pop_front() {
            self.since = self.since.max(gone.ended.saturating_add(1));
        }
        if process.is_empty() {
            self.processes.remove(&owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use remora_core::model::{SpanId, TraceId};

    const P: Pid = Pid(7);
    const Q: Pid = Pid(8);
    /// A second, which is when the tables of these tests begin.
    const S: u64 = 1_000_000_000;

    fn span(n: u8) -> SpanContext {
        let (trace, span) = (TraceId::new([n; 16]).expect("valid"), SpanId::new([n; 8]).expect("valid"));
        SpanContext { trace, span, parent: None, link: None, kept: true }
    }

    fn began(id: u64, process: Option<Pid>, at: u64) -> Told {
        Told::Began { id: ExchangeId(id), process, at: S + at, span: Some(span(u8::try_from(id).expect("small"))) }
    }

    fn ended(id: u64, process: Option<Pid>, began: u64, at: u64) -> Told {
        let span = Some(span(u8::try_from(id).expect("small")));
        Told::Ended { id: ExchangeId(id), process, began: S + began, at: S + at, span, end: End::Answered }
    }

    fn table(told: impl IntoIterator<Item = Told>) -> Served {
        let mut served = Served::new(0);
        told.into_iter().for_each(|told| served.tell(told));
        served.heard(2 * S);
        served
    }

    /// Number of the request that a line of `pids` written between two moments belongs to.
    fn line(served: &Served, pids: &[Pid], from: u64, to: u64) -> Option<u8> {
        served.only(pids, &[], Window { from: S + from, to: S + to }).map(|span| span.span.bytes()[0])
    }

    #[test]
    fn the_only_request_in_flight_has_the_line_also_before_it_is_answered() {
        let served = table([ended(1, Some(P), 100, 200), began(2, Some(P), 300)]);
        assert_eq!(
            [(150, 160), (190, 220), (250, 260), (310, 400), (90, 99)].map(|(from, to)| line(&served, &[P], from, to)),
            [Some(1), Some(1), None, Some(2), None]
        );
        assert_eq!(line(&served, &[P], 190, 310), None, "it may be of either");
        assert_eq!(line(&served, &[Q], 150, 160), None, "another program's line");
    }

    #[test]
    fn two_in_flight_anywhere_in_the_container_are_ambiguous() {
        let served = table([began(1, Some(P), 100), began(2, Some(Q), 200), ended(3, Some(P), 250, 300)]);
        assert_eq!((line(&served, &[P, Q], 150, 160), line(&served, &[P, Q], 210, 220)), (Some(1), None));
        assert_eq!((line(&served, &[Q], 210, 220), line(&served, &[P], 260, 270), line(&served, &[P], 400, 410)), (Some(2), None, Some(1)));
    }

    #[test]
    fn a_request_of_nobody_known_may_be_anyones() {
        let served = table([began(1, Some(P), 100), ended(2, None, 200, 300)]);
        assert_eq!([(110, 120), (250, 260), (310, 320)].map(|(from, to)| line(&served, &[P], from, to)), [Some(1), None, Some(1)]);
        assert_eq!(line(&served, &[Q], 250, 260), None, "and is nobody's for certain");
        assert_eq!(served.only(&[Q], &[P], Window { from: S + 110, to: S + 120 }), None, "so is that of a process nobody knows");
    }

    #[test]
    fn a_request_that_is_not_followed_has_no_line_and_leaves_none_to_others() {
        let told = Told::Began { id: ExchangeId(1), process: Some(P), at: S + 100, span: None };
        let served = table([told, began(2, Some(P), 200)]);
        assert_eq!((line(&served, &[P], 110, 120), line(&served, &[P], 210, 220)), (None, None));
    }

    #[test]
    fn a_server_that_does_not_know_that_its_client_went_away_may_still_write_of_that_request() {
        let Told::Ended { id, process, began: start, at, span, .. } = ended(1, Some(P), 100, 200) else { return };
        let served = table([Told::Ended { id, process, began: start, at, span, end: End::GivenUp }, began(2, Some(P), 300)]);
        assert_eq!([(110, 190), (210, 220), (310, 320)].map(|(from, to)| line(&served, &[P], from, to)), [Some(1), None, None]);
    }

    #[test]
    fn a_void_request_was_none() {
        let served = table([began(1, Some(P), 100), began(2, Some(P), 200), Told::Void(ExchangeId(2))]);
        assert_eq!(line(&served, &[P], 210, 220), Some(1));
    }

    #[test]
    fn moments_that_the_table_does_not_cover_are_not_judged() {
        let mut served = Served::new(0);
        served.tell(began(1, Some(P), 100));
        assert_eq!(line(&served, &[P], 110, 120), None, "nothing was heard of that time");
        served.heard(S + 115);
        assert_eq!((line(&served, &[P], 110, 115), line(&served, &[P], 110, 120)), (Some(1), None));
        let before = served.only(&[P], &[], Window { from: S - 10, to: S + 110 });
        assert_eq!(before, None, "a request could have been in flight when the agent started");
        served.missed(S);
        served.heard(9 * S);
        assert_eq!(line(&served, &[P], 110, 120), None);
    }

    #[test]
    fn the_oldest_are_forgotten_and_windows_that_reach_back_to_them_are_not_judged() {
        let mut served = Served::new(0);
        for n in 0..ANSWERED as u64 + 10 {
            served.tell(Told::Ended {
                id: ExchangeId(n),
                process: Some(P),
                began: S + 100 * n,
                at: S + 100 * n + 50,
                span: Some(span(1)),
                end: End::Answered,
            });
        }
        served.heard(2 * S);
        assert_eq!((line(&served, &[P], 940, 945), line(&served, &[P], 1010, 1020)), (None, Some(1)));
        assert_eq!(served.order.len(), ANSWERED);
        served.heard(S + nanos(MEMORY) + 100 * (ANSWERED as u64 + 20));
        assert!(served.order.is_empty() && served.processes.is_empty());
    }

    proptest! {
        /// What the table says is what a search through all that was told says.
        #[test]
        fn a_line_has_a_request_only_if_no_other_was_in_flight(
            requests in proptest::collection::vec((0u64..200, 0u64..50, any::<bool>(), 0u8..3), 0..12),
            from in 0u64..220,
            length in 0u64..30,
        ) {
            let who = |n: u8| [Some(P), Some(Q), None][usize::from(n)];
            let told = requests.iter().enumerate().map(|(n, &(at, took, answered, owner))| {
                let id = n as u64 + 1;
                if answered { ended(id, who(owner), at, at + took) } else { began(id, who(owner), at) }
            });
            let served = table(told);
            let meets = |&(at, took, answered, owner): &(u64, u64, bool, u8)| {
                who(owner) != Some(Q) && at <= from + length && (!answered || from <= at + took)
            };
            let met: Vec<usize> = (0..requests.len()).filter(|&n| meets(&requests[n])).collect();
            let expected = match met.as_slice() { [only] if who(requests[*only].3) == Some(P) => u8::try_from(only + 1).ok(), _ => None };
            prop_assert_eq!(line(&served, &[P], from, from + length), expected);
        }
    }
}
