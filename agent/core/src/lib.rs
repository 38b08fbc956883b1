//! The pure core of Remora: what an exchange is, how segments become streams, how streams become exchanges.
//!
//! Nothing here does I/O, reads a clock, knows the kernel or OTLP: bytes, times and limits come in as arguments,
//! values go out. Reading order: [`model`], [`flow`], [`proto`].
#![forbid(unsafe_code)]
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test"))]

pub mod flow;
pub mod model;
pub mod pcap;
pub mod proto;
pub mod routes;
#[cfg(any(test, feature = "testkit"))]
pub mod testkit;
