//! Plain values that every part of Remora shares: times, ids, addresses, attributes, connections and exchanges.
//!
//! This module depends on nothing else of ours and must never know how a value was captured or where it is sent.

mod attrs;
mod connection;
mod exchange;
mod ids;
pub mod naming;
pub mod semconv;
mod time;

pub use attrs::{Attrs, Value};
pub use connection::{Close, ConnInfo, Owner, Role, Transport};
pub use exchange::{Completeness, Exchange, Family, Kind, Message};
pub use ids::{CallKey, CgroupId, ConnId, ExchangeId, Pid, SpanId, Task, Tid, TraceContext, TraceId};
pub use semconv::Key;
pub use time::{Mono, nanos};
