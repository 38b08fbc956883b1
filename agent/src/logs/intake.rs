//! Where the lines of all sources become messages with a pattern, held until their batch is made.
//!
//! It owns the pattern tables, one for each workload, so that the streams, replicas and restarts of a workload share what
//! was learned. Must count every line, and hold no more than a batch.

use super::lane::{Target, Timed};
use super::store;
use crate::entity::table::Entity;
use crate::selfobs::{Counters, Event, Loss};
use remora_logs::envelope::Stream;
use remora_logs::table::{Change, overflow_id, overflow_template};
use remora_logs::timestamp::UnixNanos;
use remora_logs::{PatternId, Pipeline, Record, Severity, Source, table::PatternTable};
use siphasher::sip::SipHasher13;
use std::collections::HashMap;
use std::hash::Hasher;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Most pattern tables at one time; the one that was quiet longest gives way.
const MAX_TABLES: usize = 1024;
/// Memory of all patterns of the node.
const PATTERN_BYTES: usize = 32 << 20;
/// Largest saved table that is read, bytes.
const MAX_SAVED: u64 = 4 << 20;

/// Where lines come from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Who wrote them.
    pub entity: Arc<Entity>,
    /// `log.file.path`: the file as the host names it.
    pub path: Option<String>,
}

/// One of the pattern tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TableId(usize);

/// When a message was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Somewhat before this stamp of a runtime, the journal or the kernel.
    Stamped(UnixNanos),
    /// After the first, when its source did not hold it, and before the second, when it was read.
    Between(UnixNanos, UnixNanos),
}

/// A message that waits for its batch.
#[derive(Debug)]
pub struct Held {
    /// What it says.
    pub record: Record,
    /// Where it comes from.
    pub origin: Arc<Origin>,
    /// Its stream, if its source tells.
    pub stream: Option<Stream>,
    /// When it was written, if that is known.
    pub time: Option<UnixNanos>,
    /// When it was read.
    pub observed: UnixNanos,
    /// What is known of when it was written.
    pub written: Written,
    /// The table that counted it.
    pub table: TableId,
}

/// A line on its way into a message.
pub(super) struct Line<'a> {
    pub(super) text: &'a [u8],
    /// The time that joining goes by.
    pub(super) now: UnixNanos,
    /// What that time is.
    pub(super) timed: Timed,
    /// What the time of the open message is, if one is open.
    pub(super) open_timed: Option<Timed>,
    /// Severity that the envelope tells.
    pub(super) fallback: Severity,
    pub(super) stream: Option<Stream>,
}

/// What an intake works with.
pub struct IntakeSettings {
    /// Limits and redaction.
    pub settings: remora_logs::Settings,
    /// Where patterns are kept; nowhere if none.
    pub state: Option<PathBuf>,
    /// The agent's counters.
    pub counters: Arc<Counters>,
}

struct Workload {
    name: Arc<str>,
    table: PatternTable,
    used: UnixNanos,
    /// Patterns when it was last saved.
    saved: u64,
}

/// See the module.
pub struct Intake {
    pipeline: Pipeline,
    workloads: Vec<Workload>,
    by_name: HashMap<Arc<str>, usize>,
    held: Vec<Held>,
    held_bytes: usize,
    directory: Option<PathBuf>,
    counters: Arc<Counters>,
}

impl Intake {
    /// An intake without messages.
    #[must_use]
    pub fn new(settings: IntakeSettings) -> Self {
        let IntakeSettings { settings, state, counters } = settings;
        Self {
            pipeline: Pipeline::new(settings, PATTERN_BYTES),
            workloads: Vec::new(),
            by_name: HashMap::new(),
            held: Vec::new(),
            held_bytes: 0,
            directory: state.map(|state| state.join("log-patterns")),
            counters,
        }
    }

    /// The table of a workload, as it was saved or empty. Valid until the next [`Intake::make_room`].
    pub(super) fn table(&mut self, name: &Arc<str>, wall: UnixNanos) -> TableId {
        if let Some(&index) = self.by_name.get(name) {
            self.workloads[index].used = wall;
            return TableId(index);
        }
        let saved = self.directory.as_deref().and_then(|directory| load(&file(directory, name), name));
        let table = self.pipeline.load_table(saved.as_deref().unwrap_or_default(), wall);
        let saved = digest(&table);
        self.by_name.insert(Arc::clone(name), self.workloads.len());
        self.workloads.push(Workload { name: Arc::clone(name), table, used: wall, saved });
        TableId(self.workloads.len() - 1)
    }

    /// Lets the oldest tables go if there are too many. Only while nothing is held.
    pub fn make_room(&mut self) {
        while self.workloads.len() > MAX_TABLES && self.held.is_empty() {
            let Some(oldest) = (0..self.workloads.len()).min_by_key(|&index| self.workloads[index].used) else { return };
            let gone = self.workloads.swap_remove(oldest);
            self.by_name.remove(&gone.name);
            if let Some(moved) = self.workloads.get(oldest) {
                self.by_name.insert(Arc::clone(&moved.name), oldest);
            }
            self.keep(&gone);
            self.pipeline.drop_table(gone.table);
        }
    }

    /// Takes a line; returns how many messages it completed.
    pub(super) fn line(&mut self, joiner: &mut Source, line: &Line<'_>, target: Target<'_>) -> usize {
        self.counters.count(Event::Lines, 1);
        let before = self.held.len();
        let Self { pipeline, workloads, held, held_bytes, .. } = self;
        let Some(workload) = workloads.get_mut(target.table.0) else { return 0 };
        joiner.push(pipeline, &mut workload.table, line.text, line.fallback, line.now, |record, time| {
            hold(held, held_bytes, before, record, time, line, target);
        });
        self.held.len() - before
    }

    /// Completes the open message of a joiner.
    pub(super) fn finish(&mut self, joiner: &mut Source, line: &Line<'_>, target: Target<'_>) {
        let before = self.held.len();
        let Self { pipeline, workloads, held, held_bytes, .. } = self;
        let Some(workload) = workloads.get_mut(target.table.0) else { return };
        joiner.finish(pipeline, &mut workload.table, line.fallback, line.now, |record, time| {
            hold(held, held_bytes, before, record, time, line, target);
        });
    }

    /// Bytes of a line were left out.
    pub(super) fn cut(&self, bytes: u64) {
        if bytes > 0 {
            self.counters.lost(Loss::LineTooLong, 1);
        }
    }

    /// A source lost something.
    pub(super) fn lost(&self, loss: Loss) {
        self.counters.lost(loss, 1);
    }

    /// A line comes a second time, because it was on its way when the agent was killed.
    pub(super) fn repeated(&self, lines: u64) {
        self.counters.count(Event::RepeatedLines, lines);
    }

    /// Messages that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.held.len()
    }

    /// Their size, bytes.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Takes all messages that wait.
    pub fn take(&mut self) -> Vec<Held> {
        self.held_bytes = 0;
        std::mem::take(&mut self.held)
    }

    /// What an id stands for now, and its template.
    #[must_use]
    pub fn pattern(&self, table: TableId, id: PatternId, severity: Severity) -> (PatternId, Arc<str>) {
        let Some(workload) = self.workloads.get(table.0) else { return (id, "".into()) };
        let id = workload.table.resolve(id);
        let template = workload.table.template_of(id);
        let overflow = || (id == overflow_id(severity)).then(|| overflow_template(severity).into());
        (id, template.or_else(overflow).unwrap_or_else(|| "".into()))
    }

    /// What happened to the patterns of a table since the last call.
    pub fn changes(&mut self, table: TableId) -> Vec<Change> {
        let Some(workload) = self.workloads.get_mut(table.0) else { return Vec::new() };
        // Counts are made from messages, for each container and stream apart.
        workload.table.take_counts();
        workload.table.take_changes()
    }

    /// Writes tables whose patterns changed since the last call.
    pub fn save(&mut self) {
        for index in 0..self.workloads.len() {
            let digest = digest(&self.workloads[index].table);
            if digest != self.workloads[index].saved && self.keep(&self.workloads[index]) {
                self.workloads[index].saved = digest;
            }
        }
    }

    fn keep(&self, workload: &Workload) -> bool {
        let Some(directory) = &self.directory else { return true };
        let text = [workload.name.as_bytes(), b"\n", &workload.table.save()].concat();
        let written = std::fs::create_dir_all(directory).and_then(|()| store::replace(&file(directory, &workload.name), &text, false));
        if let Err(error) = &written {
            tracing::debug!(%error, workload = %workload.name, "patterns cannot be kept");
            self.counters.lost(Loss::StateWrite, 1);
        }
        written.is_ok()
    }
}

fn hold(held: &mut Vec<Held>, bytes: &mut usize, before: usize, record: Record, joined: UnixNanos, line: &Line<'_>, target: Target<'_>) {
    let timed = if held.len() == before { line.open_timed.unwrap_or(line.timed) } else { line.timed };
    let time = record.time.or((timed == Timed::Written).then_some(joined));
    *bytes += size_of::<Held>() + record.body.len() + record.exception.as_ref().map_or(0, |exception| exception.stacktrace.len());
    let written = match timed {
        Timed::Written => Written::Stamped(joined),
        Timed::Read { since, by } => Written::Between(since, by),
    };
    let origin = Arc::clone(target.origin);
    held.push(Held { record, origin, stream: line.stream, time, observed: target.wall, written, table: target.table });
}

fn digest(table: &PatternTable) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(&table.save());
    hasher.finish()
}

/// Names of workloads may hold anything, so files are named by hashes and hold the name.
fn file(directory: &Path, workload: &str) -> PathBuf {
    let mut hasher = SipHasher13::new();
    hasher.write(workload.as_bytes());
    directory.join(format!("{:016x}.patterns", hasher.finish()))
}

fn load(path: &Path, workload: &str) -> Option<Vec<u8>> {
    if std::fs::metadata(path).ok()?.len() > MAX_SAVED {
        return None;
    }
    let read: io::Result<Vec<u8>> = std::fs::read(path);
    let text = read.ok()?;
    Some(text.strip_prefix(workload.as_bytes())?.strip_prefix(b"\n")?.to_vec())
}
