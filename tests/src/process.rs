//! A program that a test started: its log, and its end with the test.

use crate::wait_until;
use rustix::process::{Pid, Signal, kill_process_group};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// A running program in a process group of its own. Dropping it kills the group.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    group: Pid,
    log: Log,
}

/// Both outputs of the program, line by line as they came.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<String>>);

impl Log {
    fn read(&self, source: impl Read + Send + 'static) {
        let log = self.clone();
        thread::spawn(move || {
            let mut source = BufReader::new(source);
            let mut line = Vec::new();
            while source.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                log.0.lock().unwrap_or_else(PoisonError::into_inner).push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
    }

    fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Process {
    /// Starts a program without standard input; `name` is for messages.
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn start(name: &str, command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let log = Log::default();
        log.read(child.stdout.take().expect("a piped output"));
        log.read(child.stderr.take().expect("a piped output"));
        let group = Pid::from_child(&child);
        Self { name: name.to_owned(), child, group, log }
    }

    /// The program's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far, standard output and error together.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Waits for an answer while the program runs.
    ///
    /// # Panics
    /// The program ended, or there was no answer in time; the message holds its log.
    pub fn wait_until<T>(&mut self, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
        let (name, log, child) = (&self.name, &self.log, &mut self.child);
        wait_until(&format!("{name}: {what}"), || {
            let answer = ask();
            if answer.is_none()
                && let Ok(Some(status)) = child.try_wait()
            {
                panic!("{name} ended ({status}) before: {what}\n{}", log.text());
            }
            answer
        })
    }

    /// Waits until the program has printed a text.
    ///
    /// # Panics
    /// As [`Process::wait_until`].
    pub fn wait_for_log(&mut self, text: &str) {
        let log = self.log.clone();
        self.wait_until(text, || log.text().contains(text).then_some(()));
    }

    /// Waits until something listens on a port of the loopback address.
    ///
    /// # Panics
    /// As [`Process::wait_until`].
    pub fn wait_for_port(&mut self, port: u16) {
        self.wait_until(&format!("port {port}"), || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
    }

    /// Sends a signal to the program alone.
    ///
    /// # Panics
    /// The program has ended already.
    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.group, signal).unwrap_or_else(|error| panic!("{} takes no signal: {error}", self.name));
    }

    /// Waits for the program's own end.
    ///
    /// # Panics
    /// It did not end in time.
    pub fn wait(&mut self) -> ExitStatus {
        let (name, child) = (&self.name, &mut self.child);
        wait_until(&format!("the end of {name}"), || child.try_wait().ok().flatten())
    }

    /// Asks the program to end, and waits until it did.
    ///
    /// # Panics
    /// As [`Process::wait`].
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The group may outlive its first process; a group that is gone already is what was wanted.
        let _ = kill_process_group(self.group, Signal::KILL);
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- log of {} ---\n{}", self.name, self.log());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Process {
        Process::start("shell", Command::new("sh").args(["-c", script]))
    }

    #[test]
    fn both_outputs_are_in_the_log() {
        let mut process = shell("echo out; echo err >&2; sleep 600");
        process.wait_for_log("out\n");
        process.wait_for_log("err\n");
    }

    #[test]
    fn stop_returns_how_the_program_ended() {
        let mut process = shell("trap 'exit 3' TERM; echo ready; while :; do sleep 0.1; done");
        process.wait_for_log("ready");
        assert_eq!(process.stop().code(), Some(3));
    }

    #[test]
    fn dropping_a_process_ends_its_children() {
        let mut process = shell("sleep 600 & echo $!; wait");
        let log = process.log.clone();
        let child = process.wait_until("the child's id", || log.text().trim().parse::<u32>().ok());
        drop(process);
        wait_until("the end of the child", || {
            let status = std::fs::read_to_string(format!("/proc/{child}/status")).unwrap_or_default();
            (status.is_empty() || status.contains("State:\tZ")).then_some(())
        });
    }

    #[test]
    #[should_panic(expected = "ended (exit status: 7) before: a word")]
    fn a_program_that_ends_early_is_not_waited_for() {
        shell("exit 7").wait_for_log("a word");
    }
}
