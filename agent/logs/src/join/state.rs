//! What may follow what: the state of one open message.
//! Must never let a line with a header of its own follow, but where a runtime's report is known to contain such lines.

use super::shape::{Shape, Start, exception_type, is_go_start, is_goroutine, is_ruby_frame};
use crate::bytes::{contains, run_end, trim, trim_start};
use crate::header::{is_first_of_two, level_line};
use crate::severity::Severity;

/// What kind of message is open, and where in it we are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum State {
    /// An ordinary line.
    #[default]
    Line,
    /// A line with a time that was not looked at further; becomes another state when a line without one follows.
    Dated,
    /// The first of two lines of java.util.logging: the level follows.
    LevelFollows,
    /// A line with this level, or (with none) one that announces more by a colon at its end: an exception may follow.
    Announced,
    /// A line that is indented itself: other indented lines do not belong to it.
    Indented,
    /// A line with a time and without a level: as [`Self::Line`], but the frames of a goroutine may follow.
    Unlevelled,
    /// Behind an exception's type, in front of its first frame: more of its text may follow, if frames prove it.
    ExceptionText,
    /// In the frames of an exception.
    Exception,
    /// In a Python traceback, before the exception's line.
    PythonFrames,
    /// Behind the exception's line of a traceback.
    PythonDone,
    /// In a Go crash, in front of its first goroutine.
    GoText,
    /// In the goroutines of a Go crash.
    Go,
    /// Behind the first line of a Rust panic, whose text is on the next line.
    RustText,
    /// In a Rust panic.
    Rust,
    /// In Node's copy of the source line.
    NodeSource,
    /// In a PHP error.
    Php,
    /// In a report of Erlang or Elixir.
    Beam,
    /// In a sanitizer's report.
    Sanitizer,
    /// In LeakSanitizer's report, which its summary ends.
    LeakSanitizer,
    /// In a ThreadSanitizer report, which a line of equals signs ends.
    ThreadSanitizer,
    /// In what UndefinedBehaviorSanitizer says of one place.
    Undefined,
    /// Behind a line of equals signs.
    Rule,
    /// In JSON, with so many brackets open.
    Json {
        /// Open brackets.
        depth: u32,
    },
    /// The message is complete.
    Complete,
}

impl State {
    /// The state behind the first line of a message.
    pub(crate) fn start(shape: &Shape, line: &[u8]) -> Self {
        match shape.start {
            Some(Start::Uncaught) if line.ends_with(b":") || line.starts_with(b"Exception ignored in") => Self::Announced,
            Some(Start::Exception | Start::Uncaught) => Self::ExceptionText,
            Some(Start::Python) => Self::PythonFrames,
            Some(Start::Go) => go_state(line),
            Some(Start::Rust) => rust_state(line),
            Some(Start::NodeSource) => Self::NodeSource,
            Some(Start::Php) => Self::Php,
            Some(Start::Ruby) => Self::Exception,
            Some(Start::Beam) => Self::Beam,
            Some(Start::Sanitizer) => sanitizer_state(line),
            Some(Start::Undefined) => Self::Undefined,
            Some(Start::Rule) => Self::Rule,
            Some(Start::Json) => json_state(0, line),
            None if shape.indented => Self::Indented,
            None if shape.dated && is_first_of_two(line) => Self::LevelFollows,
            None if is_complete_json(line) => Self::Complete,
            None if shape.severity >= Severity::WARN => Self::Announced,
            None if !shape.severity.is_specified() && trim(line).ends_with(b":") => Self::Announced,
            None if shape.dated && !shape.severity.is_specified() => Self::Unlevelled,
            None => Self::Line,
        }
    }

    /// Whether lines of no known form are held back behind such a message until frames prove that they belong to it.
    pub(crate) fn holds_text(self) -> bool {
        matches!(self, Self::ExceptionText | Self::Rust)
    }

    /// The state if `line` proves that the lines held back belong to the message.
    pub(crate) fn proven(self, line: &[u8]) -> Option<Self> {
        let frame = starts_frame(line) && matches!(line.first(), Some(b' ' | b'\t'));
        match self {
            Self::ExceptionText if frame => Some(Self::Exception),
            Self::ExceptionText if line.starts_with(PYTHON_START) => Some(Self::Announced),
            Self::Rust if line.starts_with(b"note: ") || line.starts_with(b"stack backtrace:") => Some(Self::Rust),
            _ => None,
        }
    }

    /// Whether an empty line can stand inside such a message.
    pub(crate) fn spans_blanks(self) -> bool {
        matches!(
            self,
            Self::PythonDone
                | Self::GoText
                | Self::Go
                | Self::ExceptionText
                | Self::Exception
                | Self::NodeSource
                | Self::Sanitizer
                | Self::LeakSanitizer
                | Self::ThreadSanitizer
                | Self::Undefined
                | Self::Rust
                | Self::Json { .. }
        )
    }

    /// Whether lines without any mark can belong to such a message in a source that dates every message.
    pub(crate) fn takes_plain_text(self) -> bool {
        matches!(self, Self::Line | Self::Unlevelled | Self::Announced)
    }

    /// The state if the line belongs to the message; `blanks` empty lines stand in front of it.
    pub(crate) fn follow(self, shape: &Shape, line: &[u8], blanks: u32) -> Option<Self> {
        match self {
            Self::Json { depth } => (!shape.dated).then(|| json_state(depth, line)),
            Self::Sanitizer | Self::LeakSanitizer | Self::ThreadSanitizer => self.follow_sanitizer(shape, line),
            Self::Rule if shape.start == Some(Start::Rule) => Some(self),
            Self::Rule => (shape.start == Some(Start::Sanitizer)).then(|| sanitizer_state(line)),
            Self::LevelFollows if level_line(line).is_some() => {
                Some(if shape.severity >= Severity::WARN { Self::Announced } else { Self::Line })
            }
            _ if shape.header || shape.start == Some(Start::Json) => None,
            Self::Unlevelled | Self::Announced if is_goroutine(line) => Some(Self::Go),
            Self::Line | Self::Unlevelled => self.follow_indented(shape, line),
            Self::Announced => self.follow_announced(shape, line),
            Self::ExceptionText | Self::Exception => self.follow_exception(shape, line, blanks),
            Self::PythonFrames => Self::follow_python_frames(shape, line),
            Self::PythonDone => Self::follow_python_chain(line, blanks),
            Self::GoText if is_goroutine(line) => Some(Self::Go),
            Self::Go if is_go_start(line) => None,
            Self::GoText | Self::Go => is_go_line(shape, line).then_some(self),
            Self::RustText => Some(Self::Rust),
            Self::Rust => is_rust_line(shape, line).then_some(Self::Rust),
            Self::NodeSource => Self::follow_node(shape, line),
            Self::Undefined if line.starts_with(b"SUMMARY: UndefinedBehaviorSanitizer") => Some(Self::Complete),
            Self::Undefined => shape.indented.then_some(self),
            Self::Php => is_php_line(shape, line).then_some(Self::Php),
            Self::Beam => is_beam_line(shape, line).then_some(Self::Beam),
            Self::Indented | Self::Complete | Self::Dated | Self::LevelFollows => None,
        }
    }

    fn follow_indented(self, shape: &Shape, line: &[u8]) -> Option<Self> {
        let closes = matches!(trim(line), b"}" | b"]" | b")" | b"};" | b"},");
        (shape.indented || closes || (shape.start.is_none() && is_exception_tail(line)))
            .then(|| if starts_frame(line) { Self::Exception } else { self })
            .or_else(|| line.starts_with(b"(Use `node ").then_some(self))
    }

    fn follow_announced(self, shape: &Shape, line: &[u8]) -> Option<Self> {
        match shape.start {
            Some(Start::Exception) => Some(Self::ExceptionText),
            Some(Start::Python) => Some(Self::PythonFrames),
            Some(Start::Beam) if line.starts_with(b"** (") => Some(Self::Beam),
            Some(_) => None,
            None if is_ruby_frame(line) => Some(Self::Exception),
            None if line.starts_with(b"stack backtrace:") => Some(Self::Rust),
            None => self.follow_indented(shape, line),
        }
    }

    fn follow_exception(self, shape: &Shape, line: &[u8], blanks: u32) -> Option<Self> {
        if blanks > 0 {
            return line.starts_with(b"Node.js v").then_some(Self::Complete);
        }
        let closes = matches!(trim(line), b"}" | b"]");
        (shape.indented || closes || (shape.start.is_none() && is_exception_tail(line))).then_some(Self::Exception)
    }

    /// Frames are indented; the first line that is not is the exception.
    fn follow_python_frames(shape: &Shape, line: &[u8]) -> Option<Self> {
        if shape.indented {
            return Some(Self::PythonFrames);
        }
        let name = run_end(line, 0, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_'));
        let named = name > 0 && (name == line.len() || line[name..].starts_with(b":"));
        named.then_some(Self::PythonDone)
    }

    fn follow_python_chain(line: &[u8], blanks: u32) -> Option<Self> {
        let chained =
            line.starts_with(b"During handling of the above exception") || line.starts_with(b"The above exception was the direct cause");
        if chained {
            return Some(Self::PythonDone);
        }
        (blanks > 0 && line.starts_with(PYTHON_START)).then_some(Self::PythonFrames)
    }

    fn follow_node(shape: &Shape, line: &[u8]) -> Option<Self> {
        let known = shape.indented
            || matches!(trim(line), b"^" | b"}")
            || line.starts_with(b"throw ")
            || trim(line).iter().all(|byte| *byte == b'^');
        if line.starts_with(b"Node.js v") {
            return Some(Self::Complete);
        }
        let error = matches!(shape.start, Some(Start::Exception))
            || exception_type(line).is_some()
            || line.starts_with(b"Uncaught ")
            || line.starts_with(b"[");
        if error {
            return Some(Self::ExceptionText);
        }
        (known || line.starts_with(b"(Use `node ") || shape.is_plain()).then_some(Self::NodeSource)
    }

    /// Everything belongs to a sanitizer's report until its end, but lines of the program that have a time.
    fn follow_sanitizer(self, shape: &Shape, line: &[u8]) -> Option<Self> {
        let rule = shape.start == Some(Start::Rule);
        match self {
            Self::ThreadSanitizer if rule => Some(Self::Complete),
            _ if shape.dated || rule || shape.start == Some(Start::Json) => None,
            Self::Sanitizer if line.ends_with(b"==ABORTING") => Some(Self::Complete),
            Self::LeakSanitizer if line.starts_with(b"SUMMARY: ") => Some(Self::Complete),
            _ => Some(self),
        }
    }
}

const PYTHON_START: &[u8] = b"Traceback (most recent call last)";

fn rust_state(line: &[u8]) -> State {
    if line.ends_with(b":") { State::RustText } else { State::Rust }
}

fn sanitizer_state(line: &[u8]) -> State {
    if contains(line, b"ThreadSanitizer") {
        State::ThreadSanitizer
    } else if contains(line, b"LeakSanitizer") {
        State::LeakSanitizer
    } else {
        State::Sanitizer
    }
}

fn go_state(line: &[u8]) -> State {
    if is_goroutine(line) { State::Go } else { State::GoText }
}

fn is_complete_json(line: &[u8]) -> bool {
    let line = trim(line);
    line.first() == Some(&b'{') && line.last() == Some(&b'}')
}

/// Brackets open behind a line of JSON, those in strings left out.
fn json_state(depth: u32, line: &[u8]) -> State {
    let mut depth = depth;
    let mut in_string = false;
    let mut escaped = false;
    for byte in line {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    if depth == 0 { State::Complete } else { State::Json { depth } }
}

fn starts_frame(line: &[u8]) -> bool {
    trim_start(line).starts_with(b"at ")
}

/// Lines that continue an exception without indentation.
fn is_exception_tail(line: &[u8]) -> bool {
    const TAILS: [&[u8]; 6] = [b"Caused by: ", b"Suppressed: ", b"... ", b"at ", b"--- End of ", b"---> "];
    TAILS.iter().any(|tail| line.starts_with(tail)) || is_ruby_frame(line)
}

fn is_go_line(shape: &Shape, line: &[u8]) -> bool {
    const STARTS: [&[u8]; 17] = [
        b"goroutine ",
        b"panic(",
        b"created by ",
        b"[signal ",
        b"panic: ",
        b"exit status ",
        b"runtime stack:",
        b"runtime: ",
        b"runtime.",
        b"fatal error: ",
        b"PC=",
        b"stack: frame",
        b"sigcode",
        b"...",
        b"SIGSEGV: ",
        b"SIGABRT: ",
        b"signal arrived ",
    ];
    shape.indented || STARTS.iter().any(|start| line.starts_with(start)) || is_go_call(line) || is_register(line)
}

/// `main.(*T).f(0x1, ...)`: a function's name, then its arguments to the end of the line.
fn is_go_call(line: &[u8]) -> bool {
    let spaced = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
    let open = memchr::memchr(b'(', line);
    line.ends_with(b")") && open.is_some_and(|open| open > 0 && open < spaced && line[..open].contains(&b'.'))
}

/// `rax    0x0`, as a fatal signal prints it.
fn is_register(line: &[u8]) -> bool {
    let name = run_end(line, 0, |byte| byte.is_ascii_alphanumeric());
    (2..=6).contains(&name) && trim_start(&line[name..]).starts_with(b"0x")
}

fn is_rust_line(shape: &Shape, line: &[u8]) -> bool {
    shape.indented
        || line.starts_with(b"stack backtrace:")
        || line.starts_with(b"note: ")
        || line.starts_with(b"thread caused ")
        || line.starts_with(b"thread '") && contains(line, b"aborting")
}

fn is_php_line(shape: &Shape, line: &[u8]) -> bool {
    let frame = line.first() == Some(&b'#') && line.get(1).is_some_and(u8::is_ascii_digit);
    shape.indented || frame || line.starts_with(b"Stack trace:") || line.starts_with(b"Next ") || line.starts_with(b"PHP Stack trace:")
}

fn is_beam_line(shape: &Shape, line: &[u8]) -> bool {
    const STARTS: [&[u8]; 8] =
        [b"** ", b"Last message", b"State: ", b"Function: ", b"Initial Call: ", b"Ancestors: ", b"Client ", b"Process "];
    let report = contains(line, b" REPORT====");
    (!report && shape.indented)
        || (!line.starts_with(b"** (") && STARTS.iter().any(|start| line.starts_with(start)))
        || matches!(line.first(), Some(b'{' | b'['))
}
