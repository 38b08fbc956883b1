//! Family `flow`.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#[cfg(target_arch = "bpf")]
extern crate remora_ebpf as _;

#[cfg(not(target_arch = "bpf"))]
fn main() {}
