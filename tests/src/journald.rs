//! A real systemd-journald of a test's own, in a mount namespace where `/run` is a scratch directory.

use crate::{Process, is_root, part};
use rustix::process::Signal;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A running journald.
#[derive(Debug)]
pub struct Journald {
    root: TempDir,
    daemon: Process,
}

/// Nothing is held back, files are small, and the machine's own messages stay out.
const CONFIG: &str = "[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=no\nRateLimitIntervalSec=0\nRuntimeMaxFileSize=2M\nRuntimeMaxUse=512M\nRuntimeKeepFree=1M\n";
/// Mounts the scratch directory over `/run` and becomes journald.
const START: &str = "set -e; mount --make-rprivate /; mount --bind \"$1/run\" /run; mount --bind \"$1/journald.conf\" /etc/systemd/journald.conf; exec \"$2\"";

impl Journald {
    /// Starts it; `None` after printing why the test is skipped.
    ///
    /// # Panics
    /// It is there and does not start.
    #[must_use]
    pub fn start() -> Option<Self> {
        let (Some(program), Some(_), true) = (part("journald"), part("journalctl"), is_root()) else { return None };
        let root = TempDir::new().expect("a scratch directory");
        fs::create_dir_all(root.path().join("run/systemd/journal")).expect("a scratch directory");
        fs::create_dir_all(root.path().join("run/log/journal")).expect("a scratch directory");
        fs::write(root.path().join("journald.conf"), CONFIG).expect("a scratch file");
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", START, "sh"]).arg(root.path()).arg(program);
        let mut daemon = Process::start("systemd-journald", &mut command);
        let socket = root.path().join("run/systemd/journal/socket");
        daemon.wait_until("its socket", || socket.exists().then_some(()));
        Some(Self { root, daemon })
    }

    /// The root directory below which the journal is.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// Path of its socket for the native protocol.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.root.path().join("run/systemd/journal/socket")
    }

    /// A connection for the native protocol, on which each datagram is an entry: lines `FIELD=value`.
    ///
    /// # Panics
    /// It does not listen.
    #[must_use]
    pub fn connect(&self) -> UnixDatagram {
        let socket = UnixDatagram::unbound().expect("a socket");
        socket.connect(self.socket()).expect("a journal that listens");
        socket
    }

    /// Has it begin new files.
    pub fn rotate(&self) {
        self.daemon.signal(Signal::USR2);
    }

    /// How many files it has.
    #[must_use]
    pub fn files(&self) -> usize {
        let machines = fs::read_dir(self.root.path().join("run/log/journal")).into_iter().flatten().flatten();
        machines.flat_map(|machine| fs::read_dir(machine.path()).into_iter().flatten()).count()
    }

    /// A command that runs where this is the machine's journal.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--target", &self.daemon.pid().to_string()]).arg(program);
        command
    }
}
