//! A rolling window: a ring of equal slots of time, each zeroed when time reaches it again.
//!
//! Times are given; a clock that steps back further than the window starts it afresh rather than freezing it.

use remora_core::model::nanos;
use std::time::Duration;

use super::UnixNanos;

/// Ring of `N` slots.
#[derive(Clone, Debug)]
pub(super) struct Slots<T> {
    width: u64,
    /// Slot number (time divided by width) of the newest slot.
    head: u64,
    slots: Box<[T]>,
}

impl<T: Clone + Default> Slots<T> {
    /// `count` (at least one) slots of `width` each.
    pub(super) fn new(width: Duration, count: usize) -> Self {
        let width = nanos(width).max(1);
        Self { width, head: 0, slots: vec![T::default(); count.max(1)].into() }
    }

    /// The slot of `now`. A time slightly before the newest slot counts in the newest.
    pub(super) fn at(&mut self, now: UnixNanos) -> &mut T {
        let (number, len) = (now.0 / self.width, self.slots.len() as u64);
        let restart = number.saturating_add(len) < self.head || number >= self.head.saturating_add(len);
        if restart {
            self.slots.fill(T::default());
            self.head = number;
        }
        while self.head < number {
            self.head += 1;
            let place = self.place(self.head);
            self.slots[place] = T::default();
        }
        let place = self.place(self.head);
        &mut self.slots[place]
    }

    /// The slots of the last `count` widths up to and with that of `now`, oldest first, always `count` of them;
    /// `None` where nothing was put.
    pub(super) fn last(&self, now: UnixNanos, count: usize) -> impl Iterator<Item = Option<&T>> {
        let newest = (now.0 / self.width).max(self.head);
        let len = self.slots.len() as u64;
        (0..count as u64).rev().map(move |back| {
            let number = newest.checked_sub(back)?;
            let held = number <= self.head && number.saturating_add(len) > self.head;
            held.then(|| &self.slots[self.place(number)])
        })
    }

    /// Time that the last `count` slots cover at `now`: whole slots and the begun one.
    pub(super) fn span(&self, now: UnixNanos, count: usize) -> Duration {
        Duration::from_nanos(self.width.saturating_mul(count.saturating_sub(1) as u64).saturating_add(now.0 % self.width))
    }

    fn place(&self, number: u64) -> usize {
        usize::try_from(number % self.slots.len() as u64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn sums(slots: &Slots<u32>, at: u64, count: usize) -> Vec<u32> {
        slots.last(UnixNanos(at * SECOND), count).map(|slot| slot.copied().unwrap_or(0)).collect()
    }

    #[test]
    fn a_slot_is_forgotten_when_the_window_has_passed_it() {
        let mut slots = Slots::<u32>::new(Duration::from_secs(5), 3);
        for second in [100, 101, 104, 105, 110] {
            *slots.at(UnixNanos(second * SECOND)) += 1;
        }
        assert_eq!(sums(&slots, 111, 3), [3, 1, 1]);
        assert_eq!(sums(&slots, 116, 3), [1, 1, 0]);
        assert_eq!(sums(&slots, 500, 3), [0, 0, 0]);
        *slots.at(UnixNanos(115 * SECOND)) += 7;
        assert_eq!(sums(&slots, 115, 3), [1, 1, 7]);
    }

    #[test]
    fn a_clock_step_neither_freezes_nor_mixes_the_window() {
        let mut slots = Slots::<u32>::new(Duration::from_secs(5), 3);
        *slots.at(UnixNanos(1_000 * SECOND)) += 1;
        *slots.at(UnixNanos(998 * SECOND)) += 1; // a little late: counts in the newest slot
        assert_eq!(sums(&slots, 1_000, 3), [0, 0, 2]);
        *slots.at(UnixNanos(10 * SECOND)) += 1; // stepped back far: starts afresh
        assert_eq!(sums(&slots, 10, 3), [0, 0, 1]);
        *slots.at(UnixNanos(u64::MAX)) += 1;
        assert_eq!(slots.last(UnixNanos(u64::MAX), 3).flatten().sum::<u32>(), 1);
    }
}
