//! What the agent knows about itself: what it lost and why, what it exported, what it costs.
//!
//! Counting is cheap enough for the hot path; everything is exported like any other telemetry, so that a
//! gap in the data can be told from quiet.

pub mod counters;
pub mod export;
pub mod instruments;
pub mod log;

pub use counters::{Counters, Event, Loss};
