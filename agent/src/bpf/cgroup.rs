//! The cgroup v2 root, to which the programs are attached: opened where it is mounted, or mounted for the agent alone.

use crate::kernel::is_root;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Where the root was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootPlace {
    /// Mounted here.
    Mounted(PathBuf),
    /// Mounted nowhere that the agent sees; it holds a mount of its own that no other process sees.
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
        source: Errno,
    },
    /// None is mounted and none can be.
    #[error("cgroup v2 is mounted nowhere and cannot be mounted privately: {0}")]
    Mount(Errno),
    /// Only the agent's own cgroup can be had, and nobody else's traffic passes there.
    #[error(
        "the agent is in a cgroup namespace of its own and would see only itself: start it with the host's (--cgroupns host), \
         or with the host's process ids (--pid host, hostPID), or mount the host's /sys/fs/cgroup"
    )]
    Part,
}

/// Opens the root that is mounted at `mounted`; without one, mounts it privately, as the cgroup namespace `first` sees it.
///
/// # Errors
/// [`RootError`] if that does not work, or gives only a part of the hierarchy.
pub(super) fn open_root(mounted: Option<&Path>, first: Option<BorrowedFd<'_>>) -> Result<(OwnedFd, RootPlace), RootError> {
    if let Some(path) = mounted {
        return match rustix::fs::open(path, DIRECTORY, Mode::empty()) {
            Ok(root) => Ok((root, RootPlace::Mounted(path.to_owned()))),
            Err(source) => Err(RootError::Open { path: path.to_owned(), source }),
        };
    }
    let root = mount().map_err(RootError::Mount)?;
    if is_root(&root) {
        return Ok((root, RootPlace::Private));
    }
    let root = first.and_then(mount_in).ok_or(RootError::Part)?;
    if is_root(&root) { Ok((root, RootPlace::Private)) } else { Err(RootError::Part) }
}

/// A mount of cgroup2 that only the agent holds. Its root is that of the running thread's cgroup namespace.
fn mount() -> Result<OwnedFd, Errno> {
    let context = rustix::mount::fsopen("cgroup2", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_create(&context)?;
    let mount = rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    // A mount descriptor is O_PATH; attaching needs a directory that is open.
    rustix::fs::openat(&mount, ".", DIRECTORY, Mode::empty())
}

/// The same as another cgroup namespace sees it, which only a thread of its own enters.
fn mount_in(namespace: BorrowedFd<'_>) -> Option<OwnedFd> {
    std::thread::scope(|scope| {
        let entered = scope.spawn(|| {
            move_into_link_name_space(namespace, Some(LinkNameSpaceType::ControlGroup))?;
            mount()
        });
        entered.join().ok()?.ok()
    })
}

#[cfg(test)]
mod tests {
    mod root {
        use super::super::*;
        use rustix::fs::AtFlags;
        use std::io::{Read, Write};
        use std::os::fd::AsFd;
        use std::process::{Child, Command, Stdio};

        #[test]
        fn a_private_mount_serves_where_nothing_is_mounted() {
            let (_, place) = open_root(None, None).unwrap();
            assert_eq!(place, RootPlace::Private);
        }

        /// A process in a cgroup below the root, in a cgroup namespace that begins there.
        struct Contained {
            process: Child,
            root: OwnedFd,
            name: String,
        }

        impl Contained {
            fn start() -> Self {
                let (root, _) = open_root(None, None).unwrap();
                let name = format!("remora-test-{}", std::process::id());
                rustix::fs::mkdirat(&root, &name, Mode::RWXU).unwrap();
                let script = "read go; exec unshare --cgroup sh -c 'echo ready; exec sleep 1000'";
                let mut process = Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
                let procs = rustix::fs::openat(&root, format!("{name}/cgroup.procs"), OFlags::WRONLY, Mode::empty()).unwrap();
                rustix::io::write(&procs, process.id().to_string().as_bytes()).unwrap();
                process.stdin.take().unwrap().write_all(b"go\n").unwrap();
                process.stdout.take().unwrap().read_exact(&mut [0; 6]).unwrap();
                Self { process, root, name }
            }

            fn namespace(&self) -> OwnedFd {
                namespace(&self.process.id().to_string())
            }
        }

        fn namespace(task: &str) -> OwnedFd {
            rustix::fs::open(format!("/proc/{task}/ns/cgroup"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap()
        }

        impl Drop for Contained {
            fn drop(&mut self) {
                let _ = self.process.kill();
                let _ = self.process.wait();
                let _ = rustix::fs::unlinkat(&self.root, &self.name, AtFlags::REMOVEDIR);
            }
        }

        #[test]
        fn the_part_that_a_namespace_shows_is_never_taken_for_the_root() {
            let contained = Contained::start();
            let part = mount_in(contained.namespace().as_fd()).unwrap();
            assert!(!is_root(&part));
            let own = namespace("thread-self");
            std::thread::scope(|scope| {
                let inside = scope.spawn(|| {
                    move_into_link_name_space(contained.namespace().as_fd(), Some(LinkNameSpaceType::ControlGroup)).unwrap();
                    assert!(matches!(open_root(None, None), Err(RootError::Part)));
                    let (root, _) = open_root(None, Some(own.as_fd())).unwrap();
                    assert!(is_root(&root), "found by the namespace of another process");
                });
                inside.join().unwrap();
            });
        }
    }
}
