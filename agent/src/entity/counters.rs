//! What could not be told, by reason: each is exported, none is silent.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Why something is not known, or no longer.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Name of the reason in self-telemetry.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

reasons! {
    /// More new processes at once than workers may have queued; asked again at the process's next event.
    QueueFull = "queue_full",
    /// The process was gone before `/proc` was read; named by its hints.
    ProcessGone = "process_gone",
    /// `/proc` did not answer in time, or may not be read.
    ProcessUnreadable = "process_unreadable",
    /// Neither process nor hints say who it was.
    Unknown = "unknown",
    /// No engine knows the container.
    ContainerNotFound = "container_not_found",
    /// An engine that should know the container did not answer.
    EngineFailed = "engine_failed",
    /// The connection to an engine that had been there ended.
    EngineLost = "engine_lost",
    /// A process was forgotten because the table was full.
    ProcessEvicted = "process_evicted",
    /// An entity was put into the common one because there are too many.
    EntityOverflow = "entity_overflow",
}

/// One counter for each [`Reason`].
#[derive(Debug, Default)]
pub struct Counters([AtomicU64; Reason::ALL.len()]);

impl Counters {
    /// Adds one.
    pub(super) fn add(&self, reason: Reason) {
        self.0[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Events since the start.
    #[must_use]
    pub fn get(&self, reason: Reason) -> u64 {
        self.0[reason as usize].load(Ordering::Relaxed)
    }
}
