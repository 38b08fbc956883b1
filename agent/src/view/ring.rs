//! The last requests, each with a sequence number that only grows, bounded in number and bytes.

use std::collections::VecDeque;
use std::sync::Arc;

use super::RequestRow;

/// Number of a request in the list; a reader asks for what came after the last one it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

/// A listed request.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// Its number.
    pub seq: Seq,
    /// What was seen.
    pub row: Arc<RequestRow>,
}

/// How many rows and bytes the ring holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Rows.
    pub rows: usize,
    /// Bytes of all rows.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { rows: 5_000, bytes: 8 << 20 }
    }
}

/// The ring.
#[derive(Debug)]
pub(super) struct Ring {
    limits: Limits,
    rows: VecDeque<Listed>,
    bytes: usize,
    last: Seq,
}

impl Ring {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, rows: VecDeque::new(), bytes: 0, last: Seq(0) }
    }

    /// Adds a row and drops as many old ones as the limits ask.
    pub(super) fn push(&mut self, mut row: RequestRow) -> Seq {
        row.clip();
        self.last.0 += 1;
        self.bytes += row.bytes();
        self.rows.push_back(Listed { seq: self.last, row: Arc::new(row) });
        while self.rows.len() > self.limits.rows || self.bytes > self.limits.bytes {
            let Some(old) = self.rows.pop_front() else { break };
            self.bytes -= old.row.bytes();
        }
        self.last
    }

    /// Number of the newest row ever added.
    pub(super) fn last(&self) -> Seq {
        self.last
    }

    /// Rows after `after`, newest first.
    pub(super) fn after(&self, after: Seq) -> Vec<Listed> {
        self.rows.iter().rev().take_while(|listed| listed.seq > after).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::sample;

    #[test]
    fn rows_are_bounded_in_number_and_found_by_what_came_after() {
        let mut ring = Ring::new(Limits { rows: 3, bytes: 1 << 20 });
        for _ in 0..10 {
            ring.push(sample::request("a"));
        }
        let seqs = |after| ring.after(Seq(after)).iter().map(|listed| listed.seq.0).collect::<Vec<_>>();
        assert_eq!(seqs(0), [10, 9, 8]);
        assert_eq!(seqs(9), [10]);
        assert_eq!(seqs(10), [0; 0]);
        assert_eq!(seqs(99), [0; 0]);
    }

    #[test]
    fn a_flood_of_huge_rows_stays_within_the_bytes() {
        let limits = Limits { rows: 5_000, bytes: 256 << 10 };
        let mut ring = Ring::new(limits);
        for _ in 0..200 {
            let mut row = sample::request("a");
            row.label = "ü".repeat(1 << 20);
            row.attributes = vec![(remora_core::model::semconv::URL_FULL, "x".repeat(1 << 16)); 200];
            ring.push(row);
            assert!(ring.bytes <= limits.bytes, "{}", ring.bytes);
        }
        let rows = ring.after(Seq(0));
        assert_eq!(rows.len(), limits.bytes / rows[0].row.bytes());
        assert_eq!(ring.bytes, rows.iter().map(|listed| listed.row.bytes()).sum::<usize>());
        assert!(rows[0].row.label.ends_with("ü…") && rows[0].row.label.len() <= super::super::row::MAX_TEXT);
    }
}
