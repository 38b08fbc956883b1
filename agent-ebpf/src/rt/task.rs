//! Which thread runs, in program types where kernels before 6.10 have no `bpf_get_current_pid_tgid`.

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_get_current_task, bpf_probe_read_kernel};

/// Process and thread.
#[derive(Clone, Copy)]
pub struct Task {
    /// Thread group id.
    pub tgid: u32,
    /// Thread id.
    pub tid: u32,
}

impl Task {
    /// Not known.
    pub const UNKNOWN: Task = Task { tgid: 0, tid: 0 };
}

/// How to ask: a constant that user space sets at load, so that the verifier prunes the other ways.
/// 0 = not at all, 1 = `bpf_get_current_pid_tgid` works in every program type (6.10), otherwise the offset of
/// `task_struct.pid`, which `tgid` follows.
#[inline(always)]
pub fn current(how: u32) -> Task {
    match how {
        0 => Task::UNKNOWN,
        1 => {
            let both = bpf_get_current_pid_tgid();
            Task { tgid: (both >> 32) as u32, tid: both as u32 }
        }
        offset => {
            // SAFETY: `bpf_get_current_task` gives the running task's address; `bpf_probe_read_kernel` fails on a bad one.
            unsafe {
                let task = bpf_get_current_task() as *const u8;
                match bpf_probe_read_kernel(task.add(offset as usize).cast::<[u32; 2]>()) {
                    Ok([tid, tgid]) => Task { tgid, tid },
                    Err(_) => Task::UNKNOWN,
                }
            }
        }
    }
}
