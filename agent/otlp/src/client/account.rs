//! What one signal's client holds and what became of every item: bounds the memory and counts.
//!
//! A [`Ticket`] stands for the items of one batch and the bytes they hold. It is settled exactly
//! once; one that is thrown away unsettled (a task that was stopped) counts as dropped at shutdown,
//! so that no path can lose items silently.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::error::SendError;

/// Why items were dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// The queue held as many bytes as it may.
    QueueFull,
    /// The receiver refused the request for good, or is no OTLP receiver.
    Refused,
    /// The request is larger than OTLP allows (64 MiB).
    TooLarge,
    /// The request could not be compressed.
    Unencodable,
    /// The receiver took no request for as long as the retry policy allows.
    RetriesExhausted,
    /// The agent stopped before the request was accepted.
    Shutdown,
    /// The signal is not exported.
    Disabled,
}

impl DropReason {
    /// All reasons, in the order of [`ExportCounters::dropped`].
    pub const ALL: [DropReason; 7] = [
        DropReason::QueueFull,
        DropReason::Refused,
        DropReason::TooLarge,
        DropReason::Unencodable,
        DropReason::RetriesExhausted,
        DropReason::Shutdown,
        DropReason::Disabled,
    ];

    /// Name as an attribute value.
    pub const fn name(self) -> &'static str {
        match self {
            DropReason::QueueFull => "queue_full",
            DropReason::Refused => "refused",
            DropReason::TooLarge => "too_large",
            DropReason::Unencodable => "unencodable",
            DropReason::RetriesExhausted => "retries_exhausted",
            DropReason::Shutdown => "shutdown",
            DropReason::Disabled => "disabled",
        }
    }
}

/// Whether the receiver takes what is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// Nothing was sent yet.
    #[default]
    Unknown,
    /// The last attempt was accepted.
    Working {
        /// Since when.
        since: SystemTime,
    },
    /// The last attempt failed.
    Failing {
        /// Since when attempts have failed.
        since: SystemTime,
        /// The last failure, as one line.
        error: String,
    },
}

/// Counters of one signal at one moment. Items are spans, metric points or log records; bytes are
/// those of request bodies as sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportCounters {
    /// Items submitted: sent + rejected + dropped + those still held.
    pub submitted_items: u64,
    /// Items accepted by the receiver.
    pub sent_items: u64,
    /// Bytes of accepted requests.
    pub sent_bytes: u64,
    /// Accepted requests.
    pub sent_requests: u64,
    /// Items rejected in accepted requests (partial success).
    pub rejected_items: u64,
    /// Items dropped, by reason, in the order of [`DropReason::ALL`].
    pub dropped_items: [u64; DropReason::ALL.len()],
    /// Attempts that failed and were repeated or will be.
    pub retries: u64,
    /// Requests being sent.
    pub in_flight: usize,
    /// Bytes held, queued and in flight.
    pub held_bytes: usize,
    /// Last message that came with an accepted request (partial success without rejection included).
    pub last_warning: Option<String>,
    /// Whether the receiver takes what is sent.
    pub health: Health,
}

impl ExportCounters {
    /// Items dropped for `reason`.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped_items[reason as usize]
    }
}

#[derive(Debug, Default)]
struct State {
    health: Health,
    last_warning: Option<String>,
}

/// A change of health that is worth a line in the log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Change {
    None,
    Recovered,
    Failing,
}

/// The counters while they change.
#[derive(Debug, Default)]
pub(crate) struct Account {
    submitted_items: AtomicU64,
    sent_items: AtomicU64,
    sent_bytes: AtomicU64,
    sent_requests: AtomicU64,
    rejected_items: AtomicU64,
    dropped_items: [AtomicU64; DropReason::ALL.len()],
    retries: AtomicU64,
    in_flight: AtomicUsize,
    held_bytes: AtomicUsize,
    state: Mutex<State>,
}

impl Account {
    /// Takes responsibility for `items` in `bytes` if no more than `capacity` bytes are then held.
    pub(crate) fn admit(self: &Arc<Self>, items: u64, bytes: usize, capacity: usize) -> Result<Ticket, DropReason> {
        let fits = |held: usize| held.checked_add(bytes).filter(|&total| total <= capacity);
        if self.held_bytes.fetch_update(Relaxed, Relaxed, fits).is_err() {
            self.refuse(items, DropReason::QueueFull);
            return Err(DropReason::QueueFull);
        }
        self.submitted_items.fetch_add(items, Relaxed);
        Ok(Ticket { account: Arc::clone(self), items, bytes, settled: false })
    }

    /// Counts items that were submitted and never taken.
    pub(crate) fn refuse(&self, items: u64, reason: DropReason) {
        self.submitted_items.fetch_add(items, Relaxed);
        self.dropped_items[reason as usize].fetch_add(items, Relaxed);
    }

    pub(crate) fn retry(&self) {
        self.retries.fetch_add(1, Relaxed);
    }

    /// Counts a request in flight until the guard is gone.
    pub(crate) fn begin_attempt(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Relaxed);
        InFlight(self)
    }

    pub(crate) fn working(&self, now: SystemTime) -> Change {
        let mut state = self.state();
        match &state.health {
            Health::Working { .. } => Change::None,
            before => {
                let change = if *before == Health::Unknown { Change::None } else { Change::Recovered };
                state.health = Health::Working { since: now };
                change
            }
        }
    }

    /// Notes a failure; it is worth reporting when it is another one than before.
    pub(crate) fn failing(&self, error: &SendError, now: SystemTime) -> Change {
        let mut state = self.state();
        let text = error.to_string();
        if error.is_echo() && matches!(state.health, Health::Failing { .. }) {
            return Change::None;
        }
        let (since, change) = match &state.health {
            Health::Failing { since, error } if *error == text => (*since, Change::None),
            Health::Failing { since, .. } => (*since, Change::Failing),
            _ => (now, Change::Failing),
        };
        state.health = Health::Failing { since, error: text };
        change
    }

    /// Notes the message of an accepted request; says whether it is a new one.
    pub(crate) fn warned(&self, warning: String) -> bool {
        let mut state = self.state();
        let new = state.last_warning.as_ref() != Some(&warning);
        state.last_warning = Some(warning);
        new
    }

    pub(crate) fn snapshot(&self) -> ExportCounters {
        let state = self.state();
        ExportCounters {
            submitted_items: self.submitted_items.load(Relaxed),
            sent_items: self.sent_items.load(Relaxed),
            sent_bytes: self.sent_bytes.load(Relaxed),
            sent_requests: self.sent_requests.load(Relaxed),
            rejected_items: self.rejected_items.load(Relaxed),
            dropped_items: std::array::from_fn(|index| self.dropped_items[index].load(Relaxed)),
            retries: self.retries.load(Relaxed),
            in_flight: self.in_flight.load(Relaxed),
            held_bytes: self.held_bytes.load(Relaxed),
            last_warning: state.last_warning.clone(),
            health: state.health.clone(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An attempt under way.
pub(crate) struct InFlight<'a>(&'a Account);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

/// Items of one batch that are not settled yet, and the bytes they hold.
#[derive(Debug)]
pub(crate) struct Ticket {
    account: Arc<Account>,
    items: u64,
    bytes: usize,
    settled: bool,
}

impl Ticket {
    /// The batch now holds `bytes`: it was compressed.
    pub(crate) fn resize(&mut self, bytes: usize) {
        if bytes >= self.bytes {
            self.account.held_bytes.fetch_add(bytes - self.bytes, Relaxed);
        } else {
            self.account.held_bytes.fetch_sub(self.bytes - bytes, Relaxed);
        }
        self.bytes = bytes;
    }

    /// The receiver took the request and rejected some of its items.
    pub(crate) fn sent(mut self, rejected: u64) {
        self.settled = true;
        let rejected = rejected.min(self.items);
        self.account.sent_items.fetch_add(self.items - rejected, Relaxed);
        self.account.rejected_items.fetch_add(rejected, Relaxed);
        self.account.sent_bytes.fetch_add(self.bytes as u64, Relaxed);
        self.account.sent_requests.fetch_add(1, Relaxed);
    }

    /// The items are given up.
    pub(crate) fn dropped(mut self, reason: DropReason) {
        self.drop_items(reason);
    }

    fn drop_items(&mut self, reason: DropReason) {
        self.settled = true;
        self.account.dropped_items[reason as usize].fetch_add(self.items, Relaxed);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.settled {
            self.drop_items(DropReason::Shutdown);
        }
        self.account.held_bytes.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::super::error::CANCELED;
    use super::*;

    #[test]
    fn bytes_are_held_until_the_ticket_is_settled() {
        let account = Arc::new(Account::default());
        let mut first = account.admit(3, 60, 100).unwrap();
        assert_eq!(account.admit(5, 41, 100).unwrap_err(), DropReason::QueueFull);
        first.resize(10);
        let second = account.admit(7, 90, 100).unwrap();
        assert_eq!(account.snapshot().held_bytes, 100);
        first.sent(1);
        second.dropped(DropReason::Refused);
        let counters = account.snapshot();
        assert_eq!(counters.held_bytes, 0);
        assert_eq!((counters.submitted_items, counters.sent_items, counters.rejected_items), (15, 2, 1));
        assert_eq!((counters.dropped(DropReason::QueueFull), counters.dropped(DropReason::Refused)), (5, 7));
    }

    #[test]
    fn a_ticket_thrown_away_counts_as_dropped_at_shutdown() {
        let account = Arc::new(Account::default());
        drop(account.admit(9, 1, 1).unwrap());
        assert_eq!(account.snapshot().dropped(DropReason::Shutdown), 9);
    }

    #[test]
    fn the_same_failure_is_reported_once_and_keeps_its_beginning() {
        let account = Account::default();
        let error = |detail: &str| SendError::Unreachable { endpoint: "http://c".into(), detail: detail.into() };
        let (first, later) = (SystemTime::UNIX_EPOCH, SystemTime::now());
        assert_eq!(account.failing(&error("refused"), first), Change::Failing);
        assert_eq!(account.failing(&error("refused"), later), Change::None);
        assert_eq!(account.failing(&error(CANCELED), later), Change::None, "the one that made the connection told why");
        assert_eq!(account.failing(&error("refused"), later), Change::None);
        assert_eq!(account.failing(&error("no route"), later), Change::Failing);
        let text = "cannot connect to http://c: no route".to_owned();
        assert_eq!(account.snapshot().health, Health::Failing { since: first, error: text });
        assert_eq!(account.working(later), Change::Recovered);
        assert_eq!(account.working(later), Change::None);
    }
}
