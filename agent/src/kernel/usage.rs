//! CPU time and memory of the agent itself, from `self/stat`.

use procfs::FromRead;
use procfs::process::Stat;
use std::path::Path;
use std::time::Duration;

/// What the agent has used so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// CPU time in user mode.
    pub user: Duration,
    /// CPU time in the kernel.
    pub system: Duration,
    /// Resident memory, bytes.
    pub resident: u64,
    /// Virtual memory, bytes.
    pub virtual_memory: u64,
    /// Threads.
    pub threads: u64,
}

/// Units of `/proc/self/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Units {
    /// Clock ticks a second.
    pub ticks: u64,
    /// Bytes a page.
    pub page: u64,
}

impl Units {
    /// The units of this system.
    #[must_use]
    pub fn of_this_system() -> Self {
        let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
        Self { ticks: rustix::param::clock_ticks_per_second(), page }
    }
}

impl Usage {
    /// Reads `self/stat` below the `/proc` that is given; `None` if that cannot be read.
    #[must_use]
    pub fn read(proc: &Path, units: Units) -> Option<Self> {
        Stat::from_file(proc.join("self/stat")).ok().map(|stat| Self::of(&stat, units))
    }

    fn of(stat: &Stat, units: Units) -> Self {
        Self {
            user: time(stat.utime, units.ticks),
            system: time(stat.stime, units.ticks),
            resident: stat.rss.saturating_mul(units.page),
            virtual_memory: stat.vsize,
            threads: u64::try_from(stat.num_threads).unwrap_or(0),
        }
    }
}

fn time(ticks: u64, per_second: u64) -> Duration {
    let per_second = per_second.max(1);
    let rest = (ticks % per_second).saturating_mul(1_000_000_000) / per_second;
    Duration::from_secs(ticks / per_second) + Duration::from_nanos(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_read_in_units_of_the_system() {
        let line = b"42 (re) mora) S 1 42 42 0 -1 4194304 100 0 0 0 150 25 0 0 20 0 7 0 100 1000000 300 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n";
        let stat = Stat::from_read(&line[..]).expect("stat");
        let usage = Usage::of(&stat, Units { ticks: 100, page: 4096 });
        assert_eq!(usage.user, Duration::from_millis(1500));
        assert_eq!(usage.system, Duration::from_millis(250));
        assert_eq!((usage.resident, usage.virtual_memory, usage.threads), (300 * 4096, 1_000_000, 7));
    }

    #[test]
    fn no_proc_is_no_usage() {
        assert_eq!(Usage::read(Path::new("/nowhere"), Units { ticks: 100, page: 4096 }), None);
    }
}
