//! Monotonic capture times to wall-clock times.
//!
//! Both clocks are read together now and then; times in between use the last reading, so that a step of the wall clock
//! moves later spans and never makes one end before it began.

use remora_core::model::Mono;
use std::time::Duration;

/// The wall clock runs at most so much faster or slower between two readings, in nanoseconds; more is a step.
const STEP: u64 = 20_000_000;

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// `CLOCK_MONOTONIC`.
    pub mono: Mono,
    /// `CLOCK_REALTIME` in nanoseconds since the Unix epoch.
    pub unix_nanos: u64,
}

impl Reading {
    /// Reads both clocks, the wall clock between two readings of the other.
    #[must_use]
    pub fn now() -> Self {
        use rustix::time::{ClockId, Timespec, clock_gettime};
        let nanos = |time: Timespec| u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0);
        let before = nanos(clock_gettime(ClockId::Monotonic));
        let unix_nanos = nanos(clock_gettime(ClockId::Realtime));
        let after = nanos(clock_gettime(ClockId::Monotonic));
        Self { mono: Mono(before + (after - before) / 2), unix_nanos }
    }

    /// Wall-clock time of `time`, in nanoseconds since the Unix epoch.
    #[must_use]
    pub fn unix(&self, time: Mono) -> u64 {
        match time.0.checked_sub(self.mono.0) {
            Some(later) => self.unix_nanos.saturating_add(later),
            None => self.unix_nanos.saturating_sub(self.mono.0 - time.0),
        }
    }

    /// Whether the wall clock was set to another time between this reading and a later one.
    #[must_use]
    pub fn was_stepped(&self, later: &Self) -> bool {
        self.unix(later.mono).abs_diff(later.unix_nanos) > STEP
    }

    /// Whether this reading is older than `span` at `now`.
    #[must_use]
    pub fn is_older_than(&self, span: Duration, now: Mono) -> bool {
        now.since(self.mono) > span
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_and_after_the_reading_keep_their_distance() {
        let reading = Reading { mono: Mono(1_000), unix_nanos: 50_000 };
        assert_eq!([900, 1_000, 1_100].map(|time| reading.unix(Mono(time))), [49_900, 50_000, 50_100]);
        assert_eq!(Reading { mono: Mono(10), unix_nanos: 5 }.unix(Mono(0)), 0);
    }

    #[test]
    fn a_wall_clock_that_was_set_is_noticed_and_one_that_drifts_is_not() {
        let reading = Reading { mono: Mono(0), unix_nanos: 1_000_000_000_000 };
        let later = |unix_nanos| Reading { mono: Mono(1_000_000_000), unix_nanos };
        let stepped =
            [1_001_000_000_000, 1_001_000_500_000, 1_002_000_000_000, 990_000_000_000].map(|unix| reading.was_stepped(&later(unix)));
        assert_eq!(stepped, [false, false, true, true]);
    }

    #[test]
    fn the_clocks_agree_with_the_standard_library() {
        let before = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
        let reading = Reading::now();
        let after = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
        assert!((before..=after).contains(&u128::from(reading.unix_nanos)));
    }
}
