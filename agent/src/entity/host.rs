//! What this machine is: name, id, architecture, operating system.
//!
//! Read once at start, from `/etc` of the host (below a root that is passed in) and `uname`.

use std::path::Path;

use remora_core::model::{Attrs, semconv};

use super::read;

/// What `uname` says; an argument, so that fixtures stay whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uname {
    /// Node name.
    pub node: String,
    /// Kernel release.
    pub release: String,
    /// Hardware name, like `x86_64`.
    pub machine: String,
}

impl Uname {
    /// Of the running kernel.
    #[must_use]
    pub fn of_this_machine() -> Self {
        let uname = rustix::system::uname();
        let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
        Self { node: text(uname.nodename()), release: text(uname.release()), machine: text(uname.machine()) }
    }
}

/// The machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// `host.name`.
    pub name: String,
    /// `host.id`: `/etc/machine-id`, as the conventions say for a machine outside a cloud.
    pub id: Option<String>,
    /// `host.arch` in the spelling of the conventions.
    pub arch: String,
    /// Kernel release.
    pub kernel: String,
    /// `os.name`, like `Debian GNU/Linux`.
    pub os_name: Option<String>,
    /// `os.version`, like `12`.
    pub os_version: Option<String>,
    /// `os.description`, like `Debian GNU/Linux 12 (bookworm)`.
    pub os_description: Option<String>,
}

impl Host {
    /// Reads `etc/machine-id` and `etc/os-release` below `root`; what is missing stays unknown.
    #[must_use]
    pub fn read(root: &Path, uname: &Uname) -> Self {
        let id = ["etc/machine-id", "var/lib/dbus/machine-id"]
            .iter()
            .find_map(|path| read::line(&root.join(path)))
            // systemd writes this word where the id is not yet decided.
            .filter(|id| id != "uninitialized");
        let release = ["etc/os-release", "usr/lib/os-release"].iter().find_map(|path| read::bytes(&root.join(path), 64 * 1024).ok());
        let release = String::from_utf8_lossy(release.as_deref().unwrap_or_default()).into_owned();
        Self {
            name: uname.node.clone(),
            id,
            arch: arch(&uname.machine).to_owned(),
            kernel: uname.release.clone(),
            os_name: os_field(&release, "NAME"),
            os_version: os_field(&release, "VERSION_ID"),
            os_description: os_field(&release, "PRETTY_NAME"),
        }
    }

    /// Adds the `host.*` and `os.*` attributes.
    pub fn describe(&self, attrs: &mut Attrs) {
        attrs.set_str(semconv::HOST_NAME, &self.name);
        attrs.set_str(semconv::HOST_ARCH, &self.arch);
        attrs.set_str(semconv::OS_TYPE, "linux");
        let known = [
            (semconv::HOST_ID, &self.id),
            (semconv::OS_NAME, &self.os_name),
            (semconv::OS_VERSION, &self.os_version),
            (semconv::OS_DESCRIPTION, &self.os_description),
        ];
        for (key, value) in known {
            if let Some(value) = value {
                attrs.set_str(key, value);
            }
        }
    }
}

/// `host.arch` values of the conventions for the kernel's names; a name that they do not list stays as it is.
fn arch(machine: &str) -> &str {
    match machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "i386" | "i486" | "i586" | "i686" => "x86",
        "ppc64le" => "ppc64",
        other if other.starts_with("armv") => "arm32",
        other => other,
    }
}

/// Value of a variable of `os-release` (`os-release(5)`): shell assignments with optional quotes.
fn os_field(text: &str, name: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='))?.trim();
    let quoted = |quote| value.strip_prefix(quote).and_then(|rest: &str| rest.strip_suffix(quote));
    let value = quoted('"').or_else(|| quoted('\'')).unwrap_or(value);
    (!value.is_empty()).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uname() -> Uname {
        Uname { node: "web-1".into(), release: "6.1.0-18-amd64".into(), machine: "x86_64".into() }
    }

    #[test]
    fn a_machine_is_described_by_the_conventions() {
        let root = super::super::fixture::tree(&[
            ("etc/machine-id", "3d1219c7c4c5404aaa1f6d2a48adfda4\n"),
            ("etc/os-release", "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME='Debian GNU/Linux'\nVERSION_ID=12\nID=debian\n"),
        ]);
        let mut attrs = Attrs::default();
        Host::read(root.path(), &uname()).describe(&mut attrs);
        assert_eq!(attrs.str(semconv::HOST_NAME), Some("web-1"));
        assert_eq!(attrs.str(semconv::HOST_ID), Some("3d1219c7c4c5404aaa1f6d2a48adfda4"));
        assert_eq!(attrs.str(semconv::HOST_ARCH), Some("amd64"));
        assert_eq!(attrs.str(semconv::OS_TYPE), Some("linux"));
        assert_eq!(attrs.str(semconv::OS_NAME), Some("Debian GNU/Linux"));
        assert_eq!(attrs.str(semconv::OS_VERSION), Some("12"));
        assert_eq!(attrs.str(semconv::OS_DESCRIPTION), Some("Debian GNU/Linux 12 (bookworm)"));
    }

    #[test]
    fn what_a_machine_does_not_say_stays_unknown() {
        let root = super::super::fixture::tree(&[("etc/machine-id", "uninitialized\n")]);
        let host = Host::read(root.path(), &uname());
        assert_eq!((host.id, host.os_name, host.os_version), (None, None, None));
    }
}
