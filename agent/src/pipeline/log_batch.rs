//! Messages as OTLP log records, one sheet per entity.

use super::spans::Sheets;
use crate::logs::Held;
use crate::trace::SpanContext;
use remora_core::model::semconv;
use remora_logs::envelope::Stream;
use remora_logs::structured::Value as Field;
use remora_logs::{PatternId, Severity};
use remora_otlp::{Attribute, EncodedBatch, LogRecord, Logs, Severity as OtlpSeverity, Value};
use std::sync::Arc;

/// `event_name` of a record that tells of a new pattern.
pub(super) const NEW_PATTERN: &str = "remora.log.pattern.new";
/// `event_name` of a record that tells that a pattern became part of another.
pub(super) const MERGED_PATTERN: &str = "remora.log.pattern.merged";

/// A pattern as it is exported.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    pub(super) id: PatternId,
    /// The id in hexadecimal.
    pub(super) text: Arc<str>,
    pub(super) template: Arc<str>,
}

impl Pattern {
    pub(super) fn new(id: PatternId, template: Arc<str>) -> Self {
        Self { id, text: id.to_string().into(), template }
    }
}

/// `log.iostream`.
pub(super) fn iostream(stream: Stream) -> &'static str {
    match stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
    }
}

/// Records that wait for their batch.
pub(super) struct LogBuffer {
    sheets: Sheets<Logs>,
    records: usize,
}

impl LogBuffer {
    pub(super) fn new() -> Self {
        Self { sheets: Sheets::new(), records: 0 }
    }

    /// Records in it.
    pub(super) fn len(&self) -> usize {
        self.records
    }

    /// Adds a message; `span` is that of the request during which it was written.
    pub(super) fn add(&mut self, held: &Held, pattern: &Pattern, span: Option<&SpanContext>) {
        let record = &held.record;
        let keyed = record.trace.and_then(|trace| Some((trace.trace_id?.0, trace.span_id.map(|span| span.0))));
        let trace = keyed.or_else(|| span.map(|span| (*span.trace.bytes(), Some(*span.span.bytes()))));
        let log = LogRecord {
            time_unix_nano: held.time.unwrap_or(0),
            severity: OtlpSeverity::new(record.severity.number()),
            severity_text: &record.severity_text,
            dropped_attributes: record.attributes_dropped,
            trace_id: trace.map(|(trace, _)| trace),
            span_id: trace.and_then(|(_, span)| span),
            trace_flags: u8::from(span.is_some_and(|span| span.kept)),
            ..LogRecord::new(held.observed, Value::Str(&record.body))
        };
        let exception = record.exception.as_ref();
        let known = [
            (semconv::LOG_RECORD_TEMPLATE, Some(&*pattern.template)),
            (semconv::REMORA_LOG_RECORD_TEMPLATE_ID, Some(&*pattern.text)),
            (semconv::LOG_IOSTREAM, held.stream.map(iostream)),
            (semconv::LOG_FILE_PATH, held.origin.path.as_deref()),
            (semconv::REMORA_LOG_LOGGER, Some(record.logger.as_str())),
            (semconv::EXCEPTION_TYPE, exception.map(|exception| exception.kind.as_str())),
            (semconv::EXCEPTION_MESSAGE, exception.map(|exception| exception.message.as_str())),
            (semconv::EXCEPTION_STACKTRACE, exception.map(|exception| exception.stacktrace.as_str())),
        ];
        let known = known.into_iter().filter_map(|(key, text)| Some((key.name(), text.filter(|text| !text.is_empty())?)));
        let own = known.clone().map(|(key, text)| Attribute { key, value: Value::Str(text) });
        let fields = record.attributes.iter().filter(|(name, _)| !known.clone().any(|(key, _)| key == name));
        let fields = fields.map(|(name, field)| Attribute { key: name, value: value(field) });
        self.sheets.of(&held.origin.entity).items.log_record(&log, own.chain(fields));
        self.records += 1;
    }

    /// Adds the event that a pattern is new, for the entity whose message `held` brought it.
    pub(super) fn new_pattern(&mut self, held: &Held, pattern: &Pattern, severity: Severity) {
        let event = LogRecord { severity: OtlpSeverity::new(severity.number()), ..event(NEW_PATTERN, held, &pattern.template) };
        self.event(held, &event, [pattern_id(pattern), template(pattern)]);
    }

    /// Adds the event that the pattern `old` became part of another.
    pub(super) fn merged_pattern(&mut self, held: &Held, old: PatternId, pattern: &Pattern) {
        let old = old.to_string();
        let replaces = Attribute { key: semconv::REMORA_LOG_RECORD_TEMPLATE_REPLACES.name(), value: Value::Str(&old) };
        self.event(held, &event(MERGED_PATTERN, held, &pattern.template), [pattern_id(pattern), template(pattern), replaces]);
    }

    fn event<'a>(&mut self, held: &Held, event: &LogRecord<'_>, attributes: impl IntoIterator<Item = Attribute<'a>>) {
        self.sheets.of(&held.origin.entity).items.log_record(event, attributes);
        self.records += 1;
    }

    /// Packs and clears.
    pub(super) fn pack(&mut self) -> Vec<EncodedBatch> {
        self.records = 0;
        self.sheets.pack()
    }
}

fn event<'a>(name: &'a str, held: &Held, template: &'a str) -> LogRecord<'a> {
    LogRecord { time_unix_nano: held.observed, event_name: name, ..LogRecord::new(held.observed, Value::Str(template)) }
}

fn pattern_id(pattern: &Pattern) -> Attribute<'_> {
    Attribute { key: semconv::REMORA_LOG_RECORD_TEMPLATE_ID.name(), value: Value::Str(&pattern.text) }
}

fn template(pattern: &Pattern) -> Attribute<'_> {
    Attribute { key: semconv::LOG_RECORD_TEMPLATE.name(), value: Value::Str(&pattern.template) }
}

fn value(field: &Field) -> Value<'_> {
    match field {
        Field::String(text) => Value::Str(text),
        Field::Int(int) => Value::I64(*int),
        Field::Double(double) => Value::F64(*double),
        Field::Bool(truth) => Value::Bool(*truth),
    }
}
