//! The kernel's own log, `/dev/kmsg`: out-of-memory kills, I/O errors, everything the kernel tells.
//!
//! Records: `PRIORITY,SEQUENCE,MICROSECONDS,FLAGS;TEXT`, then lines ` KEY=value` (kernel documentation,
//! `Documentation/ABI/testing/dev-kmsg`). Must never wait for one.

use super::discover;
use super::intake::{Intake, Origin};
use super::lane::{Lane, Target};
use super::position::KernelPosition;
use crate::selfobs::Loss;
use remora_logs::Severity;
use remora_logs::timestamp::UnixNanos;
use rustix::fs::{Mode, OFlags, SeekFrom};
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Longest record of any kernel.
const RECORD: usize = 8192 + 1024;
/// Records of one turn.
const TURN: usize = 512;

/// One record.
#[derive(Debug, PartialEq, Eq)]
struct Record {
    severity: Severity,
    kernel: bool,
    sequence: u64,
    /// Since boot.
    micros: u64,
    text: Vec<u8>,
}

/// See the module.
pub(super) struct Kmsg {
    device: OwnedFd,
    boot: String,
    done: u64,
    /// Records up to this one may have been sent before.
    sent: u64,
    lane: Lane,
}

/// Whose records are: the kernel's own, and those that programs wrote into its log.
pub(super) struct Writers {
    pub(super) kernel: Arc<Origin>,
    pub(super) programs: Arc<Origin>,
}

impl Kmsg {
    /// Opens the log and goes on behind the position `done`, if that is of this boot; else begins with what comes next.
    /// Records up to the position `sent` are repeats.
    ///
    /// # Errors
    /// The log cannot be read: no privilege, or none here.
    pub(super) fn open(root: &Path, proc_root: &Path, done: Option<&KernelPosition>, sent: Option<&KernelPosition>) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let device = rustix::fs::open(root.join("dev/kmsg"), flags, Mode::empty())?;
        let boot = std::fs::read_to_string(proc_root.join("sys/kernel/random/boot_id"))?.trim().to_owned();
        if done.is_none() {
            rustix::fs::seek(&device, SeekFrom::End(0))?;
        }
        let sequence =
            |position: Option<&KernelPosition>| position.filter(|position| position.boot == boot).map_or(0, |position| position.sequence);
        let (done, sent) = (sequence(done), sequence(sent));
        Ok(Self { device, boot, done, sent, lane: Lane::default() })
    }

    /// Reads what is new, within a bound. Whether there is more.
    pub(super) fn turn(&mut self, writers: &Writers, wall: UnixNanos, now: Instant, intake: &mut Intake) -> bool {
        let booted = wall.saturating_sub(since_boot());
        let mut buffer = [0; RECORD];
        for _ in 0..TURN {
            match rustix::io::read(&self.device, &mut buffer) {
                Ok(0) | Err(Errno::AGAIN) => return false,
                Ok(got) => {
                    let Some(record) = parse(&buffer[..got]) else { continue };
                    if record.sequence <= self.done && self.done > 0 {
                        continue;
                    }
                    self.done = record.sequence;
                    intake.repeated(u64::from(record.sequence <= self.sent));
                    let time = booted.saturating_add(record.micros.saturating_mul(1_000));
                    let origin = if record.kernel { &writers.kernel } else { &writers.programs };
                    let table = intake.table(&discover::workload_of(&origin.entity).into(), wall);
                    let target = Target { origin, table, wall, now, since: 0, by: wall };
                    self.lane.line(&record.text, Some(time), record.severity, None, (0, record.sequence), target, intake);
                    self.lane.finish(record.severity, None, target, intake);
                }
                // The record that was next has been overwritten.
                Err(Errno::PIPE) => intake.lost(Loss::SourceGone),
                Err(Errno::INTR) => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// Where to go on once all that is held has left.
    pub(super) fn position(&self) -> KernelPosition {
        KernelPosition { boot: self.boot.clone(), sequence: self.done }
    }
}

/// Nanoseconds of the clock that stamps the records.
fn since_boot() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

fn parse(bytes: &[u8]) -> Option<Record> {
    let semicolon = memchr::memchr(b';', bytes)?;
    let head = std::str::from_utf8(&bytes[..semicolon]).ok()?;
    let mut fields = head.split(',');
    let priority: u64 = fields.next()?.parse().ok()?;
    let sequence = fields.next()?.parse().ok()?;
    let micros = fields.next()?.parse().ok()?;
    let text = bytes[semicolon + 1..].split(|byte| *byte == b'\n').next()?;
    Some(Record { severity: Severity::from_syslog(priority & 7)?, kernel: priority >> 3 == 0, sequence, micros, text: unescaped(text) })
}

/// Bytes that do not print are written as `\x0a`.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        let code = match rest {
            [b'\\', b'x', high, low, ..] => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match code {
            Some((high, low)) => {
                out.push(high << 4 | low);
                rest = &rest[4..];
            }
            None => {
                out.push(byte);
                rest = tail;
            }
        }
    }
    out
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_record_of_the_kernel() {
        let record = parse(b"3,1234,5678901,-;I/O error, dev sda\\x0asector 5\n SUBSYSTEM=block\n").unwrap();
        assert_eq!((record.severity, record.kernel, record.sequence, record.micros), (Severity::ERROR, true, 1234, 5_678_901));
        assert_eq!(record.text, b"I/O error, dev sda\nsector 5");
        let user = parse(b"30,7,8,-;systemd[1]: hello").unwrap();
        assert_eq!((user.severity, user.kernel), (Severity::INFO, false));
    }

    proptest! {
        #[test]
        fn any_bytes_are_safe(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = parse(&bytes);
        }
    }
}
