//! One registry of the agent's own counters, shared by all threads.
//!
//! Every counter is a slot of a fixed array, so counting is one relaxed addition and needs neither a lock
//! nor an allocation. Every record that is lost is counted here with the component and the reason.

use remora_core::flow;
use std::sync::atomic::{AtomicU64, Ordering};

/// Declares an enum whose variants are slots with names.
macro_rules! slots {
    ($(#[$outer:meta])* $name:ident { $($(#[$inner:meta])* $variant:ident = ($component:literal, $word:literal),)+ }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$inner])* $variant,)+ }

        impl $name {
            /// All slots, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The component that counts, and what it counts.
            #[must_use]
            pub const fn names(self) -> (&'static str, &'static str) {
                match self { $(Self::$variant => ($component, $word)),+ }
            }
        }
    };
}

slots! {
    /// Something that got lost, by component and reason: `remora.lost`.
    Loss {
        /// The ring buffer between kernel and agent was full.
        RingFull = ("capture", "ring_full"),
        /// A map of the kernel side was full.
        MapFull = ("capture", "map_full"),
        /// A record of the kernel side could not be decoded.
        BadRecord = ("capture", "bad_record"),
        /// A socket whose state the kernel refused to keep.
        NoStorage = ("capture", "no_storage"),
        /// A packet whose headers the kernel side could not read.
        BadHeaders = ("capture", "unread_headers"),
        /// Data on the third segment of a handshake, which no socket owns yet.
        OnListener = ("capture", "data_on_listener"),
        /// A segment of a connection that was not classified for too long.
        Undecided = ("capture", "undecided"),
        /// Large segments that were copied in part, so that the ring buffer had room for others.
        Spared = ("capture", "ring_nearly_full"),
        /// A connection beyond the limit.
        TooManyConnections = ("capture", "connection_limit"),
        /// An identity that could not be found out before export.
        Unresolved = ("entity", "unresolved"),
        /// A container runtime that did not answer in time.
        RuntimeTimeout = ("entity", "timeout"),
        /// A point that went to the overflow series of its Resource.
        CardinalityResource = ("aggregate", "cardinality_resource"),
        /// A point that went to the overflow series of the node.
        CardinalityNode = ("aggregate", "cardinality_node"),
        /// A log line longer than the limit, cut.
        LineTooLong = ("logs", "line_too_long"),
        /// A log file or journal that could not be read.
        SourceUnreadable = ("logs", "source_unreadable"),
        /// A log file that was gone before it was read to its end.
        SourceGone = ("logs", "source_gone"),
        /// A log message counted in the overflow pattern.
        PatternLimit = ("logs", "pattern_limit"),
        /// A log record held back by the rate limit.
        RateLimit = ("logs", "rate_limit"),
        /// A log record excluded by a rule.
        Excluded = ("logs", "excluded"),
        /// State that could not be written.
        StateWrite = ("state", "write_failed"),
        /// A viewer that was too slow for the live list.
        SlowViewer = ("view", "slow_viewer"),
    }
}

slots! {
    /// Something the agent did: `remora.processed`.
    Event {
        /// Records read from the ring buffer.
        Records = ("capture", "records"),
        /// Payload bytes read from the ring buffer.
        PayloadBytes = ("capture", "payload_bytes"),
        /// Connections seen.
        Connections = ("flow", "connections"),
        /// Requests decoded.
        Exchanges = ("flow", "exchanges"),
        /// Spans made.
        Spans = ("trace", "spans"),
        /// Spans that the sampler left out.
        Unsampled = ("trace", "unsampled"),
        /// Log lines read.
        Lines = ("logs", "lines"),
        /// Log lines that may have been sent before, by an agent that was killed.
        RepeatedLines = ("logs", "repeated_lines"),
        /// Log records made.
        LogRecords = ("logs", "records"),
        /// Log records that were written while a request was served, and carry the ids of its span.
        JoinedRecords = ("logs", "records_with_span"),
    }
}

const REASONS: usize = flow::Loss::ALL.len();

/// The losses of one protocol, by reason.
type Row = [AtomicU64; REASONS];

/// The counters.
pub struct Counters {
    losses: [AtomicU64; Loss::ALL.len()],
    events: [AtomicU64; Event::ALL.len()],
    protocols: Vec<(&'static str, Row)>,
    unclassified: Row,
}

impl Counters {
    /// Counters at zero, with a row for each protocol; what is lost in others counts as unclassified.
    #[must_use]
    pub fn new(protocols: impl IntoIterator<Item = &'static str>) -> Self {
        Self {
            losses: zeros(),
            events: zeros(),
            protocols: protocols.into_iter().map(|name| (name, zeros())).collect(),
            unclassified: zeros(),
        }
    }

    /// `n` things got lost.
    pub fn lost(&self, loss: Loss, n: u64) {
        self.losses[loss as usize].fetch_add(n, Ordering::Relaxed);
    }

    /// Sets a loss that another party counts, such as the kernel side.
    pub fn set_lost(&self, loss: Loss, total: u64) {
        self.losses[loss as usize].store(total, Ordering::Relaxed);
    }

    /// `n` things were done.
    pub fn count(&self, event: Event, n: u64) {
        self.events[event as usize].fetch_add(n, Ordering::Relaxed);
    }

    /// `n` things got lost between capture and a finished exchange, in `protocol` if that was known.
    pub fn flow_lost(&self, protocol: Option<&'static str>, loss: flow::Loss, n: u64) {
        let row = protocol.and_then(|name| self.protocols.iter().find(|(known, _)| *known == name));
        let row = row.map_or(&self.unclassified, |(_, row)| row);
        if let Some(index) = flow::Loss::ALL.iter().position(|known| *known == loss) {
            row[index].fetch_add(n, Ordering::Relaxed);
        }
    }

    /// How many got lost so far.
    #[must_use]
    pub fn loss(&self, loss: Loss) -> u64 {
        self.losses[loss as usize].load(Ordering::Relaxed)
    }

    /// How many were done so far.
    #[must_use]
    pub fn event(&self, event: Event) -> u64 {
        self.events[event as usize].load(Ordering::Relaxed)
    }

    /// Losses between capture and finished exchanges that are not zero: protocol, reason, number. The
    /// protocol is `None` where the connection was not classified.
    pub fn flow_losses(&self) -> impl Iterator<Item = (Option<&'static str>, flow::Loss, u64)> {
        let classified = self.protocols.iter().map(|(name, row)| (Some(*name), row));
        classified
            .chain([(None, &self.unclassified)])
            .flat_map(|(name, row)| {
                let counts = flow::Loss::ALL.into_iter().zip(row);
                counts.map(move |(loss, count)| (name, loss, count.load(Ordering::Relaxed)))
            })
            .filter(|(.., count)| *count > 0)
    }
}

impl std::fmt::Debug for Counters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let losses = Loss::ALL.iter().map(|loss| (loss, self.loss(*loss))).filter(|(_, count)| *count > 0);
        f.debug_map().entries(losses).finish()
    }
}

fn zeros<const N: usize>() -> [AtomicU64; N] {
    std::array::from_fn(|_| AtomicU64::new(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_loss_has_its_own_name() {
        let names: HashSet<_> = Loss::ALL.iter().map(|loss| loss.names()).collect();
        assert_eq!(names.len(), Loss::ALL.len());
    }

    #[test]
    fn what_is_counted_is_read_back() {
        let counters = Counters::new(["http/1.1", "redis"]);
        counters.lost(Loss::RingFull, 3);
        counters.lost(Loss::RingFull, 4);
        counters.set_lost(Loss::MapFull, 9);
        counters.count(Event::Exchanges, 5);
        counters.flow_lost(Some("redis"), flow::Loss::Hole, 2);
        counters.flow_lost(Some("klingon"), flow::Loss::Malformed, 1);
        assert_eq!((counters.loss(Loss::RingFull), counters.loss(Loss::MapFull)), (7, 9));
        assert_eq!(counters.event(Event::Exchanges), 5);
        let losses: Vec<_> = counters.flow_losses().collect();
        assert_eq!(losses, [(Some("redis"), flow::Loss::Hole, 2), (None, flow::Loss::Malformed, 1)]);
    }
}
