//! State of each socket, maps, and the records that are not segments.

use aya_ebpf::{
    bindings::{BPF_RB_NO_WAKEUP, BPF_SK_STORAGE_GET_F_CREATE, bpf_sock},
    btf_maps::SkStorage,
    helpers::{bpf_jiffies64, bpf_ktime_get_ns, bpf_sk_storage_get, bpf_tcp_sock},
    macros::{btf_map, map},
    maps::{Array, HashMap, PerCpuArray, RingBuf},
};
use remora_ebpf::wire::{Amount, Counter, EGRESS, KIND_OPEN, OPENING, Open, Policy, ROLE_UNKNOWN, Totals};

/// The agent's own process: its connections are never recorded. Set at load.
#[unsafe(no_mangle)]
pub(crate) static SELF_TGID: u32 = 0;
/// How the running task is found: see [`remora_ebpf::rt::task::current`]. Set at load.
#[unsafe(no_mangle)]
pub(crate) static TASK: u32 = 0;

/// Reads a constant that the loader has set, where the compiler must not assume its initial value.
#[inline(always)]
pub(crate) fn constant(value: &'static u32) -> u32 {
    // SAFETY: a valid reference.
    unsafe { core::ptr::read_volatile(value) }
}

/// Most policies that wait for their connection's next burst.
const POLICIES_MAX: u32 = 65_536;
/// Most openings that stand for a policy.
const OPENINGS_MAX: u32 = 16;
/// Totals of a busy connection are sent at most once in so many jiffies (about 10 s at any HZ from 100 to 1000).
const TOTALS_EVERY: u64 = 2_500;

/// Not yet decided by user space.
pub(crate) const UNCLASSIFIED: u8 = 0;
/// User space has written a policy.
pub(crate) const DECIDED: u8 = 1;
/// The agent's own: no record, ever.
pub(crate) const SILENT: u8 = 2;

/// `announced`: an [`Open`] was sent.
pub(crate) const ANNOUNCED: u8 = 1;
/// `announced`: one with the socket's cgroup was sent.
pub(crate) const ANNOUNCED_CGROUP: u8 = 2;

/// State of one socket. Zero is its initial value. What every segment needs comes first: the kernel puts eight bytes of its
/// own before it, and the first 56 share their cache line (`struct bpf_local_storage_elem`).
#[repr(C)]
pub(crate) struct State {
    pub(crate) mode: u8,
    /// Direction of the last payload, plus 1; 0 before the first.
    pub(crate) last: u8,
    /// Flags seen in each direction.
    pub(crate) flags: [u8; 2],
    /// Whether a direction's `next` is set.
    pub(crate) seen: [u8; 2],
    /// Whether bytes of a direction went missing and may still come.
    pub(crate) gap: [u8; 2],
    pub(crate) next: [u32; 2],
    /// Policy, once decided or where an opening stands for one.
    pub(crate) egress: Amount,
    pub(crate) ingress: Amount,
    pub(crate) bytes: [u64; 2],
    pub(crate) segments: [u32; 2],
    pub(crate) last_totals: u64,
    pub(crate) cookie: u64,
    pub(crate) burst_taken: u32,
    pub(crate) policy_generation: u32,
    pub(crate) first_segments: u32,
    /// Process that owns the socket: that dialled, read, or was the first that certainly sent; 0 before.
    pub(crate) tgid: u32,
    /// Thread that was running when something came last, while the owner is not known.
    pub(crate) bystander: u32,
    pub(crate) role: u8,
    pub(crate) transport: u8,
    pub(crate) announced: u8,
    /// Whether a read of the current ingress burst was reported.
    pub(crate) read_reported: u8,
    /// Whether the state was set up.
    pub(crate) known: u8,
    pub(crate) midway: u8,
    pub(crate) local_port: u16,
    pub(crate) remote_port: u16,
    pub(crate) dialed_port: u16,
    pub(crate) retransmits: u32,
    pub(crate) opened: u64,
    pub(crate) established: u64,
    /// Cgroup of the task that dialled; 0 where nobody did.
    pub(crate) cgroup: u64,
    pub(crate) local: [u8; 16],
    pub(crate) remote: [u8; 16],
    pub(crate) dialed: [u8; 16],
    pub(crate) comm: [u8; 16],
}

#[btf_map]
pub(crate) static SOCKETS: SkStorage<State> = SkStorage::new();
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(8 << 20, 0);
#[map]
pub(crate) static POLICIES: HashMap<u64, Policy> = HashMap::with_max_entries(POLICIES_MAX, 0);
/// Policies by the first bytes of an end, as that end sees them. Set at load.
#[map]
pub(crate) static OPENINGS: HashMap<[u8; OPENING], Policy> = HashMap::with_max_entries(OPENINGS_MAX, 0);
/// One number that user space raises after it has written policies.
#[map]
pub(crate) static POLICY_GENERATION: Array<u32> = Array::with_max_entries(1, 0);
#[map]
pub(crate) static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Counter::COUNT, 0);

#[inline(always)]
pub(crate) fn count(counter: Counter, n: u64) {
    if let Some(slot) = COUNTERS.get_ptr_mut(counter as u32) {
        // SAFETY: the slot is this CPU's own.
        unsafe { *slot += n }
    }
}

/// State of a full socket, if it has any.
#[inline(always)]
pub(crate) fn find(sk: *mut bpf_sock) -> Option<&'static mut State> {
    // SAFETY: `sk` is a full socket of the verifier's; the helper gives null or the value of this map.
    unsafe { bpf_sk_storage_get(core::ptr::addr_of!(SOCKETS) as *mut _, sk.cast(), core::ptr::null_mut(), 0).cast::<State>().as_mut() }
}

/// State of a full socket, made if it has none.
#[inline(always)]
pub(crate) fn find_or_make(sk: *mut bpf_sock) -> Option<&'static mut State> {
    // SAFETY: as in `find`; a new value is zeroed by the kernel.
    let state = unsafe {
        bpf_sk_storage_get(core::ptr::addr_of!(SOCKETS) as *mut _, sk.cast(), core::ptr::null_mut(), BPF_SK_STORAGE_GET_F_CREATE as u64)
            .cast::<State>()
            .as_mut()
    };
    if state.is_none() {
        count(Counter::NoStorage, 1);
    }
    state
}

/// An IPv4 address as IPv4-mapped IPv6. `address` is in network order, as contexts hold it.
#[inline(always)]
pub(crate) fn mapped(address: u32) -> [u8; 16] {
    let [a, b, c, d] = address.to_ne_bytes();
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}

/// An IPv6 address from four words in network order.
#[inline(always)]
pub(crate) fn wide(words: [u32; 4]) -> [u8; 16] {
    let mut address = [0; 16];
    let mut i = 0;
    while i < 4 {
        let [a, b, c, d] = words[i].to_ne_bytes();
        address[i * 4] = a;
        address[i * 4 + 1] = b;
        address[i * 4 + 2] = c;
        address[i * 4 + 3] = d;
        i += 1;
    }
    address
}

/// Sends an [`Open`] unless one that says as much was sent. `cgroup` 0 means unknown.
#[inline(always)]
pub(crate) fn announce(state: &mut State, cgroup: u64) {
    let wanted = if cgroup == 0 { ANNOUNCED } else { ANNOUNCED | ANNOUNCED_CGROUP };
    if state.announced & wanted == wanted {
        return;
    }
    let Some(mut entry) = EVENTS.reserve::<Open>(0) else {
        count(Counter::RingFull, 1);
        return;
    };
    write_open(entry.as_mut_ptr(), state, KIND_OPEN, cgroup);
    entry.submit(BPF_RB_NO_WAKEUP as u64);
    state.announced |= wanted;
}

/// Writes what is known of a socket to a reserved record.
#[inline(always)]
pub(crate) fn write_open(open: *mut Open, state: &State, kind: u8, cgroup: u64) {
    // SAFETY: the caller's reservation is exclusively its own and at least as large as the record.
    unsafe {
        (*open).kind = kind;
        (*open).transport = state.transport;
        (*open).role = state.role;
        (*open).midway = state.midway;
        (*open).tgid = state.tgid;
        (*open).cookie = state.cookie;
        (*open).time = state.opened;
        (*open).established = state.established;
        (*open).cgroup = cgroup;
        (*open).local = state.local;
        (*open).remote = state.remote;
        (*open).dialed = state.dialed;
        (*open).local_port = state.local_port;
        (*open).remote_port = state.remote_port;
        (*open).dialed_port = state.dialed_port;
        (*open).reserved = 0;
        (*open).comm = state.comm;
    }
}

/// Sends the counters of a socket. `old_state` is 0 while the connection goes on.
#[inline(always)]
pub(crate) fn totals(state: &mut State, sk: *mut bpf_sock, kind: u8, old_state: u8) {
    // SAFETY: `sk` is a full socket; the helper gives null or its TCP part.
    let srtt_us = unsafe { bpf_tcp_sock(sk).as_ref().map_or(0, |tcp| tcp.srtt_us >> 3) };
    let Some(mut entry) = EVENTS.reserve::<Totals>(0) else {
        count(Counter::RingFull, 1);
        return;
    };
    // SAFETY: the reservation is exclusively ours and as large as the record.
    unsafe {
        let totals = entry.as_mut_ptr();
        (*totals).kind = kind;
        (*totals).flags_egress = state.flags[0];
        (*totals).flags_ingress = state.flags[1];
        (*totals).old_state = old_state;
        (*totals).retransmits = state.retransmits;
        (*totals).cookie = state.cookie;
        (*totals).time = bpf_ktime_get_ns();
        (*totals).bytes_sent = state.bytes[0];
        (*totals).bytes_received = state.bytes[1];
        (*totals).segments_sent = state.segments[0];
        (*totals).segments_received = state.segments[1];
        (*totals).srtt_us = srtt_us;
        (*totals).reserved = 0;
    }
    entry.submit(BPF_RB_NO_WAKEUP as u64);
}

/// Whether it is time for the counters of a busy connection.
#[inline(always)]
pub(crate) fn totals_due(state: &mut State) -> bool {
    // SAFETY: reads a counter.
    let now = unsafe { bpf_jiffies64() };
    if now.wrapping_sub(state.last_totals) < TOTALS_EVERY {
        return false;
    }
    let first = state.last_totals == 0;
    state.last_totals = now;
    !first
}

/// Takes the policy that user space wrote, if there is a new one.
#[inline(always)]
pub(crate) fn take_policy(state: &mut State) {
    let Some(generation) = POLICY_GENERATION.get(0) else { return };
    if *generation == state.policy_generation {
        return;
    }
    state.policy_generation = *generation;
    // SAFETY: the value is copied at once; user space writes whole values.
    if let Some(policy) = unsafe { POLICIES.get(&state.cookie) } {
        let policy = *policy;
        state.egress = policy.egress;
        state.ingress = policy.ingress;
        state.mode = DECIDED;
        let _ = POLICIES.remove(&state.cookie);
    }
}

/// Takes the policy for which the first bytes of an undecided connection's direction stand, if they do.
#[inline(always)]
pub(crate) fn take_opening(state: &mut State, opening: &[u8; OPENING], direction: u8) {
    // SAFETY: user space writes the map before any program runs.
    if let Some(policy) = unsafe { OPENINGS.get(opening) } {
        (state.egress, state.ingress) = if direction == EGRESS { (policy.egress, policy.ingress) } else { (policy.ingress, policy.egress) };
    }
}

/// Fills what a socket says of itself.
#[inline(always)]
pub(crate) fn set_up(state: &mut State, cookie: u64, transport: u8) {
    state.cookie = cookie;
    state.transport = transport;
    state.known = 1;
    // SAFETY: reads a clock.
    state.opened = unsafe { bpf_ktime_get_ns() };
    if state.role == ROLE_UNKNOWN {
        state.midway = 1;
    }
}
