//! The cgroup v2 root, to which the programs are attached: where it is mounted, or mounted for the agent alone.

use rustix::fs::{Mode, OFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Where the root was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootPlace {
    /// Mounted here.
    Mounted(PathBuf),
    /// Mounted nowhere; the agent holds a mount of its own that no other process sees.
    Private,
}

/// Why there is no root to attach to.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// A mounted root cannot be opened.
    #[error("cannot open the cgroup v2 root {path}: {source}")]
    Open {
        /// Its path.
        path: PathBuf,
        /// Reason.
        source: rustix::io::Errno,
    },
    /// None is mounted and none can be.
    #[error("cgroup v2 is mounted nowhere and cannot be mounted privately: {0}")]
    Mount(rustix::io::Errno),
}

/// Path of the first cgroup2 mount in the text of `/proc/self/mountinfo` (proc_pid_mountinfo(5)) whose root is `/`.
pub fn mounted_at(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut fields = before.split(' ').skip(3);
        let (root, place) = (fields.next()?, fields.next()?);
        (after.starts_with("cgroup2 ") && root == "/").then(|| PathBuf::from(unescape(place)))
    })
}

/// Undoes the octal escapes of mountinfo.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// Opens the root at `configured`, else where `mountinfo` says, else by a private mount.
///
/// # Errors
/// [`RootError`] if none of the three works.
pub(super) fn open_root(configured: Option<&Path>, mountinfo: &str) -> Result<(OwnedFd, RootPlace), RootError> {
    let place = configured.map(Path::to_path_buf).or_else(|| mounted_at(mountinfo));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    if let Some(path) = place {
        return match rustix::fs::open(&path, flags, Mode::empty()) {
            Ok(root) => Ok((root, RootPlace::Mounted(path))),
            Err(source) => Err(RootError::Open { path, source }),
        };
    }
    let mount = || {
        let context = rustix::mount::fsopen("cgroup2", FsOpenFlags::FSOPEN_CLOEXEC)?;
        rustix::mount::fsconfig_create(&context)?;
        let mount = rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
        // A mount descriptor is O_PATH; attaching needs a directory that is open.
        rustix::fs::openat(&mount, ".", flags, Mode::empty())
    };
    mount().map(|root| (root, RootPlace::Private)).map_err(RootError::Mount)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_found_on_hybrid_and_unified_hosts() {
        let hybrid = "31 24 0:27 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
                      32 24 0:28 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n";
        assert_eq!(mounted_at(hybrid), Some("/sys/fs/cgroup/unified".into()));
        let unified = "29 23 0:26 / /sys/fs/my\\040cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(mounted_at(unified), Some("/sys/fs/my cgroup".into()));
    }

    #[test]
    fn a_bind_mount_of_a_part_is_not_the_root() {
        assert_eq!(mounted_at("32 24 0:28 /docker/x /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"), None);
        assert_eq!(mounted_at("nonsense\n\n - \n"), None);
    }

    mod root {
        use super::*;

        #[test]
        fn a_private_mount_serves_where_nothing_is_mounted() {
            let (_, place) = open_root(None, "").unwrap();
            assert_eq!(place, RootPlace::Private);
        }
    }
}
