//! Loading and attaching: what must work, what may be missing, and what each missing part costs.

use super::cgroup::{self, RootError, RootPlace};
use super::{Captured, btf, records};
use aya::programs::links::CgroupAttachMode;
use aya::programs::{BtfTracePoint, CgroupSkb, CgroupSkbAttachType, CgroupSockAddr, ProgramError, SockOps};
use aya::{Btf, Ebpf, EbpfError, EbpfLoader};
use remora_ebpf::wire::{OPENING, Policy};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

static FLOW: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/flow"));

/// How to load.
#[derive(Debug)]
pub struct LoadOptions {
    /// Bytes of the ring buffer, rounded up to a power of two; by the number of processors if not given.
    pub ring_bytes: Option<u32>,
    /// Where the cgroup v2 root is mounted; it is mounted privately if that is nowhere.
    pub cgroup_root: Option<PathBuf>,
    /// The cgroup namespace of the first process, for a private mount that shows the whole hierarchy.
    pub first_cgroup_namespace: Option<OwnedFd>,
    /// The agent's own process id, which is never recorded.
    pub self_pid: u32,
    /// Whether the hook that tells which thread reads is attached.
    pub reading_thread: bool,
    /// Bytes of the kernel's own BTF, if it has any.
    pub kernel_btf: Option<Vec<u8>>,
    /// First bytes of an end that stand for a policy, as that end sees it, until the connection gets one of its own.
    pub openings: Vec<([u8; OPENING], Policy)>,
}

/// Whether a hook works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookState {
    /// It is attached.
    Attached,
    /// It is not, for this reason.
    Off(String),
}

/// One hook and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Program name.
    pub name: &'static str,
    /// What it gives.
    pub gives: &'static str,
    /// Whether it works.
    pub state: HookState,
}

/// All hooks that were tried.
#[derive(Clone, Debug)]
pub struct Hooks {
    /// The hooks.
    pub hooks: Vec<Hook>,
    /// Where the cgroup v2 root is.
    pub root: RootPlace,
    /// How the sending thread is known.
    pub sender: SenderSource,
}

/// How programs outside process context learn the running thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SenderSource {
    /// `bpf_get_current_pid_tgid` works everywhere (Linux 6.10).
    Helper,
    /// By the offset of `task_struct.pid` in the kernel's BTF.
    TaskStruct(u32),
    /// Not at all.
    Unknown,
}

impl SenderSource {
    fn constant(self) -> u32 {
        match self {
            SenderSource::Unknown => 0,
            SenderSource::Helper => 1,
            SenderSource::TaskStruct(offset) => offset,
        }
    }
}

/// Why capture cannot work at all.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No cgroup v2 root.
    #[error(transparent)]
    Root(#[from] RootError),
    /// The kernel refused the object or its maps.
    #[error("the kernel refuses the BPF maps of family flow: {}", reason(.0))]
    Object(#[source] EbpfError),
    /// The kernel refused a program without which there is nothing to see.
    #[error("the kernel refuses BPF program {name}: {}", reason(.source))]
    Program {
        /// Program.
        name: &'static str,
        /// Reason.
        source: ProgramError,
    },
    /// The object misses a part: a build that does not fit itself.
    #[error("the BPF object has no {0}")]
    Missing(&'static str),
}

/// The whole chain of an error in one line; of a verifier's log, what it ended with.
fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    if let Some(ProgramError::LoadError { io_error, verifier_log }) = error.downcast_ref() {
        return match refusal(&verifier_log.to_string()) {
            Some(refusal) => format!("{refusal} ({io_error})"),
            None => format!("the kernel refuses the program: {io_error}"),
        };
    }
    let mut text = error.to_string().lines().next().unwrap_or_default().to_owned();
    let mut next = error.source();
    while let Some(source) = next {
        let line = source.to_string();
        let line = line.lines().next().unwrap_or_default();
        if !text.contains(line) {
            text = format!("{text}: {line}");
        }
        next = source.source();
    }
    text
}

/// The line of a verifier's log that says why it stopped: the last but for its statistics.
fn refusal(log: &str) -> Option<&str> {
    const STATISTICS: [&str; 3] = ["processed ", "verification time ", "stack depth "];
    log.lines().map(str::trim).rfind(|line| !line.is_empty() && !STATISTICS.iter().any(|start| line.starts_with(start)))
}

/// Loads and attaches all that this kernel lets. Nothing stays attached when the result is dropped or the process dies:
/// every attachment is a link that its descriptor holds.
///
/// # Errors
/// [`LoadError`] if no payload can be seen at all.
pub fn load(options: &LoadOptions) -> Result<(Captured, Hooks), LoadError> {
    let (root, place) = cgroup::open_root(options.cgroup_root.as_deref(), options.first_cgroup_namespace.as_ref().map(OwnedFd::as_fd))?;
    let (mut ebpf, sender) = object(options)?;
    records::set_openings(&mut ebpf, &options.openings).map_err(LoadError::Missing)?;
    for (name, kind) in [("egress", CgroupSkbAttachType::Egress), ("ingress", CgroupSkbAttachType::Ingress)] {
        let program: &mut CgroupSkb = program(&mut ebpf, name)?;
        program.attach(&root, kind, CgroupAttachMode::Single).map_err(|source| LoadError::Program { name, source })?;
    }
    let required = |name, gives| Hook { name, gives, state: HookState::Attached };
    let mut hooks = vec![required("egress", "bytes that sockets send"), required("ingress", "bytes that sockets receive")];
    let mut optional = |name, gives, result: Result<(), ProgramError>| {
        let state = result.map_or_else(|error| HookState::Off(reason(&error)), |()| HookState::Attached);
        hooks.push(Hook { name, gives, state });
    };
    optional("life", "handshakes, failed connects, closes and listeners", sock_ops(&mut ebpf, &root));
    optional("connect4", "who dials which IPv4 address, before NAT", sock_addr(&mut ebpf, "connect4", &root));
    optional("connect6", "who dials which IPv6 address, before NAT", sock_addr(&mut ebpf, "connect6", &root));
    let state = match options.reading_thread.then(|| reads(&mut ebpf)) {
        None => HookState::Off("switched off by capture.reading_thread".into()),
        Some(Ok(())) => HookState::Attached,
        // Socket storage in tracing programs came with 5.11.
        Some(Err(error)) => HookState::Off(format!("needs Linux 5.11 with BTF: {}", reason(&error))),
    };
    hooks.push(Hook { name: "tcp_rcv_space_adjust", gives: "which thread reads a request", state });
    let captured = Captured::new(ebpf).map_err(LoadError::Missing)?;
    Ok((captured, Hooks { hooks, root: place, sender }))
}

/// The object with its required programs loaded, by the best way to the sending thread that the kernel takes.
fn object(options: &LoadOptions) -> Result<(Ebpf, SenderSource), LoadError> {
    let offset = options.kernel_btf.as_deref().and_then(|bytes| btf::member_offset(bytes, "task_struct", "pid"));
    let ways = [Some(SenderSource::Helper), offset.map(SenderSource::TaskStruct), Some(SenderSource::Unknown)];
    let processors = aya::util::online_cpus().map_or(1, |processors| processors.len());
    let ring_bytes = options.ring_bytes.map_or_else(|| usual_ring_bytes(processors), u32::next_power_of_two);
    let mut last = LoadError::Missing("way to load");
    for sender in ways.into_iter().flatten() {
        let mut ebpf = EbpfLoader::new()
            .override_global("SELF_TGID", &options.self_pid, true)
            .override_global("TASK", &sender.constant(), true)
            .map_max_entries("EVENTS", ring_bytes)
            .load(FLOW)
            .map_err(LoadError::Object)?;
        let loaded = ["egress", "ingress"].into_iter().try_for_each(|name| {
            let program: &mut CgroupSkb = program(&mut ebpf, name)?;
            program.load().map_err(|source| LoadError::Program { name, source })
        });
        match loaded {
            Ok(()) => return Ok((ebpf, sender)),
            Err(error) => {
                tracing::debug!(?sender, error = %format!("{error:?}"), "programs refused with this way to the sending thread");
                last = error;
            }
        }
    }
    Err(last)
}

/// Size of the ring buffer on a machine with so many processors, each of which writes to it.
fn usual_ring_bytes(processors: usize) -> u32 {
    let mib = u32::try_from(processors).unwrap_or(u32::MAX).clamp(8, 32).next_power_of_two();
    mib << 20
}

fn program<'a, P>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut P, LoadError>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
{
    let program = ebpf.program_mut(name).ok_or(LoadError::Missing(name))?;
    program.try_into().map_err(|source| LoadError::Program { name, source })
}

/// A program that may be missing.
fn optional_program<'a, P>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut P, ProgramError>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
{
    ebpf.program_mut(name).ok_or(ProgramError::NotLoaded)?.try_into()
}

fn sock_ops(ebpf: &mut Ebpf, root: &OwnedFd) -> Result<(), ProgramError> {
    let program: &mut SockOps = optional_program(ebpf, "life")?;
    program.load()?;
    program.attach(root, CgroupAttachMode::Single).map(drop)
}

fn sock_addr(ebpf: &mut Ebpf, name: &str, root: &OwnedFd) -> Result<(), ProgramError> {
    let program: &mut CgroupSockAddr = optional_program(ebpf, name)?;
    program.load()?;
    program.attach(root, CgroupAttachMode::Single).map(drop)
}

fn reads(ebpf: &mut Ebpf) -> Result<(), ProgramError> {
    let btf = Btf::from_sys_fs()?;
    let program: &mut BtfTracePoint = optional_program(ebpf, "tcp_rcv_space_adjust")?;
    program.load("tcp_rcv_space_adjust", &btf)?;
    program.attach().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_buffer_grows_with_the_processors() {
        assert_eq!([1, 8, 9, 24, 32, 500].map(|processors| usual_ring_bytes(processors) >> 20), [8, 8, 16, 32, 32, 32]);
    }

    #[test]
    fn a_refusal_is_the_last_line_of_the_log_that_is_not_statistics() {
        let old = "arg#0 type is not a struct\nUnrecognized arg#0 type PTR\n; let Some(state) = find(sk) else { return 0 };\n\
                   7: (85) call bpf_sk_storage_get#107\nunknown func bpf_sk_storage_get#107\n\
                   processed 8 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0\n";
        assert_eq!(refusal(old), Some("unknown func bpf_sk_storage_get#107"));
        assert_eq!(
            refusal("R2 min value is negative\nverification time 88 usec\nstack depth 8+0\nprocessed 9 insns\n\n"),
            Some("R2 min value is negative")
        );
        assert_eq!(refusal("processed 9 insns\n"), None);
        assert_eq!(refusal(""), None);
    }
}
