//! A real Docker engine of a test's own: its directories, socket and bridge touch no other engine on the machine.

use crate::{Journald, Process, is_root, part, wait_until};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A running engine; its containers, its bridge and its files end with it.
#[derive(Debug)]
pub struct Docker {
    client: PathBuf,
    directory: PathBuf,
    bridge: String,
    engine: Process,
}

/// The image that [`Docker::run`] starts.
const IMAGE: &str = "shop/tools:1.2";

impl Docker {
    /// Starts an engine; `None` after printing why the test is skipped.
    ///
    /// # Panics
    /// It is there and does not start.
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::start_by(|daemon| Command::new(daemon))
    }

    /// Starts an engine whose `journald` driver writes to a journal of the test's own.
    ///
    /// # Panics
    /// As [`Docker::start`].
    #[must_use]
    pub fn start_with(journald: &Journald) -> Option<Self> {
        Self::start_by(|daemon| journald.command(daemon))
    }

    fn start_by(command: impl FnOnce(&Path) -> Command) -> Option<Self> {
        let (Some(daemon), Some(client), Some(_), true) = (part("docker"), part("dockercli"), part("ip"), is_root()) else { return None };
        let id = next_id();
        // A path that is short enough for the sockets below it.
        let directory = PathBuf::from(format!("/tmp/rme{id}"));
        let bridge = format!("rme{id}");
        fs::create_dir_all(&directory).expect("a scratch directory");
        ip(&["link", "add", "name", &bridge, "type", "bridge"]);
        ip(&["addr", "add", &format!("10.219.{}.1/24", id % 250), "dev", &bridge]);
        ip(&["link", "set", &bridge, "up"]);
        let path = |name: &str| directory.join(name).display().to_string();
        let mut command = command(&daemon);
        command
            .args(["--data-root", &path("data"), "--exec-root", &path("exec"), "--pidfile", &path("pid")])
            .args(["-H", &format!("unix://{}", path("sock")), "--bridge", &bridge, "--storage-driver", "vfs"])
            .args(["--iptables=false", "--ip6tables=false", "--ip-masq=false"]);
        let engine = Process::start("dockerd", &mut command);
        let mut docker = Self { client, directory, bridge, engine };
        let ready = (docker.client.clone(), docker.socket());
        docker.engine.wait_until("an engine that answers", || run(&ready.0, &ready.1, &["version"]).ok());
        docker.import();
        Some(docker)
    }

    /// Path of its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.join("sock")
    }

    /// Runs the command-line client and returns what it prints.
    ///
    /// # Panics
    /// It fails.
    pub fn docker(&self, arguments: &[&str]) -> String {
        run(&self.client, &self.socket(), arguments).unwrap_or_else(|error| panic!("docker {arguments:?}: {error}"))
    }

    /// Starts a container of programs of this machine, and returns its id.
    pub fn run(&self, options: &[&str], command: &[&str]) -> String {
        self.docker(&[&["run", "-d", "-v", "/usr:/usr:ro"], options, &[IMAGE], command].concat())
    }

    /// Address of a container on the bridge.
    pub fn address(&self, container: &str) -> String {
        wait_until("an address", || {
            let address = self.docker(&["inspect", "-f", "{{.NetworkSettings.IPAddress}}", container]);
            (!address.is_empty()).then_some(address)
        })
    }

    /// An image of empty directories, in which this machine's own `/usr` is mounted.
    fn import(&self) {
        let root = self.directory.join("root");
        fs::create_dir_all(root.join("usr")).expect("a scratch directory");
        for name in ["bin", "lib", "lib64", "sbin"] {
            symlink(format!("usr/{name}"), root.join(name)).expect("a link");
        }
        let archive = self.directory.join("image.tar");
        let packed = Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&archive).arg(".").status();
        assert!(packed.is_ok_and(|status| status.success()), "tar");
        self.docker(&["import", &archive.display().to_string(), IMAGE]);
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        let socket = self.socket();
        for id in run(&self.client, &socket, &["ps", "-aq"]).unwrap_or_default().lines() {
            let _ = run(&self.client, &socket, &["rm", "-f", id]);
        }
        // So that it takes its own parts (containerd) with it.
        self.engine.signal(rustix::process::Signal::TERM);
        self.engine.wait();
        let _ = Command::new("ip").args(["link", "del", &self.bridge]).status();
        // dockerd leaves its data directory mounted on itself.
        let _ = Command::new("umount").arg("-q").arg(self.directory.join("data")).status();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A number that no other engine of this machine has: tests of one program run side by side.
fn next_id() -> u32 {
    static STARTED: AtomicU32 = AtomicU32::new(0);
    std::process::id() * 10 + STARTED.fetch_add(1, Ordering::Relaxed) % 10
}

fn ip(arguments: &[&str]) {
    let status = Command::new("ip").args(arguments).status();
    assert!(status.is_ok_and(|status| status.success()), "ip {arguments:?}");
}

fn run(client: &Path, socket: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(client).arg("-H").arg(format!("unix://{}", socket.display())).args(arguments).output();
    let output = output.map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}
