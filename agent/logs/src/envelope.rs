//! Decodes how container runtimes wrap a line: bytes in; time, stream, completeness and text out.
//! Must never drop the text of a line it does not understand: what is no envelope is the line itself.

pub mod cri;
pub mod docker_json;
pub mod docker_local;

use crate::timestamp::UnixNanos;
use std::borrow::Cow;

/// Where a program wrote a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    fn of(name: &[u8]) -> Option<Self> {
        match name {
            b"stdout" => Some(Self::Stdout),
            b"stderr" => Some(Self::Stderr),
            _ => None,
        }
    }
}

/// Whether a line ends here or goes on in the next entry of the same stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The line, or its last part.
    Full,
    /// More follows.
    Partial,
}

/// One entry of a runtime's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// When the runtime read the line.
    pub time: Option<UnixNanos>,
    /// Where it was written.
    pub stream: Stream,
    /// Whether it is whole.
    pub part: Part,
    /// The line, without its end.
    pub text: Cow<'a, [u8]>,
}

/// Joins the parts of one stream's lines; bounded.
#[derive(Debug, Default)]
pub struct PartJoiner {
    text: Vec<u8>,
    time: Option<UnixNanos>,
    /// Bytes beyond the bound that were dropped.
    pub dropped_bytes: u64,
}

impl PartJoiner {
    /// Takes an entry; calls `line` with the whole line and its first part's time once it is complete.
    pub fn push(&mut self, entry: &Entry<'_>, line: impl FnOnce(&[u8], Option<UnixNanos>)) {
        if entry.part == Part::Full && self.text.is_empty() {
            return line(&entry.text, entry.time);
        }
        if self.text.is_empty() {
            self.time = entry.time;
        }
        let kept = entry.text.len().min(crate::lines::MAX_LINE.saturating_sub(self.text.len()));
        self.text.extend_from_slice(&entry.text[..kept]);
        self.dropped_bytes += (entry.text.len() - kept) as u64;
        if entry.part == Part::Full {
            line(&self.text, self.time);
            self.text = Vec::new();
        }
    }
}

/// `text` without the end of line that a runtime stores with it.
fn without_line_end(text: &[u8]) -> &[u8] {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.strip_suffix(b"\r").unwrap_or(text)
}
