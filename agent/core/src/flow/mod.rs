//! From captured segments to exchanges: per-connection streams with known holes, classification, parsers.
//!
//! [`Flow`] is the table of connections. It never guesses across a hole, never takes bytes of one connection for
//! another's, and holds a bounded amount of memory, counting what it drops.

mod classify;
mod connection;
mod pool;
mod segment;
mod sink;
mod stream;
mod table;
#[cfg(test)]
mod tests;

pub use pool::Pool;
pub use segment::{Amount, Capture, Direction, Order, Segment};
pub use sink::{Loss, Sink};
pub use table::{Flow, Limits};
