//! What the view knows, in bounded memory: at most about 24 MB, usually below 6 MB.
//!
//! [`View`] is the handle: the capture thread fills it, the local HTTP API reads it. Each table has a lock of its own, held
//! for one update or for copying pointers; nothing here waits, does I/O or asks a clock.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use remora_core::model::ConnId;

use super::connections::Connections;
use super::patterns::Patterns;
use super::ring::Ring;
use super::services::Services;
use super::{
    AgentFacts, Call, CapabilityRow, Capture, ConnectionRow, ExporterRow, Limits, Listed, Listing, PatternRow, PatternSeen, RequestRow,
    Seq, ServiceRow, UnixNanos, Usage,
};

/// Most pairs of component and reason; they are constants of the program, so this is never reached.
const MAX_LOSSES: usize = 512;

/// Something that was lost, cut or not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LossRow {
    /// Part of the agent that counted it.
    pub component: &'static str,
    /// Why.
    pub reason: &'static str,
    /// How many since the agent started.
    pub count: u64,
    /// When it last grew.
    pub last: UnixNanos,
}

/// The agent about itself.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Version, host, kernel.
    pub facts: AgentFacts,
    /// CPU and memory.
    pub usage: Usage,
    /// Whether capture is attached.
    pub capture: Capture,
    /// Destinations of telemetry.
    pub exporters: Vec<ExporterRow>,
    /// What works on this machine.
    pub capabilities: Vec<CapabilityRow>,
}

/// How much the view counted and how much of it is not shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests counted.
    pub requests: u64,
    /// Of these, not listed one by one because of their rate.
    pub unlisted: u64,
    /// Services, patterns and open connections forgotten because the tables were full.
    pub forgotten: u64,
}

/// Component and reason.
type LossKey = (&'static str, &'static str);

#[derive(Debug)]
struct Shared {
    revision: AtomicU64,
    ring: Mutex<Ring>,
    services: Mutex<Services>,
    connections: Mutex<Connections>,
    patterns: Mutex<Patterns>,
    losses: Mutex<BTreeMap<LossKey, (u64, UnixNanos)>>,
    status: Mutex<Status>,
}

/// Handle to the state of the view; clones share it.
#[derive(Clone, Debug)]
pub struct View(Arc<Shared>);

impl Default for View {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

/// No update leaves a table half done, so a panic elsewhere while it was held does not make it unusable.
fn lock<T>(table: &Mutex<T>) -> MutexGuard<'_, T> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

impl View {
    /// An empty state.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self(Arc::new(Shared {
            revision: AtomicU64::new(1),
            ring: Mutex::new(Ring::new(limits)),
            services: Mutex::default(),
            connections: Mutex::default(),
            patterns: Mutex::default(),
            losses: Mutex::default(),
            status: Mutex::default(),
        }))
    }

    /// Counts a call, exactly and cheaply; says whether its row is worth building for [`View::request`].
    pub fn count(&self, call: &Call<'_>) -> Listing {
        self.changed();
        lock(&self.0.services).count(call)
    }

    /// Lists a request that [`View::count`] asked for.
    pub fn request(&self, row: RequestRow) -> Seq {
        self.changed();
        lock(&self.0.ring).push(row)
    }

    /// Adds a connection or replaces what was known of it.
    pub fn connection(&self, row: ConnectionRow) {
        self.changed();
        lock(&self.0.connections).put(row);
    }

    /// Adds `n` lost things to the count of a component and reason.
    pub fn loss(&self, component: &'static str, reason: &'static str, n: u64, now: UnixNanos) {
        let mut losses = lock(&self.0.losses);
        if n > 0 && (losses.len() < MAX_LOSSES || losses.contains_key(&(component, reason))) {
            let (count, last) = losses.entry((component, reason)).or_default();
            (*count, *last) = (count.saturating_add(n), now);
            self.changed();
        }
    }

    /// Counts messages of a log pattern.
    pub fn log_pattern(&self, seen: &PatternSeen<'_>) {
        self.changed();
        lock(&self.0.patterns).count(seen);
    }

    /// Replaces what is known of one destination of telemetry.
    pub fn exporter(&self, row: ExporterRow) {
        self.status_with(|status| match status.exporters.iter_mut().find(|old| old.signal == row.signal) {
            Some(old) => *old = row,
            None => status.exporters.push(row),
        });
    }

    /// Replaces the list of what works on this machine.
    pub fn capabilities(&self, rows: Vec<CapabilityRow>) {
        self.status_with(|status| status.capabilities = rows);
    }

    /// Says whether capture is attached.
    pub fn capture(&self, capture: Capture) {
        self.status_with(|status| status.capture = capture);
    }

    /// Tells the facts about the agent.
    pub fn agent(&self, facts: AgentFacts) {
        self.status_with(|status| status.facts = facts);
    }

    /// Tells what the agent uses of the machine.
    pub fn usage(&self, usage: Usage) {
        self.status_with(|status| status.usage = usage);
    }

    fn status_with(&self, change: impl FnOnce(&mut Status)) {
        self.changed();
        change(&mut lock(&self.0.status));
    }

    fn changed(&self) {
        self.0.revision.fetch_add(1, Ordering::Relaxed);
    }

    /// A number that grows with every change.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.0.revision.load(Ordering::Relaxed)
    }

    /// Listed requests after `after`, newest first, and the number of the newest.
    #[must_use]
    pub fn requests_after(&self, after: Seq) -> (Vec<Listed>, Seq) {
        let ring = lock(&self.0.ring);
        (ring.after(after), ring.last())
    }

    /// Services by name.
    #[must_use]
    pub fn services(&self, now: UnixNanos) -> Vec<ServiceRow> {
        lock(&self.0.services).rows(now)
    }

    /// Connections: open before closed, the newest first.
    #[must_use]
    pub fn connections(&self) -> Vec<ConnectionRow> {
        lock(&self.0.connections).rows()
    }

    /// One connection.
    #[must_use]
    pub fn connection_of(&self, id: ConnId) -> Option<ConnectionRow> {
        lock(&self.0.connections).get(id)
    }

    /// Log patterns, the newest first.
    #[must_use]
    pub fn patterns(&self, now: UnixNanos) -> Vec<PatternRow> {
        lock(&self.0.patterns).rows(now)
    }

    /// What was lost, by component and reason.
    #[must_use]
    pub fn losses(&self) -> Vec<LossRow> {
        lock(&self.0.losses).iter().map(|(&(component, reason), &(count, last))| LossRow { component, reason, count, last }).collect()
    }

    /// The agent about itself.
    #[must_use]
    pub fn status(&self) -> Status {
        lock(&self.0.status).clone()
    }

    /// How much was counted.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let (requests, unlisted, services) = {
            let services = lock(&self.0.services);
            (services.calls, services.skipped, services.forgotten)
        };
        let forgotten = services + lock(&self.0.patterns).forgotten + lock(&self.0.connections).forgotten;
        Totals { requests, unlisted, forgotten }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_add_up_by_component_and_reason() {
        let view = View::default();
        for (reason, n) in [("ring full", 2), ("hole", 1), ("ring full", 3), ("never", 0)] {
            view.loss("bpf", reason, n, UnixNanos(n));
        }
        let losses: Vec<_> = view.losses().iter().map(|loss| (loss.component, loss.reason, loss.count, loss.last.0)).collect();
        assert_eq!(losses, [("bpf", "hole", 1, 1), ("bpf", "ring full", 5, 3)]);
    }

    #[test]
    fn every_change_moves_the_revision_and_reading_does_not() {
        let view = View::default();
        let before = view.revision();
        let _ = (view.services(UnixNanos(0)), view.losses(), view.status(), view.totals());
        assert_eq!(view.revision(), before);
        view.capture(Capture::Attached { since: UnixNanos(1) });
        assert!(view.revision() > before);
        assert_eq!(view.status().capture, Capture::Attached { since: UnixNanos(1) });
    }
}
