//! A real containerd of a test's own: its directories and socket touch no other one on the machine.
//!
//! It runs without its CRI plugin, which wants a network of its own: containers get the labels that a kubelet gives, and
//! their output is written in CRI's format by the logging program that a container may name.

use crate::{Process, is_root, part};
use rustix::process::Signal;
use serde_json::json;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A running containerd; its containers and files end with it.
#[derive(Debug)]
pub struct Containerd {
    client: PathBuf,
    directory: PathBuf,
    daemon: Process,
}

/// The image that [`Containerd::run`] starts.
const IMAGE: &str = "docker.io/shop/web:1.2";
/// Writes a container's output (descriptor 3) as CRI lines to the file of its argument, once it said that it is ready (5).
const LOGGER: &str = r#"#!/bin/sh
exec 5>&-
while IFS= read -r line <&3; do
    printf '%s stdout F %s\n' "$(date -u +%Y-%m-%dT%H:%M:%S.%NZ)" "$line"
done >>"$1"
"#;

impl Containerd {
    /// Starts it; `None` after printing why the test is skipped.
    ///
    /// # Panics
    /// It is there and does not start.
    #[must_use]
    pub fn start() -> Option<Self> {
        let (Some(daemon), Some(client), true) = (part("containerd"), part("ctr"), is_root()) else { return None };
        // A path that is short enough for the sockets below it, and another one for each test of this program.
        let directory = tempfile::Builder::new().prefix("rmc").tempdir_in("/tmp").expect("a scratch directory").keep();
        let path = |name: &str| directory.join(name).display().to_string();
        let config = format!(
            "version = 2\nroot = \"{}\"\nstate = \"{}\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
             [grpc]\naddress = \"{}\"\n[ttrpc]\naddress = \"{}\"\n",
            path("data"),
            path("run"),
            path("sock"),
            path("ttrpc")
        );
        fs::write(path("config.toml"), config).expect("a scratch file");
        fs::write(path("logger"), LOGGER).expect("a scratch file");
        fs::set_permissions(path("logger"), fs::Permissions::from_mode(0o755)).expect("a mode");
        let daemon = Process::start("containerd", Command::new(daemon).args(["--config", &path("config.toml")]));
        let mut containerd = Self { client, directory, daemon };
        let (client, socket) = (containerd.client.clone(), containerd.socket());
        containerd.daemon.wait_until("an engine that answers", || ctr(&client, &socket, &["version"]).ok());
        containerd.pack();
        Some(containerd)
    }

    /// Path of its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.join("sock")
    }

    /// Starts a container of programs of this machine on the host's network; its output goes to `log` in CRI's format.
    ///
    /// # Panics
    /// It does not start.
    pub fn run(&self, namespace: &str, id: &str, labels: &[String], log: &Path, command: &[&str]) {
        let archive = self.directory.join("image.tar").display().to_string();
        self.ctr(&["-n", namespace, "images", "import", "--snapshotter", "native", &archive]);
        let labels: Vec<&str> = labels.iter().flat_map(|label| ["--label", label.as_str()]).collect();
        let output = format!("binary://{}?{}", self.directory.join("logger").display(), log.display());
        let options = ["run", "-d", "--snapshotter", "native", "--net-host", "--mount", "type=bind,src=/usr,dst=/usr,options=rbind:ro"];
        self.ctr(&[&["-n", namespace], &options[..], &labels, &["--log-uri", &output, IMAGE, id], command].concat());
    }

    fn ctr(&self, arguments: &[&str]) -> String {
        ctr(&self.client, &self.socket(), arguments).unwrap_or_else(|error| panic!("ctr {arguments:?}: {error}"))
    }

    /// An image of empty directories, in which this machine's own `/usr` is mounted, as `docker save` would write it.
    fn pack(&self) {
        let root = self.directory.join("root");
        for name in ["usr", "proc", "dev", "sys", "tmp"] {
            fs::create_dir_all(root.join(name)).expect("a scratch directory");
        }
        for name in ["bin", "lib", "lib64", "sbin"] {
            symlink(format!("usr/{name}"), root.join(name)).expect("a link");
        }
        tar(&root, &self.directory.join("layer.tar"), &["."]);
        let digest = output(Command::new("sha256sum").arg(self.directory.join("layer.tar"))).expect("a digest");
        let layer = format!("sha256:{}", digest.split(' ').next().unwrap_or_default());
        let config = json!({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [layer]}});
        let manifest = json!([{"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]);
        fs::write(self.directory.join("config.json"), config.to_string()).expect("a scratch file");
        fs::write(self.directory.join("manifest.json"), manifest.to_string()).expect("a scratch file");
        tar(&self.directory, &self.directory.join("image.tar"), &["manifest.json", "config.json", "layer.tar"]);
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let list = |arguments: &[&str]| ctr(&self.client, &self.socket(), arguments).unwrap_or_default();
        for namespace in list(&["namespaces", "ls", "-q"]).lines() {
            for id in list(&["-n", namespace, "containers", "ls", "-q"]).lines() {
                let _ = list(&["-n", namespace, "tasks", "rm", "-f", id]);
                let _ = list(&["-n", namespace, "containers", "rm", id]);
            }
        }
        self.daemon.signal(Signal::TERM);
        self.daemon.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn tar(directory: &Path, archive: &Path, files: &[&str]) {
    output(Command::new("tar").arg("-C").arg(directory).arg("-cf").arg(archive).args(files)).expect("an archive");
}

fn ctr(client: &Path, socket: &Path, arguments: &[&str]) -> Result<String, String> {
    output(Command::new(client).arg("--address").arg(socket).args(arguments))
}

fn output(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}
