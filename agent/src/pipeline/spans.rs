//! Finished spans, encoded at once into one sheet per entity, and packed into requests when a batch is due.

use crate::entity::table::{Entity, EntityId};
use crate::trace::SpanContext;
use crate::trace::span::{SpanData, Status as SpanStatus};
use remora_core::model::{Attrs, Kind, Mono, Value as ModelValue, semconv};
use remora_otlp::{
    Attribute, DEFAULT_REQUEST_BYTES, Encoded, EncodedBatch, Envelope, Items, Packer, ParentContext, Resource, Scope, SignalKind, Span,
    SpanFlags, SpanKind, SpanLink, Status, Traces, Value,
};
use rustc_hash::FxHashMap;
use std::sync::Arc;
use std::time::Duration;

/// Where finished batches go. Must not block.
pub trait Outlet: Send {
    /// Takes a batch, or counts it as dropped.
    fn submit(&self, batch: EncodedBatch);
}

/// Sheets that are kept without use for so many batches.
const IDLE_BATCHES: u32 = 60;

/// Resource and scope of an entity, and what was recorded for it since the last batch.
pub(super) struct Sheet<S> {
    entity: Arc<Entity>,
    envelope: Envelope,
    pub(super) items: Items<S>,
    idle: u32,
}

/// Sheets of all entities for one signal.
pub(super) struct Sheets<S> {
    sheets: FxHashMap<EntityId, Sheet<S>>,
    scope: Scope,
}

impl<S: SignalKind> Sheets<S> {
    pub(super) fn new() -> Self {
        let scope = Scope {
            name: "remora".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            attributes: Encoded::default(),
            schema_url: semconv::SCHEMA_URL.into(),
        };
        Self { sheets: FxHashMap::default(), scope }
    }

    /// The sheet of `entity`, with its Resource as it is known now.
    pub(super) fn of(&mut self, entity: &Arc<Entity>) -> &mut Sheet<S> {
        let scope = &self.scope;
        let sheet = self.sheets.entry(entity.id).or_insert_with(|| Sheet {
            entity: Arc::clone(entity),
            envelope: envelope(entity, scope),
            items: Items::new(),
            idle: 0,
        });
        if !Arc::ptr_eq(&sheet.entity, entity) {
            sheet.envelope = envelope(entity, scope);
            sheet.entity = Arc::clone(entity);
        }
        sheet.idle = 0;
        sheet
    }

    /// Packs and clears all sheets.
    pub(super) fn pack(&mut self) -> Vec<EncodedBatch> {
        let mut packer = Packer::new(DEFAULT_REQUEST_BYTES);
        self.sheets.retain(|_, sheet| {
            packer.add(&sheet.envelope, &sheet.items);
            sheet.items.clear();
            sheet.idle += 1;
            sheet.idle < IDLE_BATCHES
        });
        packer.finish()
    }
}

fn envelope(entity: &Entity, scope: &Scope) -> Envelope {
    let mut attributes = Encoded::default();
    extend(&mut attributes, &entity.resource);
    Envelope::new(&Resource { attributes, dropped_attributes: 0, schema_url: semconv::SCHEMA_URL.into() }, scope)
}

/// Writes attributes of the model as OTLP attributes.
pub(super) fn extend<const FIELD: u32>(encoded: &mut Encoded<FIELD>, attrs: &Attrs) {
    for (key, value) in attrs.iter() {
        with_value(&value, |value| encoded.extend([Attribute { key: key.name(), value }]));
    }
}

fn with_value<R>(value: &ModelValue<'_>, work: impl FnOnce(Value<'_>) -> R) -> R {
    match value {
        ModelValue::Str(text) => work(Value::Str(text)),
        ModelValue::Int(int) => work(Value::I64(*int)),
        ModelValue::Bool(truth) => work(Value::Bool(*truth)),
        ModelValue::List(list) => work(Value::StrSlice(list)),
    }
}

/// Spans that wait for their batch.
pub(super) struct SpanBuffer {
    sheets: Sheets<Traces>,
    attributes: Encoded<{ remora_otlp::field::SPAN }>,
    waiting: usize,
    since: Option<Mono>,
    batch: usize,
    delay: Duration,
}

impl SpanBuffer {
    /// Batches of about `batch` spans, none older than `delay`.
    pub(super) fn new(batch: usize, delay: Duration) -> Self {
        Self { sheets: Sheets::new(), attributes: Encoded::default(), waiting: 0, since: None, batch: batch.max(1), delay }
    }

    /// Encodes a span of `entity`.
    pub(super) fn add(&mut self, entity: &Arc<Entity>, span: &SpanData<'_>, now: Mono) {
        let SpanContext { trace, span: id, parent, link, kept: _ } = span.context;
        self.attributes.clear();
        extend(&mut self.attributes, span.attrs);
        let link = link.map(|link| SpanLink {
            trace_id: *link.trace.bytes(),
            span_id: *link.span.bytes(),
            trace_state: "",
            attributes: &[],
            dropped_attributes: 0,
            flags: SpanFlags::new(SpanFlags::SAMPLED, ParentContext::Unknown),
        });
        let record = Span {
            trace_state: span.trace_state,
            parent_span_id: parent.map(|parent| *parent.bytes()),
            flags: SpanFlags::new(SpanFlags::SAMPLED, ParentContext::Unknown),
            start_unix_nano: span.start_unix_nano,
            end_unix_nano: span.end_unix_nano,
            constant: &self.attributes,
            links: link.as_slice(),
            status: match span.status {
                SpanStatus::Unset => Status::Unset,
                SpanStatus::Error => Status::Error(""),
            },
            ..Span::new(*trace.bytes(), *id.bytes(), kind(span.kind), span.name)
        };
        self.sheets.of(entity).items.span(&record, []);
        self.waiting += 1;
        self.since.get_or_insert(now);
    }

    /// Packs what waits if a batch is full, old enough, or `all` is asked for.
    pub(super) fn flush(&mut self, now: Mono, all: Flush) -> Vec<EncodedBatch> {
        let due = self.waiting >= self.batch || self.since.is_some_and(|since| now.since(since) >= self.delay);
        if self.waiting == 0 || (all == Flush::Due && !due) {
            return Vec::new();
        }
        self.waiting = 0;
        self.since = None;
        self.sheets.pack()
    }
}

/// Whether a flush waits until a batch is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flush {
    /// Only what is due.
    Due,
    /// Everything.
    All,
}

fn kind(kind: Kind) -> SpanKind {
    match kind {
        Kind::Client => SpanKind::Client,
        Kind::Server => SpanKind::Server,
        Kind::Producer => SpanKind::Producer,
        Kind::Consumer => SpanKind::Consumer,
    }
}
