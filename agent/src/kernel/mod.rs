//! What this kernel allows with these privileges: one answer a capability, before anything is attached.
//!
//! Reads below the roots that are passed in and judges with pure functions. Loads no program and changes
//! nothing; whether the BPF programs load is found out by `bpf` and handed in as further capabilities.

mod cgroup;
mod features;
mod privileges;
mod process_ids;
mod release;
mod usage;

use serde::Serialize;
use std::path::PathBuf;

pub use cgroup::{CgroupLayout, first_namespace, is_root};
pub use privileges::EffectiveSet;
pub use process_ids::ProcessIds;
pub use release::Release;
pub use usage::{Units, Usage};

/// Where the host is seen.
#[derive(Clone, Debug)]
pub struct Roots {
    /// `/proc`.
    pub proc: PathBuf,
    /// `/sys`.
    pub sys: PathBuf,
    /// Root of cgroup v2, if configured.
    pub cgroup: Option<PathBuf>,
}

/// Something the agent can or cannot do here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Capability {
    /// Short name.
    pub name: String,
    /// Whether it works.
    pub state: State,
    /// Why, or what follows, in one line.
    pub reason: String,
    /// What needs it.
    pub need: Need,
}

/// Whether something works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Fully.
    Works,
    /// With less.
    Degraded,
    /// Not.
    Off,
}

/// What needs a capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    /// Capture cannot work without.
    Capture,
    /// A part is missing without.
    Extra,
}

/// Whether capture can work at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It can.
    Capture,
    /// It cannot.
    NoCapture,
}

impl Capability {
    /// A capability that only a part of the agent needs.
    #[must_use]
    pub fn extra(name: impl Into<String>, state: State, reason: impl Into<String>) -> Self {
        Self { name: name.into(), state, reason: reason.into(), need: Need::Extra }
    }

    /// A capability without which there is no capture.
    #[must_use]
    pub fn for_capture(name: impl Into<String>, state: State, reason: impl Into<String>) -> Self {
        Self { need: Need::Capture, ..Self::extra(name, state, reason) }
    }
}

/// Asks the kernel. What cannot be read is reported as such, never guessed.
#[must_use]
pub fn probe(roots: &Roots) -> Vec<Capability> {
    let release = Release::read(&roots.proc);
    let effective = EffectiveSet::read(&roots.proc);
    let layout = CgroupLayout::read(&roots.proc, roots.cgroup.as_deref());
    let mut capabilities = vec![release::judge(release.as_ref())];
    capabilities.extend(privileges::judge(effective, release.as_ref()));
    capabilities.push(cgroup::judge(&layout, effective));
    capabilities.push(process_ids::judge(ProcessIds::read(&roots.proc)));
    capabilities.extend(features::probe(roots, release.as_ref(), effective));
    capabilities
}

/// Whether capture can work, given what is known.
#[must_use]
pub fn verdict(capabilities: &[Capability]) -> Verdict {
    let blocked = capabilities.iter().any(|capability| capability.need == Need::Capture && capability.state == State::Off);
    if blocked { Verdict::NoCapture } else { Verdict::Capture }
}

/// The first reason why capture cannot work, for the log of `remora run`.
#[must_use]
pub fn obstacle(capabilities: &[Capability]) -> Option<&Capability> {
    capabilities.iter().find(|capability| capability.need == Need::Capture && capability.state == State::Off)
}
