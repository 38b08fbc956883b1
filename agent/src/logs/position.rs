//! How far every source was read, as plain data that survives the agent.
//!
//! A file is told by device and inode, and by a fingerprint of its first bytes, because inodes are given away again and
//! because a copy or a compressed copy has another inode and the same bytes.

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;
use std::collections::BTreeMap;
use std::fs::Metadata;
use std::hash::Hasher;
use std::os::unix::fs::MetadataExt;

/// Bytes at the start of a file that its fingerprint covers, at most.
pub(super) const HEAD: usize = 1024;

/// Standard output and standard error; a file without streams is all of the first.
pub(super) const LANES: usize = 2;

/// A file of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileKey {
    /// `st_dev`.
    pub device: u64,
    /// `st_ino`.
    pub inode: u64,
}

impl FileKey {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// `st_mtime` in nanoseconds since the Unix epoch.
pub(super) fn modified(metadata: &Metadata) -> i64 {
    metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec())
}

/// What a file starts with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Bytes covered, at most [`HEAD`].
    pub length: u32,
    /// SipHash-1-3 of them.
    pub hash: u64,
}

impl Fingerprint {
    /// Of the first bytes of a file.
    pub(super) fn of(head: &[u8]) -> Self {
        let head = &head[..head.len().min(HEAD)];
        let mut hasher = SipHasher13::new();
        hasher.write(head);
        Self { length: u32::try_from(head.len()).unwrap_or(u32::MAX), hash: hasher.finish() }
    }

    /// Whether a file that starts with `head` may be this one, grown. An empty file may become any.
    pub(super) fn fits(&self, head: &[u8]) -> bool {
        let length = self.length as usize;
        head.len() >= length && Self::of(&head[..length]) == *self
    }

    /// Whether a file that starts with `head` holds the same bytes, wherever it is.
    pub(super) fn proves(&self, head: &[u8]) -> bool {
        self.length > 0 && self.fits(head)
    }

    /// Whether more of the file would make it surer.
    pub(super) fn can_grow(&self) -> bool {
        (self.length as usize) < HEAD
    }
}

/// How far a file was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePosition {
    /// The file.
    pub key: FileKey,
    /// What it starts with.
    pub fingerprint: Fingerprint,
    /// For each stream, the offset of the first byte that is not done.
    pub done: [u64; LANES],
    /// `st_mtime` when it was last looked at, nanoseconds since the Unix epoch.
    pub modified: i64,
    /// Whether it was read to its end and another file took its place.
    pub ended: bool,
}

/// Where lines of a file are new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Resume {
    /// Lines in front of this offset were done before, for each stream.
    pub(super) done: [u64; LANES],
    /// Lines in front of this one may have been sent before.
    pub(super) sent: [u64; LANES],
}

impl Resume {
    /// Everything from `offset` on is new.
    pub(super) fn at(offset: u64) -> Self {
        Self { done: [offset; LANES], sent: [offset; LANES] }
    }
}

/// How far the kernel's log was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelPosition {
    /// `boot_id`: sequence numbers start again with each boot.
    pub boot: String,
    /// Sequence number of the last record that is done.
    pub sequence: u64,
}

/// How far everything was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Files by the path that they are followed under, oldest first.
    pub files: BTreeMap<String, Vec<FilePosition>>,
    /// Cursor of the last journal entry that is done.
    pub journal: Option<String>,
    /// The kernel's log.
    pub kernel: Option<KernelPosition>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_keeps_its_fingerprint_while_it_grows() {
        let print = Fingerprint::of(b"first line\n");
        assert!(print.fits(b"first line\nsecond\n") && print.can_grow());
        assert!(!print.fits(b"first") && !print.fits(b"other line\nsecond\n"));
        assert!(Fingerprint::of(b"").fits(b"anything") && !Fingerprint::of(b"").proves(b"anything"));
        let long = [7; HEAD + 5];
        assert_eq!((Fingerprint::of(&long).length as usize, Fingerprint::of(&long).can_grow()), (HEAD, false));
    }
}
