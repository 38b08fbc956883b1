//! A small exponential histogram of durations for the quantiles that the view shows.
//!
//! Four buckets an octave from 16 µs to 275 s: a quantile is within 25 % of the true value, and exact while all values
//! are equal. Exported histograms are made elsewhere; this one is never exported.

use remora_core::model::nanos;
use std::time::Duration;

const FIRST_BIT: u32 = 14;
const BUCKETS: usize = 96;

/// Counts of durations. 400 bytes.
#[derive(Clone, Debug)]
pub(super) struct Latency {
    counts: [u32; BUCKETS],
    least: u64,
    most: u64,
}

impl Default for Latency {
    fn default() -> Self {
        Self { counts: [0; BUCKETS], least: u64::MAX, most: 0 }
    }
}

impl Latency {
    /// Counts one duration.
    pub(super) fn record(&mut self, duration: Duration) {
        let took = nanos(duration);
        let count = &mut self.counts[bucket(took)];
        *count = count.saturating_add(1);
        self.least = self.least.min(took);
        self.most = self.most.max(took);
    }

    /// Adds the counts of `other`.
    pub(super) fn merge(&mut self, other: &Self) {
        for (sum, count) in self.counts.iter_mut().zip(&other.counts) {
            *sum = sum.saturating_add(*count);
        }
        self.least = self.least.min(other.least);
        self.most = self.most.max(other.most);
    }

    /// The duration that a share `q` (0 to 1) of all values does not exceed; `None` without values.
    pub(super) fn quantile(&self, q: f64) -> Option<Duration> {
        let total: u64 = self.counts.iter().map(|count| u64::from(*count)).sum();
        if total == 0 {
            return None;
        }
        let wanted = (q.clamp(0.0, 1.0) * total as f64).max(1.0);
        let mut below = 0.0;
        for (index, count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let count = f64::from(*count);
            if below + count >= wanted {
                let (low, high) = (edge(index).max(self.least), edge(index + 1).min(self.most));
                let inside = (wanted - below) / count;
                return Some(Duration::from_nanos(low.saturating_add((high.saturating_sub(low) as f64 * inside) as u64)));
            }
            below += count;
        }
        Some(Duration::from_nanos(self.most))
    }
}

/// Index of the bucket of a duration.
fn bucket(nanos: u64) -> usize {
    let nanos = nanos.max(1 << FIRST_BIT);
    let octave = nanos.ilog2();
    let quarter = (nanos >> (octave - 2)) & 3;
    (((octave - FIRST_BIT) * 4) as usize + quarter as usize).min(BUCKETS - 1)
}

/// Lower edge of a bucket in nanoseconds; the first reaches down to zero and the last up without end.
fn edge(index: usize) -> u64 {
    match index {
        0 => 0,
        BUCKETS => u64::MAX,
        _ => (4 + (index as u64 & 3)) << (FIRST_BIT as u64 - 2 + (index as u64 >> 2)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_values_have_exact_quantiles() {
        let mut latency = Latency::default();
        assert_eq!(latency.quantile(0.5), None);
        (0..10).for_each(|_| latency.record(Duration::from_micros(1_234)));
        for q in [0.0, 0.5, 0.99, 1.0] {
            assert_eq!(latency.quantile(q), Some(Duration::from_micros(1_234)));
        }
    }

    #[test]
    fn extremes_are_counted_and_bounded_by_what_was_seen() {
        let mut latency = Latency::default();
        latency.record(Duration::ZERO);
        latency.record(Duration::MAX);
        assert_eq!(latency.quantile(0.5), Some(Duration::from_nanos(edge(1))));
        assert_eq!(latency.quantile(1.0), Some(Duration::from_nanos(u64::MAX)));
    }

    proptest! {
        #[test]
        fn every_value_lies_between_the_edges_of_its_bucket(nanos in 0..1_u64 << 38) {
            let index = bucket(nanos);
            prop_assert!(edge(index) <= nanos && nanos < edge(index + 1), "{nanos} in {index}: {}..{}", edge(index), edge(index + 1));
        }

        #[test]
        fn quantiles_are_within_a_quarter_of_the_truth(mut values in prop::collection::vec(20_000..100_000_000_000_u64, 1..300), q in 0.0..1.0_f64) {
            let (mut left, mut right) = (Latency::default(), Latency::default());
            for (index, nanos) in values.iter().enumerate() {
                if index % 2 == 0 { &mut left } else { &mut right }.record(Duration::from_nanos(*nanos));
            }
            left.merge(&right);
            values.sort_unstable();
            let rank = ((q * values.len() as f64).ceil() as usize).max(1) - 1;
            let (truth, got) = (values[rank] as f64, left.quantile(q).expect("values").as_nanos() as f64);
            prop_assert!((got - truth).abs() <= truth * 0.25 + 1.0, "{got} for {truth}");
        }
    }
}
