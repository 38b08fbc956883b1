//! How much of each burst is asked of capture: heads and what frames bodies, and as little of the bodies as that allows.
//! Copying is most of what an observed request costs. Less than the usual must never be asked of a connection on which
//! that would lose more than the size of one body.

use super::body::Framing;
use crate::flow::{Amount, Capture};
use crate::proto::End;

/// What every connection begins with.
pub(super) const USUAL: Capture = capture(16 * 1024, 2 * 1024);
/// What is asked while a stream of events lasts, in which every byte counts.
pub(super) const EVENTS: Capture = Capture { server: Amount::Segment(u32::MAX), ..USUAL };
/// What is asked once a head was cut.
const LARGE: Capture = capture(68 * 1024, 68 * 1024);
/// The least of a request burst: its head may grow by a cookie or a token, and a client may begin to send several at once,
/// which cannot be paired any more once one of them is lost.
const LEAST_REQUEST: usize = 4096;
/// The least of a response burst.
const LEAST_RESPONSE: usize = 256;
/// Exchanges in a row that show what suffices.
const PROOF: u8 = 8;

const fn capture(client: u32, server: u32) -> Capture {
    Capture { client: Amount::Burst(client), server: Amount::Burst(server) }
}

/// What was asked last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Usual,
    Little,
    /// Little was too little once.
    UsualForGood,
    Large,
}

/// What the heads of a connection need.
#[derive(Debug)]
pub(super) struct Room {
    wanted: Wanted,
    /// Exchanges in a row whose bodies' ends their heads told.
    proved: u8,
    /// Longest heads among them, from the client and from the server.
    longest: [usize; 2],
}

impl Room {
    pub(super) fn new() -> Self {
        Self { wanted: Wanted::Usual, proved: 0, longest: [0; 2] }
    }

    /// A whole head of `len` bytes came, of a message whose end `framing` tells. What to ask from now on, if it changes.
    pub(super) fn head(&mut self, from: End, len: usize, framing: Framing) -> Option<Capture> {
        if !matches!(framing, Framing::Length(_)) {
            return self.body();
        }
        let longest = &mut self.longest[usize::from(from == End::Server)];
        *longest = len.max(*longest);
        if from == End::Client || self.wanted != Wanted::Usual {
            return None;
        }
        self.proved += 1;
        let little = self.little().filter(|_| self.proved == PROOF)?;
        self.wanted = Wanted::Little;
        Some(little)
    }

    /// A body has to be looked at, or bursts hold more than one message.
    pub(super) fn body(&mut self) -> Option<Capture> {
        self.proved = 0;
        if self.wanted != Wanted::Little {
            return None;
        }
        self.wanted = Wanted::UsualForGood;
        Some(USUAL)
    }

    /// A head was cut.
    pub(super) fn cut(&mut self) -> Capture {
        let (wanted, capture) = match self.wanted {
            Wanted::Little => (Wanted::UsualForGood, USUAL),
            Wanted::Usual | Wanted::UsualForGood | Wanted::Large => (Wanted::Large, LARGE),
        };
        self.wanted = wanted;
        capture
    }

    /// A stream of events is over.
    pub(super) fn events_over(&mut self) -> Capture {
        if self.wanted == Wanted::Large {
            return LARGE;
        }
        self.wanted = Wanted::UsualForGood;
        USUAL
    }

    /// The longest heads and a quarter more; `None` if that saves nothing.
    fn little(&self) -> Option<Capture> {
        let [client, server] = self.longest.map(|len| (len + len / 4).next_power_of_two());
        let (client, server) = (client.clamp(LEAST_REQUEST, 16 * 1024), server.clamp(LEAST_RESPONSE, 2 * 1024));
        let little = capture(u32::try_from(client).ok()?, u32::try_from(server).ok()?);
        (little != USUAL).then_some(little)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is asked after exchanges with heads of so many bytes.
    fn asked(room: &mut Room, exchanges: usize, request: usize, response: usize) -> Vec<Capture> {
        (0..exchanges)
            .flat_map(|_| [room.head(End::Client, request, Framing::Length(0)), room.head(End::Server, response, Framing::Length(9000))])
            .flatten()
            .collect()
    }

    #[test]
    fn after_some_exchanges_only_what_their_heads_need_is_asked() {
        assert_eq!(asked(&mut Room::new(), 7, 200, 100), []);
        assert_eq!(asked(&mut Room::new(), 100, 200, 100), [capture(4096, 256)]);
        assert_eq!(asked(&mut Room::new(), 100, 4000, 210), [capture(8192, 512)]);
        assert_eq!(asked(&mut Room::new(), 100, 60_000, 1700), []);
    }

    #[test]
    fn a_head_that_was_cut_brings_the_usual_back_and_the_next_one_all() {
        let mut room = Room::new();
        asked(&mut room, 8, 200, 100);
        assert_eq!(room.cut(), USUAL);
        assert_eq!(asked(&mut room, 100, 200, 100), []);
        assert_eq!([room.cut(), room.cut()], [LARGE, LARGE]);
        assert_eq!(Room::new().cut(), LARGE);
    }

    #[test]
    fn bodies_that_must_be_seen_to_find_their_ends_keep_the_usual() {
        let mut room = Room::new();
        asked(&mut room, 7, 200, 100);
        assert_eq!(room.head(End::Server, 100, Framing::Chunked), None);
        assert_eq!(asked(&mut room, 7, 200, 100), []);
        assert_eq!(asked(&mut room, 1, 200, 100), [capture(4096, 256)]);
        assert_eq!(room.head(End::Client, 100, Framing::Chunked), Some(USUAL));
        assert_eq!(asked(&mut room, 100, 200, 100), []);
    }
}
