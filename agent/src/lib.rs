//! Remora: one agent per Linux node that turns eBPF events and logs into OpenTelemetry metrics, spans and
//! log records.
//!
//! The binary only parses arguments and starts a command; everything else is here so that tests reach it.
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test"))]

pub mod aggregate;
pub mod bpf;
pub mod commands;
pub mod config;
pub mod entity;
pub mod kernel;
pub mod logs;
pub mod pipeline;
pub mod selection;
pub mod selfobs;
pub mod trace;
pub mod view;
