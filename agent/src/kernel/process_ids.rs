//! Whether the kernel's process ids are those that `/proc` shows to the agent.
//!
//! BPF programs tell processes by their ids in the first pid namespace. An agent in another one finds other processes
//! under the same numbers: it must then name none.

use super::{Capability, State};
use std::path::Path;

/// Inode of the first pid namespace (`PROC_PID_INIT_INO` in `include/linux/proc_ns.h`).
const FIRST: &str = "pid:[4026531836]";

/// What the ids of records mean here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessIds {
    /// They are those of `/proc`.
    Shared,
    /// They are not: the agent is in a pid namespace of its own.
    Foreign,
}

impl ProcessIds {
    /// What [`ProcessIds::Foreign`] means, and what to do about it.
    pub const WHEN_FOREIGN: &str = "in a pid namespace of its own: no process is named; start it with the host's (--pid host, hostPID)";

    /// Reads the agent's own namespace below the `/proc` that is given; one that cannot be read is taken for the first.
    #[must_use]
    pub fn read(proc: &Path) -> Self {
        let namespace = std::fs::read_link(proc.join("self/ns/pid"));
        match namespace {
            Ok(namespace) if namespace != Path::new(FIRST) => Self::Foreign,
            Ok(_) | Err(_) => Self::Shared,
        }
    }
}

pub(super) fn judge(ids: ProcessIds) -> Capability {
    let (state, reason) = match ids {
        ProcessIds::Shared => (State::Works, "the kernel's process ids are those of /proc"),
        ProcessIds::Foreign => (State::Degraded, ProcessIds::WHEN_FOREIGN),
    };
    Capability::extra("process ids", state, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(link: &str) -> ProcessIds {
        let proc = tempfile::TempDir::new().expect("a scratch directory");
        std::fs::create_dir_all(proc.path().join("self/ns")).expect("a directory");
        std::os::unix::fs::symlink(link, proc.path().join("self/ns/pid")).expect("a link");
        ProcessIds::read(proc.path())
    }

    #[test]
    fn only_the_first_namespace_shares_its_ids_with_the_kernel() {
        assert_eq!(read(FIRST), ProcessIds::Shared);
        assert_eq!(read("pid:[4026532201]"), ProcessIds::Foreign);
        assert_eq!(judge(ProcessIds::Foreign).state, State::Degraded);
    }

    #[test]
    fn what_cannot_be_read_changes_nothing() {
        assert_eq!(ProcessIds::read(Path::new("/nonexistent")), ProcessIds::Shared);
    }
}
