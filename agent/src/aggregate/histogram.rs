//! Histograms: explicit bounds, and exponential with base 2^(2^-scale) that halves its resolution when it grows wide.
//!
//! Measurements are not negative. Every measurement is in exactly one bucket.

/// Most buckets of an exponential histogram, as the specification recommends.
const MAX_BUCKETS: usize = 160;
/// Finest scale, at which it begins.
const MAX_SCALE: i32 = 20;

/// Count, sum and extremes, and the buckets.
#[derive(Clone, Debug)]
pub struct Histogram {
    /// Number of measurements.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// The smallest; infinite while there is none.
    pub min: f64,
    /// The largest; negative infinite while there is none.
    pub max: f64,
    /// Buckets.
    pub buckets: Buckets,
}

/// The two ways to divide the line.
#[derive(Clone, Debug)]
pub enum Buckets {
    /// Fixed upper bounds, inclusive, ascending; `counts` has one more, for what is above.
    Explicit {
        /// Bounds.
        bounds: &'static [f64],
        /// Measurements in each bucket.
        counts: Vec<u64>,
    },
    /// Bounds that are powers of 2^(2^-scale).
    Exponential(Exponential),
}

/// Which of the two a registry makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Division {
    /// `explicit_bucket_histogram`
    #[default]
    Explicit,
    /// `base2_exponential_bucket_histogram`
    Exponential,
}

/// Buckets of an exponential histogram: bucket `i` holds values in (base^i, base^(i+1)].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exponential {
    /// Resolution.
    pub scale: i32,
    /// Measurements that are zero.
    pub zero_count: u64,
    /// Index of the first bucket.
    pub offset: i32,
    /// Measurements in each bucket from `offset` on.
    pub counts: Vec<u64>,
}

impl Histogram {
    /// An empty one.
    #[must_use]
    pub fn new(division: Division, bounds: &'static [f64]) -> Self {
        let buckets = match division {
            Division::Explicit => Buckets::Explicit { bounds, counts: vec![0; bounds.len() + 1] },
            Division::Exponential => Buckets::Exponential(Exponential::new()),
        };
        Self { count: 0, sum: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY, buckets }
    }

    /// Adds a measurement; what is negative or no number counts as zero.
    pub fn record(&mut self, value: f64) {
        let value = value.max(0.0);
        self.count += 1;
        self.sum += value;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        match &mut self.buckets {
            Buckets::Explicit { bounds, counts } => counts[bounds.partition_point(|bound| *bound < value)] += 1,
            Buckets::Exponential(exponential) => exponential.record(value),
        }
    }

    /// Forgets all measurements and keeps the memory.
    pub fn clear(&mut self) {
        (self.count, self.sum, self.min, self.max) = (0, 0.0, f64::INFINITY, f64::NEG_INFINITY);
        match &mut self.buckets {
            Buckets::Explicit { counts, .. } => counts.fill(0),
            Buckets::Exponential(exponential) => exponential.clear(),
        }
    }
}

impl Exponential {
    fn new() -> Self {
        Self { scale: MAX_SCALE, zero_count: 0, offset: 0, counts: Vec::new() }
    }

    fn clear(&mut self) {
        self.counts.clear();
        (self.scale, self.zero_count, self.offset) = (MAX_SCALE, 0, 0);
    }

    fn record(&mut self, value: f64) {
        if value == 0.0 {
            self.zero_count += 1;
            return;
        }
        let mut index = bucket_of(value, self.scale);
        let coarser = self.coarser_by(index, index);
        if coarser > 0 {
            self.coarsen(coarser);
            index >>= coarser;
        }
        self.add(index, 1);
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.zero_count += other.zero_count;
        if other.counts.is_empty() {
            return;
        }
        let mut other = other.clone();
        other.coarsen(other.scale.saturating_sub(self.scale).max(0));
        self.coarsen(self.scale.saturating_sub(other.scale).max(0));
        let coarser = self.coarser_by(other.offset, other.last());
        self.coarsen(coarser);
        other.coarsen(coarser);
        for (index, count) in (other.offset..).zip(&other.counts).filter(|(_, count)| **count > 0) {
            self.add(index, *count);
        }
    }

    fn last(&self) -> i32 {
        self.offset + i32::try_from(self.counts.len()).unwrap_or(i32::MAX) - 1
    }

    /// By how much the scale must fall so that buckets `from` to `to` fit beside those in use.
    fn coarser_by(&self, from: i32, to: i32) -> i32 {
        let (mut low, mut high) = if self.counts.is_empty() { (from, to) } else { (self.offset.min(from), self.last().max(to)) };
        let mut by = 0;
        while i64::from(high) - i64::from(low) >= MAX_BUCKETS as i64 {
            (low, high, by) = (low >> 1, high >> 1, by + 1);
        }
        by
    }

    /// Lowers the scale by `by`: each 2^by neighbours become one.
    fn coarsen(&mut self, by: i32) {
        if by == 0 {
            return;
        }
        self.scale -= by;
        if self.counts.is_empty() {
            return;
        }
        let offset = self.offset >> by;
        let length = (self.last() >> by) - offset + 1;
        for at in 0..self.counts.len() {
            let index = ((self.offset + i32::try_from(at).unwrap_or(i32::MAX)) >> by) - offset;
            let count = std::mem::take(&mut self.counts[at]);
            self.counts[usize::try_from(index).unwrap_or(0)] += count;
        }
        self.counts.truncate(usize::try_from(length).unwrap_or(0));
        self.offset = offset;
    }

    fn add(&mut self, index: i32, count: u64) {
        if self.counts.is_empty() {
            self.offset = index;
        }
        if index < self.offset {
            let more = usize::try_from(self.offset - index).unwrap_or(0);
            self.counts.splice(0..0, std::iter::repeat_n(0, more));
            self.offset = index;
        }
        let at = usize::try_from(index - self.offset).unwrap_or(0);
        if at >= self.counts.len() {
            self.counts.resize(at + 1, 0);
        }
        self.counts[at] += count;
    }
}

/// Index of the bucket of a positive `value` at `scale`.
fn bucket_of(value: f64, scale: i32) -> i32 {
    let (fraction, exponent) = split(value);
    if scale <= 0 {
        // A power of two is the upper bound of its bucket.
        let bucket = if fraction == 0.5 { exponent - 2 } else { exponent - 1 };
        return bucket >> -scale;
    }
    if fraction == 0.5 {
        return ((exponent - 1) << scale) - 1;
    }
    let steps = f64::from(1 << scale) * std::f64::consts::LOG2_E;
    #[expect(clippy::cast_possible_truncation, reason = "between -2^20 and 0")]
    let within = (fraction.ln() * steps) as i32;
    (exponent << scale) + within - 1
}

/// `fraction` in [0.5, 1) and `exponent` with value = fraction × 2^exponent.
fn split(value: f64) -> (f64, i32) {
    const EXPONENT: u64 = 0x7ff << 52;
    if value < f64::MIN_POSITIVE {
        let (fraction, exponent) = split(value * f64::from(1 << 30) * f64::from(1 << 30));
        return (fraction, exponent - 60);
    }
    let bits = value.min(f64::MAX).to_bits();
    let exponent = i32::try_from((bits & EXPONENT) >> 52).unwrap_or(0) - 1022;
    (f64::from_bits(bits & !EXPONENT | 1022 << 52), exponent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOUNDS: &[f64] = &[1.0, 2.0, 5.0];

    fn explicit(values: &[f64]) -> Histogram {
        let mut histogram = Histogram::new(Division::Explicit, BOUNDS);
        values.iter().for_each(|value| histogram.record(*value));
        histogram
    }

    fn exponential(values: &[f64]) -> Exponential {
        let mut exponential = Exponential::new();
        values.iter().for_each(|value| exponential.record(*value));
        exponential
    }

    /// Whether each value lies in the bucket that counts it.
    fn holds(exponential: &Exponential, values: &[f64]) -> bool {
        let base = 2_f64.powf(2_f64.powi(-exponential.scale));
        let bound = |index: i32| base.powi(index);
        (exponential.offset..).zip(&exponential.counts).all(|(index, count)| {
            let near = 1.0 + 1e-9;
            let surely = values.iter().filter(|v| **v > bound(index) * near && **v <= bound(index + 1) / near).count() as u64;
            let maybe = values.iter().filter(|v| **v > bound(index) / near && **v <= bound(index + 1) * near).count() as u64;
            (surely..=maybe).contains(count)
        })
    }

    #[test]
    fn a_bound_belongs_to_the_bucket_below_it() {
        let histogram = explicit(&[0.0, 1.0, 1.5, 5.0, 6.0, f64::NAN, -1.0]);
        let Buckets::Explicit { counts, .. } = histogram.buckets else { panic!("explicit") };
        assert_eq!(counts, [4, 1, 1, 1]);
        assert_eq!((histogram.count, histogram.sum, histogram.min, histogram.max), (7, 13.5, 0.0, 6.0));
    }

    #[test]
    fn powers_of_two_are_upper_bounds_at_every_scale() {
        for (scale, expected) in [(0, [-2, -1, 0, 1]), (1, [-3, -1, 1, 3]), (-1, [-1, -1, 0, 0])] {
            assert_eq!([0.5, 1.0, 2.0, 4.0].map(|value| bucket_of(value, scale)), expected, "scale {scale}");
        }
        assert_eq!(bucket_of(f64::from_bits(1), 0), -1075);
    }

    #[test]
    fn a_wide_range_lowers_the_scale_and_keeps_every_measurement() {
        let exponential = exponential(&[1e-9, 1.0, 1e9, 0.0, f64::MAX]);
        assert_eq!((exponential.zero_count, exponential.counts.iter().sum::<u64>()), (1, 4));
        assert!(exponential.counts.len() <= MAX_BUCKETS, "{}", exponential.counts.len());
    }

    proptest! {
        #[test]
        fn every_measurement_is_in_its_bucket(values in prop::collection::vec(1e-9..1e6_f64, 1..300)) {
            let exponential = exponential(&values);
            prop_assert_eq!(exponential.counts.iter().sum::<u64>(), values.len() as u64);
            prop_assert!(exponential.counts.len() <= MAX_BUCKETS);
            if exponential.scale < 10 {
                prop_assert!(holds(&exponential, &values));
            }
        }

        #[test]
        fn merged_halves_are_the_whole(a in prop::collection::vec(0.0..1e6_f64, 0..100), b in prop::collection::vec(0.0..1e3_f64, 0..100)) {
            let mut merged = exponential(&a);
            merged.merge(&exponential(&b));
            let whole = exponential(&[a, b].concat());
            let trim = |e: &Exponential| {
                let first = e.counts.iter().position(|count| *count > 0).unwrap_or(0);
                (e.scale, e.zero_count, e.offset + i32::try_from(first).expect("small"), e.counts[first..].to_vec())
            };
            if !whole.counts.is_empty() {
                prop_assert_eq!(trim(&merged), trim(&whole));
            }
        }
    }
}
