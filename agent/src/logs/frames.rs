//! Cuts the bytes of a file into frames — lines, or entries of Docker's `local` driver — and knows the offset of each.
//! Must never hold more than one frame of bounded length, whatever the file holds.

use remora_logs::envelope::docker_local::{self, LocalError};
use remora_logs::lines::MAX_LINE;

/// How frames are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// By line ends.
    Lines,
    /// By the lengths of Docker's `local` driver.
    DockerLocal,
}

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    /// Where it starts in the file.
    pub(super) offset: u64,
    /// Its bytes, without the line's end.
    pub(super) bytes: &'a [u8],
    /// Bytes beyond the limit that were left out, and bytes of damage in front of it.
    pub(super) skipped: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Framer {
    framing: Framing,
    partial: Vec<u8>,
    /// Where the next frame starts.
    start: u64,
    /// Bytes of the next frame that were not kept.
    skipped: u64,
}

impl Framer {
    /// For bytes from `start` on.
    pub(super) fn new(framing: Framing, start: u64) -> Self {
        Self { framing, partial: Vec::new(), start, skipped: 0 }
    }

    /// Offset of the first byte that no frame has taken.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// Takes the bytes that follow; calls `frame` for each frame that they complete.
    pub(super) fn push(&mut self, bytes: &[u8], frame: impl FnMut(Frame<'_>)) {
        match self.framing {
            Framing::Lines => self.lines(bytes, frame),
            Framing::DockerLocal => self.entries(bytes, frame),
        }
    }

    /// Ends the file: what is left of a line is a line.
    pub(super) fn finish(&mut self, mut frame: impl FnMut(Frame<'_>)) {
        if !self.partial.is_empty() && self.framing == Framing::Lines {
            frame(Frame { offset: self.start, bytes: line(&self.partial), skipped: self.skipped });
        }
        self.start += self.partial.len() as u64 + if self.framing == Framing::Lines { self.skipped } else { 0 };
        self.partial = Vec::new();
        self.skipped = 0;
    }

    fn lines(&mut self, bytes: &[u8], mut frame: impl FnMut(Frame<'_>)) {
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (head, tail) = (&rest[..end], &rest[end + 1..]);
            if self.partial.is_empty() && self.skipped == 0 {
                let kept = &head[..head.len().min(MAX_LINE)];
                frame(Frame { offset: self.start, bytes: line(kept), skipped: (head.len() - kept.len()) as u64 });
                self.start += end as u64 + 1;
            } else {
                self.keep(head);
                frame(Frame { offset: self.start, bytes: line(&self.partial), skipped: self.skipped });
                self.start += self.partial.len() as u64 + self.skipped + 1;
                self.partial.clear();
                self.partial.shrink_to(4096);
                self.skipped = 0;
            }
            rest = tail;
        }
        self.keep(rest);
    }

    fn keep(&mut self, bytes: &[u8]) {
        let kept = bytes.len().min(MAX_LINE - self.partial.len());
        self.partial.extend_from_slice(&bytes[..kept]);
        self.skipped += (bytes.len() - kept) as u64;
    }

    /// Damage is passed byte by byte until an entry is found again.
    fn entries(&mut self, bytes: &[u8], mut frame: impl FnMut(Frame<'_>)) {
        self.partial.extend_from_slice(bytes);
        let mut at = 0;
        loop {
            match docker_local::decode(&self.partial[at..]) {
                Ok((_, length)) => {
                    frame(Frame { offset: self.start, bytes: &self.partial[at..at + length], skipped: self.skipped });
                    self.skipped = 0;
                    self.start += length as u64;
                    at += length;
                }
                Err(LocalError::Incomplete) => break,
                Err(LocalError::BadLength(_) | LocalError::BadEntry) => {
                    self.skipped += 1;
                    self.start += 1;
                    at += 1;
                }
            }
        }
        self.partial.drain(..at);
    }
}

fn line(bytes: &[u8]) -> &[u8] {
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut(framer: &mut Framer, bytes: &[u8]) -> Vec<(u64, Vec<u8>, u64)> {
        let mut frames = Vec::new();
        framer.push(bytes, |frame| frames.push((frame.offset, frame.bytes.to_vec(), frame.skipped)));
        frames
    }

    #[test]
    fn lines_know_where_they_start() {
        let mut framer = Framer::new(Framing::Lines, 100);
        assert_eq!(cut(&mut framer, b"a\r\n\nbc"), [(100, b"a".to_vec(), 0), (103, b"".to_vec(), 0)]);
        assert_eq!(framer.start(), 104);
        assert_eq!(cut(&mut framer, b"d\ne"), [(104, b"bcd".to_vec(), 0)]);
        let mut last = Vec::new();
        framer.finish(|frame| last.push((frame.offset, frame.bytes.to_vec())));
        assert_eq!((last, framer.start()), (vec![(108, b"e".to_vec())], 109));
    }

    #[test]
    fn a_line_of_any_length_is_cut_and_the_next_one_is_whole() {
        let mut framer = Framer::new(Framing::Lines, 0);
        let chunk = vec![b'x'; 1 << 20];
        for _ in 0..100 {
            assert_eq!(cut(&mut framer, &chunk), []);
            assert!(framer.partial.capacity() <= 2 * MAX_LINE);
        }
        let frames = cut(&mut framer, b"\nnext\n");
        assert_eq!((frames[0].1.len(), frames[0].2), (MAX_LINE, (100 << 20) - MAX_LINE as u64));
        assert_eq!(frames[1], ((100 << 20) + 1, b"next".to_vec(), 0));
    }

    #[test]
    fn entries_behind_damage_are_found() {
        let message = [&[0x0a, 6][..], b"stdout", &[0x1a, 1], b"c"].concat();
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        let entry = [&length[..], &message, &length[..]].concat();
        let file = [&entry[..], b"\xff\xff\xff\xffdamage", &entry[..]].concat();
        let mut framer = Framer::new(Framing::DockerLocal, 0);
        let mut frames = Vec::new();
        for byte in file.chunks(3) {
            frames.extend(cut(&mut framer, byte));
        }
        assert_eq!(frames, [(0, entry.clone(), 0), (entry.len() as u64 + 10, entry.clone(), 10)]);
        assert_eq!(framer.start(), file.len() as u64);
    }

    proptest! {
        #[test]
        fn chunks_change_nothing(bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..300), size in 1usize..40) {
            let mut whole = Framer::new(Framing::Lines, 7);
            let mut pieces = Framer::new(Framing::Lines, 7);
            let expected = cut(&mut whole, &bytes);
            let found: Vec<_> = bytes.chunks(size).flat_map(|chunk| cut(&mut pieces, chunk)).collect();
            prop_assert_eq!(expected, found);
            prop_assert_eq!(whole.start(), pieces.start());
        }

        #[test]
        fn any_entries_are_safe(bytes in proptest::collection::vec(any::<u8>(), 0..300), size in 1usize..40) {
            let mut framer = Framer::new(Framing::DockerLocal, 0);
            for chunk in bytes.chunks(size) {
                cut(&mut framer, chunk);
            }
            prop_assert!(framer.start() <= bytes.len() as u64);
        }
    }
}
