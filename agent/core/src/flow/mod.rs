//! From captured segments to exchanges: per-connection streams with known holes, classification, parsers.
//!
//! [`Flow`] is the table of connections. It never guesses across a hole, never takes bytes of one connection for
//! another's, and holds a bounded amount of memory, counting what it drops.

mod classify;
mod connection;
mod pool;
mod probation;
mod segment;
mod sink;
mod stream;
mod table;
#[cfg(test)]
mod tests;

pub use pool::Pool;
pub(crate) use probation::Probation;
pub use segment::{Amount, Capture, Direction, Order, Segment};
pub use sink::{Carrier, Loss, Sink};
pub(crate) use table::QUIET;
pub use table::{Flow, Limits};
