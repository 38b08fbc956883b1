//! Where log lines come from: files of container runtimes and programs, the journal, the kernel's log.
//!
//! One thread takes turns over all sources and gives each a bounded amount of work, so that a source that is slow, huge or
//! broken delays no other. How far each was read is known to the byte and kept in the state directory: a position counts
//! only once everything before it has left the agent. Nothing here names OTLP, and every path lies below a root that is
//! passed in.

mod discover;
mod follow;
mod frames;
mod intake;
mod journal;
mod journal_export;
mod journalctl;
mod kmsg;
mod lane;
mod owner;
mod position;
mod proc_files;
mod siblings;
mod sources;
mod store;
mod tail;

#[cfg(test)]
mod follow_tests;

pub use intake::{Held, Intake, IntakeSettings, Origin, TableId, Written};
pub use position::State;
pub use sources::{Machine, Settings, Sources, Work, is_selected};
pub use store::{Checkpoint, Store};
