//! Helpers of BPF programs that touch raw memory: the only home of `unsafe` on this side besides the programs' entries.
//!
//! Everything is inlined: the verifier follows values through one function at a time on old kernels.

pub mod packet;
pub mod task;
