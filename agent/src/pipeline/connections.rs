//! Connections on their way into the aggregates: each is counted once, as soon as its owner is known, and waits for that
//! no longer than exchanges do.

use super::identity::Identity;
use super::parties::{PATIENCE, Parties, WAITING, peer_of};
use super::wanted::Wanted;
use crate::aggregate::Aggregate;
use crate::aggregate::messages::Passed;
use crate::aggregate::tcp;
use crate::entity::table::{Entity, EntityId};
use crate::trace::Reported;
use remora_core::flow::{Carrier, Direction};
use remora_core::model::{ConnId, ConnInfo, ExchangeId, Mono};
use remora_ebpf::wire;
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// An open connection.
struct Open {
    took: Option<Duration>,
    state: State,
}

enum State {
    /// Counted, or not wanted.
    Settled,
    /// Its owner is not known yet.
    Uncounted(Uncounted),
}

/// What is to be counted with a connection.
#[derive(Default)]
struct Uncounted {
    /// What has passed, where it carries messages.
    messages: Option<Box<Messages>>,
    /// Streams of events that are open.
    streams: i64,
    /// Events that have passed on them.
    events: Option<Box<Messages>>,
}

/// Messages that wait for their connection to be counted.
#[derive(Default)]
struct Messages {
    egress: Passed,
    ingress: Passed,
}

/// A connection that is over and whose owner is not known yet.
struct Ended {
    conn: ConnInfo,
    totals: Option<wire::Totals>,
    at: Mono,
    until: Mono,
}

/// What connections are counted with.
pub(super) struct Count<'a> {
    pub(super) parties: &'a Parties,
    pub(super) wanted: &'a Wanted,
    pub(super) aggregate: &'a mut Aggregate<EntityId>,
    pub(super) now: Mono,
}

/// All that are open, or ended and not counted.
#[derive(Default)]
pub(super) struct Connections {
    open: FxHashMap<ConnId, Open>,
    /// Those whose owner is being looked up.
    uncounted: Vec<ConnInfo>,
    uncounted_generation: u64,
    ended: VecDeque<Ended>,
    /// Exchanges whose responses are streams of events.
    streaming: FxHashSet<ExchangeId>,
}

impl Connections {
    /// Whether some that are over wait for their owners.
    pub(super) fn is_waiting(&self) -> bool {
        !self.ended.is_empty()
    }

    /// Until when the first of them waits.
    pub(super) fn until(&self) -> Option<Mono> {
        self.ended.front().map(|ended| ended.until)
    }

    /// A connection is open; `took` is the time of its handshake.
    pub(super) fn opened(&mut self, conn: &ConnInfo, took: Option<Duration>, with: &mut Count<'_>) {
        let open = self.open.entry(conn.id).or_insert(Open { took, state: State::Uncounted(Uncounted::default()) });
        open.took = open.took.or(took);
        if !self.count(conn, None, with) && conn.owner.is_some() && self.uncounted.len() < WAITING {
            self.uncounted.push(conn.clone());
        }
    }

    /// Counts the connections whose owners have become known: one that is silent says nothing more that would remind of it.
    pub(super) fn count_uncounted(&mut self, with: &mut Count<'_>) {
        let generation = with.parties.entities.generation();
        if generation == self.uncounted_generation || self.uncounted.is_empty() {
            return;
        }
        self.uncounted_generation = generation;
        let mut uncounted = std::mem::take(&mut self.uncounted);
        uncounted.retain(|conn| self.open.contains_key(&conn.id) && !self.count(conn, None, with));
        self.uncounted = uncounted;
    }

    /// Counts a connection if that was not done, it is wanted and its owner (or `instead`) is known. Returns whether no more
    /// has to be found out.
    fn count(&mut self, conn: &ConnInfo, instead: Option<Arc<Entity>>, with: &mut Count<'_>) -> bool {
        let Some(open) = self.open.get_mut(&conn.id) else { return false };
        let State::Uncounted(uncounted) = &mut open.state else { return true };
        let known = match with.parties.owner(conn) {
            Identity::Known(entity) => Some(entity),
            Identity::Pending | Identity::Nobody => instead,
        };
        let Some(entity) = known else { return false };
        if with.wanted.connection(with.parties, conn, &entity) == Reported::No {
            // The aggregate ignores all else of a connection that was never opened there.
            open.state = State::Settled;
            return true;
        }
        let other = with.parties.other(conn);
        with.aggregate.opened(entity.id, conn, &peer_of(other.as_deref()), open.took, with.now);
        with.aggregate.streams(conn.id, uncounted.streams, with.now);
        if uncounted.messages.is_some() {
            with.aggregate.carries_messages(conn.id, with.now);
        }
        for (carrier, messages) in [(Carrier::WebSocket, uncounted.messages.take()), (Carrier::EventStream, uncounted.events.take())] {
            let Some(messages) = messages else { continue };
            with.aggregate.messages(conn.id, carrier, Direction::Egress, messages.egress, with.now);
            with.aggregate.messages(conn.id, carrier, Direction::Ingress, messages.ingress, with.now);
        }
        open.state = State::Settled;
        true
    }

    /// A connection carries messages from now on.
    pub(super) fn carries_messages(&mut self, conn: &ConnInfo, with: &mut Count<'_>) {
        match self.open.get_mut(&conn.id).map(|open| &mut open.state) {
            Some(State::Settled) => with.aggregate.carries_messages(conn.id, with.now),
            Some(State::Uncounted(uncounted)) => drop(uncounted.messages.get_or_insert_default()),
            None => {}
        }
    }

    /// One message of `bytes` has passed.
    pub(super) fn message(&mut self, conn: &ConnInfo, carrier: Carrier, direction: Direction, bytes: u64, with: &mut Count<'_>) {
        let waiting = match self.open.get_mut(&conn.id).map(|open| &mut open.state) {
            Some(State::Uncounted(uncounted)) => match carrier {
                Carrier::WebSocket => uncounted.messages.as_mut(),
                Carrier::EventStream => Some(uncounted.events.get_or_insert_default()),
            },
            Some(State::Settled) | None => None,
        };
        match (waiting, direction) {
            (Some(waiting), Direction::Egress) => waiting.egress.add(bytes),
            (Some(waiting), Direction::Ingress) => waiting.ingress.add(bytes),
            (None, _) => with.aggregate.messages(conn.id, carrier, direction, Passed { messages: 1, bytes }, with.now),
        }
    }

    /// The response of `exchange` is a stream of events, which begins.
    pub(super) fn stream_begins(&mut self, conn: &ConnInfo, exchange: ExchangeId, with: &mut Count<'_>) {
        if self.streaming.len() < WAITING && self.streaming.insert(exchange) {
            self.streams_change(conn.id, 1, with);
        }
    }

    /// An exchange is over that may have been a stream of events.
    pub(super) fn stream_ends(&mut self, conn: &ConnInfo, exchange: ExchangeId, with: &mut Count<'_>) {
        if !self.streaming.is_empty() && self.streaming.remove(&exchange) {
            self.streams_change(conn.id, -1, with);
        }
    }

    fn streams_change(&mut self, conn: ConnId, change: i64, with: &mut Count<'_>) {
        match self.open.get_mut(&conn).map(|open| &mut open.state) {
            Some(State::Settled) => with.aggregate.streams(conn, change, with.now),
            Some(State::Uncounted(uncounted)) => uncounted.streams += change,
            None => {}
        }
    }

    /// What a connection has carried so far.
    pub(super) fn carried(&mut self, conn: &ConnInfo, totals: &wire::Totals, with: &mut Count<'_>) {
        if self.count(conn, None, with) {
            count_carried(conn, totals, with);
        }
    }

    /// A connection is over; `totals` is the last that was told of it.
    pub(super) fn closed(&mut self, conn: ConnInfo, totals: Option<wire::Totals>, at: Mono, with: &mut Count<'_>) {
        let ended = Ended { conn, totals, at, until: with.now.after(PATIENCE) };
        if self.count(&ended.conn, None, with) || self.ended.len() >= WAITING {
            self.count_closed(&ended, with);
        } else {
            self.ended.push_back(ended);
        }
    }

    /// Counts those that are over and whose owners have become known, or will not.
    pub(super) fn look_again(&mut self, with: &mut Count<'_>) {
        for _ in 0..self.ended.len() {
            let Some(ended) = self.ended.pop_front() else { break };
            if ended.until <= with.now || self.count(&ended.conn, None, with) {
                self.count_closed(&ended, with);
            } else {
                self.ended.push_back(ended);
            }
        }
    }

    /// Counts all that are over.
    pub(super) fn finish(&mut self, with: &mut Count<'_>) {
        while let Some(ended) = self.ended.pop_front() {
            self.count_closed(&ended, with);
        }
    }

    fn count_closed(&mut self, ended: &Ended, with: &mut Count<'_>) {
        let instead = with.parties.stand_in_or_nobody(&ended.conn);
        self.count(&ended.conn, Some(instead), with);
        if let Some(totals) = &ended.totals {
            count_carried(&ended.conn, totals, with);
        }
        with.aggregate.closed(ended.conn.id, ended.at);
        self.open.remove(&ended.conn.id);
    }
}

fn count_carried(conn: &ConnInfo, totals: &wire::Totals, with: &mut Count<'_>) {
    let carried = tcp::Totals { sent: totals.bytes_sent, received: totals.bytes_received, retransmits: u64::from(totals.retransmits) };
    let rtt = (totals.srtt_us > 0).then(|| Duration::from_micros(u64::from(totals.srtt_us)));
    with.aggregate.carried(conn.id, carried, rtt, Mono(totals.time));
}
