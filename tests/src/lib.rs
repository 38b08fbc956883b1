//! What every end-to-end test needs: real programs with their logs, a real Collector with what it received,
//! and the agent as it is shipped.
//!
//! Nothing here measures time: waiting has a generous bound that only a hang reaches. Whatever a test starts ends
//! with the test, by process id, and only that.
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test that cannot go on fails"))]

mod agent;
mod calls;
mod client;
mod collector;
mod containerd;
mod docker;
mod http;
mod journald;
mod nginx;
mod otlp;
mod parts;
mod podman;
mod process;
mod scene;
mod servers;
mod tally;
mod wait;

pub use agent::Agent;
pub use calls::{Call, calls};
pub use client::{Client, run};
pub use collector::Collector;
pub use containerd::Containerd;
pub use docker::Docker;
pub use http::{Response, get};
pub use journald::Journald;
pub use nginx::Nginx;
pub use otlp::{Item, SpanKind, attributes};
pub use parts::{is_root, part, repository, target_dir};
pub use podman::Podman;
pub use process::Process;
pub use scene::{Scene, Telemetry};
pub use servers::{DNS_ADDRESS, Server};
pub use tally::{Tally, by_attributes, count, tally};
pub use wait::{free_port, wait_until};
