//! One direction of a TCP connection: segments in, contiguous bytes and named holes out, in stream order.
//!
//! Sequence numbers are unwrapped to 64-bit stream offsets. A gap becomes a hole only when the missing bytes are known
//! to have passed: by [`Order::Next`], by the other end's acknowledgement, or when waiting for them hits a bound.

use super::{Order, Segment};
use crate::proto::Mark;

/// What a stream delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// The next bytes and their stream offset, carried by the segment `mark`, which may begin before them.
    Bytes(u64, &'a [u8], &'a Mark),
    /// From this stream offset on, so many bytes that will not come. The mark is the segment that showed it.
    Hole(u64, u64, &'a Mark),
}

/// Most segments kept while one before them is missing.
const AHEAD_SEGMENTS: usize = 64;
/// Most bytes kept while one segment before them is missing.
const AHEAD_BYTES: usize = 256 * 1024;

#[derive(Debug)]
struct Waiting {
    start: u64,
    end: u64,
    data_at: u64,
    data: Vec<u8>,
    mark: Mark,
    order: Order,
}

impl Waiting {
    /// Whether nothing that may still come belongs between `position` and this segment, which is the first that waits.
    fn is_due(&self, position: u64) -> bool {
        self.start <= position || self.order == Order::Next
    }
}

/// Reassembly of one direction.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// Offset of the next byte to deliver; `None` until the first segment.
    next: Option<u64>,
    ahead: Vec<Waiting>,
    ahead_bytes: usize,
}

impl Stream {
    /// Offset of the next byte to deliver.
    pub(crate) fn position(&self) -> u64 {
        self.next.unwrap_or(0)
    }

    /// Whether segments wait for one before them.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// Takes a segment that was captured whole and begins where the one before it ended, as most do: then it is
    /// delivered as it is, and its mark is given. All others are for [`Self::push`].
    pub(crate) fn pass(&mut self, segment: &Segment<'_>) -> Option<Mark> {
        let next = self.next.filter(|_| !self.is_waiting())?;
        let is_whole = segment.data_at == 0 && segment.len > 0 && segment.data.len() == segment.len as usize;
        if !is_whole || unwrap(next, segment.seq) != next {
            return None;
        }
        let mark = mark(segment, next);
        self.next = Some(mark.end);
        Some(mark)
    }

    /// Adds a segment and delivers what is now in order. Returns how many segments were given up to a bound.
    pub(crate) fn push(&mut self, segment: &Segment<'_>, deliver: &mut dyn FnMut(Piece<'_>)) -> u64 {
        // The first segment sits at offset 2^32, so that one that is a little older has an offset too.
        let next = *self.next.get_or_insert(1 << 32 | u64::from(segment.seq));
        let start = unwrap(next, segment.seq);
        let mark = mark(segment, start);
        let end = mark.end;
        if end <= next {
            return 0;
        }
        if self.ahead.is_empty() && (segment.order == Order::Next || start <= next) {
            let mut at = next;
            emit(&mut at, start, end, u64::from(segment.data_at), segment.data, &mark, deliver);
            self.next = Some(at);
            return 0;
        }
        self.keep(start, end, segment, mark);
        self.drain(deliver);
        if self.ahead.len() > AHEAD_SEGMENTS || self.ahead_bytes > AHEAD_BYTES {
            return self.give_up(deliver);
        }
        0
    }

    /// The other end acknowledged everything before `ack`: what is missing before it was delivered unseen.
    pub(crate) fn acknowledged(&mut self, ack: u32, deliver: &mut dyn FnMut(Piece<'_>)) {
        let Some(next) = self.next else { return };
        if self.ahead.is_empty() {
            return;
        }
        let acked = unwrap(next, ack);
        while let Some(first) = self.ahead.first() {
            if first.start > acked {
                break;
            }
            self.pop(deliver);
        }
        self.drain(deliver);
    }

    /// Delivers all that waits, with the holes between. Returns how many segments waited.
    pub(crate) fn give_up(&mut self, deliver: &mut dyn FnMut(Piece<'_>)) -> u64 {
        let n = self.ahead.len() as u64;
        while !self.ahead.is_empty() {
            self.pop(deliver);
        }
        n
    }

    fn keep(&mut self, start: u64, end: u64, segment: &Segment<'_>, mark: Mark) {
        let place = self.ahead.partition_point(|waiting| waiting.start < start);
        if self.ahead.get(place).is_some_and(|waiting| waiting.start == start && waiting.end >= end) {
            return;
        }
        self.ahead_bytes += segment.data.len();
        self.ahead.insert(
            place,
            Waiting { start, end, data_at: u64::from(segment.data_at), data: segment.data.to_vec(), mark, order: segment.order },
        );
    }

    fn drain(&mut self, deliver: &mut dyn FnMut(Piece<'_>)) {
        while self.ahead.first().is_some_and(|first| first.is_due(self.position())) {
            self.pop(deliver);
        }
    }

    fn pop(&mut self, deliver: &mut dyn FnMut(Piece<'_>)) {
        let first = self.ahead.remove(0);
        self.ahead_bytes -= first.data.len();
        let mut at = self.position();
        emit(&mut at, first.start, first.end, first.data_at, &first.data, &first.mark, deliver);
        self.next = Some(at);
    }
}

/// Facts of a segment whose range begins at stream offset `start`.
fn mark(segment: &Segment<'_>, start: u64) -> Mark {
    let end = start + u64::from(segment.len);
    Mark { offset: start, end, seq: segment.seq, ack: segment.ack, time: segment.time, task: segment.task }
}

/// Delivers the part of `[start, end)` from `at` on: hole, data, hole.
fn emit(at: &mut u64, start: u64, end: u64, data_at: u64, data: &[u8], mark: &Mark, deliver: &mut dyn FnMut(Piece<'_>)) {
    let from = (start + data_at).min(end);
    let to = (from + data.len() as u64).min(end);
    let mut hole = |at: &mut u64, to: u64| {
        if *at < to {
            deliver(Piece::Hole(*at, to - *at, mark));
            *at = to;
        }
    };
    hole(at, if from < to { from } else { end });
    if *at < to {
        let skip = usize::try_from(*at - from).unwrap_or(usize::MAX);
        let take = usize::try_from(to - from).unwrap_or(usize::MAX);
        if let Some(bytes) = data.get(skip..take) {
            deliver(Piece::Bytes(*at, bytes, mark));
        }
        *at = to;
    }
    if *at < end {
        deliver(Piece::Hole(*at, end - *at, mark));
        *at = end;
    }
}

/// The 64-bit offset nearest to `near` whose low half is `seq` (RFC 9293 §3.4: sequence space is modulo 2^32).
fn unwrap(near: u64, seq: u32) -> u64 {
    #[expect(clippy::cast_possible_truncation, reason = "the low half is what is compared")]
    let ahead = seq.wrapping_sub(near as u32);
    if ahead < 1 << 31 { near.wrapping_add(u64::from(ahead)) } else { near.saturating_sub(u64::from(ahead.wrapping_neg())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Direction;
    use crate::model::Mono;
    use proptest::prelude::*;

    fn segment(seq: u32, len: u32, data_at: u32, data: &[u8], order: Order) -> Segment<'_> {
        Segment { direction: Direction::Egress, time: Mono(0), seq, ack: 0, len, data_at, data, order, task: None }
    }

    fn whole(seq: u32, data: &[u8], order: Order) -> Segment<'_> {
        segment(seq, data.len() as u32, 0, data, order)
    }

    /// Delivered text, a hole of n bytes shown as `<n>`.
    fn run(segments: &[Segment<'_>]) -> String {
        let mut stream = Stream::default();
        let mut text = String::new();
        for segment in segments {
            stream.push(segment, &mut |piece| write(&mut text, piece));
        }
        text
    }

    fn write(text: &mut String, piece: Piece<'_>) {
        match piece {
            Piece::Bytes(_, bytes, _) => text.push_str(&String::from_utf8_lossy(bytes)),
            Piece::Hole(_, n, _) => text.push_str(&format!("<{n}>")),
        }
    }

    #[test]
    fn segments_in_order_pass_through() {
        assert_eq!(run(&[whole(10, b"ab", Order::Next), whole(12, b"cd", Order::Next)]), "abcd");
    }

    #[test]
    fn a_retransmission_is_dropped_and_its_new_part_kept() {
        assert_eq!(run(&[whole(10, b"abcd", Order::Next), whole(10, b"abcd", Order::Old), whole(12, b"cdef", Order::Old)]), "abcdef");
    }

    #[test]
    fn a_gap_is_waited_for_and_filled() {
        let all =
            [whole(10, b"ab", Order::Next), whole(14, b"ef", Order::Ahead), whole(16, b"gh", Order::Next), whole(12, b"cd", Order::Old)];
        assert_eq!(run(&all), "abcdefgh");
    }

    #[test]
    fn bytes_that_passed_uncaptured_are_a_hole() {
        assert_eq!(run(&[whole(10, b"ab", Order::Next), whole(20, b"cd", Order::Next)]), "ab<8>cd");
        assert_eq!(run(&[segment(10, 100, 0, b"ab", Order::Next), segment(110, 100, 95, b"vwxyz", Order::Next)]), "ab<98><95>vwxyz");
    }

    #[test]
    fn uncaptured_bytes_behind_a_gap_are_a_hole_once_the_gap_is_filled() {
        let all =
            [whole(10, b"ab", Order::Next), whole(14, b"ef", Order::Ahead), whole(20, b"gh", Order::Next), whole(12, b"cd", Order::Old)];
        assert_eq!(run(&all), "abcdef<4>gh");
    }

    #[test]
    fn an_acknowledged_gap_is_a_hole() {
        let mut stream = Stream::default();
        let mut text = String::new();
        stream.push(&whole(10, b"ab", Order::Next), &mut |p| write(&mut text, p));
        stream.push(&whole(20, b"cd", Order::Ahead), &mut |p| write(&mut text, p));
        stream.acknowledged(12, &mut |p| write(&mut text, p));
        assert_eq!(text, "ab");
        stream.acknowledged(22, &mut |p| write(&mut text, p));
        assert_eq!(text, "ab<8>cd");
    }

    #[test]
    fn sequence_numbers_wrap() {
        assert_eq!(
            run(&[whole(u32::MAX - 1, b"abcd", Order::Next), whole(2, b"ef", Order::Next), whole(u32::MAX, b"b", Order::Old)]),
            "abcdef"
        );
    }

    proptest! {
        /// However segments are reordered and repeated, what is delivered is the stream itself once it is complete.
        #[test]
        fn any_order_of_whole_segments_gives_the_stream(cuts in proptest::collection::vec(1usize..9, 1..30), order in any::<u64>(), seq in any::<u32>()) {
            let total: usize = cuts.iter().sum();
            let data: Vec<u8> = (0..total).map(|i| b'a' + (i % 26) as u8).collect();
            let mut at = 0;
            let mut parts: Vec<(usize, usize)> = cuts.iter().map(|n| { let part = (at, at + n); at += n; part }).collect();
            // The first stays first: it sets the stream's start.
            let mut state = order;
            for i in (2..parts.len()).rev() {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                parts.swap(i, 1 + (state >> 33) as usize % i);
            }
            let mut high = 0;
            let segments: Vec<Segment<'_>> = parts.iter().map(|&(from, to)| {
                let order = match from.cmp(&high) { std::cmp::Ordering::Equal => Order::Next, std::cmp::Ordering::Greater => Order::Ahead, std::cmp::Ordering::Less => Order::Old };
                high = high.max(to);
                whole(seq.wrapping_add(from as u32), &data[from..to], order)
            }).collect();
            prop_assert_eq!(run(&segments), String::from_utf8(data.clone()).unwrap());
        }
    }
}
