//! The live view: what the agent sees right now, on a local page and in a local JSON API, with no backend installed.
//!
//! The capture thread fills [`View`], whose memory is bounded; [`bind`] and [`Bound::serve`] show it. Nothing here slows
//! capture down, names an OTLP type or holds more than the last minutes. Only [`json`] knows how a row is written.

mod api;
mod connections;
mod guard;
pub mod json;
mod latency;
mod page;
mod patterns;
mod query;
mod ring;
mod row;
#[cfg(test)]
pub(crate) mod sample;
mod serve;
mod services;
mod slots;
mod state;

pub use connections::MAX_CONNECTIONS;
pub use guard::Token;
pub use patterns::{MAX_PATTERNS, PatternRow};
pub use query::{Filter, Related, StatusFilter, related, waterfall};
pub use ring::{Limits, Listed, Seq};
pub use row::{
    AgentFacts, CapabilityRow, Capture, ConnectionRow, Direction, ExporterRow, Health, MAX_ATTRIBUTES, MAX_TEXT, Outcome, PatternSeen,
    Peer, RequestRow, UnixNanos, Usage, label, texts,
};
pub use serve::{Bound, Listen, ServeError, bind, serve};
pub use services::{Call, Listing, MAX_SERVICES, ServiceRow, Window};
pub use state::{LossRow, Status, Totals, View};
