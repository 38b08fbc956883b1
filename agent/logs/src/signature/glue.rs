//! The punctuation between two parts of a message, white space folded to one space.
//! Must never hold more than a few bytes, whatever the message has.

/// Longest punctuation kept between two tokens.
const MAX_GLUE: usize = 12;

/// Punctuation seen since the last part.
pub(super) struct Glue {
    pub(super) bytes: [u8; MAX_GLUE],
    pub(super) len: usize,
    /// Closing minus opening brackets, and whether a closer came first.
    pub(super) closers: u8,
    pub(super) openers: u8,
}

impl Glue {
    pub(super) fn new() -> Self {
        Self { bytes: [0; MAX_GLUE], len: 0, closers: 0, openers: 0 }
    }

    #[inline]
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    #[inline]
    pub(super) fn last(&self) -> Option<u8> {
        self.as_bytes().last().copied()
    }

    #[inline]
    pub(super) fn push(&mut self, byte: u8) {
        let repeated = self.len >= 3 && self.bytes[self.len - 3..self.len].iter().all(|have| *have == byte);
        if !repeated && self.len < MAX_GLUE {
            self.bytes[self.len] = byte;
            self.len += 1;
        }
    }

    #[inline]
    pub(super) fn space(&mut self) {
        if self.len == 0 {
            self.bytes[0] = b' ';
            self.len = 1;
        } else if self.last() != Some(b' ') {
            self.push(b' ');
        }
    }

    /// Whether a bracket opens behind a space: what it holds is said of what stands in front, and no part of it.
    pub(super) fn opens_aside(&self) -> bool {
        self.openers > 0 && self.as_bytes().windows(2).any(|pair| matches!(pair, [b' ', b'(' | b'[']))
    }

    #[inline]
    pub(super) fn clear(&mut self) {
        self.len = 0;
        self.closers = 0;
        self.openers = 0;
    }
}
