//! Files that processes have open for writing, read from the file descriptors below `/proc`.
//!
//! Only asked for where the configuration names files. Bounded: a node with very many descriptors is read in part.

use super::position::FileKey;
use crate::entity::kubelet_logs::below;
use remora_core::model::Pid;
use std::path::{Path, PathBuf};

/// Most descriptors that one scan looks at.
const MAX_DESCRIPTORS: usize = 200_000;

/// A regular file that a process writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) pid: Pid,
    pub(super) key: FileKey,
    /// Its path as the process sees it.
    pub(super) path: String,
    /// Where it is reached from here, also out of another mount namespace.
    pub(super) reached: PathBuf,
}

impl Written {
    /// Whether the file still has its name, and has it only where its process is: in a container.
    pub(super) fn is_elsewhere(&self, root: &Path) -> bool {
        let key = |path: &Path| std::fs::metadata(path).ok().map(|metadata| FileKey::of(&metadata));
        key(&self.reached) == Some(self.key) && key(&below(root, Path::new(&self.path))) != Some(self.key)
    }
}

/// All files that `wanted` accepts by their paths.
pub(super) fn written(proc_root: &Path, mut wanted: impl FnMut(&str) -> bool) -> Vec<Written> {
    let mut left = MAX_DESCRIPTORS;
    let mut found = Vec::new();
    for process in std::fs::read_dir(proc_root).into_iter().flatten().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let directory = process.path();
        for descriptor in std::fs::read_dir(directory.join("fd")).into_iter().flatten().flatten() {
            left = left.saturating_sub(1);
            if left == 0 {
                return found;
            }
            let Ok(target) = std::fs::read_link(descriptor.path()) else { continue };
            let Some(path) = target.to_str().filter(|path| path.starts_with('/') && wanted(path)) else { continue };
            if !is_writable(&directory.join("fdinfo").join(descriptor.file_name())) {
                continue;
            }
            // The link itself leads to the open file, whatever its name has become.
            let Some(metadata) = std::fs::metadata(descriptor.path()).ok().filter(std::fs::Metadata::is_file) else { continue };
            let reached = directory.join("root").join(path.trim_start_matches('/'));
            found.push(Written { pid: Pid(pid), key: FileKey::of(&metadata), path: path.to_owned(), reached });
        }
    }
    found
}

/// Whether the octal `flags:` of a descriptor allow writing (`O_WRONLY` or `O_RDWR`).
fn is_writable(info: &Path) -> bool {
    let Ok(text) = std::fs::read_to_string(info) else { return false };
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
    flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok()).is_some_and(|flags| flags & 0o3 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_open_for_writing_are_found_with_their_process() {
        let dir = tempfile::tempdir().unwrap();
        let (written_to, read_only) = (dir.path().join("w.log"), dir.path().join("r.log"));
        let _writer = std::fs::File::create(&written_to).unwrap();
        std::fs::write(&read_only, "x").unwrap();
        let _reader = std::fs::File::open(&read_only).unwrap();
        let found = written(Path::new("/proc"), |path| path.starts_with(dir.path().to_str().unwrap()));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].pid, found[0].path.as_str()), (Pid(std::process::id()), written_to.to_str().unwrap()));
        assert_eq!(found[0].key, FileKey::of(&std::fs::metadata(&found[0].reached).unwrap()));
    }
}
