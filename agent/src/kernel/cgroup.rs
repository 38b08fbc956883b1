//! Which cgroup hierarchies are mounted, and where the root of version 2 is.
//!
//! Programs see the traffic of the cgroup that they are attached to and of those below it. In a cgroup namespace, as
//! containers have one, what is mounted as root is the container's own cgroup: it must not be taken for the node's.

use super::privileges::{Cap, EffectiveSet};
use super::{Capability, State};
use procfs::{FromRead, process::MountInfos};
use rustix::fs::{Access, AtFlags};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// The cgroup hierarchies of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CgroupLayout {
    /// Version 2 alone, mounted here.
    V2(PathBuf),
    /// Version 2 here beside version 1.
    Hybrid(PathBuf),
    /// Only a part of version 2 is mounted, here: the agent is in a cgroup namespace of its own.
    Part(PathBuf),
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
        Self::judge(mounts, &filesystems, is_mounted_root)
    }

    /// Where the root is mounted, if it is.
    #[must_use]
    pub fn root(&self) -> Option<&Path> {
        match self {
            Self::V2(root) | Self::Hybrid(root) => Some(root),
            Self::Part(_) | Self::Mountable | Self::Absent | Self::Unknown => None,
        }
    }

    fn judge(mounts: MountInfos, filesystems: &str, is_root: impl Fn(&Path) -> bool) -> Self {
        let (mut v2, mut part) = (None, None);
        let mut has_v1 = false;
        for mount in mounts {
            match mount.fs_type.as_str() {
                "cgroup2" if v2.is_none() && is_root(&mount.mount_point) => v2 = Some(mount.mount_point),
                "cgroup2" => part = part.or(Some(mount.mount_point)),
                "cgroup" => has_v1 = true,
                _ => {}
            }
        }
        match (v2, has_v1) {
            (Some(root), false) => Self::V2(root),
            (Some(root), true) => Self::Hybrid(root),
            (None, _) if part.is_some() => Self::Part(part.unwrap_or_default()),
            (None, _) if filesystems.lines().any(|line| line.split('\t').nth(1) == Some("cgroup2")) => Self::Mountable,
            (None, _) => Self::Absent,
        }
    }
}

/// Whether a cgroup is the root of the whole hierarchy: every other one has `cgroup.events`
/// (`Documentation/admin-guide/cgroup-v2.rst`, "Core Interface Files").
#[must_use]
pub fn is_root(cgroup: impl AsFd) -> bool {
    let has = |name: &str| rustix::fs::accessat(&cgroup, name, Access::EXISTS, AtFlags::empty());
    has("cgroup.procs").is_ok() && has("cgroup.events") == Err(Errno::NOENT)
}

/// The same for where one is mounted.
fn is_mounted_root(directory: &Path) -> bool {
    File::open(directory).is_ok_and(is_root)
}

/// The cgroup namespace of the first process, which shows the whole hierarchy, if it may be opened.
#[must_use]
pub fn first_namespace(proc: &Path) -> Option<OwnedFd> {
    File::open(proc.join("1/ns/cgroup")).ok().map(OwnedFd::from)
}

pub(super) fn judge(layout: &CgroupLayout, effective: EffectiveSet) -> Capability {
    let (state, reason) = match layout {
        CgroupLayout::V2(root) => (State::Works, format!("version 2 at {}", root.display())),
        CgroupLayout::Hybrid(root) => {
            (State::Works, format!("version 2 at {} beside version 1; containers are told by process", root.display()))
        }
        CgroupLayout::Part(part) => (
            State::Degraded,
            format!("{} is the agent's own part of version 2; the whole is looked for in the first process's namespace", part.display()),
        ),
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
        let whole = |path: &Path| !path.starts_with("/part");
        CgroupLayout::judge(MountInfos::from_read(mounts.as_bytes()).expect("mountinfo"), filesystems, whole)
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
    }

    #[test]
    fn the_root_of_a_namespace_is_not_the_root_of_the_node() {
        let own = "25 24 0:23 / /part ro - cgroup2 cgroup2 rw\n";
        let hosts = "26 24 0:23 /../.. /host/sys/fs/cgroup ro - cgroup2 cgroup2 rw\n";
        assert_eq!(layout(own, "nodev\tcgroup2\n"), CgroupLayout::Part("/part".into()));
        assert_eq!(layout(&[own, hosts].concat(), ""), CgroupLayout::V2("/host/sys/fs/cgroup".into()));
    }

    #[test]
    fn mounting_privately_needs_the_privilege() {
        assert_eq!(judge(&CgroupLayout::Mountable, EffectiveSet::Known(1 << 21)).state, State::Works);
        assert_eq!(judge(&CgroupLayout::Mountable, EffectiveSet::Known(0)).state, State::Off);
    }
}
