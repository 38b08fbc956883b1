//! The one way from raw lines to counted records, for the agent, `remora patterns` and `remora join-lines` alike.
//! Must never mix two sources' lines, and never let a sample or a limit change a count.
//!
//! A [`Pipeline`] holds what all sources of a node share: settings, redaction, the memory budget. A [`Source`] is one
//! stream of one container or file; a [`PatternTable`] belongs to a workload, so that
//! its stdout and stderr, and its restarts, share what was learned.

use crate::exception;
use crate::join::{Joined, Joiner, exception_type};
use crate::message::{Detail, Message, identify};
use crate::redact::{REDACTED, Redactor};
use crate::severity::Severity;
use crate::structured::Value;
use crate::table::{Limits, MemoryBudget, PatternTable};
use crate::template::PatternId;
use crate::timestamp::UnixNanos;
use crate::trace_context::TraceContext;

/// An exception that a message reports; OpenTelemetry's `exception.*` attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exception {
    /// `exception.type`; empty if unknown.
    pub kind: String,
    /// `exception.message`; empty if unknown.
    pub message: String,
    /// `exception.stacktrace`; empty if unknown.
    pub stacktrace: String,
}

/// One message as it is exported.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The time in the line, where it has a value by itself; else the envelope's time counts.
    pub time: Option<UnixNanos>,
    /// OTLP severity.
    pub severity: Severity,
    /// The level as written; empty if there is none.
    pub severity_text: String,
    /// The whole message of a text line, or the message field of a structured one; secrets are replaced.
    pub body: String,
    /// Remaining fields of a structured line; secrets are replaced.
    pub attributes: Vec<(String, Value)>,
    /// Fields beyond the limit.
    pub attributes_dropped: u32,
    /// Logger, tag or program; empty if unknown.
    pub logger: String,
    /// Ids that the line names by key.
    pub trace: Option<TraceContext>,
    /// The exception it reports.
    pub exception: Option<Exception>,
    /// Its pattern when it was read; resolve it with [`PatternTable::resolve`] at export.
    pub pattern: PatternId,
    /// Bytes that the joiner dropped.
    pub dropped_bytes: u64,
}

/// Settings of all sources of a node.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Bounds of each pattern table.
    pub limits: Limits,
    /// What is secret.
    pub redactor: Redactor,
}

/// What the sources of a node share.
#[derive(Debug)]
pub struct Pipeline {
    settings: Settings,
    budget: MemoryBudget,
}

impl Pipeline {
    /// A pipeline whose pattern tables together hold at most `budget_bytes`.
    pub fn new(settings: Settings, budget_bytes: usize) -> Self {
        Self { settings, budget: MemoryBudget::new(budget_bytes) }
    }

    /// An empty table for a workload.
    pub fn table(&self) -> PatternTable {
        PatternTable::new(self.settings.limits)
    }

    /// Gives the memory of a workload's table back.
    pub fn drop_table(&mut self, table: PatternTable) {
        table.release(&mut self.budget);
    }

    /// Restores a table from [`PatternTable::save`]; entries that are damaged or beyond the limits are left out.
    pub fn load_table(&mut self, state: &[u8], now: UnixNanos) -> PatternTable {
        let mut table = self.table();
        table.load(state, now, &mut self.budget);
        table
    }

    /// Counts a message without making a record of it; returns its pattern and severity.
    pub fn count(&mut self, table: &mut PatternTable, joined: &Joined<'_>, fallback: Severity, now: UnixNanos) -> (PatternId, Severity) {
        let message = Message::parse(joined.text, joined.header, Detail::Pattern);
        let exception = exception::in_text(&message.text);
        let severity = severity_of(&message, fallback, exception.is_some());
        let kind = exception.map(|exception| exception.kind).unwrap_or_default();
        let budget = &mut self.budget;
        let id = identify(&message, kind, |parts, hash| table.observe_hashed(hash, parts, severity, now, budget));
        (id, severity)
    }

    /// Counts a message and makes its record. `fallback` is what the envelope says of severity (journald's `PRIORITY`).
    pub fn record(&mut self, table: &mut PatternTable, joined: &Joined<'_>, fallback: Severity, now: UnixNanos) -> Record {
        let text = joined.text;
        let message = Message::parse(text, joined.header, Detail::Everything);
        let found = exception::in_text(&message.text);
        let exception = self.exception_of(&message, found);
        let severity = severity_of(&message, fallback, exception.is_some());
        let kind = found.map(|exception| exception.kind).unwrap_or_default();
        let budget = &mut self.budget;
        let pattern = identify(&message, kind, |parts, hash| table.observe_hashed(hash, parts, severity, now, budget));
        let trace = message.trace(text);
        let body = match &message.fields {
            Some(fields) if fields.message.is_some() => self.clean(&message.text),
            _ => self.clean(text),
        };
        let Message { severity_text, logger, time, fields, .. } = message;
        let (attributes, attributes_dropped) = fields.map(|fields| (fields.attributes, fields.attributes_dropped)).unwrap_or_default();
        Record {
            time,
            severity,
            severity_text: crate::bytes::lossy(&severity_text),
            body,
            attributes: attributes.into_iter().map(|(name, value)| self.clean_attribute(name, value)).collect(),
            attributes_dropped,
            logger: crate::bytes::lossy(&logger),
            trace,
            exception,
            pattern,
            dropped_bytes: joined.dropped_bytes,
        }
    }

    fn clean(&self, text: &[u8]) -> String {
        crate::bytes::lossy(&self.settings.redactor.redact(text))
    }

    fn clean_attribute(&self, name: String, value: Value) -> (String, Value) {
        let value = match value {
            Value::String(_) if self.settings.redactor.replaces(&name) => Value::String(crate::bytes::lossy(REDACTED)),
            Value::String(text) => Value::String(self.clean(text.as_bytes())),
            other => other,
        };
        (name, value)
    }

    /// From the fields of a structured line, completed from a trace in the text or in the stack field.
    fn exception_of(&self, message: &Message<'_>, found: Option<exception::Exception<'_>>) -> Option<Exception> {
        let found = found.map(|found| Exception {
            kind: self.clean(found.kind),
            message: self.clean(found.message),
            stacktrace: self.clean(found.stacktrace),
        });
        let Some(fields) = &message.fields else { return found };
        let field = |raw: Option<crate::structured::Raw<'_>>| raw.map(|raw| self.clean(&raw.text())).unwrap_or_default();
        let mut exception = Exception {
            kind: field(fields.exception_type),
            message: field(fields.exception_message),
            stacktrace: field(fields.stacktrace),
        };
        let inner = exception::in_text(exception.stacktrace.as_bytes())
            .map(|inner| (crate::bytes::lossy(inner.kind), crate::bytes::lossy(inner.message)));
        if let (true, Some((kind, text))) = (exception.kind.is_empty(), inner) {
            exception.kind = kind;
            if exception.message.is_empty() {
                exception.message = text;
            }
        }
        if exception == Exception::default() { found } else { Some(exception) }
    }
}

/// The line's own severity, then the envelope's, then ERROR for a line that reports an exception and nothing else.
fn severity_of(message: &Message<'_>, fallback: Severity, exception: bool) -> Severity {
    if message.severity.is_specified() {
        message.severity
    } else if fallback.is_specified() {
        fallback
    } else if exception || starts_with_error(message.first_line()) {
        Severity::ERROR
    } else {
        Severity::UNSPECIFIED
    }
}

/// Whether a line names the error that happened before it says more: `KeyError: 'x'`.
fn starts_with_error(line: &[u8]) -> bool {
    let named = |kind: &[u8]| kind.ends_with(b"Error") || kind.ends_with(b"Exception");
    line.first().is_some_and(u8::is_ascii_alphabetic)
        && exception_type(line).is_some_and(|kind| named(kind) && line[kind.len()..].starts_with(b": "))
}

/// One stream of lines.
#[derive(Debug, Default)]
pub struct Source {
    joiner: Joiner,
}

impl Source {
    /// Whether a message is open: begun and not complete.
    pub fn is_open(&self) -> bool {
        self.joiner.is_open()
    }

    /// Takes a decoded line; `record` gets each message that it completes.
    pub fn push(
        &mut self,
        pipeline: &mut Pipeline,
        table: &mut PatternTable,
        line: &[u8],
        fallback: Severity,
        now: UnixNanos,
        mut record: impl FnMut(Record, UnixNanos),
    ) {
        self.joiner.push(line, now, |joined| record(pipeline.record(table, &joined, fallback, now), joined.time));
    }

    /// Completes a message that nothing followed for a while.
    pub fn flush_idle(
        &mut self,
        pipeline: &mut Pipeline,
        table: &mut PatternTable,
        fallback: Severity,
        now: UnixNanos,
        mut record: impl FnMut(Record, UnixNanos),
    ) {
        self.joiner.flush_idle(now, |joined| record(pipeline.record(table, &joined, fallback, now), joined.time));
    }

    /// Completes the open message: the source ends.
    pub fn finish(
        &mut self,
        pipeline: &mut Pipeline,
        table: &mut PatternTable,
        fallback: Severity,
        now: UnixNanos,
        mut record: impl FnMut(Record, UnixNanos),
    ) {
        self.joiner.flush(|joined| record(pipeline.record(table, &joined, fallback, now), joined.time));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(line: &str) -> Record {
        let mut pipeline = Pipeline::new(Settings::default(), 1 << 20);
        let mut table = pipeline.table();
        pipeline.record(&mut table, &Joined::line(line.as_bytes()), Severity::UNSPECIFIED, 0)
    }

    #[test]
    fn structured_line_becomes_body_and_attributes() {
        let record = record(
            r#"{"time":"2026-11-25T15:04:05Z","level":"error","msg":"login failed","logger":"auth","user":{"id":7},"password":"hunter2","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","error.type":"IOError"}"#,
        );
        assert_eq!(
            (record.body.as_str(), record.severity, record.severity_text.as_str(), record.logger.as_str()),
            ("login failed", Severity::ERROR, "error", "auth")
        );
        assert_eq!(
            record.attributes,
            [("user.id".to_owned(), Value::Int(7)), ("password".to_owned(), Value::String("[REDACTED]".to_owned()))]
        );
        assert_eq!(record.exception.map(|exception| exception.kind), Some("IOError".to_owned()));
        assert_eq!(record.trace.and_then(|trace| trace.trace_id).map(|id| id.0[0]), Some(0x4b));
        assert_eq!(record.time, Some(1_795_619_045_000_000_000));
    }

    #[test]
    fn joined_trace_is_one_record_with_its_exception() {
        let mut pipeline = Pipeline::new(Settings::default(), 1 << 20);
        let mut table = pipeline.table();
        let mut source = Source::default();
        let mut records = Vec::new();
        for line in ["2026-11-25 15:04:05 ERROR a.b.C - request 5 failed", "java.lang.IllegalStateException: boom", "\tat a.B.c(B.java:1)"]
        {
            source.push(&mut pipeline, &mut table, line.as_bytes(), Severity::UNSPECIFIED, 1, |record, _| records.push(record));
        }
        source.finish(&mut pipeline, &mut table, Severity::UNSPECIFIED, 1, |record, _| records.push(record));
        assert_eq!(records.len(), 1);
        let exception = records[0].exception.clone().expect("an exception");
        assert_eq!((exception.kind.as_str(), exception.message.as_str()), ("java.lang.IllegalStateException", "boom"));
        assert_eq!(table.template_of(records[0].pattern).as_deref(), Some("request <*> failed: java.lang.IllegalStateException"));
    }

    #[test]
    fn severity_of_the_envelope_and_of_an_exception_count_last() {
        let mut pipeline = Pipeline::new(Settings::default(), 1 << 20);
        let mut table = pipeline.table();
        assert_eq!(pipeline.record(&mut table, &Joined::line(b"text"), Severity::WARN, 0).severity, Severity::WARN);
        assert_eq!(pipeline.record(&mut table, &Joined::line(b"INFO: text"), Severity::WARN, 0).severity, Severity::INFO);
        assert_eq!(pipeline.record(&mut table, &Joined::line(b"KeyError: 'name'"), Severity::UNSPECIFIED, 0).severity, Severity::ERROR);
        assert_eq!(pipeline.record(&mut table, &Joined::line(b"OnExit: done"), Severity::UNSPECIFIED, 0).severity, Severity::UNSPECIFIED);
        assert_eq!(
            pipeline.record(&mut table, &Joined::line(b"java.lang.Error: x\n\tat a.b(C.java:1)"), Severity::UNSPECIFIED, 0).severity,
            Severity::ERROR
        );
    }

    #[test]
    fn secrets_are_in_no_template() {
        for line in ["login with password: hunter done", "Authorization: Bearer abcdefgh", "token=abc", "password hunter"] {
            let mut pipeline = Pipeline::new(Settings::default(), 1 << 20);
            let mut table = pipeline.table();
            let id = pipeline.record(&mut table, &Joined::line(line.as_bytes()), Severity::UNSPECIFIED, 0).pattern;
            let template = table.template_of(id).expect("a template");
            assert!(line == "password hunter" || !template.contains("hunter") && !template.contains("abc"), "{template}");
        }
    }

    proptest! {
        #[test]
        fn redaction_never_changes_an_id(name in "[a-z]{1,8}", secret in "[a-z]{3,12}") {
            let line = format!("{name} sent password={secret} to {name}");
            let with = |redactor: Redactor| {
                let mut pipeline = Pipeline::new(Settings { redactor, ..Settings::default() }, 1 << 20);
                let mut table = pipeline.table();
                pipeline.record(&mut table, &Joined::line(line.as_bytes()), Severity::UNSPECIFIED, 0).pattern
            };
            let rule = crate::redact::Rule::new(&name);
            prop_assert_eq!(with(Redactor::default()), with(Redactor::new(rule.into_iter().collect())));
        }

        #[test]
        fn any_lines_are_safe(lines in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..10)) {
            let mut pipeline = Pipeline::new(Settings::default(), 1 << 20);
            let mut table = pipeline.table();
            let mut source = Source::default();
            let mut records = 0u64;
            for line in &lines {
                source.push(&mut pipeline, &mut table, line, Severity::UNSPECIFIED, 1, |_, _| records += 1);
            }
            source.finish(&mut pipeline, &mut table, Severity::UNSPECIFIED, 1, |_, _| records += 1);
            let counted: u64 = table.take_counts().iter().map(|count| count.messages).sum();
            prop_assert_eq!(counted, records);
        }
    }
}
