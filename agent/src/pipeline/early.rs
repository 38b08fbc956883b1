//! Bytes that reached a listener before their connection had a socket, until that connection is opened.
//!
//! The kernel runs a packet that completes a handshake through the listener's filter; where it carries data already
//! (TCP_DEFER_ACCEPT, a lost acknowledgement) that data belongs to the socket that the packet makes. The connection's
//! record follows at once, unless the kernel refuses the connection. Must never hand bytes to a connection with other ends.

use remora_core::model::Mono;
use rustc_hash::FxHashMap;
use std::net::SocketAddr;
use std::time::Duration;

/// Most segments that wait. The records of a connection are next to each other in the ring, so a few would do.
const MOST: usize = 1024;
/// How long one waits.
const PATIENCE: Duration = Duration::from_secs(1);

/// Own and remote end of a connection.
pub(super) type Ends = (SocketAddr, SocketAddr);

/// A segment that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Early {
    pub(super) time: Mono,
    pub(super) seq: u32,
    pub(super) ack: u32,
    /// Bytes of the segment.
    pub(super) len: u32,
    /// The first of them.
    pub(super) data: Box<[u8]>,
}

/// All that wait, by the ends of their connections.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    segments: FxHashMap<Ends, Early>,
}

impl Waiting {
    /// Keeps a segment; one with the same ends is its earlier transmission. Returns how many were lost to make room.
    pub(super) fn keep(&mut self, ends: Ends, segment: Early) -> u64 {
        let lost = if self.segments.len() >= MOST { self.drop_older(segment.time) } else { 0 };
        if self.segments.len() >= MOST && !self.segments.contains_key(&ends) {
            return lost + 1;
        }
        self.segments.insert(ends, segment);
        lost
    }

    /// The segment of a connection that was opened at or after it.
    pub(super) fn take(&mut self, ends: Ends) -> Option<Early> {
        if self.segments.is_empty() {
            return None;
        }
        self.segments.remove(&ends)
    }

    /// Forgets what has waited too long, and says how many those were.
    pub(super) fn drop_older(&mut self, now: Mono) -> u64 {
        let before = self.segments.len();
        self.segments.retain(|_, segment| now.since(segment.time) < PATIENCE);
        (before - self.segments.len()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(port: u16) -> Ends {
        (SocketAddr::from(([10, 0, 0, 1], 80)), SocketAddr::from(([10, 0, 0, 2], port)))
    }

    fn segment(time: u64) -> Early {
        Early { time: Mono(time), seq: 7, ack: 9, len: 3, data: b"GET".as_slice().into() }
    }

    #[test]
    fn a_segment_goes_to_the_connection_with_its_ends_and_to_no_other() {
        let mut waiting = Waiting::default();
        assert_eq!(waiting.keep(ends(1), segment(1)), 0);
        assert_eq!(waiting.take(ends(2)), None);
        assert_eq!(waiting.take(ends(1)), Some(segment(1)));
        assert_eq!(waiting.take(ends(1)), None);
    }

    #[test]
    fn a_connection_that_is_never_opened_is_forgotten_and_counted() {
        let mut waiting = Waiting::default();
        waiting.keep(ends(1), segment(1));
        assert_eq!(waiting.drop_older(Mono(999_999_999)), 0);
        assert_eq!(waiting.drop_older(Mono(1_000_000_001)), 1);
        assert_eq!(waiting.take(ends(1)), None);
    }

    #[test]
    fn a_flood_is_bounded_and_counted() {
        let mut waiting = Waiting::default();
        let lost: u64 = (0..1500).map(|port| waiting.keep(ends(port), segment(1))).sum();
        assert_eq!((waiting.segments.len(), lost), (MOST, 1500 - MOST as u64));
    }
}
