//! The capabilities of the process, and what is off without each.

use super::{Capability, Need, Release, State};
use procfs::{FromRead, process::Status};
use std::path::Path;

/// The effective capability set of the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EffectiveSet {
    /// The bits of `CapEff`.
    Known(u64),
    /// `/proc` did not say.
    Unknown,
}

/// Numbers of `linux/capability.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cap {
    DacReadSearch = 2,
    NetAdmin = 12,
    SysPtrace = 19,
    SysAdmin = 21,
    SysResource = 24,
    Syslog = 34,
    Perfmon = 38,
    Bpf = 39,
}

impl EffectiveSet {
    /// Reads `self/status` below the `/proc` that is given.
    #[must_use]
    pub fn read(proc: &Path) -> Self {
        match Status::from_file(proc.join("self/status")) {
            Ok(status) => Self::Known(status.capeff),
            Err(_) => Self::Unknown,
        }
    }

    /// Whether the capability is in the set; `None` if unknown. `CAP_SYS_ADMIN` stands for those that
    /// were split off from it.
    pub(super) fn has(self, cap: Cap) -> Option<bool> {
        let Self::Known(bits) = self else { return None };
        let bit = |cap: Cap| bits >> (cap as u32) & 1 == 1;
        let split_off = matches!(cap, Cap::Bpf | Cap::Perfmon | Cap::Syslog);
        Some(bit(cap) || (split_off && bit(Cap::SysAdmin)))
    }
}

struct Requirement {
    cap: Cap,
    name: &'static str,
    need: Need,
    without: &'static str,
}

const REQUIREMENTS: [Requirement; 7] = [
    Requirement { cap: Cap::Bpf, name: "CAP_BPF", need: Need::Capture, without: "BPF programs cannot be loaded" },
    Requirement {
        cap: Cap::NetAdmin,
        name: "CAP_NET_ADMIN",
        need: Need::Capture,
        without: "programs cannot be attached to the cgroup, and sockets and task statistics cannot be listed",
    },
    Requirement {
        cap: Cap::Perfmon,
        name: "CAP_PERFMON",
        need: Need::Capture,
        without: "tracepoints cannot be used, so connections have no owner",
    },
    Requirement {
        cap: Cap::SysPtrace,
        name: "CAP_SYS_PTRACE",
        need: Need::Extra,
        without: "executables and files of other users' processes stay unknown, and TLS libraries are not found",
    },
    Requirement {
        cap: Cap::DacReadSearch,
        name: "CAP_DAC_READ_SEARCH",
        need: Need::Extra,
        without: "log files that others protect cannot be read",
    },
    Requirement {
        cap: Cap::SysAdmin,
        name: "CAP_SYS_ADMIN",
        need: Need::Extra,
        without: "cgroup2 cannot be mounted privately and other network namespaces cannot be entered",
    },
    Requirement { cap: Cap::Syslog, name: "CAP_SYSLOG", need: Need::Extra, without: "the kernel log cannot be read" },
];

/// One capability each; `CAP_SYS_RESOURCE` only matters where memory of BPF maps counts as locked.
pub(super) fn judge(effective: EffectiveSet, release: Option<&Release>) -> Vec<Capability> {
    let mut capabilities: Vec<_> = REQUIREMENTS.iter().map(|requirement| judge_one(effective, requirement)).collect();
    if release.is_some_and(|release| release.version < (5, 11)) {
        let requirement = Requirement {
            cap: Cap::SysResource,
            name: "CAP_SYS_RESOURCE",
            need: Need::Extra,
            without: "the limit of locked memory cannot be raised, which BPF maps need before kernel 5.11",
        };
        capabilities.push(judge_one(effective, &requirement));
    }
    capabilities
}

fn judge_one(effective: EffectiveSet, requirement: &Requirement) -> Capability {
    let (state, reason) = match (effective.has(requirement.cap), requirement.need) {
        (None, _) => (State::Degraded, "/proc/self/status cannot be read".to_owned()),
        (Some(true), _) => (State::Works, "granted".to_owned()),
        (Some(false), _) => (State::Off, format!("missing: {}", requirement.without)),
    };
    Capability { name: requirement.name.to_owned(), state, reason, need: requirement.need }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Verdict, verdict};

    #[test]
    fn root_has_everything_and_an_ordinary_user_nothing() {
        let root = judge(EffectiveSet::Known(0x1ff_ffff_ffff), None);
        assert!(root.iter().all(|capability| capability.state == State::Works));
        let user = judge(EffectiveSet::Known(0), None);
        assert!(user.iter().all(|capability| capability.state == State::Off));
        assert_eq!(verdict(&user), Verdict::NoCapture);
    }

    #[test]
    fn the_documented_set_is_enough_to_capture() {
        let bits = [Cap::Bpf, Cap::NetAdmin, Cap::Perfmon].iter().fold(0, |bits, cap| bits | 1u64 << (*cap as u32));
        let capabilities = judge(EffectiveSet::Known(bits), None);
        assert_eq!(verdict(&capabilities), Verdict::Capture);
        let off: Vec<_> = capabilities.iter().filter(|c| c.state == State::Off).map(|c| c.name.as_str()).collect();
        assert_eq!(off, ["CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH", "CAP_SYS_ADMIN", "CAP_SYSLOG"]);
    }

    #[test]
    fn sys_admin_stands_for_what_was_split_off() {
        let set = EffectiveSet::Known(1 << 21);
        assert_eq!(set.has(Cap::Bpf), Some(true));
        assert_eq!(set.has(Cap::NetAdmin), Some(false));
    }

    #[test]
    fn locked_memory_matters_on_old_kernels_only() {
        let names = |text| judge(EffectiveSet::Known(0), Release::parse(text).as_ref()).len();
        assert_eq!(names("5.10.0"), names("5.11.0") + 1);
    }
}
