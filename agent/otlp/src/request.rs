//! Packs the records of many Resources into export requests below a size.
//!
//! A request is the plain concatenation of its resource groups, so groups are written one behind
//! the other until the next record would pass the limit. Each request keeps the number of its
//! records: nothing that was packed may disappear from the accounting. Empty groups and empty
//! requests are never made.

use std::marker::PhantomData;

use bytes::Bytes;

use crate::items::Items;
use crate::resource::Envelope;
use crate::signal::{Signal, SignalKind};

/// Default limit of a request before compression, below the 4 MiB that gRPC servers accept.
pub const DEFAULT_REQUEST_BYTES: usize = 3_500_000;

/// One `Export*ServiceRequest`, not yet compressed.
#[derive(Clone, Debug)]
pub struct EncodedBatch {
    /// What it carries.
    pub signal: Signal,
    /// The message.
    pub payload: Bytes,
    /// Spans, metric points or log records in it.
    pub items: u64,
}

/// Collects requests of one signal.
#[derive(Debug)]
pub struct Packer<S> {
    limit: usize,
    open: Vec<u8>,
    open_items: u64,
    finished: Vec<EncodedBatch>,
    signal: PhantomData<fn() -> S>,
}

impl<S: SignalKind> Packer<S> {
    /// Makes requests of at most `limit` bytes; a single record that is larger goes alone.
    pub fn new(limit: usize) -> Self {
        Self { limit, open: Vec::new(), open_items: 0, finished: Vec::new(), signal: PhantomData }
    }

    /// Adds all records of one Resource, over as many requests as they need.
    pub fn add(&mut self, envelope: &Envelope, items: &Items<S>) {
        let mut start = 0;
        let mut next = 0;
        while next < items.records().len() {
            let fit = self.fitting(envelope, items, start, next);
            if fit == next && !self.open.is_empty() {
                self.close();
                continue;
            }
            // A record that does not fit into an empty request goes alone.
            let until = fit.max(next + 1);
            let taken = &items.records()[next..until];
            let end = items.records()[until - 1].end;
            self.open.reserve(envelope.group_len(end - start));
            envelope.write_group(&mut self.open, &items.bytes()[start..end]);
            self.open_items += taken.iter().map(|record| u64::from(record.count)).sum::<u64>();
            start = end;
            next = until;
        }
    }

    /// Index behind the last record from `next` on that still fits into the open request.
    fn fitting(&self, envelope: &Envelope, items: &Items<S>, start: usize, next: usize) -> usize {
        let room = self.limit.saturating_sub(self.open.len());
        let fits = |end: usize| envelope.group_len(end - start) <= room;
        next + items.records()[next..].partition_point(|record| fits(record.end))
    }

    fn close(&mut self) {
        if self.open.is_empty() {
            return;
        }
        self.finished.push(EncodedBatch {
            signal: S::SIGNAL,
            payload: Bytes::from(std::mem::take(&mut self.open)),
            items: std::mem::take(&mut self.open_items),
        });
    }

    /// Ends the open request and gives out all requests made so far.
    pub fn finish(&mut self) -> Vec<EncodedBatch> {
        self.close();
        std::mem::take(&mut self.finished)
    }
}
