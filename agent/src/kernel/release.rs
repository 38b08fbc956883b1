//! The kernel's version: BPF ring buffers came with 5.8, and the programs are tried from 5.10 on.

use super::{Capability, State};
use std::fmt;
use std::path::Path;

/// A kernel release such as `6.12.9-cloud-amd64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Major and minor version.
    pub version: (u32, u32),
    text: String,
}

impl Release {
    /// Reads `sys/kernel/osrelease` below the `/proc` that is given.
    #[must_use]
    pub fn read(proc: &Path) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(proc.join("sys/kernel/osrelease")).ok()?)
    }

    /// Parses the text of `uname -r`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let mut numbers = text.split(|c: char| !c.is_ascii_digit());
        let major = numbers.next()?.parse().ok()?;
        let minor = numbers.next()?.parse().ok()?;
        Some(Self { version: (major, minor), text: text.to_owned() })
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

pub(super) fn judge(release: Option<&Release>) -> Capability {
    let name = "kernel";
    match release {
        None => Capability::for_capture(name, State::Degraded, "release cannot be read"),
        Some(release) if release.version < (5, 8) => {
            Capability::for_capture(name, State::Off, format!("{release} is older than 5.8, which has no BPF ring buffer"))
        }
        Some(release) if release.version < (5, 10) => {
            Capability::for_capture(name, State::Degraded, format!("{release} is older than 5.10, the oldest that is tested"))
        }
        Some(release) => Capability::for_capture(name, State::Works, release.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_of_real_kernels_are_read() {
        let cases = [
            ("6.12.9-cloud-amd64\n", Some((6, 12))),
            ("5.10.0-33-amd64", Some((5, 10))),
            ("5.15.153.1-microsoft-standard-WSL2", Some((5, 15))),
            ("7.2-rc1", Some((7, 2))),
            ("6.1.119-129.201.amzn2023.x86_64", Some((6, 1))),
            ("linux", None),
            ("", None),
            ("99999999999.1", None),
        ];
        for (text, version) in cases {
            assert_eq!(Release::parse(text).map(|release| release.version), version, "{text}");
        }
    }

    #[test]
    fn old_kernels_cannot_capture() {
        let state = |text| judge(Release::parse(text).as_ref()).state;
        assert_eq!(state("4.19.0"), State::Off);
        assert_eq!(state("5.8.0"), State::Degraded);
        assert_eq!(state("5.10.0"), State::Works);
        assert_eq!(state("?"), State::Degraded);
    }
}
