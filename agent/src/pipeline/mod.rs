//! Where everything meets: capture in, telemetry out.
//!
//! One plain thread ([`capture`]) drains the ring buffer and drives flow, tracing and aggregation; `desk` gives every
//! finished exchange its owner and hands it on as span, metric and row of the live view. Nothing here waits for a
//! network, a file or a container runtime, and nothing that was accepted is dropped without being counted.

pub mod capture;
pub mod clients;
mod clock;
mod connections;
mod console;
mod desk;
mod early;
pub mod export;
mod identity;
mod listeners;
mod listening;
mod log_batch;
mod log_counts;
mod log_limits;
pub mod logs;
mod metrics;
mod parties;
mod peers;
pub mod replay;
pub mod report;
mod routes;
mod served;
mod shown;
mod spans;
mod translate;
mod wanted;

pub use clock::Reading;
pub use desk::{Desk, DeskSettings};
pub use routes::RouteSettings;
pub use served::Feed;
pub use spans::Outlet;
pub use translate::openings;
