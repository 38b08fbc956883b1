//! Rate, errors and durations of every service over the last five minutes, exact in number.
//!
//! Also decides which requests are listed: at a high rate only the first of each second, so that showing them costs the
//! capture thread nothing. What is not listed is still counted.

use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::latency::Latency;
use super::slots::Slots;
use super::{Direction, Outcome, UnixNanos};

/// Most services held; beyond it the one that was silent longest is forgotten. About 8 KB for each direction of one.
pub const MAX_SERVICES: usize = 512;
/// Slots of the sparkline and of rates.
pub(super) const SLOTS: usize = 60;
pub(super) const SLOT: Duration = Duration::from_secs(5);
const MINUTE_SLOTS: usize = 12;
/// Requests of one service, direction and outcome that are listed in one second.
const LISTED_A_SECOND: u32 = 50;

/// Whether the caller should build a row for the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Listing {
    /// Give the row to [`super::View::request`].
    List,
    /// Counted only.
    Skip,
}

/// One call, as far as counting it needs.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Service of the observed end.
    pub service: &'a str,
    /// Its part.
    pub direction: Direction,
    /// From first byte to last.
    pub duration: Duration,
    /// How it ended.
    pub outcome: Outcome,
    /// Now.
    pub now: UnixNanos,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    calls: u32,
    errors: u32,
}

#[derive(Debug)]
struct Red {
    first: UnixNanos,
    last: UnixNanos,
    calls: u64,
    errors: u64,
    slots: Slots<Counts>,
    minute: Slots<Latency>,
    minutes: Slots<Latency>,
    second: u64,
    listed: [u32; 2],
}

/// Numbers of one window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Window {
    /// Calls in it.
    pub calls: u64,
    /// Failed calls in it.
    pub errors: u64,
    /// Calls a second.
    pub rate: f64,
    /// Durations that 50, 95 and 99 % of the calls did not exceed.
    pub quantiles: Option<[Duration; 3]>,
}

/// Numbers of one service in one direction.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceRow {
    /// `service.name`.
    pub service: Arc<str>,
    /// Its part.
    pub direction: Direction,
    /// Last call.
    pub last: UnixNanos,
    /// Calls since the agent started (or the service was last forgotten).
    pub calls: u64,
    /// Failed ones of them.
    pub errors: u64,
    /// The last minute.
    pub minute: Window,
    /// The last five minutes.
    pub five_minutes: Window,
    /// Calls in each 5 s of the last five minutes, oldest first.
    pub trend: Vec<u32>,
    /// Failed ones of them.
    pub trend_errors: Vec<u32>,
}

/// All services.
#[derive(Debug, Default)]
pub(super) struct Services {
    table: FxHashMap<Arc<str>, [Option<Box<Red>>; 2]>,
    pub(super) calls: u64,
    pub(super) skipped: u64,
    pub(super) forgotten: u64,
}

impl Services {
    /// Counts a call.
    pub(super) fn count(&mut self, call: &Call<'_>) -> Listing {
        self.calls += 1;
        if !self.table.contains_key(call.service) {
            self.make_room();
            self.table.insert(call.service.into(), [None, None]);
        }
        let Some(directions) = self.table.get_mut(call.service) else { return Listing::Skip };
        let red = directions[call.direction as usize].get_or_insert_with(|| Box::new(Red::new(call.now)));
        let listing = red.count(call);
        self.skipped += u64::from(listing == Listing::Skip);
        listing
    }

    fn make_room(&mut self) {
        if self.table.len() < MAX_SERVICES {
            return;
        }
        let last = |directions: &[Option<Box<Red>>; 2]| directions.iter().flatten().map(|red| red.last).max();
        if let Some(silent) = self.table.iter().min_by_key(|(_, directions)| last(directions)).map(|(name, _)| Arc::clone(name)) {
            self.table.remove(&silent);
            self.forgotten += 1;
        }
    }

    /// Every service and direction, by name.
    pub(super) fn rows(&self, now: UnixNanos) -> Vec<ServiceRow> {
        let mut rows: Vec<ServiceRow> = Vec::with_capacity(self.table.len());
        for (name, directions) in &self.table {
            for (red, direction) in directions.iter().zip([Direction::Served, Direction::Called]) {
                rows.extend(red.as_ref().map(|red| red.row(Arc::clone(name), direction, now)));
            }
        }
        rows.sort_by(|a, b| (&a.service, a.direction).cmp(&(&b.service, b.direction)));
        rows
    }
}

impl Red {
    fn new(now: UnixNanos) -> Self {
        Self {
            first: now,
            last: now,
            calls: 0,
            errors: 0,
            slots: Slots::new(SLOT, SLOTS),
            minute: Slots::new(SLOT, MINUTE_SLOTS),
            minutes: Slots::new(SLOT * MINUTE_SLOTS as u32, SLOTS / MINUTE_SLOTS),
            second: 0,
            listed: [0; 2],
        }
    }

    fn count(&mut self, call: &Call<'_>) -> Listing {
        let failed = u32::from(call.outcome == Outcome::Failed);
        self.last = call.now;
        self.calls += 1;
        self.errors += u64::from(failed);
        let slot = self.slots.at(call.now);
        slot.calls = slot.calls.saturating_add(1);
        slot.errors = slot.errors.saturating_add(failed);
        self.minute.at(call.now).record(call.duration);
        self.minutes.at(call.now).record(call.duration);
        self.listing(call)
    }

    fn listing(&mut self, call: &Call<'_>) -> Listing {
        let second = call.now.0 / 1_000_000_000;
        if second != self.second {
            (self.second, self.listed) = (second, [0; 2]);
        }
        let listed = &mut self.listed[call.outcome as usize];
        *listed = listed.saturating_add(1);
        if *listed <= LISTED_A_SECOND { Listing::List } else { Listing::Skip }
    }

    fn row(&self, service: Arc<str>, direction: Direction, now: UnixNanos) -> ServiceRow {
        let slots: Vec<Counts> = self.slots.last(now, SLOTS).map(|slot| slot.copied().unwrap_or_default()).collect();
        ServiceRow {
            service,
            direction,
            last: self.last,
            calls: self.calls,
            errors: self.errors,
            minute: self.window(now, &slots[SLOTS - MINUTE_SLOTS..], self.minute.last(now, MINUTE_SLOTS)),
            five_minutes: self.window(now, &slots, self.minutes.last(now, SLOTS / MINUTE_SLOTS)),
            trend: slots.iter().map(|slot| slot.calls).collect(),
            trend_errors: slots.iter().map(|slot| slot.errors).collect(),
        }
    }

    fn window<'a>(&self, now: UnixNanos, slots: &[Counts], latencies: impl Iterator<Item = Option<&'a Latency>>) -> Window {
        let mut latency = Latency::default();
        latencies.flatten().for_each(|slot| latency.merge(slot));
        let calls = slots.iter().map(|slot| u64::from(slot.calls)).sum();
        // A service that is younger than the window had only its own age to make its calls.
        let seconds = self.slots.span(now, slots.len()).min(now.since(self.first)).max(Duration::from_secs(1));
        let quantile = |q| latency.quantile(q).unwrap_or_default();
        Window {
            calls,
            errors: slots.iter().map(|slot| u64::from(slot.errors)).sum(),
            rate: calls as f64 / seconds.as_secs_f64(),
            quantiles: (calls > 0).then(|| [0.5, 0.95, 0.99].map(quantile)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_000_000 * 1_000_000_000;

    fn at(millis: u64) -> UnixNanos {
        UnixNanos(START + millis * 1_000_000)
    }

    fn call(service: &str, millis: u64, outcome: Outcome) -> Call<'_> {
        Call { service, direction: Direction::Served, duration: Duration::from_millis(10), outcome, now: at(millis) }
    }

    #[test]
    fn rates_errors_and_quantiles_are_those_of_the_window() {
        let mut services = Services::default();
        for second in 0..120 {
            let outcome = if second % 4 == 0 { Outcome::Failed } else { Outcome::Ok };
            assert_eq!(services.count(&call("shop", second * 1_000, outcome)), Listing::List);
        }
        let rows = services.rows(at(119_999));
        let [row] = rows.as_slice() else { panic!("one row") };
        assert_eq!((row.calls, row.errors), (120, 30));
        assert_eq!((row.minute.calls, row.minute.errors), (60, 15));
        assert!((row.minute.rate - 1.0).abs() < 0.01, "{}", row.minute.rate);
        assert_eq!(row.minute.quantiles, Some([Duration::from_millis(10); 3]));
        assert_eq!(row.five_minutes.calls, 120);
        assert!((row.five_minutes.rate - 1.0).abs() < 0.01, "{}", row.five_minutes.rate);
        assert_eq!(row.trend[SLOTS - 24..], [5; 24]);

        let later = services.rows(at(119_999 + 600_000));
        assert_eq!((later[0].calls, later[0].minute.calls, later[0].minute.quantiles), (120, 0, None));
    }

    #[test]
    fn a_flood_is_counted_whole_and_listed_in_part_with_its_errors() {
        let mut services = Services::default();
        let listed =
            |services: &mut Services, outcome| (0..1_000).filter(|_| services.count(&call("a", 5, outcome)) == Listing::List).count();
        assert_eq!(listed(&mut services, Outcome::Ok), 50);
        assert_eq!(listed(&mut services, Outcome::Failed), 50);
        assert_eq!((services.calls, services.skipped), (2_000, 1_900));
        assert_eq!(services.rows(at(6))[0].calls, 2_000);
    }

    #[test]
    fn the_service_silent_longest_makes_room() {
        let mut services = Services::default();
        for number in 0..MAX_SERVICES as u64 + 1 {
            let _ = services.count(&call(&format!("s{number}"), number, Outcome::Ok));
            let _ = services.count(&call("busy", number, Outcome::Ok));
        }
        assert_eq!(services.table.len(), MAX_SERVICES);
        assert_eq!(services.forgotten, 2);
        assert!(services.table.contains_key("busy") && !services.table.contains_key("s0"));
    }
}
