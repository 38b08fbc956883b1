//! Features of the kernel that parts of the agent use: type information, trace events, lockdown, locked
//! memory, pressure, delay accounting.

use super::privileges::{Cap, EffectiveSet};
use super::{Capability, Release, Roots, State};
use procfs::FromRead;
use procfs::process::{LimitValue, Limits};
use std::path::Path;

pub(super) fn probe(roots: &Roots, release: Option<&Release>, effective: EffectiveSet) -> Vec<Capability> {
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    let limits = Limits::from_file(roots.proc.join("self/limits")).ok();
    vec![
        btf(roots.sys.join("kernel/btf/vmlinux").exists()),
        tracefs(trace_events(&roots.sys), effective),
        lockdown(read(&roots.sys.join("kernel/security/lockdown")).as_deref()),
        memlock(limits.map(|limits| limits.max_locked_memory.soft_limit), release, effective),
        pressure(roots.proc.join("pressure/cpu").exists()),
        delay_accounting(read(&roots.proc.join("sys/kernel/task_delayacct")).as_deref()),
    ]
}

fn btf(present: bool) -> Capability {
    let (state, reason) = if present {
        (State::Works, "kernel type information present")
    } else {
        (State::Degraded, "no /sys/kernel/btf/vmlinux: programs use plain tracepoints")
    };
    Capability::extra("btf", state, reason)
}

fn trace_events(sys: &Path) -> bool {
    ["kernel/tracing/events", "kernel/debug/tracing/events"].iter().any(|path| sys.join(path).exists())
}

fn tracefs(mounted: bool, effective: EffectiveSet) -> Capability {
    let (state, reason) = match (mounted, effective.has(Cap::SysAdmin)) {
        (true, _) => (State::Works, "mounted"),
        (false, Some(true)) => (State::Degraded, "not mounted or not readable below /sys/kernel/tracing: mount tracefs there"),
        (false, _) => (State::Off, "not mounted or not readable: events that need it are off"),
    };
    Capability::extra("tracefs", state, reason)
}

/// The file reads `none [integrity] confidentiality`; brackets mark the mode.
fn lockdown(file: Option<&str>) -> Capability {
    let mode = file.and_then(|text| text.split_once('[')?.1.split(']').next());
    let (state, reason) = match mode {
        None => (State::Works, "not in use".to_owned()),
        Some("confidentiality") => (State::Degraded, "confidentiality: programs that read kernel memory are refused".to_owned()),
        Some(mode) => (State::Works, format!("{mode}: no program of the agent is affected")),
    };
    Capability::extra("lockdown", state, reason)
}

fn memlock(soft: Option<LimitValue>, release: Option<&Release>, effective: EffectiveSet) -> Capability {
    let counted = release.is_some_and(|release| release.version < (5, 11));
    let (state, reason) = match (counted, soft, effective.has(Cap::SysResource)) {
        (false, ..) => (State::Works, "BPF maps count as memory of the cgroup, not as locked memory".to_owned()),
        (true, _, Some(true)) => (State::Works, "the agent raises the limit itself".to_owned()),
        (true, Some(LimitValue::Unlimited), _) => (State::Works, "unlimited".to_owned()),
        (true, Some(LimitValue::Value(bytes)), _) if bytes >= NEEDED_LOCKED_BYTES => (State::Works, format!("{bytes} bytes")),
        (true, Some(LimitValue::Value(bytes)), _) => {
            (State::Off, format!("{bytes} bytes are not enough for BPF maps: raise RLIMIT_MEMLOCK or grant CAP_SYS_RESOURCE"))
        }
        (true, None, _) => (State::Degraded, "/proc/self/limits cannot be read".to_owned()),
    };
    Capability::for_capture("locked memory", state, reason)
}

/// Kernel memory of the agent's maps with default sizes, rounded up.
const NEEDED_LOCKED_BYTES: u64 = 64 << 20;

fn pressure(present: bool) -> Capability {
    let (state, reason) = if present {
        (State::Works, "pressure stall information present")
    } else {
        (State::Off, "no /proc/pressure: metrics of waiting for CPU, memory and disk are off (boot with psi=1)")
    };
    Capability::extra("pressure", state, reason)
}

fn delay_accounting(file: Option<&str>) -> Capability {
    let (state, reason) = match file.map(str::trim) {
        Some("1") => (State::Works, "on"),
        Some(_) => (State::Off, "sysctl kernel.task_delayacct is 0: disk delay of containers is not measured"),
        None => (State::Degraded, "the kernel does not say; disk delay of containers may be missing"),
    };
    Capability::extra("delay accounting", state, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: EffectiveSet = EffectiveSet::Known(0);

    #[test]
    fn the_mode_of_lockdown_is_in_brackets() {
        let cases = [
            (None, State::Works),
            (Some("[none] integrity confidentiality\n"), State::Works),
            (Some("none [integrity] confidentiality\n"), State::Works),
            (Some("none integrity [confidentiality]\n"), State::Degraded),
            (Some(""), State::Works),
        ];
        for (file, state) in cases {
            assert_eq!(lockdown(file).state, state, "{file:?}");
        }
    }

    #[test]
    fn locked_memory_is_counted_before_5_11_only() {
        let old = Release::parse("5.10.0");
        let new = Release::parse("6.1.0");
        let small = Some(LimitValue::Value(65_536));
        assert_eq!(memlock(small, new.as_ref(), NOBODY).state, State::Works);
        assert_eq!(memlock(small, old.as_ref(), NOBODY).state, State::Off);
        assert_eq!(memlock(small, old.as_ref(), EffectiveSet::Known(1 << 24)).state, State::Works);
        assert_eq!(memlock(Some(LimitValue::Unlimited), old.as_ref(), NOBODY).state, State::Works);
        assert_eq!(memlock(None, old.as_ref(), NOBODY).state, State::Degraded);
    }

    #[test]
    fn a_node_without_anything_is_described_and_not_feared() {
        let roots = Roots { proc: "/nowhere".into(), sys: "/nowhere".into(), cgroup: None };
        let capabilities = crate::kernel::probe(&roots);
        assert!(capabilities.iter().all(|capability| !capability.reason.is_empty()));
        assert!(capabilities.len() >= 14);
    }
}
