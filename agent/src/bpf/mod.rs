//! The BPF side as seen from user space: loads and attaches the programs, reads their records, writes their policies.
//!
//! This is the only module that names aya, and one of the few with `unsafe`. It never interprets a payload.

mod btf;
mod cgroup;
mod hooks;
mod records;
mod ring;

pub use cgroup::RootPlace;
pub use hooks::{Hook, HookState, Hooks, LoadError, LoadOptions, SenderSource, load};
pub use records::{Captured, PolicyError};
