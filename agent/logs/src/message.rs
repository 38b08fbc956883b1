//! Takes one message apart: which bytes are text, what severity, logger, trace and exception it names.
//! Must never change the text; everything it returns borrows from the line where that is possible.

use crate::header::{self, Header};
use crate::severity::Severity;
use crate::signature::{self, HashSink};
use crate::structured::{self, Fields};
use crate::terminal;
use crate::timestamp::UnixNanos;
use crate::trace_context::{self, TraceContext};
use std::borrow::Cow;

/// A message taken apart.
#[derive(Debug, Default)]
pub(crate) struct Message<'a> {
    pub(crate) severity: Severity,
    pub(crate) severity_text: Cow<'a, [u8]>,
    pub(crate) logger: Cow<'a, [u8]>,
    /// The message without header, or the message field of a structured line.
    pub(crate) text: Cow<'a, [u8]>,
    pub(crate) time: Option<UnixNanos>,
    pub(crate) fields: Option<Fields<'a>>,
}

/// Whether attributes, times and trace ids are wanted, or the pattern and severity alone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    Pattern,
    Everything,
}

impl<'a> Message<'a> {
    /// Takes a line (or joined lines) apart, whose header may be known.
    pub(crate) fn parse(line: &'a [u8], header: Option<Header<'a>>, detail: Detail) -> Self {
        if let Some(message) = Self::structured(line, detail) {
            return message;
        }
        let header = header.unwrap_or_else(|| header::parse(line));
        let text = &line[header.message_start..];
        if header.message_start > 0
            && let Some(mut message) = Self::structured(text, detail)
        {
            message.fall_back_to(&header);
            return message;
        }
        Self {
            severity: header.severity,
            severity_text: Cow::Borrowed(header.severity_text),
            logger: Cow::Borrowed(header.logger),
            text: Cow::Borrowed(text),
            ..Self::default()
        }
    }

    fn structured(line: &'a [u8], detail: Detail) -> Option<Self> {
        let (_, fields) = structured::parse(line, detail == Detail::Everything)?;
        let raw = fields.message.map(structured::Raw::text);
        let named = |raw: Option<structured::Raw<'a>>| raw.map(structured::Raw::text).unwrap_or_default();
        let mut message = Self {
            severity: fields.severity,
            severity_text: named(fields.severity_text),
            logger: named(fields.logger),
            text: raw.map_or_else(|| Cow::Owned(structured::names(line)), without_colours),
            time: fields.time,
            fields: Some(fields),
        };
        message.cut_inner_header();
        Some(message)
    }

    /// A structured line may wrap a text line with a header of its own.
    fn cut_inner_header(&mut self) {
        let start = {
            let header = header::parse(&self.text);
            if !self.severity.is_specified() {
                self.severity = header.severity;
                self.severity_text = Cow::Owned(header.severity_text.to_vec());
            }
            header.message_start
        };
        if start == 0 {
            return;
        }
        match &mut self.text {
            Cow::Borrowed(text) => *text = &text[start..],
            Cow::Owned(text) => {
                text.drain(..start);
            }
        }
    }

    fn fall_back_to(&mut self, header: &Header<'a>) {
        if !self.severity.is_specified() {
            self.severity = header.severity;
            self.severity_text = Cow::Borrowed(header.severity_text);
        }
        if self.logger.is_empty() {
            self.logger = Cow::Borrowed(header.logger);
        }
    }

    /// The first line of the text.
    pub(crate) fn first_line(&self) -> &[u8] {
        let end = memchr::memchr(b'\n', &self.text).unwrap_or(self.text.len());
        &self.text[..end]
    }

    /// The ids that the message names, by field or by key in the text.
    pub(crate) fn trace(&self, line: &[u8]) -> Option<TraceContext> {
        match &self.fields {
            Some(fields) => fields.trace.found().or_else(|| trace_context::in_text(&self.text)),
            None => trace_context::in_text(line),
        }
    }
}

/// A message field without what was meant for a terminal.
fn without_colours(text: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    if !terminal::is_coloured(&text) {
        return text;
    }
    let mut plain = Vec::with_capacity(text.len());
    terminal::plain(&text, &mut plain);
    Cow::Owned(plain)
}

/// Fewest constant words that tell messages apart without their logger.
const TELLING_WORDS: u32 = 2;

/// Hands the parts that identify a message and their hash to `with`: the text's first line and the exception's type;
/// the logger too where the text says little.
pub(crate) fn identify<R>(message: &Message<'_>, exception_type: &[u8], with: impl FnOnce(&[&[u8]], u64) -> R) -> R {
    let first_line = message.first_line();
    let mut sink = HashSink::new();
    signature::scan(first_line, &mut sink);
    let telling = sink.words >= TELLING_WORDS || message.logger.is_empty();
    let named = exception_type.is_empty() || crate::bytes::contains(first_line, exception_type);
    match (telling, named) {
        (true, true) => with(&[first_line], sink.hash),
        (true, false) => with_hash(&[first_line, exception_type], with),
        (false, true) => with_hash(&[&message.logger, first_line], with),
        (false, false) => with_hash(&[&message.logger, first_line, exception_type], with),
    }
}

fn with_hash<R>(parts: &[&[u8]], with: impl FnOnce(&[&[u8]], u64) -> R) -> R {
    let mut sink = HashSink::new();
    for part in parts {
        signature::scan(part, &mut sink);
    }
    with(parts, sink.hash)
}
