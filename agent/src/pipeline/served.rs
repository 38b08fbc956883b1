//! Joins log messages with the spans of the requests during which they were written.
//!
//! The capture thread tells of requests through [`Feed`], where it never waits; the log thread asks the table of
//! [`trace::served`](crate::trace::served) for messages that name no span themselves.

use super::clock::Reading;
use crate::entity::table::{Entities, EntityId};
use crate::logs::{Held, Written};
use crate::trace::served::{End, Served, Told, UnixNanos, Window};
use crate::trace::{SpanContext, Tracer, asks};
use remora_core::model::{Exchange, ExchangeId, Mono, Pid, nanos};
use rustc_hash::FxHashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Container runtimes and the journal stamp a line when they read it from a pipe, at most this long after it was written
/// unless the machine is badly overloaded.
const STAMPED_AFTER: Duration = Duration::from_millis(100);
/// Capture's clock and that of the stamps are read apart.
const SKEW: Duration = Duration::from_millis(1);
/// Most that waits for the log thread.
const WAITING: usize = 65_536;

#[derive(Debug, Default)]
struct Waiting {
    told: Vec<Told>,
    until: UnixNanos,
    complete: Completeness,
}

/// Whether all that happened is among what waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Completeness {
    #[default]
    All,
    Missed,
}

/// From the capture thread to the log thread.
#[derive(Clone, Debug, Default)]
pub struct Feed(Arc<Mutex<Waiting>>);

/// The capture thread's end.
#[derive(Debug)]
pub(super) struct Teller {
    feed: Feed,
    /// Requests that began since the last turn, and those whose process is not known yet.
    began: FxHashMap<ExchangeId, Begun>,
    told: Vec<Told>,
    until: Mono,
    /// By which the told times were made.
    clock: Option<Reading>,
}

/// A request that has begun.
#[derive(Clone, Copy, Debug)]
struct Begun {
    at: UnixNanos,
    told: Announced,
}

/// Whether the log thread knows of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Announced {
    No,
    WithoutProcess,
}

impl Teller {
    pub(super) fn new(feed: Feed) -> Self {
        Self { feed, began: FxHashMap::default(), told: Vec::new(), until: Mono(0), clock: None }
    }

    /// A request was seen.
    pub(super) fn request(&mut self, exchange: &Exchange, clock: Reading) {
        if !asks(exchange) {
            self.began.insert(exchange.id, Begun { at: clock.unix(exchange.request.first), told: Announced::No });
        }
    }

    /// A request is over.
    pub(super) fn finished(&mut self, exchange: &Exchange, process: Option<Pid>, span: Option<SpanContext>, clock: Reading, now: Mono) {
        if asks(exchange) {
            return;
        }
        self.began.remove(&exchange.id);
        let whole = !(exchange.completeness.end_inferred || exchange.completeness.response_lost);
        let (at, end) = match exchange.response {
            Some(response) if whole => (response.last, End::Answered),
            Some(_) => (now, End::Answered),
            None => (now, End::GivenUp),
        };
        let (id, began) = (exchange.id, clock.unix(exchange.request.first));
        self.told.push(Told::Ended { id, process, began, at: clock.unix(at), span, end });
    }

    /// A request was none.
    pub(super) fn void(&mut self, exchange: &Exchange) {
        if !asks(exchange) {
            self.began.remove(&exchange.id);
            self.told.push(Told::Void(exchange.id));
        }
    }

    /// Everything that happened before `until` was seen.
    pub(super) fn seen(&mut self, until: Mono) {
        self.until = until;
    }

    /// Hands on what is new, unless the log thread is just taking it: then with the next turn.
    pub(super) fn turn(&mut self, tracer: &Tracer, clock: Reading) {
        self.began.retain(|id, begun| {
            let process = tracer.serving(*id);
            if process.is_some() || begun.told == Announced::No {
                begun.told = Announced::WithoutProcess;
                self.told.push(Told::Began { id: *id, process, at: begun.at, span: tracer.in_flight_context(*id) });
            }
            process.is_none()
        });
        let Ok(mut waiting) = self.feed.0.try_lock() else { return };
        // Moments of before and after a step of the wall clock cannot be compared.
        let stepped = self.clock.replace(clock).is_some_and(|before| before.was_stepped(&clock));
        if stepped || waiting.told.len() + self.told.len() > WAITING {
            waiting.told.clear();
            self.told.clear();
            waiting.complete = Completeness::Missed;
        }
        waiting.told.append(&mut self.told);
        waiting.until = clock.unix(self.until);
    }
}

/// The log thread's end.
pub(super) struct SpanJoin {
    feed: Feed,
    served: Served,
    entities: Entities,
}

impl SpanJoin {
    pub(super) fn new(feed: Feed, entities: Entities, now: UnixNanos) -> Self {
        Self { feed, served: Served::new(now), entities }
    }

    /// Takes what the capture thread told. Each turn, so that little waits.
    pub(super) fn listen(&mut self) {
        let Waiting { told, until, complete } = {
            let mut waiting = self.feed.0.lock().unwrap_or_else(PoisonError::into_inner);
            let until = waiting.until;
            std::mem::replace(&mut *waiting, Waiting { until, ..Waiting::default() })
        };
        if complete == Completeness::Missed {
            self.served.missed(until);
        }
        told.into_iter().for_each(|told| self.served.tell(told));
        self.served.heard(until);
    }

    /// The span of each message that names none and certainly belongs to one.
    pub(super) fn spans(&self, held: &[Held]) -> Vec<Option<SpanContext>> {
        let servers = Servers::of(&self.served, &self.entities);
        let span = |held: &Held| {
            if held.record.trace.is_some() {
                return None;
            }
            let own = servers.by_entity.get(&held.origin.entity.id)?;
            self.served.only(own, &servers.strangers, window(held.written)).copied()
        };
        held.iter().map(span).collect()
    }
}

/// Processes that serve.
#[derive(Default)]
struct Servers {
    by_entity: FxHashMap<EntityId, Vec<Pid>>,
    /// Of which nobody is known yet.
    strangers: Vec<Pid>,
}

impl Servers {
    fn of(served: &Served, entities: &Entities) -> Self {
        let mut servers = Self::default();
        for pid in served.processes() {
            match entities.known(pid) {
                Some(entity) => servers.by_entity.entry(entity.id).or_default().push(pid),
                None => servers.strangers.push(pid),
            }
        }
        servers
    }
}

fn window(written: Written) -> Window {
    let (from, to) = match written {
        Written::Stamped(at) => (at.saturating_sub(nanos(STAMPED_AFTER)), at),
        Written::Between(from, to) => (from, to),
    };
    Window { from: from.saturating_sub(nanos(SKEW)), to: to.saturating_add(nanos(SKEW)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::sampling::{Errors, ParentRule, Sampler};
    use crate::trace::{Limits, Settings};
    use remora_core::model::{Message, Role};

    fn tracer() -> Tracer {
        let sampler = Sampler::new(ParentRule::Follow, 1.0, Errors::default());
        Tracer::new(Settings { sampler, instrumented: Vec::new(), seed: 1 }, Limits::default())
    }

    fn request(id: u64, at: u64) -> Exchange {
        let request = Message { first: Mono(at), last: Mono(at), ..Message::default() };
        Exchange { id: ExchangeId(id), role: Some(Role::Server), request, ..Exchange::default() }
    }

    #[test]
    fn what_is_told_waits_for_the_log_thread_and_a_step_of_the_clock_makes_it_incomplete() {
        let (feed, tracer) = (Feed::default(), tracer());
        let mut teller = Teller::new(feed.clone());
        let clock = Reading { mono: Mono(0), unix_nanos: 1_000_000_000_000 };
        teller.request(&request(1, 5), clock);
        teller.seen(Mono(10));
        teller.turn(&tracer, clock);
        teller.turn(&tracer, clock);
        let take = || std::mem::take(&mut *feed.0.lock().unwrap());
        let waiting = take();
        let began = Told::Began { id: ExchangeId(1), process: None, at: 1_000_000_000_005, span: None };
        assert_eq!((waiting.told, waiting.until, waiting.complete), (vec![began], 1_000_000_000_010, Completeness::All));
        // Ten minutes back.
        let stepped = Reading { mono: Mono(20), unix_nanos: clock.unix_nanos - 600_000_000_000 };
        teller.request(&request(2, 15), clock);
        teller.turn(&tracer, stepped);
        assert_eq!(take().complete, Completeness::Missed);
        teller.request(&request(3, 25), stepped);
        teller.turn(&tracer, stepped);
        assert_eq!((take().complete, teller.told.len()), (Completeness::All, 0));
    }

    #[test]
    fn a_log_thread_that_does_not_listen_costs_a_bound() {
        let (feed, tracer) = (Feed::default(), tracer());
        let mut teller = Teller::new(feed.clone());
        let clock = Reading { mono: Mono(0), unix_nanos: 1 };
        for id in 0..WAITING as u64 + 10 {
            teller.void(&request(id, 5));
            if id % 1_000 == 0 {
                teller.turn(&tracer, clock);
            }
        }
        teller.turn(&tracer, clock);
        let waiting = feed.0.lock().unwrap();
        assert!(waiting.told.len() < WAITING);
        assert_eq!(waiting.complete, Completeness::Missed);
    }

    #[test]
    fn a_stamp_comes_somewhat_after_its_line() {
        let at = 1_000_000_000;
        assert_eq!(window(Written::Stamped(at)), Window { from: at - 101_000_000, to: at + 1_000_000 });
        assert_eq!(window(Written::Between(0, at)), Window { from: 0, to: at + 1_000_000 });
    }
}
