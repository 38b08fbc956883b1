//! How connections begin and end, and which threads dial, listen and read.

use crate::sockets::{
    SELF_TGID, SILENT, State, TASK, UNCLASSIFIED, announce, constant, count, find, find_or_make, mapped, set_up, totals, wide,
};
use aya_ebpf::{
    EbpfContext,
    bindings::{
        BPF_RB_NO_WAKEUP, BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, BPF_SOCK_OPS_STATE_CB,
        BPF_SOCK_OPS_STATE_CB_FLAG, BPF_SOCK_OPS_TCP_CONNECT_CB, BPF_SOCK_OPS_TCP_LISTEN_CB, BPF_TCP_CLOSE, BPF_TCP_ESTABLISHED,
        BPF_TCP_LISTEN, bpf_sock, bpf_sock_addr, bpf_sock_ops,
    },
    helpers::{bpf_get_current_cgroup_id, bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_socket_cookie, bpf_ktime_get_ns},
    macros::{btf_tracepoint, cgroup_sock_addr, sock_ops},
    programs::{BtfTracePointContext, SockAddrContext, SockOpsContext},
};
use remora_ebpf::rt::task;
use remora_ebpf::wire::{
    Counter, IPPROTO_TCP, KIND_CLOSE, KIND_LISTEN, KIND_READ, Listen, ROLE_CLIENT, ROLE_OWN, ROLE_SERVER, Read, TCP_FIN, TCP_RST,
};

const AF_INET: u32 = 2;
/// `bpf_sock_addr.type` of a stream socket (`SOCK_STREAM`).
const SOCK_STREAM: u32 = 1;

#[cgroup_sock_addr(connect4)]
pub(crate) fn connect4(ctx: SockAddrContext) -> i32 {
    // SAFETY: the context is the verifier's.
    let address = unsafe { mapped((*ctx.sock_addr).user_ip4) };
    dial(&ctx, address);
    1
}

#[cgroup_sock_addr(connect6)]
pub(crate) fn connect6(ctx: SockAddrContext) -> i32 {
    // SAFETY: the context is the verifier's; each word is read on its own, as the verifier asks.
    let address = unsafe {
        let words = core::ptr::addr_of!((*ctx.sock_addr).user_ip6).cast::<u32>();
        wide([
            core::ptr::read_volatile(words),
            core::ptr::read_volatile(words.add(1)),
            core::ptr::read_volatile(words.add(2)),
            core::ptr::read_volatile(words.add(3)),
        ])
    };
    dial(&ctx, address);
    1
}

#[inline(always)]
fn dial(ctx: &SockAddrContext, address: [u8; 16]) {
    let addr: *mut bpf_sock_addr = ctx.sock_addr;
    // SAFETY: fields of the verifier's context; `sk` is null or the socket.
    unsafe {
        if (*addr).type_ != SOCK_STREAM {
            return;
        }
        let sk = (*addr).__bindgen_anon_1.sk;
        if sk.is_null() {
            return;
        }
        let Some(state) = find_or_make(sk) else { return };
        state.role = ROLE_CLIENT;
        set_up(state, bpf_get_socket_cookie(ctx.as_ptr()), IPPROTO_TCP);
        state.tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
        // Told with the first record: a short-lived client may be gone before anybody reads of it in /proc.
        state.cgroup = bpf_get_current_cgroup_id();
        state.dialed = address;
        state.dialed_port = u16::from_be((*addr).user_port as u16);
        if let Ok(comm) = bpf_get_current_comm() {
            state.comm = comm;
        }
        if state.tgid == constant(&SELF_TGID) {
            state.mode = SILENT;
        }
    }
}

#[sock_ops]
pub(crate) fn life(ctx: SockOpsContext) -> u32 {
    let op = ctx.op();
    if op == BPF_SOCK_OPS_TCP_CONNECT_CB || op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB {
        begun(&ctx, ROLE_CLIENT, op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB);
    } else if op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB {
        begun(&ctx, ROLE_SERVER, true);
    } else if op == BPF_SOCK_OPS_STATE_CB {
        if ctx.arg(1) == BPF_TCP_CLOSE && ctx.arg(0) == BPF_TCP_LISTEN {
            listening(&ctx, 1);
        } else if ctx.arg(1) == BPF_TCP_CLOSE {
            ended(&ctx, ctx.arg(0) as u8);
        }
    } else if op == BPF_SOCK_OPS_TCP_LISTEN_CB {
        let _ = ctx.set_cb_flags((ctx.cb_flags() | BPF_SOCK_OPS_STATE_CB_FLAG) as i32);
        listening(&ctx, 0);
    }
    1
}

#[inline(always)]
fn socket(ctx: &SockOpsContext) -> *mut bpf_sock {
    let ops: *mut bpf_sock_ops = ctx.ops;
    // SAFETY: a field of the verifier's context.
    unsafe { (*ops).__bindgen_anon_2.sk }
}

#[inline(always)]
fn begun(ctx: &SockOpsContext, role: u8, established: bool) {
    let sk = socket(ctx);
    if sk.is_null() {
        return;
    }
    // Other programs' wishes are kept: the helper sets all flags at once.
    let _ = ctx.set_cb_flags((ctx.cb_flags() | BPF_SOCK_OPS_STATE_CB_FLAG) as i32);
    let Some(state) = find_or_make(sk) else { return };
    if state.mode == SILENT {
        // Said once, so that user space leaves the other end alone too.
        if established {
            state.role = ROLE_OWN;
            ends(ctx, state);
            announce(state, state.cgroup);
        }
        return;
    }
    state.role = role;
    if state.known == 0 {
        // SAFETY: the context is the verifier's.
        set_up(state, unsafe { bpf_get_socket_cookie(ctx.as_ptr()) }, IPPROTO_TCP);
    }
    if established {
        // SAFETY: reads a clock.
        state.established = unsafe { bpf_ktime_get_ns() };
    }
    ends(ctx, state);
    if established {
        announce(state, state.cgroup);
    }
}

/// Fills the addresses of both ends.
#[inline(always)]
fn ends(ctx: &SockOpsContext, state: &mut State) {
    let ops: *mut bpf_sock_ops = ctx.ops;
    // SAFETY: fields of the verifier's context, each read on its own.
    unsafe {
        if (*ops).family == AF_INET {
            state.local = mapped((*ops).local_ip4);
            state.remote = mapped((*ops).remote_ip4);
        } else {
            let local = core::ptr::addr_of!((*ops).local_ip6).cast::<u32>();
            let remote = core::ptr::addr_of!((*ops).remote_ip6).cast::<u32>();
            let read = |words: *const u32| {
                wide([
                    core::ptr::read_volatile(words),
                    core::ptr::read_volatile(words.add(1)),
                    core::ptr::read_volatile(words.add(2)),
                    core::ptr::read_volatile(words.add(3)),
                ])
            };
            state.local = read(local);
            state.remote = read(remote);
        }
        state.local_port = (*ops).local_port as u16;
        // The remote port is in network order in the upper half on little-endian machines (`include/uapi/linux/bpf.h`).
        state.remote_port = u32::from_be((*ops).remote_port) as u16;
    }
}

#[inline(always)]
fn ended(ctx: &SockOpsContext, old_state: u8) {
    let sk = socket(ctx);
    if sk.is_null() {
        return;
    }
    let Some(state) = find(sk) else { return };
    if state.known == 0 {
        return;
    }
    if state.mode == SILENT {
        // Its addresses may belong to others next.
        return totals(state, sk, KIND_CLOSE, old_state);
    }
    announce(state, state.cgroup);
    if aborted(state, old_state) {
        state.flags[0] |= TCP_RST;
    }
    totals(state, sk, KIND_CLOSE, old_state);
}

/// Whether the owner closes a connection without FIN: `SO_LINGER` of zero, or bytes that it has not read. The kernel sends
/// the RST after this state change; a connection that timed out is closed by a timer, not by its owner.
#[inline(always)]
fn aborted(state: &State, old_state: u8) -> bool {
    let over = (state.flags[0] | state.flags[1]) & (TCP_FIN | TCP_RST) != 0;
    !over && u32::from(old_state) == BPF_TCP_ESTABLISHED && state.tgid != 0 && task::current(constant(&TASK)).tgid == state.tgid
}

#[inline(always)]
fn listening(ctx: &SockOpsContext, ended: u8) {
    let running = task::current(constant(&TASK));
    if running.tgid == constant(&SELF_TGID) && running.tgid != 0 {
        return;
    }
    let ops: *mut bpf_sock_ops = ctx.ops;
    let Some(mut entry) = crate::sockets::EVENTS.reserve::<Listen>(0) else {
        return count(Counter::RingFull, 1);
    };
    let listen = entry.as_mut_ptr();
    // SAFETY: the reservation is exclusively ours; the fields are of the verifier's context.
    unsafe {
        (*listen).kind = KIND_LISTEN;
        (*listen).ended = ended;
        (*listen).port = (*ops).local_port as u16;
        (*listen).tgid = running.tgid;
        (*listen).time = bpf_ktime_get_ns();
        (*listen).local = if (*ops).family == AF_INET {
            mapped((*ops).local_ip4)
        } else {
            let words = core::ptr::addr_of!((*ops).local_ip6).cast::<u32>();
            wide([
                core::ptr::read_volatile(words),
                core::ptr::read_volatile(words.add(1)),
                core::ptr::read_volatile(words.add(2)),
                core::ptr::read_volatile(words.add(3)),
            ])
        };
    }
    entry.submit(BPF_RB_NO_WAKEUP as u64);
}

/// Runs in the thread that has just taken bytes out of a TCP socket.
#[btf_tracepoint(function = "tcp_rcv_space_adjust")]
pub(crate) fn tcp_rcv_space_adjust(ctx: BtfTracePointContext) -> i32 {
    let sk: *mut bpf_sock = ctx.arg(0);
    let Some(state) = find(sk) else { return 0 };
    // Only requests have a serving thread, and a client that dialled is known.
    if state.role == ROLE_CLIENT && state.tgid != 0 {
        return 0;
    }
    // Once per burst, and only where somebody looks at what was received. Where nothing has passed the socket's own filter
    // (`last` is 0) and something is read, it came with the handshake.
    if state.read_reported != 0 || state.last == 1 || state.mode == SILENT || (state.mode != UNCLASSIFIED && state.ingress.is_nothing()) {
        return 0;
    }
    state.read_reported = 1;
    let both = bpf_get_current_pid_tgid();
    if state.tgid == 0 {
        state.tgid = (both >> 32) as u32;
    }
    let Some(mut entry) = crate::sockets::EVENTS.reserve::<Read>(0) else {
        count(Counter::RingFull, 1);
        return 0;
    };
    let read = entry.as_mut_ptr();
    // SAFETY: the reservation is exclusively ours and as large as the record.
    unsafe {
        (*read).kind = KIND_READ;
        (*read).reserved = [0; 7];
        (*read).cookie = state.cookie;
        (*read).time = bpf_ktime_get_ns();
        (*read).tgid = (both >> 32) as u32;
        (*read).tid = both as u32;
    }
    entry.submit(BPF_RB_NO_WAKEUP as u64);
    0
}
