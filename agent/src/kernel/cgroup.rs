//! Which cgroup hierarchies are mounted, and where version 2 is.

use super::privileges::{Cap, EffectiveSet};
use super::{Capability, State};
use procfs::{FromRead, process::MountInfos};
use std::path::{Path, PathBuf};

/// The cgroup hierarchies of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CgroupLayout {
    /// Version 2 alone, mounted here.
    V2(PathBuf),
    /// Version 2 here beside version 1.
    Hybrid(PathBuf),
    /// Version 2 is not mounted; the kernel has it.
    Mountable,
    /// The kernel has no version 2.
    Absent,
    /// `/proc` did not say.
    Unknown,
}

impl CgroupLayout {
    /// Reads `self/mountinfo` and `filesystems` below the `/proc` that is given; a configured root wins.
    #[must_use]
    pub fn read(proc: &Path, configured: Option<&Path>) -> Self {
        if let Some(root) = configured {
            return Self::V2(root.to_owned());
        }
        let Ok(mounts) = MountInfos::from_file(proc.join("self/mountinfo")) else { return Self::Unknown };
        let filesystems = std::fs::read_to_string(proc.join("filesystems")).unwrap_or_default();
        Self::judge(mounts, &filesystems)
    }

    fn judge(mounts: MountInfos, filesystems: &str) -> Self {
        let mut v2 = None;
        let mut has_v1 = false;
        for mount in mounts {
            match mount.fs_type.as_str() {
                "cgroup2" if mount.root == "/" => v2 = v2.or(Some(mount.mount_point)),
                "cgroup" => has_v1 = true,
                _ => {}
            }
        }
        match (v2, has_v1) {
            (Some(root), false) => Self::V2(root),
            (Some(root), true) => Self::Hybrid(root),
            (None, _) if filesystems.lines().any(|line| line.split('\t').nth(1) == Some("cgroup2")) => Self::Mountable,
            (None, _) => Self::Absent,
        }
    }
}

pub(super) fn judge(layout: &CgroupLayout, effective: EffectiveSet) -> Capability {
    let (state, reason) = match layout {
        CgroupLayout::V2(root) => (State::Works, format!("version 2 at {}", root.display())),
        CgroupLayout::Hybrid(root) => {
            (State::Works, format!("version 2 at {} beside version 1; containers are told by process", root.display()))
        }
        CgroupLayout::Mountable if effective.has(Cap::SysAdmin) == Some(true) => {
            (State::Works, "version 2 is not mounted; the agent mounts it privately".to_owned())
        }
        CgroupLayout::Mountable => (State::Off, "version 2 is not mounted, and mounting it privately needs CAP_SYS_ADMIN".to_owned()),
        CgroupLayout::Absent => (State::Off, "the kernel has no cgroup version 2".to_owned()),
        CgroupLayout::Unknown => (State::Degraded, "/proc/self/mountinfo cannot be read".to_owned()),
    };
    Capability::for_capture("cgroup", state, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(mounts: &str, filesystems: &str) -> CgroupLayout {
        CgroupLayout::judge(MountInfos::from_read(mounts.as_bytes()).expect("mountinfo"), filesystems)
    }

    const V1: &str = "35 25 0:30 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n";
    const V2: &str = "25 24 0:23 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
    const UNIFIED: &str = "26 25 0:24 / /sys/fs/cgroup/unified rw shared:5 - cgroup2 cgroup2 rw\n";

    #[test]
    fn layouts_of_real_nodes_are_told_apart() {
        assert_eq!(layout(V2, ""), CgroupLayout::V2("/sys/fs/cgroup".into()));
        assert_eq!(layout(&[V1, UNIFIED].concat(), ""), CgroupLayout::Hybrid("/sys/fs/cgroup/unified".into()));
        assert_eq!(layout(V1, "nodev\tcgroup\nnodev\tcgroup2\n"), CgroupLayout::Mountable);
        assert_eq!(layout(V1, "nodev\tcgroup\n"), CgroupLayout::Absent);
        let inside_container = "25 24 0:23 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n";
        assert_eq!(layout(inside_container, "nodev\tcgroup2\n"), CgroupLayout::Mountable);
    }

    #[test]
    fn mounting_privately_needs_the_privilege() {
        assert_eq!(judge(&CgroupLayout::Mountable, EffectiveSet::Known(1 << 21)).state, State::Works);
        assert_eq!(judge(&CgroupLayout::Mountable, EffectiveSet::Known(0)).state, State::Off);
    }
}
