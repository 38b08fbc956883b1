//! Encoded records of one Resource and one signal, with where each one ends.
//!
//! A buffer that lives as long as its Resource: records are appended while they happen, packed
//! into requests at each export, and the memory is kept. It must never hold half a record.

use std::marker::PhantomData;

use crate::logs::LogRecord;
use crate::resource::RECORD;
use crate::signal::{Logs, SignalKind, Traces};
use crate::span::Span;
use crate::value::Attribute;
use crate::wire;

/// Typical sizes: they decide how many bytes wait for a length, not what can be written.
const TYPICAL_SPAN: usize = 400;
const TYPICAL_LOG_RECORD: usize = 400;

/// Encoded records of one signal, in the order in which they were added.
#[derive(Clone, Debug)]
pub struct Items<S> {
    bytes: Vec<u8>,
    records: Vec<Record>,
    signal: PhantomData<fn() -> S>,
}

/// One top-level record (span, metric, log record).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    /// Where it ends in the bytes.
    pub(crate) end: usize,
    /// What it counts for: 1, or the number of points of a metric.
    pub(crate) count: u32,
}

impl<S> Default for Items<S> {
    fn default() -> Self {
        Self { bytes: Vec::new(), records: Vec::new(), signal: PhantomData }
    }
}

impl<S: SignalKind> Items<S> {
    /// An empty buffer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Spans, metric points or log records held.
    pub fn count(&self) -> u64 {
        self.records.iter().map(|record| u64::from(record.count)).sum()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Encoded size in bytes.
    pub fn encoded_len(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets all records and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.records.clear();
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn records(&self) -> &[Record] {
        &self.records
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Marks everything written since the last record as one record of `count` items.
    pub(crate) fn end_record(&mut self, count: u32) {
        self.records.push(Record { end: self.bytes.len(), count });
    }
}

impl Items<Traces> {
    /// Adds a span; `attributes` follow those in [`Span::constant`].
    #[inline]
    pub fn span<'a>(&mut self, span: &Span<'_>, attributes: impl IntoIterator<Item = Attribute<'a>>) {
        wire::message(&mut self.bytes, RECORD, TYPICAL_SPAN, |out| span.write(out, attributes));
        self.end_record(1);
    }
}

impl Items<Logs> {
    /// Adds a log record; `attributes` follow those in [`LogRecord::constant`].
    #[inline]
    pub fn log_record<'a>(&mut self, record: &LogRecord<'_>, attributes: impl IntoIterator<Item = Attribute<'a>>) {
        wire::message(&mut self.bytes, RECORD, TYPICAL_LOG_RECORD, |out| record.write(out, attributes));
        self.end_record(1);
    }
}
