//! One path that is followed through growth, rotation, truncation, removal and restarts of the agent.
//!
//! The files that stood at the path are read in their order: the older to their ends, then the newer. A file that was
//! rotated stays open for a while, as its program may still write to it. What was rotated away unseen is found beside the
//! path, by its bytes and times, compressed or not. Must do a bounded amount of work each turn.

use super::frames::Framing;
use super::intake::{Intake, Origin, TableId};
use super::lane::{Format, Lanes, Target};
use super::position::{FileKey, FilePosition, Fingerprint, LANES, Resume};
use super::siblings;
use super::tail::{Look, Step, Tail};
use crate::selfobs::Loss;
use remora_logs::timestamp::UnixNanos;
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between looks at what the path names.
const LOOK: Duration = Duration::from_millis(250);
/// A file that was rotated or removed stays open for so long after its last growth.
const LINGER: Duration = Duration::from_secs(10);
/// Bytes read in one turn.
const TURN_BYTES: usize = 512 * 1024;
/// Most files of one path at one time.
const MAX_TAILS: usize = 64;
/// What is read of a file that was there before the first agent: its last bytes.
const HISTORY: u64 = 1 << 20;

/// How a path that no agent has followed before is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// At its first byte: it is new.
    Whole,
    /// At most [`HISTORY`] before its end: it was there before.
    Recent,
}

/// What a turn brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Activity {
    /// Nothing new.
    Quiet,
    /// New lines, all read.
    Read,
    /// There is more.
    More,
}

/// What a turn works with.
pub(super) struct Turn<'a> {
    pub(super) intake: &'a mut Intake,
    pub(super) buffer: &'a mut [u8],
    pub(super) now: Instant,
    /// When the turn began, in nanoseconds since the Unix epoch.
    pub(super) wall: UnixNanos,
    /// Tells the time likewise.
    pub(super) clock: fn() -> UnixNanos,
}

impl Turn<'_> {
    fn target<'a>(&self, origin: &'a Arc<Origin>, table: TableId) -> Target<'a> {
        Target { origin, table, wall: self.wall, now: self.now, since: 0, by: self.wall }
    }
}

/// See the module.
pub(super) struct Followed {
    path: PathBuf,
    format: Format,
    /// Files that are read, oldest first.
    tails: VecDeque<Tail>,
    /// Files that were read to their ends, or are to be left alone.
    ended: Vec<FilePosition>,
    lanes: Lanes,
    number: u64,
    looked: Option<Instant>,
    /// Rotated files that were written after this time and are unknown were rotated unseen.
    since: i64,
    /// Files that were made before this time are none of this path's, as far as their file system tells.
    born: i64,
    /// Why the path could last not be read, so that it is told once.
    trouble: Option<io::ErrorKind>,
}

impl Followed {
    /// Begins a path that no agent has followed before. Files beside it were there before, too, if they are older than
    /// `horizon`.
    pub(super) fn begin(path: PathBuf, format: Format, begin: Begin, horizon: UnixNanos) -> Self {
        let mut followed = Self::new(path, format);
        if begin == Begin::Whole {
            // All files beside that of a new container are its own. A program may have rotated its new file before it was found.
            followed.since = if format == Format::Plain { i64::try_from(horizon).unwrap_or(i64::MAX) } else { i64::MIN };
            followed.born = followed.since;
            return followed;
        }
        followed.ended = siblings::of(&followed.path).iter().map(passed).collect();
        if let Ok(mut tail) = followed.open(&followed.path.clone(), Resume::default()) {
            let size = tail.size();
            if size > HISTORY {
                tail = match followed.open(&followed.path.clone(), Resume::at(size - HISTORY)) {
                    Ok(tail) => tail,
                    Err(_) => tail,
                };
                if format != Format::DockerLocal {
                    let _ = tail.skip_to_line();
                }
            }
            followed.tails.push_back(tail);
        }
        followed
    }

    /// Goes on where the last agent stopped. `done` and `sent` are its positions.
    pub(super) fn resume(path: PathBuf, format: Format, done: &[FilePosition], sent: &[FilePosition], intake: &Intake) -> Self {
        let mut followed = Self::new(path, format);
        let mut candidates = siblings::of(&followed.path);
        candidates.extend(siblings::current(&followed.path));
        for position in done {
            if position.ended {
                followed.ended.push(*position);
                continue;
            }
            let Some(found) = find(position, &candidates) else {
                intake.lost(Loss::SourceGone);
                continue;
            };
            let sent = sent.iter().find(|sent| sent.key == position.key).map_or(position.done, |sent| sent.done);
            match followed.open(&found, Resume { done: position.done, sent }) {
                Ok(tail) => followed.tails.push_back(tail),
                Err(error) => followed.complain(&error, intake),
            }
        }
        let newest = done.iter().map(|position| position.modified).max().unwrap_or(i64::MAX);
        followed.catch_up(newest, intake);
        followed
    }

    fn new(path: PathBuf, format: Format) -> Self {
        Self {
            path,
            format,
            tails: VecDeque::new(),
            ended: Vec::new(),
            lanes: Lanes::new(format),
            number: 0,
            looked: None,
            since: i64::MAX,
            born: i64::MIN,
            trouble: None,
        }
    }

    fn open(&mut self, path: &Path, resume: Resume) -> io::Result<Tail> {
        let framing = if self.format == Format::DockerLocal { Framing::DockerLocal } else { Framing::Lines };
        let tail = Tail::open(path, framing, self.number, resume)?;
        self.number += 1;
        Ok(tail)
    }

    /// Whether a file is, or was, one of this path.
    pub(super) fn knows(&self, key: FileKey) -> bool {
        self.tails.iter().any(|tail| tail.key == key) || self.ended.iter().any(|position| position.key == key)
    }

    /// Whether nothing is open: the path has no file, and what it had was read.
    pub(super) fn is_over(&self) -> bool {
        self.tails.is_empty()
    }

    /// Reads what is new, within a bound.
    pub(super) fn turn(&mut self, origin: &Arc<Origin>, table: TableId, turn: &mut Turn<'_>) -> Activity {
        if self.looked.is_none_or(|looked| turn.now.saturating_duration_since(looked) >= LOOK) {
            self.looked = Some(turn.now);
            self.look(origin, table, turn);
        }
        let mut left = TURN_BYTES;
        let mut activity = Activity::Quiet;
        for index in 0..self.tails.len() {
            activity = activity.max(self.read(index, &mut left, origin, table, turn));
            if activity == Activity::More {
                return activity;
            }
        }
        self.lanes.finish_idle(turn.target(origin, table), turn.intake);
        self.retire(origin, table, turn);
        activity
    }

    /// Reads one file until its end or the bound.
    fn read(&mut self, index: usize, left: &mut usize, origin: &Arc<Origin>, table: TableId, turn: &mut Turn<'_>) -> Activity {
        if self.tails[index].look().is_ok_and(|look| look == Look::Replaced) {
            self.replaced(index, origin, table, turn);
        }
        let (tail, lanes) = (&mut self.tails[index], &mut self.lanes);
        let target = Target { since: tail.empty_at, ..turn.target(origin, table) };
        let (number, resume) = (tail.number, tail.resume);
        let mut activity = Activity::Quiet;
        loop {
            let bound = turn.buffer.len().min(*left);
            if bound == 0 {
                return Activity::More;
            }
            let mut by = None;
            let step = tail.read(&mut turn.buffer[..bound], |frame| {
                let target = Target { by: *by.get_or_insert_with(turn.clock), ..target };
                lanes.frame(&frame, number, &resume, target, turn.intake);
            });
            match step {
                Ok(Step::Bytes(got)) => {
                    *left -= got;
                    tail.quiet_since = None;
                    activity = Activity::Read;
                }
                Ok(Step::End) => {
                    tail.quiet_since.get_or_insert(turn.now);
                    tail.empty_at = turn.wall;
                    return activity;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    tail.quiet_since.get_or_insert(turn.now);
                    self.complain(&error, turn.intake);
                    return activity;
                }
            }
        }
    }

    /// The file was cut: what it held may be in a copy beside it, and it is read anew from its start.
    fn replaced(&mut self, index: usize, origin: &Arc<Origin>, table: TableId, turn: &mut Turn<'_>) {
        let old = &self.tails[index];
        let (number, print, taken, resume, unread) = (old.number, old.fingerprint(), old.taken(), old.resume, old.unread());
        let copy = siblings::of(&self.path).into_iter().find(|sibling| !self.knows(sibling.key) && print.proves(&sibling.head));
        let done = resume.done.map(|done| done.max(taken));
        let copy = copy.and_then(|copy| self.open(&copy.path, Resume { done, sent: resume.sent }).ok());
        if copy.is_none() {
            if unread > 0 {
                turn.intake.lost(Loss::SourceGone);
            }
            let target = turn.target(origin, table);
            let (tail, lanes) = (&mut self.tails[index], &mut self.lanes);
            tail.finish(|frame| lanes.frame(&frame, number, &resume, target, turn.intake));
        }
        match self.open(&self.path.clone(), Resume::default()) {
            Ok(tail) => self.tails[index] = tail,
            Err(error) => {
                self.complain(&error, turn.intake);
                self.tails.remove(index);
            }
        }
        if let Some(mut copy) = copy {
            // It takes the place of what was cut, in front of what came after it.
            copy.number = number;
            self.tails.insert(index, copy);
        }
    }

    /// Looks whether another file stands at the path now.
    fn look(&mut self, origin: &Arc<Origin>, table: TableId, turn: &mut Turn<'_>) {
        let key = match std::fs::metadata(&self.path) {
            Ok(metadata) => FileKey::of(&metadata),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    self.complain(&error, turn.intake);
                }
                return;
            }
        };
        if self.tails.back().is_some_and(|tail| tail.key == key) {
            return;
        }
        // Lines of the older files come first: read to their ends before the newer ones are found.
        if let Some(last) = self.tails.len().checked_sub(1) {
            let mut left = TURN_BYTES;
            if self.read(last, &mut left, origin, table, turn) == Activity::More {
                self.looked = None;
                return;
            }
        }
        let newest = self.tails.back().map(Tail::modified).or_else(|| self.ended.iter().map(|position| position.modified).max());
        self.catch_up(newest.unwrap_or(self.since), turn.intake);
    }

    /// Opens every file of the path that was not seen yet and is not older than `newest`, and the one that stands there.
    fn catch_up(&mut self, newest: i64, intake: &Intake) {
        let rotated = siblings::of(&self.path);
        self.ended
            .retain(|position| rotated.iter().any(|sibling| sibling.key == position.key || position.fingerprint.proves(&sibling.head)));
        let own = |sibling: &siblings::Sibling| sibling.modified >= newest && sibling.created.is_none_or(|created| created >= self.born);
        let unseen: Vec<_> = rotated.into_iter().filter(own).map(|sibling| (sibling, Kept::Rotated)).collect();
        for (file, kept) in unseen.into_iter().chain(siblings::current(&self.path).map(|current| (current, Kept::Current))) {
            if self.has(file.key, &file.head, kept) || self.tails.len() >= MAX_TAILS {
                continue;
            }
            match self.open(&file.path, Resume::default()) {
                Ok(tail) => self.tails.push_back(tail),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => self.complain(&error, intake),
            }
        }
    }

    /// Whether a file is read already, by itself or as a copy.
    fn has(&self, key: FileKey, head: &[u8], kept: Kept) -> bool {
        let same = |other: FileKey, print: Fingerprint| match kept {
            // A copy that was truncated is gone from the path; what stands there is only the same if it is the same file.
            Kept::Current => other == key && print.fits(head),
            Kept::Rotated => (other == key && print.fits(head)) || print.proves(head),
        };
        self.tails.iter().any(|tail| same(tail.key, tail.fingerprint()))
            || self.ended.iter().any(|position| same(position.key, position.fingerprint))
    }

    /// Lets go of files that are no longer at the path and did not grow for a while.
    fn retire(&mut self, origin: &Arc<Origin>, table: TableId, turn: &mut Turn<'_>) {
        let stands = std::cell::OnceCell::new();
        let path = &self.path;
        let current = || *stands.get_or_init(|| std::fs::metadata(path).ok().map(|metadata| FileKey::of(&metadata)));
        let quiet = |tail: &Tail| tail.quiet_since.is_some_and(|since| turn.now.saturating_duration_since(since) >= LINGER);
        let Some(index) = self.tails.iter().position(|tail| quiet(tail) && current() != Some(tail.key)) else { return };
        let Some(mut tail) = self.tails.remove(index) else { return };
        let (number, resume, target) = (tail.number, tail.resume, turn.target(origin, table));
        let lanes = &mut self.lanes;
        tail.finish(|frame| lanes.frame(&frame, number, &resume, target, turn.intake));
        if self.tails.is_empty() {
            lanes.finish(target, turn.intake);
        }
        self.ended.push(tail.position([tail.taken(); LANES], true));
    }

    /// Completes open messages: the agent stops.
    pub(super) fn finish(&mut self, origin: &Arc<Origin>, table: TableId, turn: &mut Turn<'_>) {
        let target = turn.target(origin, table);
        self.lanes.finish(target, turn.intake);
    }

    /// How far the files of this path are done once all that is held has left.
    pub(super) fn positions(&mut self) -> Vec<FilePosition> {
        let oldest = self.lanes.oldest();
        let mut positions = self.ended.clone();
        for tail in &mut self.tails {
            for (lane, open) in oldest.iter().enumerate() {
                match *open {
                    Some((number, offset)) if number == tail.number => tail.resume.done[lane] = offset.max(tail.resume.done[lane]),
                    // Of an open message of an older file: not done before that is.
                    Some((number, _)) if number < tail.number => {}
                    _ => tail.resume.done[lane] = tail.taken().max(tail.resume.done[lane]),
                }
            }
            positions.push(tail.position(tail.resume.done, false));
        }
        positions
    }

    fn complain(&mut self, error: &io::Error, intake: &Intake) {
        if self.trouble.replace(error.kind()) != Some(error.kind()) {
            tracing::warn!(path = %self.path.display(), %error, "log file");
            intake.lost(Loss::SourceUnreadable);
        }
    }
}

/// Where a file stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    /// At the path.
    Current,
    /// Beside it.
    Rotated,
}

/// A file that is to be left alone.
fn passed(sibling: &siblings::Sibling) -> FilePosition {
    FilePosition {
        key: sibling.key,
        fingerprint: Fingerprint::of(&sibling.head),
        done: [u64::MAX; LANES],
        modified: sibling.modified,
        ended: true,
    }
}

/// The file of a position: by itself, else by its bytes.
fn find(position: &FilePosition, candidates: &[siblings::Sibling]) -> Option<PathBuf> {
    let itself = candidates.iter().find(|file| file.key == position.key && position.fingerprint.fits(&file.head));
    let copy = || candidates.iter().find(|file| position.fingerprint.proves(&file.head));
    itself.or_else(copy).map(|file| file.path.clone())
}
