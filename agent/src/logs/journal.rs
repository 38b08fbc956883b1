//! The systemd journal, read by the machine's own `journalctl`, whose export format is stable across all versions of the
//! files. Where that program or the journal is missing, the journal is absent, and the agent says why.
//!
//! A thread reads the program's output into a bounded channel: a journal that floods waits, and delays no other source.

use super::intake::{Intake, Origin};
use super::journal_export::{self, Entry};
use super::journalctl;
use super::lane::{Lane, Target};
use super::owner::Owners;
use super::{TableId, discover};
use crate::entity::cgroup::ContainerId;
use crate::entity::table::Lookup;
use crate::entity::table::Who;
use crate::selfobs::Loss;
use remora_core::model::Pid;
use remora_logs::Severity;
use remora_logs::envelope::{Entry as Wrapped, Part, Stream};
use remora_logs::timestamp::UnixNanos;
use std::borrow::Cow;
use std::collections::hash_map::Entry as MapEntry;
use std::collections::{HashMap, VecDeque};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

/// Entries that wait between the reading thread and the turns.
const WAITING: usize = 1024;
/// Entries of one turn.
const TURN: usize = 1024;
/// Most streams at one time.
const MAX_LANES: usize = 1024;
/// Most entries that may be read again because an old message is still open.
const MAX_CURSORS: usize = 8192;
/// Entries read of a journal that no agent has read before.
const HISTORY: &str = "1000";
/// Pauses before `journalctl` is started again: the first, doubled up to the last.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// What one stream is: its owner's workload, its stream, and its priority, as messages of different ones never join.
#[derive(Clone, PartialEq, Eq, Hash)]
struct LaneKey {
    owner: Owner,
    stream: Option<Stream>,
    fallback: Severity,
}

/// Who wrote an entry, by its trusted fields.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Owner {
    Container(ContainerId),
    Unit(String),
    Process(u32, String),
    Kernel,
    Host,
}

struct JournalLane {
    lane: Lane,
    origin: Arc<Origin>,
    workload: Arc<str>,
    used: Instant,
    /// What was known of entities when the owner was found.
    generation: u64,
}

/// See the module.
pub(super) struct Journal {
    root: PathBuf,
    running: Option<Running>,
    pause: Duration,
    started: Option<Instant>,
    told: bool,
    lanes: HashMap<LaneKey, JournalLane>,
    /// Cursors of entries since the oldest open message, with their numbers.
    cursors: VecDeque<(u64, String)>,
    /// The cursor in front of those.
    done: Option<String>,
    /// Entries up to this time, microseconds since the Unix epoch, may have been sent before.
    sent: Option<u64>,
    number: u64,
    own_pid: u32,
}

struct Running {
    child: Child,
    entries: Receiver<Entry>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Journal {
    /// Goes on behind the cursor `done`, or begins with the newest entries. Those up to the cursor `sent` are repeats.
    pub(super) fn new(root: &Path, done: Option<String>, sent: Option<&str>) -> Self {
        Self {
            root: root.to_path_buf(),
            running: None,
            pause: PAUSES.0,
            started: None,
            told: false,
            lanes: HashMap::new(),
            cursors: VecDeque::new(),
            sent: sent.filter(|sent| done.as_deref() != Some(*sent)).and_then(realtime),
            done,
            number: 0,
            own_pid: std::process::id(),
        }
    }

    /// Takes what is new, within a bound. Whether there is more.
    pub(super) fn turn(&mut self, owners: &mut Owners, wall: UnixNanos, now: Instant, intake: &mut Intake) -> bool {
        self.start(now, intake);
        let mut taken = 0;
        while let Some(running) = &self.running {
            match running.entries.try_recv() {
                Ok(entry) => self.entry(&entry, owners, wall, now, intake),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    self.running = None;
                    break;
                }
            }
            taken += 1;
            if taken >= TURN {
                return true;
            }
        }
        for (key, lane) in &mut self.lanes {
            let target = Target { origin: &lane.origin, table: intake.table(&lane.workload, wall), wall, now, since: 0, by: wall };
            lane.lane.finish_idle(key.fallback, key.stream, target, intake);
        }
        if self.lanes.len() > MAX_LANES {
            self.lanes.retain(|_, lane| lane.lane.oldest().is_some() || now.saturating_duration_since(lane.used) < Duration::from_secs(60));
        }
        self.settle();
        false
    }

    /// Completes open messages: the agent stops.
    pub(super) fn finish(&mut self, wall: UnixNanos, now: Instant, intake: &mut Intake) {
        for (key, lane) in &mut self.lanes {
            let target = Target { origin: &lane.origin, table: intake.table(&lane.workload, wall), wall, now, since: 0, by: wall };
            lane.lane.finish(key.fallback, key.stream, target, intake);
        }
        self.settle();
    }

    /// Cursor behind which to go on once all that is held has left.
    pub(super) fn position(&mut self) -> Option<String> {
        self.settle();
        self.done.clone()
    }

    /// Forgets the cursors of entries that are done.
    fn settle(&mut self) {
        let oldest = self.lanes.values().filter_map(|lane| lane.lane.oldest()).map(|(_, number)| number).min().unwrap_or(u64::MAX);
        while self.cursors.len() > MAX_CURSORS || self.cursors.front().is_some_and(|(number, _)| *number < oldest) {
            self.done = self.cursors.pop_front().map(|(_, cursor)| cursor);
        }
    }

    fn start(&mut self, now: Instant, intake: &Intake) {
        let waits = self.started.is_some_and(|started| now.saturating_duration_since(started) < self.pause);
        if self.running.is_some() || waits {
            return;
        }
        self.pause = if self.started.is_some() { (self.pause * 2).min(PAUSES.1) } else { PAUSES.0 };
        self.started = Some(now);
        let last = self.cursors.back().map(|(_, cursor)| cursor.as_str()).or(self.done.as_deref());
        match spawn(&self.root, last) {
            Ok(running) => self.running = Some(running),
            Err(error) if self.told => tracing::debug!(%error, "journalctl"),
            Err(error) => {
                self.told = true;
                intake.lost(Loss::SourceUnreadable);
                tracing::warn!(%error, "the journal is not read: journalctl cannot be started");
            }
        }
    }

    fn entry(&mut self, entry: &Entry, owners: &mut Owners, wall: UnixNanos, now: Instant, intake: &mut Intake) {
        self.pause = PAUSES.0;
        self.number += 1;
        let Some(cursor) = entry.text("__CURSOR") else { return };
        self.cursors.push_back((self.number, cursor.to_owned()));
        intake.cut(entry.skipped);
        let Some(message) = entry.get("MESSAGE") else { return };
        if entry.number("_PID") == Some(u64::from(self.own_pid)) {
            return;
        }
        if self.sent.is_some() {
            self.sent = self.sent.filter(|sent| entry.number("__REALTIME_TIMESTAMP").is_some_and(|time| time <= *sent));
            intake.repeated(u64::from(self.sent.is_some()));
        }
        let owner = owner(entry);
        let (stream, fallback) = severity(entry, &owner);
        let key = LaneKey { owner, stream, fallback };
        let generation = owners.entities().generation();
        let found = |owner: &Owner, owners: &mut Owners| {
            let entity = entity(owner, entry, owners);
            let workload: Arc<str> = discover::workload_of(&entity).into();
            (Arc::new(Origin { entity, path: None }), workload)
        };
        let lane = match self.lanes.entry(key) {
            MapEntry::Occupied(lane) => {
                let key = lane.key().clone();
                let lane = lane.into_mut();
                if lane.generation != generation {
                    (lane.origin, lane.workload) = found(&key.owner, owners);
                }
                lane
            }
            MapEntry::Vacant(lane) => {
                let (origin, workload) = found(&lane.key().owner, owners);
                lane.insert(JournalLane { lane: Lane::default(), origin, workload, used: now, generation })
            }
        };
        (lane.used, lane.generation) = (now, generation);
        let table: TableId = intake.table(&lane.workload, wall);
        let target = Target { origin: &lane.origin, table, wall, now, since: 0, by: wall };
        let mark = (0, self.number);
        match part(entry) {
            Some(part) => {
                let text = Cow::Borrowed(message);
                let of_container = Wrapped { time: time(entry), stream: stream.unwrap_or(Stream::Stdout), part, text };
                lane.lane.entry(&of_container, stream, mark, target, intake);
            }
            None => lane.lane.line(message, time(entry), fallback, stream, mark, target, intake),
        }
    }
}

/// The time in a cursor (systemd, `sd_journal_get_cursor`): hexadecimal microseconds behind `t=`.
fn realtime(cursor: &str) -> Option<u64> {
    let time = cursor.split(';').find_map(|part| part.strip_prefix("t="))?;
    u64::from_str_radix(time, 16).ok()
}

fn owner(entry: &Entry) -> Owner {
    let unit = entry.text("_SYSTEMD_UNIT").or_else(|| entry.text("UNIT")).filter(|unit| !unit.starts_with("user@"));
    if let Some(id) = entry.text("CONTAINER_ID_FULL") {
        return Owner::Container(ContainerId::new(id));
    }
    match (entry.text("_TRANSPORT"), unit, entry.number("_PID").and_then(|pid| u32::try_from(pid).ok())) {
        (Some("kernel"), ..) => Owner::Kernel,
        (_, Some(unit), _) => Owner::Unit(unit.to_owned()),
        (_, None, Some(pid)) => Owner::Process(pid, entry.text("_COMM").unwrap_or_default().to_owned()),
        _ => Owner::Host,
    }
}

fn entity(owner: &Owner, entry: &Entry, owners: &mut Owners) -> Arc<crate::entity::table::Entity> {
    match owner {
        Owner::Container(id) => owners.container(id),
        Owner::Unit(unit) => owners.unit(unit),
        Owner::Process(pid, comm) => match owners.entities().lookup(&Who { comm: Some(comm.clone()), ..Who::pid(Pid(*pid)) }) {
            Lookup::Known(entity) => entity,
            // The answer would come too late: by what the entry itself tells.
            Lookup::Pending => match entry.text("SYSLOG_IDENTIFIER").filter(|name| !name.is_empty()) {
                Some(name) => owners.unit(name),
                None => owners.host(),
            },
        },
        Owner::Kernel => owners.kernel(),
        Owner::Host => owners.host(),
    }
}

/// Docker and Podman write standard error with priority 3 and standard output with 6, which says nothing of the message.
fn severity(entry: &Entry, owner: &Owner) -> (Option<Stream>, Severity) {
    let priority = entry.number("PRIORITY");
    match (owner, priority) {
        (Owner::Container(_), Some(3)) => (Some(Stream::Stderr), Severity::UNSPECIFIED),
        (Owner::Container(_), Some(6)) => (Some(Stream::Stdout), Severity::UNSPECIFIED),
        _ => (None, priority.and_then(Severity::from_syslog).unwrap_or_default()),
    }
}

/// Which part of a line a container engine wrote, if it is one: Docker marks all parts and the last one, Podman all but the
/// last.
fn part(entry: &Entry) -> Option<Part> {
    entry.get("CONTAINER_ID_FULL")?;
    let says = |field: &str| entry.text(field) == Some("true");
    let more = says("CONTAINER_PARTIAL_MESSAGE") && !says("CONTAINER_PARTIAL_LAST");
    Some(if more { Part::Partial } else { Part::Full })
}

/// When the program wrote it, else when the journal took it; microseconds in the journal.
fn time(entry: &Entry) -> Option<UnixNanos> {
    let micros = entry.number("_SOURCE_REALTIME_TIMESTAMP").or_else(|| entry.number("__REALTIME_TIMESTAMP"))?;
    micros.checked_mul(1_000)
}

fn spawn(root: &Path, cursor: Option<&str>) -> std::io::Result<Running> {
    let mut command = journalctl::command(root);
    command.args(["--output=export", "--follow", "--quiet", "--no-pager"]);
    match cursor {
        Some(cursor) => command.arg("--no-tail").arg(format!("--after-cursor={cursor}")),
        None => command.args(["-n", HISTORY]),
    };
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let output = child.stdout.take().ok_or(std::io::ErrorKind::BrokenPipe)?;
    let (sender, entries) = sync_channel(WAITING);
    std::thread::Builder::new().name("journal".into()).spawn(move || pump(output, &sender))?;
    Ok(Running { child, entries })
}

fn pump(output: impl std::io::Read, entries: &SyncSender<Entry>) {
    let mut reader = BufReader::with_capacity(64 * 1024, output);
    loop {
        match journal_export::read(&mut reader, wanted) {
            Ok(Some(entry)) => {
                if entries.send(entry).is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(%error, "output of journalctl");
                return;
            }
        }
    }
}

fn wanted(field: &str) -> bool {
    matches!(
        field,
        "MESSAGE"
            | "PRIORITY"
            | "SYSLOG_IDENTIFIER"
            | "CONTAINER_ID_FULL"
            | "CONTAINER_PARTIAL_MESSAGE"
            | "CONTAINER_PARTIAL_LAST"
            | "UNIT"
            | "_SYSTEMD_UNIT"
            | "_PID"
            | "_COMM"
            | "_TRANSPORT"
            | "_SOURCE_REALTIME_TIMESTAMP"
            | "__REALTIME_TIMESTAMP"
            | "__CURSOR"
    )
}

/// Whether the machine keeps a journal.
pub(super) fn is_kept(root: &Path) -> bool {
    ["var/log/journal", "run/log/journal"].iter().any(|store| root.join(store).is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> Entry {
        journal_export::read(&mut format!("{text}\n\n").as_bytes(), wanted).unwrap().unwrap()
    }

    #[test]
    fn trusted_fields_tell_the_owner() {
        assert!(matches!(owner(&entry("_SYSTEMD_UNIT=nginx.service\n_PID=5")), Owner::Unit(unit) if unit == "nginx.service"));
        assert!(matches!(owner(&entry("CONTAINER_ID_FULL=abc\n_SYSTEMD_UNIT=docker.service")), Owner::Container(_)));
        assert!(matches!(owner(&entry("_TRANSPORT=kernel")), Owner::Kernel));
        assert!(matches!(owner(&entry("_PID=7\n_COMM=cron")), Owner::Process(7, _)));
        assert!(matches!(owner(&entry("MESSAGE=x")), Owner::Host));
    }

    #[test]
    fn parts_of_a_line_as_docker_and_podman_mark_them() {
        let of = |text: &str| part(&entry(text));
        assert_eq!(of("CONTAINER_ID_FULL=a\nCONTAINER_PARTIAL_MESSAGE=true\nCONTAINER_PARTIAL_LAST=false"), Some(Part::Partial));
        assert_eq!(of("CONTAINER_ID_FULL=a\nCONTAINER_PARTIAL_MESSAGE=true\nCONTAINER_PARTIAL_LAST=true"), Some(Part::Full));
        assert_eq!(of("CONTAINER_ID_FULL=a\nCONTAINER_PARTIAL_MESSAGE=true"), Some(Part::Partial));
        assert_eq!((of("CONTAINER_ID_FULL=a"), of("CONTAINER_PARTIAL_MESSAGE=true")), (Some(Part::Full), None));
    }

    #[test]
    fn a_cursor_tells_the_time_of_its_entry() {
        let cursor =
            "s=677c706b609b453bbd6409389ed7ad8f;i=1;b=8be6257e855f455d923b6f7009bcf1b0;m=351a7eb01;t=6611ee172fa85;x=8557bf4bfcbed88a";
        assert_eq!(realtime(cursor), Some(1_795_635_119_585_925));
        assert_eq!((realtime("s=1;t=x"), realtime("")), (None, None));
    }

    #[test]
    fn priorities_of_container_engines_are_streams() {
        let of = |text: &str| {
            let entry = entry(text);
            severity(&entry, &owner(&entry))
        };
        assert_eq!(of("CONTAINER_ID_FULL=a\nPRIORITY=3"), (Some(Stream::Stderr), Severity::UNSPECIFIED));
        assert_eq!(of("_SYSTEMD_UNIT=a.service\nPRIORITY=3"), (None, Severity::ERROR));
        assert_eq!(of("_SYSTEMD_UNIT=a.service"), (None, Severity::UNSPECIFIED));
        assert_eq!(time(&entry("__REALTIME_TIMESTAMP=9\n_SOURCE_REALTIME_TIMESTAMP=7")), Some(7_000));
    }
}
