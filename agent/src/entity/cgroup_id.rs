//! From a cgroup v2 id, as the kernel reports it, to the path of the cgroup.
//!
//! The id is the directory's inode, so a walk of the cgroup2 mount gives all of them; one walk serves every id that is
//! new since the last. Cgroups that are gone stay known for a while: events arrive after their container has ended.

use std::collections::HashMap;
use std::os::unix::fs::DirEntryExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use remora_core::model::CgroupId;

/// Between two walks that unknown ids ask for.
const MIN_INTERVAL: Duration = Duration::from_millis(100);

/// Paths by cgroup id.
#[derive(Debug)]
pub struct CgroupIds {
    mount: PathBuf,
    limit: usize,
    known: HashMap<CgroupId, Known>,
    walk: u64,
    last_walk: Option<Instant>,
    /// Directories left out because of the limit.
    pub over_limit: u64,
}

#[derive(Debug)]
struct Known {
    path: Arc<str>,
    /// Last walk that found it.
    seen: u64,
}

impl CgroupIds {
    /// Of the cgroup2 file system at `mount`; at most `limit` paths are kept.
    #[must_use]
    pub fn new(mount: PathBuf, limit: usize) -> Self {
        Self { mount, limit, known: HashMap::new(), walk: 0, last_walk: None, over_limit: 0 }
    }

    /// Path of a cgroup below the mount, beginning with `/`. Walks the mount if the id is new and the last walk is not
    /// younger than a tenth of a second at `now`.
    pub fn path(&mut self, id: CgroupId, now: Instant) -> Option<Arc<str>> {
        if !self.known.contains_key(&id) && self.last_walk.is_none_or(|last| now.duration_since(last) >= MIN_INTERVAL) {
            self.refresh(now);
        }
        self.known.get(&id).map(|known| Arc::clone(&known.path))
    }

    /// Walks the mount.
    pub fn refresh(&mut self, now: Instant) {
        self.walk += 1;
        self.last_walk = Some(now);
        let mut open = vec![String::new()];
        while let Some(path) = open.pop() {
            let Ok(entries) = std::fs::read_dir(self.mount.join(path.trim_start_matches('/'))) else { continue };
            for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
                let Ok(name) = entry.file_name().into_string() else { continue };
                let path = format!("{path}/{name}");
                if self.learn(CgroupId(entry.ino()), &path) {
                    open.push(path);
                }
            }
        }
    }

    /// Whether there was room for it.
    fn learn(&mut self, id: CgroupId, path: &str) -> bool {
        let walk = self.walk;
        if let Some(known) = self.known.get_mut(&id) {
            known.seen = walk;
            if &*known.path != path {
                known.path = path.into();
            }
            return true;
        }
        if self.known.len() >= self.limit {
            // The walk before this one is complete, so what it did not find is gone.
            self.known.retain(|_, known| known.seen + 1 >= walk);
        }
        if self.known.len() >= self.limit {
            self.over_limit += 1;
            return false;
        }
        self.known.insert(id, Known { path: path.into(), seen: walk });
        true
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::super::fixture;
    use super::*;

    fn id(tree: &fixture::Tree, path: &str) -> CgroupId {
        CgroupId(std::fs::metadata(tree.path().join(path)).expect("directory").ino())
    }

    #[test]
    fn ids_are_found_by_walking_and_stay_known_after_removal() {
        let tree = fixture::tree(&[("system.slice/nginx.service/cgroup.procs", ""), ("system.slice/cgroup.procs", "")]);
        let mut ids = CgroupIds::new(tree.path().to_owned(), 100);
        let start = Instant::now();
        let nginx = id(&tree, "system.slice/nginx.service");
        assert_eq!(ids.path(nginx, start).as_deref(), Some("/system.slice/nginx.service"));
        tree.write("system.slice/redis.service/cgroup.procs", "");
        let redis = id(&tree, "system.slice/redis.service");
        assert_eq!(ids.path(redis, start), None, "no second walk at once");
        let later = start + MIN_INTERVAL;
        assert_eq!(ids.path(redis, later).as_deref(), Some("/system.slice/redis.service"));
        std::fs::remove_dir_all(tree.path().join("system.slice/nginx.service")).expect("remove");
        ids.refresh(later);
        assert_eq!(ids.path(nginx, later).as_deref(), Some("/system.slice/nginx.service"));
    }

    #[test]
    fn the_limit_holds() {
        let tree = fixture::tree(&[]);
        for n in 0..20 {
            tree.write(&format!("{n}/cgroup.procs"), "");
        }
        let mut ids = CgroupIds::new(tree.path().to_owned(), 5);
        ids.refresh(Instant::now());
        assert_eq!((ids.known.len(), ids.over_limit), (5, 15));
    }

    #[test]
    fn a_missing_mount_knows_nothing() {
        let mut ids = CgroupIds::new("/nonexistent".into(), 5);
        assert_eq!(ids.path(CgroupId(1), Instant::now()), None);
    }
}
