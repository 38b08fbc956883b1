//! The file in the state directory that holds the positions of all sources.
//!
//! It is written beside the old one and renamed over it, so that there is always a whole one; a write that fails leaves
//! the old one, which repeats lines and loses none. Written before each batch of records leaves, so that a restart knows
//! what may come twice. A process that is killed loses nothing that was written; for the sake of a machine that loses
//! power the file is flushed to the disk at most every ten seconds, and when the agent stops.

use super::position::State;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Between flushes to the disk.
const FLUSH: Duration = Duration::from_secs(10);
/// Form of the file.
const VERSION: u32 = 1;

/// What the file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Saved {
    version: u32,
    /// When it was written, seconds since the Unix epoch.
    saved: u64,
    /// What has left the agent.
    done: State,
    /// What was on its way, and so comes again after a kill.
    sent: State,
}

/// Positions as the last agent left them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// When they were written.
    pub saved: SystemTime,
    /// Where to go on.
    pub done: State,
    /// Up to where records may be repeats of what was sent before.
    pub sent: State,
}

impl Default for Checkpoint {
    fn default() -> Self {
        Self { saved: UNIX_EPOCH, done: State::default(), sent: State::default() }
    }
}

/// Where positions are kept.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    flushed: Option<Instant>,
}

impl Store {
    /// The store in a state directory; makes the directory.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn open(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        Ok(Self { path: directory.join("log-positions.json"), flushed: None })
    }

    /// What the last agent left; `None` if no agent has run here, or its file is damaged, which is told in the log.
    #[must_use]
    pub fn load(&self) -> Option<Checkpoint> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "positions of logs cannot be read: starting anew");
                return None;
            }
        };
        match serde_json::from_slice::<Saved>(&text) {
            Ok(Saved { version: VERSION, saved, done, sent }) => {
                let saved = UNIX_EPOCH.checked_add(Duration::from_secs(saved)).unwrap_or(UNIX_EPOCH);
                Some(Checkpoint { saved, done, sent })
            }
            Ok(Saved { version, .. }) => {
                tracing::warn!(path = %self.path.display(), version, "positions of logs are of another version: starting anew");
                None
            }
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "positions of logs are damaged: starting anew");
                None
            }
        }
    }

    /// Replaces the file.
    ///
    /// # Errors
    /// Anything the disk says; the old file is then still there.
    pub fn save(&mut self, done: &State, sent: &State, now: Instant) -> io::Result<()> {
        let flush = self.flushed.is_none_or(|flushed| now.duration_since(flushed) >= FLUSH);
        self.write(done, sent, flush)?;
        if flush {
            self.flushed = Some(now);
        }
        Ok(())
    }

    /// Replaces the file and flushes it to the disk: the agent stops.
    ///
    /// # Errors
    /// As [`Store::save`].
    pub fn save_last(&mut self, done: &State, sent: &State) -> io::Result<()> {
        self.write(done, sent, true)
    }

    fn write(&self, done: &State, sent: &State, flush: bool) -> io::Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let saved = Saved { version: VERSION, saved: now, done: done.clone(), sent: sent.clone() };
        let text = serde_json::to_vec(&saved).map_err(io::Error::other)?;
        replace(&self.path, &text, flush)
    }
}

/// Writes a file beside `path` and renames it over it.
pub(super) fn replace(path: &Path, text: &[u8], flush: bool) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(text)?;
    if flush {
        file.sync_data()?;
    }
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::super::position::{FileKey, FilePosition, Fingerprint};
    use super::*;

    fn state(done: u64) -> State {
        let key = FileKey { device: 1, inode: 2 };
        let position = FilePosition { key, fingerprint: Fingerprint::of(b"a"), done: [done, 0], modified: 5, ended: false };
        State { files: [("/a.log".to_owned(), vec![position])].into(), ..State::default() }
    }

    #[test]
    fn what_was_saved_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(&dir.path().join("state")).unwrap();
        assert_eq!(store.load(), None);
        store.save(&state(1), &state(2), Instant::now()).unwrap();
        let loaded = store.load().unwrap();
        assert_eq!((loaded.done, loaded.sent), (state(1), state(2)));
    }

    #[test]
    fn a_damaged_file_is_as_none() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        for text in ["", "{", r#"{"version":9,"saved":0,"done":{"files":{}},"sent":{"files":{}}}"#] {
            fs::write(dir.path().join("log-positions.json"), text).unwrap();
            assert_eq!(store.load(), None, "{text}");
        }
    }

    #[test]
    fn a_write_that_fails_keeps_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        store.save_last(&state(1), &state(1)).unwrap();
        // A directory in the place of the new file: as with a full disk, it cannot be written.
        fs::create_dir(dir.path().join("log-positions.new")).unwrap();
        assert!(store.save_last(&state(2), &state(2)).is_err());
        assert_eq!(store.load().unwrap().done, state(1));
    }
}
