//! Bytes of one direction with the facts of the segments that carried them.

use crate::model::{CallKey, Mono, Task};

/// A segment's facts, at the stream offset of its first byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Stream offset of the segment's first byte.
    pub offset: u64,
    /// Stream offset behind the segment's last byte, captured or not.
    pub end: u64,
    /// Its TCP sequence number.
    pub seq: u32,
    /// Its TCP acknowledgement number.
    pub ack: u32,
    /// When it passed the socket.
    pub time: Mono,
    /// Thread that sent it, where that is certain.
    pub task: Option<Task>,
}

impl Mark {
    /// TCP sequence number of the byte at stream offset `offset`.
    #[must_use]
    pub fn seq_at(&self, offset: u64) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "TCP sequence numbers wrap at 2^32")]
        let into = offset.wrapping_sub(self.offset) as u32;
        self.seq.wrapping_add(into)
    }
}

/// Contiguous bytes from the parser's position on.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    bytes: &'a [u8],
    offset: u64,
    marks: &'a [Mark],
}

impl<'a> Input<'a> {
    /// `bytes` at stream offset `offset`; `marks` in order, the first at or before `offset`. Neither may be empty.
    #[must_use]
    pub fn new(bytes: &'a [u8], offset: u64, marks: &'a [Mark]) -> Self {
        Self { bytes, offset, marks }
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Stream offset of the first byte.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Segment that carries byte `index` of [`Self::bytes`].
    #[must_use]
    pub fn mark(&self, index: usize) -> Mark {
        *self.segment(index)
    }

    fn segment(&self, index: usize) -> &'a Mark {
        static NONE: Mark = Mark { offset: 0, end: 0, seq: 0, ack: 0, time: Mono(0), task: None };
        if let [only] = self.marks {
            return only;
        }
        let at = self.offset + index as u64;
        let after = self.marks.partition_point(|mark| mark.offset <= at);
        self.marks.get(after.saturating_sub(1)).unwrap_or(&NONE)
    }

    /// Whether byte `index` is the first of a segment: where a message may begin after a loss.
    #[must_use]
    pub fn starts_segment(&self, index: usize) -> bool {
        self.segment(index).offset == self.offset + index as u64
    }

    /// Index of the first segment start behind byte `index`, if these bytes hold one.
    #[must_use]
    pub fn next_segment(&self, index: usize) -> Option<usize> {
        let at = self.offset + index as u64;
        let next = self.marks.get(self.marks.partition_point(|mark| mark.offset <= at))?;
        usize::try_from(next.offset - self.offset).ok().filter(|&index| index < self.bytes.len())
    }

    /// Whether the byte before `index` is the last of a segment.
    #[must_use]
    pub fn ends_segment(&self, index: usize) -> bool {
        index > 0 && self.segment(index - 1).end == self.offset + index as u64
    }

    /// TCP sequence number of byte `index`.
    #[must_use]
    pub fn seq(&self, index: usize) -> u32 {
        self.segment(index).seq_at(self.offset + index as u64)
    }

    /// Time at which byte `index` passed.
    #[must_use]
    pub fn time(&self, index: usize) -> Mono {
        self.segment(index).time
    }

    /// Key of the call whose request begins at byte `index`.
    #[must_use]
    pub fn call_key(&self, index: usize) -> CallKey {
        CallKey::new(self.seq(index), self.segment(index).ack, self.bytes.get(index..).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_has_the_facts_of_the_segment_that_carried_it() {
        let marks = [
            Mark { offset: 100, end: 104, seq: 1000, ack: 7, time: Mono(1), task: None },
            Mark { offset: 104, end: 108, seq: 1004, ack: 9, time: Mono(2), task: None },
        ];
        let input = Input::new(b"bcdEFGH", 101, &marks);
        assert_eq!([0, 2, 3, 6].map(|i| input.time(i).0), [1, 1, 2, 2]);
        assert_eq!([0, 3, 4].map(|i| input.starts_segment(i)), [false, true, false]);
        assert_eq!([0, 2, 3].map(|i| input.next_segment(i)), [Some(3), Some(3), None]);
        assert_eq!([0, 3, 6, 7].map(|i| input.ends_segment(i)), [false, true, false, true]);
        assert_eq!(input.call_key(1), CallKey::new(1002, 7, b"cdEFGH"));
        assert_eq!(input.call_key(4), CallKey::new(1005, 9, b"FGH"));
    }
}
