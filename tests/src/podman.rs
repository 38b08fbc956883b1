//! A real Podman with a store of a test's own, without its service; its containers need no network.

use crate::{Journald, is_root, part};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A store of Podman below a root directory of its own; its containers end with it.
#[derive(Debug)]
pub struct Podman {
    program: PathBuf,
    runtime: PathBuf,
    root: TempDir,
}

/// The image that [`Podman::run`] starts.
const IMAGE: &str = "localhost/shop/web:1.2";

impl Podman {
    /// Makes the store; `None` after printing why the test is skipped.
    ///
    /// # Panics
    /// Podman is there and does not work.
    #[must_use]
    pub fn new() -> Option<Self> {
        let (Some(program), Some(runtime), true) = (part("podman"), part("runc"), is_root()) else { return None };
        let podman = Self { program, runtime, root: TempDir::new().expect("a scratch directory") };
        let image = podman.root.path().join("image");
        for name in ["usr", "proc", "dev", "sys", "tmp", "etc", "run", "var"] {
            fs::create_dir_all(image.join(name)).expect("a scratch directory");
        }
        for name in ["bin", "lib", "lib64", "sbin"] {
            symlink(format!("usr/{name}"), image.join(name)).expect("a link");
        }
        let archive = podman.root.path().join("image.tar").display().to_string();
        let packed = Command::new("tar").arg("-C").arg(&image).args(["-cf", &archive, "."]).status();
        assert!(packed.is_ok_and(|status| status.success()), "tar");
        podman.podman(Command::new(&podman.program), &["import", &archive, IMAGE]);
        Some(podman)
    }

    /// The root directory below which the store is.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// Starts a container of programs of this machine on the host's network, and returns its id.
    ///
    /// # Panics
    /// It does not start.
    pub fn run(&self, journald: Option<&Journald>, options: &[&str], command: &[&str]) -> String {
        let podman = journald.map_or_else(|| Command::new(&self.program), |journald| journald.command(&self.program));
        // Limits as they are: raising them is not allowed everywhere.
        let fixed = ["run", "-d", "--network", "host", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", "-v", "/usr:/usr:ro"];
        self.podman(podman, &[&fixed, options, &[IMAGE], command].concat())
    }

    fn podman(&self, mut command: Command, arguments: &[&str]) -> String {
        let path = |name: &str| self.root.path().join(name);
        command.arg("--root").arg(path("var/lib/containers/storage")).arg("--runroot").arg(path("run/containers/storage"));
        command.arg("--tmpdir").arg(path("tmp")).arg("--runtime").arg(&self.runtime);
        // What the runtime knows must be found from each mount namespace.
        command.arg("--runtime-flag").arg(format!("root={}", path("runc").display()));
        command.args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "none"]).args(arguments);
        let output = command.output().expect("podman");
        assert!(output.status.success(), "podman {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        self.podman(Command::new(&self.program), &["rm", "--all", "--force", "--time", "0"]);
        // Podman leaves its store mounted on itself.
        let _ = Command::new("umount").arg("-q").arg(self.root.path().join("var/lib/containers/storage/vfs")).status();
    }
}
