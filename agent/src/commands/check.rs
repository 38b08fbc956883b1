//! `remora check`: what works on this machine, one line a capability.

use super::CommandError;
use super::arguments::CheckFormat;
use crate::config::Config;
use crate::kernel::{self, Capability, Roots, State, Verdict};
use std::io::Write;

/// Prints what the kernel and the privileges allow; `programs` is what loading the BPF programs showed.
///
/// # Errors
/// `output` fails.
pub fn check(config: &Config, programs: Vec<Capability>, format: CheckFormat, output: &mut dyn Write) -> Result<Verdict, CommandError> {
    let roots = Roots { proc: config.host.proc.clone(), sys: config.host.sys.clone(), cgroup: config.capture.cgroup_root.clone() };
    let mut capabilities = kernel::probe(&roots);
    capabilities.extend(programs);
    let written = match format {
        CheckFormat::Text => text(&capabilities, output),
        CheckFormat::Json => {
            serde_json::to_string_pretty(&capabilities).map_err(std::io::Error::from).and_then(|json| writeln!(output, "{json}"))
        }
    };
    written.map_err(|source| CommandError::Io { doing: "write the result".into(), source })?;
    Ok(kernel::verdict(&capabilities))
}

fn text(capabilities: &[Capability], output: &mut dyn Write) -> std::io::Result<()> {
    let width = capabilities.iter().map(|capability| capability.name.len()).max().unwrap_or_default();
    for Capability { name, state, reason, need: _ } in capabilities {
        let state = match state {
            State::Works => "works",
            State::Degraded => "degraded",
            State::Off => "off",
        };
        writeln!(output, "{name:width$}  {state:8}  {reason}")?;
    }
    Ok(())
}
