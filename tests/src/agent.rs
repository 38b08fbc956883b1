//! The agent as it is shipped, run on this machine with a state directory and a port of its own.

use crate::parts::{profile_dir, target_dir};
use crate::{Process, Response, free_port, get};
use rustix::fs::{FlockOperation, flock};
use std::env;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A running agent. There is one at a time: each captures the whole machine, and tests that run one wait for each other.
#[derive(Debug)]
pub struct Agent {
    process: Process,
    state: TempDir,
    port: u16,
    _turn: File,
}

/// Waits until no other test runs an agent, also none of another test program.
fn turn() -> File {
    let path = target_dir().join("agent.turn");
    let file = File::create(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    flock(&file, FlockOperation::LockExclusive).expect("a lock");
    file
}

impl Agent {
    /// Starts the agent with variables on top of this process's environment, and waits until capture is attached.
    ///
    /// # Panics
    /// It does not get ready; the message holds its log.
    #[must_use]
    pub fn start<'a>(variables: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        let turn = turn();
        let state = TempDir::new().expect("a scratch directory");
        let port = free_port();
        let mut command = Self::command();
        command.arg("run").env("REMORA_STATE_DIR", state.path()).env("REMORA_VIEW_LISTEN", format!("127.0.0.1:{port}")).envs(variables);
        let mut process = Process::start("remora", &mut command);
        process.wait_until("ready", || get(port, "/readyz").ok().filter(|response| response.status == 200));
        Self { process, state, port, _turn: turn }
    }

    /// A command of the agent's program, for tests of other commands and of failing starts.
    ///
    /// # Panics
    /// The program was not built.
    #[must_use]
    pub fn command() -> Command {
        let program = env::var_os("AGENT_UNDER_TEST").map_or_else(|| profile_dir().join("remora"), PathBuf::from);
        assert!(program.is_file(), "no agent at {}: build it first (cargo build --bin remora), or set AGENT_UNDER_TEST", program.display());
        Command::new(program)
    }

    /// Gets a path of its local HTTP interface.
    ///
    /// # Errors
    /// As [`get`].
    pub fn get(&self, path: &str) -> io::Result<Response> {
        get(self.port, path)
    }

    /// The port of its local HTTP interface.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Its state directory.
    #[must_use]
    pub fn state_dir(&self) -> &Path {
        self.state.path()
    }

    /// Its process, to stop it or to read its log.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}
