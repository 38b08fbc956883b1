//! Joins the lines of one stream to messages: stack traces and reports of many runtimes, indented lines, JSON over several lines.
//! Must never join two messages that carry their own header, never hold more than its bound, and never read a clock:
//! times come in as arguments.
//!
//! One joiner serves one stream of one source. It holds one open message and asks of each line: does it go on?
//! What a line is, is decided by `shape`; what may follow what, by `State`.

mod shape;
mod state;

use crate::header::{Header, Span};
use crate::structured;
use crate::terminal;
use crate::timestamp::UnixNanos;
use shape::Shape;
pub(crate) use shape::{exception_type, is_ruby_frame};
use state::State;

/// Bytes kept of one joined message; the rest is dropped and counted.
pub const MAX_MESSAGE: usize = 64 * 1024;
/// Lines of one joined message.
const MAX_LINES: u32 = 2_000;
/// A message is complete when nothing followed for so long (nanoseconds).
pub const IDLE: u64 = 1_000_000_000;
/// Messages with a time after which a source is known to start every message with one.
const LEARNED_AFTER: u32 = 32;

/// What gets each message.
type Emit<'a> = &'a mut dyn FnMut(Joined<'_>);

/// A joined message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joined<'a> {
    /// The lines, joined by `\n`.
    pub text: &'a [u8],
    /// When its first line arrived.
    pub time: UnixNanos,
    /// How many lines it has.
    pub lines: u32,
    /// Bytes beyond [`MAX_MESSAGE`] that were dropped.
    pub dropped_bytes: u64,
    /// The header, if joining had to know it and the message is that one line.
    pub(crate) header: Option<Header<'a>>,
}

impl<'a> Joined<'a> {
    /// A message of one line.
    pub fn line(text: &'a [u8]) -> Self {
        Self { text, time: 0, lines: 1, dropped_bytes: 0, header: None }
    }
}

/// Joins the lines of one stream.
#[derive(Debug, Default)]
pub struct Joiner {
    text: Vec<u8>,
    /// The header of the first line, if it was looked for.
    header: Option<Span>,
    lines: u32,
    time: UnixNanos,
    last_line: UnixNanos,
    dropped_bytes: u64,
    state: State,
    /// Empty lines that belong to the message only if a known line follows.
    blanks: u32,
    /// Lines at the end of `text` that belong to the message only if frames follow.
    held: Held,
    learned: Learned,
    empty_lines: u64,
    /// A line without what was meant for a terminal.
    plain: Vec<u8>,
}

/// Most lines held back until frames prove that they belong to the message.
const MAX_HELD: u32 = 16;

/// Lines at the end of a message's text that may turn out to be messages of their own.
#[derive(Debug, Default)]
struct Held {
    lines: u32,
    /// Where the message's text ends without them.
    text_end: usize,
    /// Lines of the message without them.
    lines_before: u32,
}

/// Whether this source starts its messages with a time, from all that it wrote so far.
#[derive(Debug, Default)]
struct Learned {
    dated: u32,
    undated: u32,
}

impl Learned {
    fn note(&mut self, dated: bool) {
        let count = if dated { &mut self.dated } else { &mut self.undated };
        *count += 1;
        if *count >= 4096 {
            self.dated /= 2;
            self.undated /= 2;
        }
    }

    fn always_dated(&self) -> bool {
        self.dated >= LEARNED_AFTER && self.undated * 50 <= self.dated
    }
}

impl Joiner {
    /// Takes one line that arrived at `now`, without the colours it has for a terminal; `emit` gets the message that it
    /// completes, if it completes one.
    pub fn push(&mut self, line: &[u8], now: UnixNanos, mut emit: impl FnMut(Joined<'_>)) {
        let mut plain = std::mem::take(&mut self.plain);
        self.take(terminal::plain(line, &mut plain), now, &mut emit);
        self.plain = plain;
    }

    fn take(&mut self, line: &[u8], now: UnixNanos, emit: Emit<'_>) {
        self.flush_idle(now, &mut *emit);
        if is_blank(line) {
            self.push_blank(now, emit);
            return;
        }
        if starts_with_time(line) {
            return self.start(line, None, now, State::Dated, true, emit);
        }
        if self.state == State::Dated {
            self.state = State::start(&Shape::of(&self.text), &self.text);
        }
        let shape = Shape::of(line);
        if self.holds(&shape, line, now) {
            return;
        }
        if self.held.lines > 0 {
            self.settle(line, now, emit);
        }
        let next = if self.lines == 0 || self.lines >= MAX_LINES { None } else { self.state.follow(&shape, line, self.blanks) };
        let next = next.or_else(|| self.follow_undated(&shape, line));
        match next {
            Some(state) => {
                self.append_with_blanks(line);
                self.state = state;
            }
            None => {
                let state = State::start(&shape, line);
                return self.start(line, shape.span, now, state, shape.dated, emit);
            }
        }
        self.last_line = now;
    }

    /// Whether a line of no known form is held back behind an exception's text.
    fn holds(&mut self, shape: &Shape, line: &[u8], now: UnixNanos) -> bool {
        let room = self.held.lines < MAX_HELD && self.text.len() + line.len() < MAX_MESSAGE;
        if self.lines == 0 || !room || !self.state.holds_text() || self.state.proven(line).is_some() {
            return false;
        }
        let first = self.held.lines == 0;
        let unknown = shape.is_plain() && (!first || self.state.follow(shape, line, self.blanks).is_none());
        if !unknown && (first || !shape.indented) {
            return false;
        }
        if first {
            self.held = Held { lines: 0, text_end: self.text.len(), lines_before: self.lines };
        }
        self.append_with_blanks(line);
        self.held.lines += 1;
        self.last_line = now;
        true
    }

    /// Lines were held back: `line` proves that they belong to the message, or they become messages of their own.
    fn settle(&mut self, line: &[u8], now: UnixNanos, emit: Emit<'_>) {
        match self.state.proven(line) {
            Some(state) => {
                self.state = state;
                self.held = Held::default();
                for _ in 0..std::mem::take(&mut self.blanks) {
                    self.append(b"");
                }
            }
            None => self.release(now, emit),
        }
    }

    /// Ends the message in front of the lines held back, which are taken anew.
    fn release(&mut self, now: UnixNanos, emit: Emit<'_>) {
        let held = std::mem::take(&mut self.held);
        let rest = self.text.split_off(held.text_end);
        self.lines = held.lines_before;
        self.state = State::Complete;
        for line in rest.split(|byte| *byte == b'\n').skip(1) {
            self.take(line, now, emit);
        }
    }

    fn append_with_blanks(&mut self, line: &[u8]) {
        for _ in 0..std::mem::take(&mut self.blanks) {
            self.append(b"");
        }
        self.append(line);
    }

    fn start(&mut self, line: &[u8], header: Option<Span>, now: UnixNanos, state: State, dated: bool, emit: Emit<'_>) {
        self.complete(emit);
        self.header = header;
        self.learned.note(dated);
        self.time = now;
        self.last_line = now;
        self.append(line);
        self.state = state;
    }

    /// A line without any header, in a source that dates every message, goes on; one with fields of its own does not.
    fn follow_undated(&mut self, shape: &Shape, line: &[u8]) -> Option<State> {
        let follows = self.lines > 0 && self.lines < MAX_LINES && self.blanks == 0 && shape.is_plain() && self.state.takes_plain_text();
        if !follows || !self.learned.always_dated() || structured::is_message(line) {
            return None;
        }
        self.learned.note(false);
        Some(self.state)
    }

    fn push_blank(&mut self, now: UnixNanos, emit: Emit<'_>) {
        if self.lines > 0 && self.state.spans_blanks() {
            self.blanks += 1;
            self.last_line = now;
        } else {
            self.complete(emit);
            self.empty_lines += 1;
        }
    }

    fn append(&mut self, line: &[u8]) {
        if self.lines > 0 {
            self.append_bytes(b"\n");
        }
        self.append_bytes(line);
        self.lines += 1;
    }

    fn append_bytes(&mut self, bytes: &[u8]) {
        let kept = bytes.len().min(MAX_MESSAGE.saturating_sub(self.text.len()));
        self.text.extend_from_slice(&bytes[..kept]);
        self.dropped_bytes += (bytes.len() - kept) as u64;
    }

    /// Completes the open message if nothing followed within [`IDLE`] before `now`.
    pub fn flush_idle(&mut self, now: UnixNanos, emit: impl FnMut(Joined<'_>)) {
        if self.lines > 0 && now.saturating_sub(self.last_line) >= IDLE {
            self.flush(emit);
        }
    }

    /// Completes the open message.
    pub fn flush(&mut self, mut emit: impl FnMut(Joined<'_>)) {
        self.complete(&mut emit);
    }

    fn complete(&mut self, emit: Emit<'_>) {
        if self.held.lines > 0 {
            self.release(self.last_line, emit);
        }
        if self.lines > 0 {
            let header = self.header.as_ref().filter(|_| self.lines == 1 && self.dropped_bytes == 0).map(|span| span.header(&self.text));
            emit(Joined { text: &self.text, time: self.time, lines: self.lines, dropped_bytes: self.dropped_bytes, header });
        }
        self.empty_lines += u64::from(std::mem::take(&mut self.blanks));
        self.text.clear();
        if self.text.capacity() > MAX_MESSAGE / 4 {
            self.text.shrink_to(4096);
        }
        self.lines = 0;
        self.dropped_bytes = 0;
        self.state = State::default();
    }

    /// Empty lines between messages, which are no messages, so far.
    pub fn empty_lines(&self) -> u64 {
        self.empty_lines
    }

    /// Whether a message is open.
    pub fn is_open(&self) -> bool {
        self.lines > 0
    }
}

/// Whether a line holds nothing but white space.
fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|byte| crate::bytes::is_space(*byte))
}

/// Whether a line starts with a time at once, perhaps in a bracket: the usual case, told without looking further.
fn starts_with_time(line: &[u8]) -> bool {
    let line = line.strip_prefix(b"[").unwrap_or(line);
    line.first().is_some_and(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase()) && crate::timestamp::end(line).is_some()
}

#[cfg(test)]
mod tests;
