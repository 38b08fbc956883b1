//! Reads JSON and logfmt lines in place: message, severity, trace context, logger, exception, remaining attributes.
//! Must never recurse, never hold more than its limits, and never take prose with a few `key=value` pairs for logfmt.

mod json;
mod logfmt;

use crate::severity::Severity;
use crate::timestamp::{self, UnixNanos};
use crate::trace_context::{TraceContext, TraceKey};
use std::borrow::Cow;

/// Attributes kept of one line.
pub const MAX_ATTRIBUTES: usize = 100;
/// Depth to which nested objects are flattened; deeper values stay as JSON text.
pub const MAX_DEPTH: usize = 8;
/// Bytes kept of one attribute's value.
pub const MAX_VALUE: usize = 8 * 1024;
/// Bytes kept of one attribute's name.
pub const MAX_KEY: usize = 256;

/// A value as it stands in the line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Raw<'a> {
    /// A string, escapes still in it.
    Escaped(&'a [u8]),
    /// A string without escapes.
    Plain(&'a [u8]),
    /// A number.
    Number(&'a [u8]),
    /// A truth value.
    Bool(bool),
    /// `null`.
    Null,
    /// An array, or an object nested too deeply, as JSON text.
    Json(&'a [u8]),
}

impl<'a> Raw<'a> {
    /// The text of a string or the digits of a number.
    pub(crate) fn text(self) -> Cow<'a, [u8]> {
        match self {
            Self::Escaped(raw) => Cow::Owned(json::unescape(raw)),
            Self::Plain(text) | Self::Number(text) | Self::Json(text) => Cow::Borrowed(text),
            Self::Bool(value) => Cow::Borrowed(if value { b"true" } else { b"false" }),
            Self::Null => Cow::Borrowed(b""),
        }
    }

    /// Whether this is text, or a number where text is meant.
    fn is_string(self) -> bool {
        matches!(self, Self::Escaped(_) | Self::Plain(_) | Self::Number(_))
    }
}

/// An attribute's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text.
    String(String),
    /// A whole number.
    Int(i64),
    /// Another number.
    Double(f64),
    /// A truth value.
    Bool(bool),
}

/// The form a structured line has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Logfmt,
}

/// What a structured line says, still in place.
#[derive(Debug, Default)]
pub(crate) struct Fields<'a> {
    pub(crate) message: Option<Raw<'a>>,
    message_rank: u8,
    pub(crate) severity: Severity,
    pub(crate) severity_text: Option<Raw<'a>>,
    pub(crate) logger: Option<Raw<'a>>,
    pub(crate) time: Option<UnixNanos>,
    pub(crate) trace: TraceContext,
    pub(crate) exception_type: Option<Raw<'a>>,
    pub(crate) exception_message: Option<Raw<'a>>,
    pub(crate) stacktrace: Option<Raw<'a>>,
    /// Remaining fields; empty unless asked for.
    pub(crate) attributes: Vec<(String, Value)>,
    /// Attributes beyond [`MAX_ATTRIBUTES`].
    pub(crate) attributes_dropped: u32,
    keep_attributes: bool,
}

/// What a key means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// A message key; the lower rank wins.
    Message(u8),
    Severity,
    SyslogPriority,
    SeverityNumber,
    Logger,
    Time,
    Trace(TraceKey),
    ExceptionType,
    ExceptionMessage,
    Stacktrace,
    Other,
}

/// Reads a structured line; `None` if it is neither JSON nor logfmt that has a message or a level.
pub(crate) fn parse(line: &[u8], keep_attributes: bool) -> Option<(Format, Fields<'_>)> {
    let line = crate::bytes::trim(line);
    let format = match line.first()? {
        b'{' => Format::Json,
        _ if logfmt::looks_like(line) => Format::Logfmt,
        _ => return None,
    };
    let mut fields = Fields { keep_attributes, message_rank: u8::MAX, ..Fields::default() };
    match format {
        Format::Json => json::visit(line, |path, value| fields.take(path, value)).ok()?,
        Format::Logfmt => logfmt::visit(line, |key, value| fields.take(key, value))?,
    }
    let says = format == Format::Json || fields.message.is_some() || fields.severity.is_specified();
    says.then_some((format, fields))
}

/// Whether a line may be structured by its first bytes.
pub(crate) fn looks_like(line: &[u8]) -> bool {
    line.first() == Some(&b'{') || logfmt::looks_like(line)
}

/// Whether a line is a message by itself: a whole JSON object, or logfmt that has a message or a level.
pub(crate) fn is_message(line: &[u8]) -> bool {
    parse(line, false).is_some()
}

/// Calls `field` with every field of a JSON object; `None` if `text` is none.
pub(crate) fn json_fields<'a>(text: &'a [u8], field: impl FnMut(&[u8], Raw<'a>)) -> Option<()> {
    if text.first() != Some(&b'{') {
        return None;
    }
    json::visit(text, field).ok()
}

/// The string whose first byte is at `start` of JSON, and where the text goes on behind its closing quote.
pub(crate) fn json_string(text: &[u8], start: usize) -> Option<(Raw<'_>, usize)> {
    json::string(text, start)
}

/// Names of all fields, separated by spaces, for a line that has no message.
pub(crate) fn names(line: &[u8]) -> Vec<u8> {
    let mut names = Vec::new();
    let mut name = |path: &[u8], _: Raw<'_>| {
        if names.len() < 512 {
            names.extend_from_slice(path);
            names.push(b' ');
        }
    };
    let line = crate::bytes::trim(line);
    if json_fields(line, &mut name).is_none() {
        logfmt::visit(line, &mut name);
    }
    names
}

impl<'a> Fields<'a> {
    fn take(&mut self, path: &[u8], value: Raw<'a>) {
        let role = role(path);
        let taken = match role {
            Role::Message(rank) => self.take_message(rank, value),
            Role::Severity => self.take_severity(value, Severity::from_level_number),
            Role::SyslogPriority => self.take_severity(value, Severity::from_syslog),
            Role::SeverityNumber => self.take_severity(value, |number| Severity::from_number(u8::try_from(number).ok()?)),
            Role::Logger => take_first(&mut self.logger, value),
            Role::Time => self.take_time(value),
            Role::Trace(key) => {
                self.trace.set(key, &value.text());
                true
            }
            Role::ExceptionType => take_first(&mut self.exception_type, value),
            Role::ExceptionMessage => take_first(&mut self.exception_message, value),
            Role::Stacktrace => take_first(&mut self.stacktrace, value),
            Role::Other => false,
        };
        if !taken && self.keep_attributes {
            self.keep(path, value);
        }
    }

    /// A second message key (`error` beside `msg`) stays an attribute.
    fn take_message(&mut self, rank: u8, value: Raw<'a>) -> bool {
        if !value.is_string() || rank >= self.message_rank {
            return false;
        }
        self.message_rank = rank;
        self.message = Some(value);
        true
    }

    fn take_severity(&mut self, value: Raw<'a>, from_number: impl Fn(u64) -> Option<Severity>) -> bool {
        let text = value.text();
        let number = std::str::from_utf8(&text).ok().and_then(|text| text.parse::<u64>().ok());
        let severity = match number {
            Some(number) => from_number(number),
            None => Severity::from_word(&text).or_else(|| single_letter(&text)),
        };
        // A word says more than a number, of which programs have several kinds.
        let known_by_number = || self.severity_text.is_some_and(|raw| raw.text().iter().all(u8::is_ascii_digit));
        if let Some(severity) = severity.filter(|_| !self.severity.is_specified() || number.is_none() && known_by_number()) {
            self.severity = severity;
            self.severity_text = Some(value);
            return true;
        }
        false
    }

    fn take_time(&mut self, value: Raw<'a>) -> bool {
        let text = value.text();
        let time = timestamp::rfc3339(&text).or_else(|| timestamp::epoch(&text));
        self.time = self.time.or(time);
        time.is_some()
    }

    fn keep(&mut self, path: &[u8], value: Raw<'a>) {
        if self.attributes.len() >= MAX_ATTRIBUTES {
            self.attributes_dropped += 1;
            return;
        }
        if let Some(value) = owned(value) {
            self.attributes.push((crate::bytes::lossy(&path[..path.len().min(MAX_KEY)]), value));
        }
    }
}

fn single_letter(text: &[u8]) -> Option<Severity> {
    match text {
        [letter] => Severity::from_letter(letter.to_ascii_uppercase()),
        _ => None,
    }
}

fn take_first<'a>(place: &mut Option<Raw<'a>>, value: Raw<'a>) -> bool {
    let free = place.is_none() && value.is_string();
    if free {
        *place = Some(value);
    }
    free
}

fn owned(value: Raw<'_>) -> Option<Value> {
    Some(match value {
        Raw::Null => return None,
        Raw::Bool(value) => Value::Bool(value),
        Raw::Number(digits) => {
            let text = std::str::from_utf8(digits).ok()?;
            text.parse().map(Value::Int).or_else(|_| text.parse().map(Value::Double)).ok()?
        }
        Raw::Escaped(_) | Raw::Plain(_) | Raw::Json(_) => {
            let text = value.text();
            Value::String(crate::bytes::lossy(&text[..text.len().min(MAX_VALUE)]))
        }
    })
}

fn role(path: &[u8]) -> Role {
    let mut lower = [0u8; 32];
    let Some(lower) = lower.get_mut(..path.len()) else {
        return Role::Other;
    };
    lower.copy_from_slice(path);
    lower.make_ascii_lowercase();
    if let Some(key) = TraceKey::of(lower) {
        return Role::Trace(key);
    }
    match &*lower {
        b"message" | b"@m" => Role::Message(0),
        b"msg" | b"@message" | b"short_message" | b"log.message" => Role::Message(1),
        b"@mt" | b"body" | b"text" | b"textpayload" | b"log" => Role::Message(2),
        b"event" => Role::Message(3),
        b"error" | b"err" => Role::Message(4),
        b"level" | b"severity" | b"lvl" | b"loglevel" | b"log.level" | b"log_level" | b"severitytext" | b"severity_text" | b"@l"
        | b"levelname" => Role::Severity,
        b"priority" | b"prio" | b"syslog_severity" | b"syslog.severity" => Role::SyslogPriority,
        b"severitynumber" | b"severity_number" => Role::SeverityNumber,
        b"logger"
        | b"logger_name"
        | b"loggername"
        | b"log.logger"
        | b"category"
        | b"sourcecontext"
        | b"properties.sourcecontext"
        | b"component" => Role::Logger,
        b"time" | b"timestamp" | b"ts" | b"@timestamp" | b"@t" => Role::Time,
        b"exception.type" | b"error.type" | b"err.type" | b"exception.class" | b"exception.exception_class" | b"error.class" => {
            Role::ExceptionType
        }
        b"exception.message" | b"error.message" | b"err.message" | b"exception.exception_message" => Role::ExceptionMessage,
        b"stacktrace"
        | b"stack_trace"
        | b"exception.stacktrace"
        | b"error.stack_trace"
        | b"error.stack"
        | b"err.stack"
        | b"stack"
        | b"@x"
        | b"exc_info"
        | b"exception" => Role::Stacktrace,
        _ => Role::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(line: &str) -> Option<String> {
        let (_, fields) = parse(line.as_bytes(), true)?;
        fields.message.map(|raw| crate::bytes::lossy(&raw.text()))
    }

    #[test]
    fn json_lines_of_many_loggers() {
        // line, message, severity
        let cases: &[(&str, &str, u8)] = &[
            (r#"{"time":"2026-11-25T15:04:05Z","level":"INFO","msg":"started","port":8080}"#, "started", 9),
            (r#"{"level":30,"time":1700000000000,"pid":1,"msg":"pino \"quoted\" \u00e9"}"#, "pino \"quoted\" é", 9),
            (
                r#"{"@t":"2026-11-25T15:04:05Z","@m":"User logged in","@l":"Warning","@tr":"4bf92f3577b34da6a3ce929d0e0e4736"}"#,
                "User logged in",
                13,
            ),
            (r#"{"log":{"level":"error"},"message":"ecs"}"#, "ecs", 17),
            (r#"{"severity":"CRITICAL","textPayload":"gcp"}"#, "gcp", 18),
            (r#"{"PRIORITY":"4","MESSAGE":"journald"}"#, "journald", 13),
            (r#"{"msg":"failed","error":"connection refused","level":"error"}"#, "failed", 17),
            (r#"{"error":"only","a":[1,{"b":2}],"c":{}}"#, "only", 0),
            ("{}", "", 0),
        ];
        for (line, expected, severity) in cases {
            let (format, fields) = parse(line.as_bytes(), true).expect("JSON");
            assert_eq!(format, Format::Json);
            assert_eq!(message(line).unwrap_or_default(), *expected, "{line}");
            assert_eq!(fields.severity.number(), *severity, "{line}");
        }
    }

    #[test]
    fn logfmt_lines_are_read() {
        let line = br#"ts=2026-11-25T15:04:05Z level=warn msg="disk \"a\" is full" caller=main.go:12 free=0.5 n=3 ok=true"#;
        let (format, fields) = parse(line, true).expect("logfmt");
        assert_eq!(format, Format::Logfmt);
        assert_eq!(fields.severity, Severity::WARN);
        assert_eq!(fields.message.map(|raw| raw.text().into_owned()), Some(b"disk \"a\" is full".to_vec()));
        assert_eq!(fields.time, Some(1_795_619_045_000_000_000));
        assert!(fields.attributes.contains(&("n".to_owned(), Value::Int(3))));
        assert!(fields.attributes.contains(&("free".to_owned(), Value::Double(0.5))));
    }

    #[test]
    fn logfmt_keys_may_have_parentheses() {
        let line = br#"time="2026-11-25T15:04:05Z" level=info msg="Docker daemon" graphdriver(s)=overlay2 version=20.10.24"#;
        let (_, fields) = parse(line, true).expect("logfmt");
        assert_eq!(fields.message.map(|raw| raw.text().into_owned()), Some(b"Docker daemon".to_vec()));
        assert!(fields.attributes.contains(&("graphdriver(s)".to_owned(), Value::String("overlay2".to_owned()))));
    }

    #[test]
    fn other_lines_are_text() {
        for line in [
            "acquire lock=1, flags=2",
            "ready=true,policy=3,wake=1",
            "{not json}",
            "{\"a\":1} trailing",
            "logname= uid=0 euid=0",
            "a=b",
            "[1,2]",
            "{\"a\":",
            "",
        ] {
            assert!(parse(line.as_bytes(), true).is_none(), "{line}");
        }
    }

    #[test]
    fn deep_and_wide_json_is_bounded() {
        let deep = format!("{}1{}", "{\"a\":".repeat(5_000), "}".repeat(5_000));
        let (_, fields) = parse(deep.as_bytes(), true).expect("JSON");
        assert_eq!(fields.attributes.len(), 1);
        let wide = format!("{{{}}}", (0..500).map(|n| format!("\"k{n}\":{n}")).collect::<Vec<_>>().join(","));
        let (_, fields) = parse(wide.as_bytes(), true).expect("JSON");
        assert_eq!((fields.attributes.len(), fields.attributes_dropped), (100, 400));
    }

    proptest! {
        #[test]
        fn any_bytes_are_safe(line in "[{}\\[\\]\":,a-c0-9\\\\u= tfn]{0,80}") {
            let _ = parse(line.as_bytes(), true);
        }
    }
}
