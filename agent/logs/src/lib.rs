//! The log core of Remora: everything between a decoded raw line and a counted pattern.
//!
//! Pure by design: bytes and times come in as arguments, values go out. It must never read a clock, a file or
//! the environment, never panic on any input, and never hold more memory than its limits say.

#![cfg_attr(test, expect(clippy::expect_used, reason = "tests state what must hold"))]

mod absorb;
mod bytes;
pub mod envelope;
mod evidence;
pub mod exception;
mod gap;
mod grammar;
mod hash;
mod head;
pub mod header;
pub mod join;
pub mod lines;
mod merge;
mod message;
mod outline;
pub mod pipeline;
pub mod redact;
pub mod severity;
mod signature;
pub mod stdin;
pub mod structured;
pub mod table;
mod template;
mod terminal;
pub mod timestamp;
pub mod trace_context;

pub use pipeline::{Pipeline, Record, Settings, Source};
pub use severity::Severity;
pub use signature::PLACEHOLDER;
pub use template::PatternId;
