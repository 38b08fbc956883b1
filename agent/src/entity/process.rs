//! What `/proc/PID` says about a process, in bounded reads below a root that is passed in.
//!
//! Everything may vanish or change between two reads, so the start time is read before and after: a pid that was given
//! to another process meanwhile is an error, never a mixture. Reads may block on a process that is stuck in the kernel;
//! only workers call this.

use std::io;
use std::path::{Path, PathBuf};

use remora_core::model::Pid;

use super::cgroup::{self, Placement};
use super::{interpreter, read};

const MAX_STAT: usize = 4096;
const MAX_ARGUMENTS: usize = 16 * 1024;
const MAX_ENVIRONMENT: usize = 1024 * 1024;

/// Start of a process in clock ticks since boot (`/proc/PID/stat`, field 22). With the pid it names one process for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StartTime(pub u64);

impl StartTime {
    /// From the kernel's own value, `task_struct.start_boottime` in nanoseconds. `/proc` always counts in hundredths of a
    /// second (`USER_HZ`).
    #[must_use]
    pub fn from_boot_nanos(nanos: u64) -> Self {
        Self(nanos / 10_000_000)
    }
}

/// Inode of a network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NetNs(pub u64);

/// Inode of a pid namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PidNs(pub u64);

/// Why a process could not be described.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It ended, or its pid was given to another while it was read.
    #[error("process {} is gone", .0.0)]
    Gone(Pid),
    /// Its `stat` is not what the kernel documents.
    #[error("/proc/{}/stat: unknown format", .0.0)]
    Stat(Pid),
    /// Not allowed, or an I/O error.
    #[error("/proc/{}: {source}", .pid.0)]
    Io {
        /// Which process.
        pid: Pid,
        /// What failed.
        source: io::Error,
    },
}

/// What the process itself declares in its environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// `OTEL_SERVICE_NAME`, else `service.name` of `OTEL_RESOURCE_ATTRIBUTES`.
    pub service_name: Option<String>,
    /// `service.namespace` of `OTEL_RESOURCE_ATTRIBUTES`.
    pub service_namespace: Option<String>,
    /// `service.version` of `OTEL_RESOURCE_ATTRIBUTES`.
    pub service_version: Option<String>,
    /// `service.instance.id` of `OTEL_RESOURCE_ATTRIBUTES`.
    pub service_instance_id: Option<String>,
    /// `deployment.environment.name` (or its older spelling) of `OTEL_RESOURCE_ATTRIBUTES`.
    pub deployment_environment: Option<String>,
}

/// Size of the kernel's command name without its end (`TASK_COMM_LEN - 1`): one that long may be cut.
const MAX_COMM: usize = 15;

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessInfo {
    /// Its id.
    pub pid: Pid,
    /// When it started.
    pub start: StartTime,
    /// Command name, cut to 15 bytes by the kernel.
    pub comm: String,
    /// Path of the executable inside the process's own root; `None` for kernel threads and where reading is not allowed.
    pub executable: Option<String>,
    /// Arguments, the whole list cut after 16 KiB.
    pub arguments: Vec<String>,
    /// Working directory.
    pub cwd: Option<String>,
    /// What it declares about itself.
    pub declared: Declared,
    /// Network namespace.
    pub net: Option<NetNs>,
    /// Pid namespace.
    pub pid_ns: Option<PidNs>,
    /// Container, pod and unit by its cgroups.
    pub placement: Placement,
    /// A thread of the kernel, which has no program.
    pub kernel_thread: bool,
}

impl ProcessInfo {
    /// Reads process `pid` below `proc_root` (usually `/proc`).
    ///
    /// # Errors
    /// [`ReadError`] where the process is gone or its `stat` cannot be read. What else cannot be read stays unknown.
    pub fn read(proc_root: &Path, pid: Pid) -> Result<Self, ReadError> {
        let dir = dir(proc_root, pid);
        let Stat { comm, start, kernel_thread } = stat(&dir, pid)?;
        let content = |name: &str, limit| read::bytes(&dir.join(name), limit).unwrap_or_default();
        let info = Self {
            pid,
            start,
            comm,
            executable: link(&dir, "exe").map(|path| path.strip_suffix(" (deleted)").map(str::to_owned).unwrap_or(path)),
            arguments: arguments(&content("cmdline", MAX_ARGUMENTS)),
            cwd: link(&dir, "cwd"),
            declared: declared(content("environ", MAX_ENVIRONMENT).split(|&byte| byte == 0)),
            net: namespace(&dir, "ns/net").map(NetNs),
            pid_ns: namespace(&dir, "ns/pid").map(PidNs),
            placement: cgroup::parse(&content("cgroup", cgroup::MAX_TEXT)),
            kernel_thread,
        };
        if stat(&dir, pid)?.start == start { Ok(info) } else { Err(ReadError::Gone(pid)) }
    }

    /// File name of the executable, else the command name.
    #[must_use]
    pub fn executable_name(&self) -> &str {
        self.executable.as_deref().and_then(|path| path.rsplit('/').next()).filter(|name| !name.is_empty()).unwrap_or(&self.comm)
    }

    /// What its interpreter runs, as it stands in the arguments.
    #[must_use]
    pub fn program(&self) -> Option<&str> {
        interpreter::program(self.executable_name(), &self.arguments)
    }

    /// Name of what runs: the interpreter's script, else the executable.
    #[must_use]
    pub fn name(&self) -> &str {
        match self.program() {
            Some(program) => interpreter::short_name(self.executable_name(), program),
            None => self.invoked_name().unwrap_or_else(|| self.executable_name()),
        }
    }

    /// The name under which a program with several was started (`redis-server` is a link to `redis-check-rdb`, `sh` to
    /// `busybox`): the kernel's command name, if the first argument says the same. A process that renamed itself later
    /// agrees with neither.
    fn invoked_name(&self) -> Option<&str> {
        let first = self.arguments.first()?.rsplit('/').next()?;
        let name = first.split([' ', ':']).next()?;
        let whole = self.comm.len() < MAX_COMM && name == self.comm;
        (whole && !name.is_empty()).then_some(&self.comm)
    }
}

/// Command name and start time of `pid`: the cheapest way to know whether it is still the same process.
///
/// # Errors
/// [`ReadError`], as [`ProcessInfo::read`].
pub fn comm_and_start(proc_root: &Path, pid: Pid) -> Result<(String, StartTime), ReadError> {
    stat(&dir(proc_root, pid), pid).map(|stat| (stat.comm, stat.start))
}

/// Network namespace of `pid`, if it may be read.
#[must_use]
pub fn net_namespace(proc_root: &Path, pid: Pid) -> Option<NetNs> {
    namespace(&dir(proc_root, pid), "ns/net").map(NetNs)
}

/// All processes below `proc_root`, by ascending id, at most `limit`.
#[must_use]
pub fn pids(proc_root: &Path, limit: usize) -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir(proc_root) else { return Vec::new() };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut pids: Vec<Pid> = numbers.filter(|&pid| pid != 0).map(Pid).take(limit).collect();
    pids.sort_unstable();
    pids
}

/// The agent itself, as `/proc` numbers it.
pub(super) fn own(proc_root: &Path) -> Option<Pid> {
    let own = std::fs::read_link(proc_root.join("self")).ok()?;
    own.to_str()?.parse().ok().map(Pid)
}

pub(super) fn dir(proc_root: &Path, pid: Pid) -> PathBuf {
    proc_root.join(pid.0.to_string())
}

struct Stat {
    comm: String,
    start: StartTime,
    kernel_thread: bool,
}

fn stat(dir: &Path, pid: Pid) -> Result<Stat, ReadError> {
    let text = read::bytes(&dir.join("stat"), MAX_STAT).map_err(|source| match source.raw_os_error() {
        // ESRCH: the process ended between open and read.
        Some(3) => ReadError::Gone(pid),
        _ if source.kind() == io::ErrorKind::NotFound => ReadError::Gone(pid),
        _ => ReadError::Io { pid, source },
    })?;
    parse_stat(&text).ok_or(ReadError::Stat(pid))
}

/// The command name stands in parentheses and may itself hold any byte, parentheses too.
fn parse_stat(text: &[u8]) -> Option<Stat> {
    const PF_KTHREAD: u64 = 0x0020_0000;
    let open = text.iter().position(|&byte| byte == b'(')?;
    let close = text.iter().rposition(|&byte| byte == b')')?;
    let comm = String::from_utf8_lossy(text.get(open + 1..close)?).into_owned();
    // The first field after the name is the third of all: flags are the ninth, the start the twenty-second.
    let mut fields = std::str::from_utf8(&text[close + 1..]).ok()?.split_ascii_whitespace();
    let flags: u64 = fields.nth(9 - 3)?.parse().ok()?;
    let start = fields.nth(22 - 9 - 1)?.parse().ok()?;
    Some(Stat { comm, start: StartTime(start), kernel_thread: flags & PF_KTHREAD != 0 })
}

fn link(dir: &Path, name: &str) -> Option<String> {
    let target = std::fs::read_link(dir.join(name)).ok()?;
    Some(target.to_string_lossy().into_owned())
}

/// Inode of a namespace link, which reads `net:[4026531840]`.
fn namespace(dir: &Path, name: &str) -> Option<u64> {
    link(dir, name)?.split_once(":[")?.1.strip_suffix(']')?.parse().ok()
}

fn arguments(text: &[u8]) -> Vec<String> {
    let text = text.strip_suffix(&[0]).unwrap_or(text);
    if text.is_empty() {
        return Vec::new();
    }
    text.split(|&byte| byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// Picks the OpenTelemetry variables out of `NAME=VALUE` entries.
#[must_use]
pub fn declared<'a>(environment: impl Iterator<Item = &'a [u8]>) -> Declared {
    let mut declared = Declared::default();
    let mut name = None;
    for entry in environment {
        if let Some(value) = entry.strip_prefix(b"OTEL_SERVICE_NAME=") {
            name = text(value);
        } else if let Some(list) = entry.strip_prefix(b"OTEL_RESOURCE_ATTRIBUTES=") {
            resource_attributes(list, &mut declared);
        }
    }
    // OTEL_SERVICE_NAME takes precedence over service.name of the list (specification of SDK variables).
    declared.service_name = name.or(declared.service_name);
    declared
}

/// `key1=value1,key2=value2`, values percent-encoded (specification of resource SDK).
fn resource_attributes(list: &[u8], declared: &mut Declared) {
    for pair in list.split(|&byte| byte == b',') {
        let Some(equals) = pair.iter().position(|&byte| byte == b'=') else { continue };
        let value = text(&percent_decode(pair[equals + 1..].trim_ascii()));
        match pair[..equals].trim_ascii() {
            b"service.name" => declared.service_name = value,
            b"service.namespace" => declared.service_namespace = value,
            b"service.version" => declared.service_version = value,
            b"service.instance.id" => declared.service_instance_id = value,
            b"deployment.environment.name" | b"deployment.environment" => declared.deployment_environment = value,
            _ => {}
        }
    }
}

fn text(bytes: &[u8]) -> Option<String> {
    let bytes = bytes.trim_ascii();
    // A name longer than this is no name; the whole value is another process's to choose.
    (!bytes.is_empty() && bytes.len() <= 1024).then(|| String::from_utf8_lossy(bytes).into_owned())
}

fn percent_decode(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let digits = bytes.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.filter(|_| byte == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(value) => {
                decoded.push(value);
                at += 3;
            }
            None => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fixture;
    use super::*;

    const STAT: &str = "42 (a) b (c) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1000 10 18446744073709551615\n";

    #[test]
    fn a_process_is_read_from_its_directory() {
        let proc = fixture::tree(&[
            ("42/stat", STAT),
            ("42/cmdline", "/usr/bin/python3\0-u\0/srv/shop/server.py\0--port\x0080\0"),
            (
                "42/environ",
                "A=1\0OTEL_RESOURCE_ATTRIBUTES=service.name=x,service.namespace=the%20shop, service.version = 2,junk\0OTEL_SERVICE_NAME=cart\0",
            ),
            ("42/cgroup", "0::/system.slice/shop.service\n"),
            ("self/stat", "not a pid"),
            ("7/stat", "7 (x) S"),
        ]);
        proc.link("42/exe", "/usr/bin/python3.11 (deleted)");
        proc.link("42/cwd", "/srv/shop");
        proc.link("42/ns/net", "net:[4026531840]");
        proc.link("42/ns/pid", "pid:[4026531836]");
        let info = ProcessInfo::read(proc.path(), Pid(42)).expect("readable");
        assert_eq!((info.comm.as_str(), info.start), ("a) b (c", StartTime(987_654)));
        assert_eq!(info.executable.as_deref(), Some("/usr/bin/python3.11"));
        assert_eq!((info.executable_name(), info.program(), info.name()), ("python3.11", Some("/srv/shop/server.py"), "server"));
        assert_eq!(info.arguments.len(), 5);
        assert_eq!(info.declared.service_name.as_deref(), Some("cart"));
        assert_eq!(info.declared.service_namespace.as_deref(), Some("the shop"));
        assert_eq!(info.declared.service_version.as_deref(), Some("2"));
        assert_eq!((info.net, info.pid_ns), (Some(NetNs(4_026_531_840)), Some(PidNs(4_026_531_836))));
        assert_eq!(info.placement.unit.as_ref().map(|unit| &*unit.name), Some("shop"));
        assert_eq!(pids(proc.path(), 10), [Pid(7), Pid(42)]);
        assert!(matches!(ProcessInfo::read(proc.path(), Pid(7)), Err(ReadError::Stat(Pid(7)))));
        assert!(matches!(ProcessInfo::read(proc.path(), Pid(8)), Err(ReadError::Gone(Pid(8)))));
    }

    #[test]
    fn a_program_with_several_names_has_the_one_it_was_started_by() {
        let name = |comm: &str, first: &str, exe: &str| {
            let proc = fixture::tree(&[("42/stat", STAT.replace("a) b (c", comm).as_str()), ("42/cmdline", &format!("{first}\0"))]);
            proc.link("42/exe", exe);
            ProcessInfo::read(proc.path(), Pid(42)).expect("readable").name().to_owned()
        };
        assert_eq!(name("redis-server", "redis-server *:6379", "/usr/bin/redis-check-rdb"), "redis-server");
        assert_eq!(name("httpd", "/usr/sbin/httpd", "/bin/busybox"), "httpd");
        assert_eq!(name("worker-1", "/usr/bin/app", "/usr/bin/app"), "app");
        assert_eq!(name("bash", "-bash", "/usr/bin/bash"), "bash");
    }

    #[test]
    fn what_may_not_be_read_stays_unknown() {
        let proc = fixture::tree(&[("42/stat", STAT)]);
        let info = ProcessInfo::read(proc.path(), Pid(42)).expect("readable");
        assert_eq!((info.executable.as_deref(), info.name(), info.net), (None, "a) b (c", None));
        assert_eq!((info.declared, info.placement), (Declared::default(), Placement::default()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(text in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = parse_stat(&text);
            let _ = arguments(&text);
            let _ = declared([[b"OTEL_RESOURCE_ATTRIBUTES=".as_slice(), &text].concat().as_slice()].into_iter());
        }

        #[test]
        fn percent_encoded_names_come_back(name in "[a-z%, =é]{1,20}") {
            prop_assume!(name.trim() == name);
            let encoded: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let entry = format!("OTEL_RESOURCE_ATTRIBUTES=a=b,service.name={encoded}");
            prop_assert_eq!(declared([entry.as_bytes()].into_iter()).service_name, Some(name));
        }
    }

    mod root {
        use super::*;

        #[test]
        fn this_process_is_read_from_the_real_proc() {
            let pid = Pid(std::process::id());
            let info = ProcessInfo::read(Path::new("/proc"), pid).expect("own process");
            let exe = std::env::current_exe().expect("own path");
            assert_eq!(info.executable.as_deref(), exe.to_str());
            assert_eq!(info.arguments, std::env::args().collect::<Vec<_>>());
            assert_eq!(comm_and_start(Path::new("/proc"), pid).expect("own start"), (info.comm, info.start));
            assert!(!info.kernel_thread);
            assert!(pids(Path::new("/proc"), usize::MAX).contains(&pid));
        }
    }
}
