//! Client programs that talk a known list of operations: scripts of `tests/clients`, and command-line clients.

use crate::servers::java;
use crate::{Process, part, repository};
use rustix::process::Signal;
use std::process::Command;

/// A script or program of `tests/clients`.
#[derive(Debug)]
pub struct Client {
    process: Process,
}

impl Client {
    /// Starts a script in the language of its extension, or the program that was built of it; `None` after printing why the
    /// test is skipped.
    ///
    /// # Panics
    /// There is no such language.
    #[must_use]
    pub fn start(script: &str, ports: &[u16]) -> Option<Self> {
        let source = repository().join("tests/clients").join(script);
        let mut command = match script.rsplit_once('.') {
            Some((_, "py")) => {
                let mut command = Command::new(part("python")?);
                command.arg(source);
                command
            }
            Some((_, "js")) => {
                let mut command = Command::new(part("node")?);
                command.env("NODE_PATH", part("node_modules")?).arg(source);
                command
            }
            Some((_, "java")) => {
                let mut command = java()?;
                command.arg(source);
                command
            }
            Some((program, "go")) => Command::new(part("go_clients")?.join(program)),
            _ => panic!("{script}: an unknown language"),
        };
        command.args(ports.iter().map(u16::to_string));
        Some(Self { process: Process::start(script, &mut command) })
    }

    /// Starts a script and waits until it has the connections that are to be older than the agent.
    #[must_use]
    pub fn connected(script: &str, ports: &[u16]) -> Option<Self> {
        let mut client = Self::start(script, ports)?;
        client.process.wait_for_log("connected");
        Some(client)
    }

    /// Lets a client go on that waits for the agent.
    pub fn go_on(&mut self) {
        self.process.signal(Signal::USR2);
    }

    /// Waits until it has printed a text.
    pub fn wait_for(&mut self, text: &str) {
        self.process.wait_for_log(text);
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// It failed.
    pub fn finish(mut self) {
        let status = self.process.wait();
        assert!(status.success(), "{status}: {}", self.process.log());
    }

    /// Lets a client that waits for the agent do all that it has to.
    pub fn talk(mut self) {
        self.go_on();
        self.finish();
    }
}

/// Runs a command-line client of a part to its end; whether it succeeded, or `None` after printing why the test is skipped.
#[must_use]
pub fn run(name: &str, arguments: &[&str]) -> Option<bool> {
    let mut process = Process::start(name, Command::new(part(name)?).args(arguments));
    let status = process.wait();
    if !status.success() {
        eprintln!("{name} {arguments:?}: {status}\n{}", process.log());
    }
    Some(status.success())
}
