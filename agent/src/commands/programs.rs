//! What loading the BPF programs shows: the one probe that asks the kernel itself.

use super::run::load_options;
use crate::bpf::{self, HookState, RootPlace, SenderSource};
use crate::config::Config;
use crate::kernel::{Capability, State};

/// Loads and attaches all programs, says what the kernel took, and lets go of them at once.
#[must_use]
pub fn probe(config: &Config) -> Vec<Capability> {
    let hooks = match bpf::load(&load_options(config)) {
        Ok((_, hooks)) => hooks,
        Err(error) => return vec![Capability::for_capture("bpf programs", State::Off, error.to_string())],
    };
    let root = match &hooks.root {
        RootPlace::Mounted(path) => format!("attached to the cgroup v2 root {}", path.display()),
        RootPlace::Private => "attached to a private mount of the cgroup v2 root".into(),
    };
    let sender = match hooks.sender {
        SenderSource::Helper => Capability::extra("sending thread", State::Works, "by bpf_get_current_pid_tgid"),
        SenderSource::TaskStruct(_) => Capability::extra("sending thread", State::Works, "by the kernel's BTF"),
        SenderSource::Unknown => {
            Capability::extra("sending thread", State::Off, "neither the helper (Linux 6.10) nor BTF: calls have no in-process parent")
        }
    };
    let hook = |hook: bpf::Hook| match hook.state {
        HookState::Attached => Capability::extra(format!("hook {}", hook.name), State::Works, hook.gives),
        HookState::Off(reason) => {
            Capability::extra(format!("hook {}", hook.name), State::Off, format!("not seen: {}: {reason}", hook.gives))
        }
    };
    let programs = Capability::for_capture("bpf programs", State::Works, root);
    [programs].into_iter().chain(hooks.hooks.into_iter().map(hook)).chain([sender]).collect()
}
