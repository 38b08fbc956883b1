//! All sources of the node, each in its turn.
//!
//! A turn gives every source a bounded amount of work and stops when a batch is full; the next one goes on behind the
//! source at which the last one stopped, so that none is forgotten however much another has to say.

use super::discover::{self, Found, Globs};
use super::follow::{Activity, Begin, Followed, Turn};
use super::intake::{Intake, Origin, TableId};
use super::journal::{self, Journal};
use super::kmsg::{Kmsg, Writers};
use super::lane::Format;
use super::owner::Owners;
use super::position::{FilePosition, LANES, State};
use super::store::Checkpoint;
use crate::entity::host::Host;
use crate::entity::table::{Entities, Entity};
use crate::selection::{Fact, Facts, Glob, Selection, Verdict};
use remora_core::model::nanos;
use remora_logs::timestamp::UnixNanos;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Between scans for files of pods and of the configuration.
const SCAN: Duration = Duration::from_secs(1);
/// A file whose owner is gone, and that did not grow for so long, is closed; its position is kept.
const CLOSE: Duration = Duration::from_secs(60);
/// A file is found that soon after it was made.
const DISCOVERY: Duration = Duration::from_secs(60);
/// A pod's log waits for so long for a runtime to describe its container, so that its first lines have all names.
const PATIENCE: Duration = Duration::from_secs(2);
/// Most files that are open at one time.
const MAX_FILES: usize = 16_384;
/// Bytes of one read.
const BUFFER: usize = 128 * 1024;

/// What sources work with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The host's root directory.
    pub root: PathBuf,
    /// The host's `/proc`.
    pub proc_root: PathBuf,
    /// Files in addition to those of containers.
    pub include: Vec<Glob>,
    /// Files that are left out.
    pub exclude: Vec<Glob>,
    /// What the user wants observed.
    pub selection: Selection,
    /// Whether the journal and the kernel's log are read.
    pub machine: Machine,
    /// Tells the time in nanoseconds since the Unix epoch.
    pub clock: fn() -> UnixNanos,
}

/// Whether the machine's own logs are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// Journal, else kernel log.
    Read,
    /// Only files.
    FilesOnly,
}

/// What a turn left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Nothing was new.
    None,
    /// Something was new, and all of it was read.
    Done,
    /// There is more.
    More,
}

struct Source {
    path: PathBuf,
    followed: Followed,
    origin: Arc<Origin>,
    workload: Arc<str>,
    /// When the file last grew, or was last found.
    used: Instant,
    found: u64,
}

/// See the module.
pub struct Sources {
    settings: Settings,
    owners: Owners,
    sources: Vec<Source>,
    by_path: HashMap<PathBuf, usize>,
    /// Logs of pods that no runtime has described yet, and since when they are known.
    strangers: HashMap<PathBuf, Instant>,
    /// Positions of files that are not open.
    parked: State,
    sent: State,
    journal: Option<Journal>,
    kernel: Option<(Kmsg, Writers)>,
    /// What is older and has no position was there before.
    horizon: SystemTime,
    next: usize,
    buffer: Vec<u8>,
    scanned: Option<Instant>,
    generation: Option<u64>,
    scans: u64,
}

impl Sources {
    /// Sources that go on where `checkpoint` says; `None` if no agent has run here before.
    #[must_use]
    pub fn new(settings: Settings, entities: Entities, host: Host, checkpoint: Option<Checkpoint>) -> Self {
        let horizon = horizon(checkpoint.as_ref().map(|checkpoint| checkpoint.saved), SystemTime::now());
        let Checkpoint { done, sent, .. } = checkpoint.unwrap_or_default();
        let mut owners = Owners::new(entities, host);
        let reads = settings.machine == Machine::Read;
        let journal = (reads && journal::is_kept(&settings.root))
            .then(|| Journal::new(&settings.root, done.journal.clone(), sent.journal.as_deref()));
        let kernel = (reads && journal.is_none())
            .then(|| Kmsg::open(&settings.root, &settings.proc_root, done.kernel.as_ref(), sent.kernel.as_ref()));
        let kernel = kernel.and_then(|opened| opened.inspect_err(|error| tracing::info!(%error, "the kernel's log is not read")).ok());
        let origin = |entity| Arc::new(Origin { entity, path: None });
        let kernel = kernel.map(|kmsg| (kmsg, Writers { kernel: origin(owners.kernel()), programs: origin(owners.host()) }));
        Self {
            settings,
            owners,
            sources: Vec::new(),
            by_path: HashMap::new(),
            strangers: HashMap::new(),
            parked: done,
            sent,
            journal,
            kernel,
            horizon,
            next: 0,
            buffer: vec![0; BUFFER],
            scanned: None,
            generation: None,
            scans: 0,
        }
    }

    /// One turn. Ends early when `full` says that a batch is due.
    pub fn turn(&mut self, intake: &mut Intake, now: Instant, wall: UnixNanos, full: impl Fn(&Intake) -> bool) -> Work {
        self.discover(intake, now);
        let mut work = Work::None;
        if let Some(journal) = &mut self.journal
            && journal.turn(&mut self.owners, wall, now, intake)
        {
            work = Work::More;
        }
        if let Some((kmsg, writers)) = &mut self.kernel
            && kmsg.turn(writers, wall, now, intake)
        {
            work = Work::More;
        }
        for _ in 0..self.sources.len() {
            if full(intake) {
                return Work::More;
            }
            self.next = (self.next + 1) % self.sources.len();
            let source = &mut self.sources[self.next];
            let table = intake.table(&source.workload, wall);
            let mut turn = Turn { intake, buffer: &mut self.buffer, now, wall, clock: self.settings.clock };
            match source.followed.turn(&source.origin, table, &mut turn) {
                Activity::Quiet => {}
                Activity::Read => {
                    source.used = now;
                    work = if work == Work::None { Work::Done } else { work };
                }
                Activity::More => {
                    source.used = now;
                    work = Work::More;
                }
            }
        }
        work
    }

    /// Completes all open messages: the agent stops.
    pub fn finish(&mut self, intake: &mut Intake, now: Instant, wall: UnixNanos) {
        for source in &mut self.sources {
            let table: TableId = intake.table(&source.workload, wall);
            let mut turn = Turn { intake, buffer: &mut self.buffer, now, wall, clock: self.settings.clock };
            source.followed.finish(&source.origin, table, &mut turn);
        }
        if let Some(journal) = &mut self.journal {
            journal.finish(wall, now, intake);
        }
    }

    /// How far everything is done once all that the intake holds has left.
    pub fn positions(&mut self) -> State {
        let mut state = self.parked.clone();
        for source in &mut self.sources {
            let positions = source.followed.positions();
            if !positions.is_empty() {
                state.files.insert(source.path.display().to_string(), positions);
            }
        }
        if let Some(journal) = &mut self.journal {
            state.journal = journal.position();
        }
        if let Some((kmsg, _)) = &self.kernel {
            state.kernel = Some(kmsg.position());
        }
        state
    }

    /// What has become known since of the container of a message, if it was a stranger when the message was read.
    pub fn described(&mut self, stranger: &Entity) -> Option<Arc<Entity>> {
        self.owners.described(stranger)
    }

    /// How many files are followed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sources.len()
    }

    /// Whether no file is followed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// Looks for new files: containers at once, others each [`SCAN`].
    fn discover(&mut self, intake: &Intake, now: Instant) {
        let generation = self.owners.entities().generation();
        let due = self.scanned.is_none_or(|scanned| now.saturating_duration_since(scanned) >= SCAN);
        let changed = self.generation.replace(generation) != Some(generation);
        if !due && !changed {
            return;
        }
        let mut found = discover::containers(&self.settings.root, &self.owners);
        if due {
            self.scanned = Some(now);
            self.scans += 1;
            found.extend(discover::pods(&self.settings.root, &mut self.owners));
            let globs = Globs { include: &self.settings.include, exclude: &self.settings.exclude };
            found.extend(globs.find(&self.settings.root, &self.settings.proc_root, &mut self.owners));
        }
        for found in found {
            self.found(found, intake, now);
        }
        if due {
            self.close(now);
        }
    }

    fn found(&mut self, found: Found, intake: &Intake, now: Instant) {
        if !is_selected(&self.settings.selection, &found.entity) {
            return;
        }
        if let Some(source) = self.by_path.get(&found.path).and_then(|&index| self.sources.get_mut(index)) {
            source.found = self.scans;
            if !Arc::ptr_eq(&source.origin.entity, &found.entity) {
                source.origin = Arc::new(Origin { entity: found.entity, path: Some(found.shown) });
                source.workload = found.workload.into();
            }
            return;
        }
        if self.sources.len() >= MAX_FILES || self.is_stranger(&found, now) || self.is_followed_elsewhere(&found) {
            return;
        }
        let Found { path, shown, format, entity, workload } = found;
        let name = path.display().to_string();
        let sent = self.sent.files.remove(&name);
        // An agent that was killed before its first batch was taken has sent something and done nothing.
        let done = self.parked.files.remove(&name).or_else(|| sent.as_deref().map(undone));
        let followed = match done {
            Some(done) => {
                let sent = sent.unwrap_or_default();
                Followed::resume(path.clone(), format, &done, &sent, intake)
            }
            None => {
                Followed::begin(path.clone(), format, self.begin(&path), nanos(self.horizon.duration_since(UNIX_EPOCH).unwrap_or_default()))
            }
        };
        self.by_path.insert(path.clone(), self.sources.len());
        let origin = Arc::new(Origin { entity, path: Some(shown) });
        self.sources.push(Source { path, followed, origin, workload: workload.into(), used: now, found: self.scans });
    }

    /// Whether a runtime may still tell more of whose log this is.
    fn is_stranger(&mut self, found: &Found, now: Instant) -> bool {
        let waits = found.format == Format::Cri && found.entity.container.is_none();
        if waits && now.saturating_duration_since(*self.strangers.entry(found.path.clone()).or_insert(now)) < PATIENCE {
            return true;
        }
        self.strangers.remove(&found.path);
        false
    }

    /// A file that was rotated may match a glob under its new name.
    fn is_followed_elsewhere(&self, found: &Found) -> bool {
        use super::position::FileKey;
        let Ok(metadata) = std::fs::metadata(&found.path) else { return false };
        let key = FileKey::of(&metadata);
        self.sources.iter().any(|source| source.followed.knows(key))
    }

    /// What an earlier agent could have followed and did not, or what was there before the first one, is not read from its
    /// start; all else is.
    fn begin(&self, path: &std::path::Path) -> Begin {
        let metadata = std::fs::metadata(path);
        let created = metadata.and_then(|metadata| metadata.created().or_else(|_| metadata.modified()));
        if created.is_ok_and(|created| created < self.horizon) { Begin::Recent } else { Begin::Whole }
    }

    /// Closes files that nobody finds any more and that have been quiet.
    fn close(&mut self, now: Instant) {
        let mut index = 0;
        while index < self.sources.len() {
            let source = &self.sources[index];
            let lost = source.found + 2 < self.scans;
            let quiet = now.saturating_duration_since(source.used) >= CLOSE;
            if !(lost && (source.followed.is_over() || quiet)) {
                index += 1;
                continue;
            }
            let mut gone = self.sources.swap_remove(index);
            self.by_path.remove(&gone.path);
            if let Some(moved) = self.sources.get(index) {
                self.by_path.insert(moved.path.clone(), index);
            }
            // A container may be started again, and goes on in the same file.
            if !gone.followed.is_over() && gone.path.exists() {
                self.parked.files.insert(gone.path.display().to_string(), gone.followed.positions());
            }
        }
        self.strangers.retain(|_, since| now.saturating_duration_since(*since) < CLOSE);
        if self.scans.is_multiple_of(600) {
            self.parked.files.retain(|path, _| std::path::Path::new(path).exists());
        }
    }
}

/// What was made before this time, and has no position, was there before any agent. `saved` is when the last agent wrote its
/// positions, by a clock that may have been ahead.
fn horizon(saved: Option<SystemTime>, now: SystemTime) -> SystemTime {
    saved.map_or(now, |saved| saved.min(now).checked_sub(DISCOVERY).unwrap_or(UNIX_EPOCH))
}

/// The same files with nothing done.
fn undone(sent: &[FilePosition]) -> Vec<FilePosition> {
    sent.iter().map(|position| FilePosition { done: [0; LANES], ..*position }).collect()
}

/// Whether the user wants what an entity logs. Rules about programs, ports and paths say nothing of that.
#[must_use]
pub fn is_selected(selection: &Selection, entity: &Entity) -> bool {
    let facts = Facts {
        container: entity.container_name().into(),
        service: Fact::Known(&entity.service.name),
        executable: Fact::Absent,
        port: Fact::Absent,
        path: Fact::Absent,
    };
    selection.is_empty() || selection.evaluate(&facts) == Verdict::Yes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_back_makes_no_new_file_an_old_one() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let (hour, minute) = (Duration::from_secs(3_600), DISCOVERY);
        assert_eq!(horizon(None, now), now, "what is there before the first agent is old");
        assert_eq!(horizon(Some(now - hour), now), now - hour - minute);
        assert_eq!(horizon(Some(now + hour), now), now - minute);
    }
}
