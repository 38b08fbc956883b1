//! The kernel side of Remora, and what crosses the boundary to user space.
//!
//! [`wire`] is shared by both sides: records, their sizes and the meaning of every number. `rt` holds the few helpers
//! that touch raw memory in BPF programs. Each `[[bin]]` beside this library is one family of programs.
#![cfg_attr(target_arch = "bpf", no_std)]

#[cfg(target_arch = "bpf")]
pub mod rt;
pub mod wire;

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
