//! Who is behind a process, a cgroup or a socket: container, unit, pod or plain program, with one OTLP Resource each.
//!
//! Nothing here may make the event path wait: lookups read published tables, and workers fill those from `/proc`, cgroups
//! and container runtimes. What is not known is said to be unknown, never guessed.

mod candidate;
pub mod cgroup;
pub mod cgroup_id;
pub mod container;
mod container_store;
mod containerd;
mod containerd_api;
mod containerd_record;
pub mod counters;
mod cow_map;
mod docker;
pub mod engine;
pub mod host;
pub mod image;
pub mod interpreter;
pub(crate) mod kubelet_logs;
mod listeners;
pub mod process;
mod read;
pub mod resolver;
mod resource;
pub mod service_name;
pub mod sockets;
pub mod table;
pub mod workload;

#[cfg(test)]
mod docker_tests;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod resolver_tests;
