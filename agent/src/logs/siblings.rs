//! The rotated files beside a log: `app.log.1`, `app.log-20261125.gz`, `0.log.20261125-150405`, `app-2026-11-25.log`.
//!
//! Names only say which files may be meant; whether one holds what was not read yet is decided by its bytes and times.

use super::position::{self, FileKey, Fingerprint};
use super::tail;
use std::cmp::Reverse;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Most rotated files that are looked at.
const MAX_SIBLINGS: usize = 256;
/// Digits that make a part of a name a date.
const DATE_DIGITS: usize = 6;
/// Names of compressed files.
const COMPRESSED: [&str; 6] = [".gz", ".xz", ".bz2", ".zst", ".lz4", ".Z"];

/// A rotated file.
#[derive(Clone, Debug)]
pub(super) struct Sibling {
    pub(super) path: PathBuf,
    pub(super) key: FileKey,
    pub(super) modified: i64,
    /// When it was made, nanoseconds since the Unix epoch, where the file system knows.
    pub(super) created: Option<i64>,
    pub(super) head: Vec<u8>,
}

/// The rotated files of `path`, oldest first; a compressed file beside its original is left out.
pub(super) fn of(path: &Path) -> Vec<Sibling> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else { return Vec::new() };
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut found: Vec<Sibling> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(|other| is_rotated(name, other)))
        .take(MAX_SIBLINGS)
        .filter_map(|entry| sibling(entry.path()))
        .collect();
    let plain: Vec<Fingerprint> =
        found.iter().filter(|sibling| !tail::is_gzip(&sibling.path)).map(|sibling| Fingerprint::of(&sibling.head)).collect();
    found.retain(|sibling| !tail::is_gzip(&sibling.path) || !plain.iter().any(|print| print.proves(&sibling.head)));
    // Files of one moment: `app.log.2` is older than `app.log.1`, and an earlier date than a later one.
    found.sort_by(|a, b| (a.modified, Reverse(number(&a.path)), &a.path).cmp(&(b.modified, Reverse(number(&b.path)), &b.path)));
    found
}

/// The number that rotation counts up, at most three digits: longer ones are dates.
fn number(path: &Path) -> Option<u16> {
    let name = path.file_name()?.to_str()?;
    let suffix = name.strip_suffix(".gz").unwrap_or(name).rsplit_once('.')?.1;
    suffix.parse().ok().filter(|_| suffix.len() <= 3)
}

/// The file that stands at `path` itself.
pub(super) fn current(path: &Path) -> Option<Sibling> {
    // Links are followed here: `/var/log/containers` holds nothing else.
    sibling(std::fs::canonicalize(path).ok()?).map(|found| Sibling { path: path.to_path_buf(), ..found })
}

fn sibling(path: PathBuf) -> Option<Sibling> {
    let metadata = std::fs::symlink_metadata(&path).ok().filter(std::fs::Metadata::is_file)?;
    let head = tail::head(&path).ok()?;
    let created = metadata.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let created = created.and_then(|age| i64::try_from(age.as_nanos()).ok());
    Some(Sibling { key: FileKey::of(&metadata), modified: position::modified(&metadata), created, head, path })
}

/// Whether `other` may be a rotated file of the log `name`.
fn is_rotated(name: &str, other: &str) -> bool {
    if other.ends_with(".tmp") || COMPRESSED.iter().any(|end| *end != ".gz" && other.ends_with(end)) {
        return false;
    }
    let other = other.strip_suffix(".gz").unwrap_or(other);
    if let Some(rest) = other.strip_prefix(name) {
        return rest.starts_with(['.', '-', '_']) && rest.len() > 1;
    }
    let Some((stem, extension)) = name.rsplit_once('.') else { return false };
    let middle = other.strip_prefix(stem).and_then(|rest| rest.strip_suffix(extension)?.strip_suffix('.'));
    middle.is_some_and(|middle| middle.starts_with(['.', '-', '_']) && digits(middle) >= DATE_DIGITS)
}

fn digits(text: &str) -> usize {
    text.bytes().filter(u8::is_ascii_digit).count()
}

/// Whether a name found by a glob is that of a rotated file: compressed, or with a number or date behind another name
/// that is there too.
pub(super) fn looks_rotated(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    if COMPRESSED.iter().any(|end| name.ends_with(end)) {
        return true;
    }
    let base = name.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '_'));
    base.len() < name.len()
        && digits(&name[base.len()..]) > 0
        && base.contains(|c: char| c.is_alphabetic())
        && path.with_file_name(base).is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_rotated_files() {
        for (name, other) in [
            ("app.log", "app.log.1"),
            ("app.log", "app.log.2.gz"),
            ("app.log", "app.log-20261125"),
            ("0.log", "0.log.20261125-150405"),
            ("0.log", "0.log.20261125-150405.gz"),
            ("container.log", "container.log.1"),
            ("app.log", "app-2026-11-25.log"),
            ("app.log", "app.2026-11-25.0.log.gz"),
        ] {
            assert!(is_rotated(name, other), "{other}");
        }
        for (name, other) in [
            ("app.log", "app.log"),
            ("app.log", "app.logs"),
            ("app.log", "app-2.log"),
            ("app.log", "application.log"),
            ("0.log", "1.log"),
            ("0.log", "0.log.20261125-150405.tmp"),
            ("app.log", "app.log.1.xz"),
            ("app", "app2"),
        ] {
            assert!(!is_rotated(name, other), "{other}");
        }
    }

    #[test]
    fn a_compressed_file_beside_its_original_counts_once() {
        let dir = tempfile::tempdir().unwrap();
        let write_gz = |name: &str, text: &[u8]| {
            let file = std::fs::File::create(dir.path().join(name)).unwrap();
            let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
            std::io::Write::write_all(&mut encoder, text).unwrap();
            encoder.finish().unwrap();
        };
        std::fs::write(dir.path().join("a.log"), "now\n").unwrap();
        std::fs::write(dir.path().join("a.log.1"), "one\n").unwrap();
        write_gz("a.log.1.gz", b"one\n");
        write_gz("a.log.2.gz", b"two\n");
        let found = of(&dir.path().join("a.log"));
        let mut names: Vec<_> = found.iter().map(|sibling| sibling.path.file_name().unwrap().to_str().unwrap()).collect();
        names.sort_unstable();
        assert_eq!(names, ["a.log.1", "a.log.2.gz"]);
        assert!(found.iter().any(|sibling| sibling.head == b"two\n"));
        assert!(looks_rotated(&dir.path().join("a.log.1")) && !looks_rotated(&dir.path().join("a.log")));
    }
}
