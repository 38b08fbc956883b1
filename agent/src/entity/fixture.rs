//! File trees for tests, removed when dropped.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory of its own below the system's temporary directory.
pub(super) struct Tree(PathBuf);

impl Tree {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file, with the directories above it.
    pub(super) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.0.join(path);
        std::fs::create_dir_all(path.parent().expect("has a parent")).expect("create directories");
        std::fs::write(path, content).expect("write file");
    }

    /// Makes a symbolic link, which need not lead anywhere: `/proc` is full of these.
    pub(super) fn link(&self, path: &str, target: &str) {
        let path = self.0.join(path);
        std::fs::create_dir_all(path.parent().expect("has a parent")).expect("create directories");
        std::os::unix::fs::symlink(target, path).expect("make link");
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A tree of the given files.
pub(super) fn tree(files: &[(&str, &str)]) -> Tree {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("remora-entity-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let tree = Tree(std::env::temp_dir().join(name));
    std::fs::create_dir_all(tree.path()).expect("create tree");
    for (path, content) in files {
        tree.write(path, content);
    }
    tree
}
