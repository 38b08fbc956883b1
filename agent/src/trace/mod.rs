//! From exchanges to spans: ids, parents, sampling and the final attributes, without any I/O or clock.
//!
//! [`Tracer`] decides where each span stands when its request is seen; [`span`] completes it when the exchange is over.
//! No span names a parent that nobody exports, and none has a wrong one.

mod calls;
mod context;
pub mod ids;
mod parents;
pub mod sampling;
pub mod served;
pub mod span;

pub use context::{Counts, Limits, Link, Reported, Settings, SpanContext, Tracer, asks};
