//! `egress` and `ingress`: counts what passes a socket and copies as much of it as its policy says.

use crate::sockets::{
    self, ANNOUNCED_CGROUP, DECIDED, SILENT, State, TASK, UNCLASSIFIED, announce, constant, count, find_or_make, take_opening, take_policy,
    totals, totals_due,
};
use aya_ebpf::{
    EbpfContext,
    bindings::{__sk_buff, BPF_RB_AVAIL_DATA, BPF_RB_NO_WAKEUP, BPF_RB_RING_SIZE, bpf_sock},
    helpers::{bpf_get_socket_cookie, bpf_ktime_get_ns, bpf_skb_cgroup_id, bpf_skb_load_bytes, bpf_tcp_sock},
    macros::cgroup_skb,
    programs::SkBuffContext,
};
use core::mem::MaybeUninit;
use remora_ebpf::{
    rt::{
        packet::{self, Headers, Unread},
        task::{self, Task},
    },
    wire::{
        Amount, Counter, Datagram, EGRESS, Early, FIRST_REQUEST_BYTES, FIRST_RESPONSE_BYTES, FIRST_SEGMENTS, INGRESS, IPPROTO_TCP,
        IPPROTO_UDP, KIND_DATAGRAM, KIND_EARLY, KIND_SEGMENT, KIND_TOTALS, LARGEST, OPENING, ORDER_AHEAD, ORDER_NEXT, ORDER_OLD, Open,
        RECORDS, ROLE_CLIENT, ROLE_SERVER, SPARING, Segment, TAIL, TCP_FIN, TCP_PSH, TCP_RST, TCP_SYN, UNDECIDED_BYTES, UNDECIDED_SEGMENTS,
    },
};

/// UDP port that is captured besides TCP; 0 for none.
#[unsafe(no_mangle)]
static UDP_PORT: u32 = 53;

/// Most bytes that are copied of a segment that comes to a listener (a power of two).
const EARLY: u32 = 16 * 1024;

/// `bpf_sock.state` of a listener (`include/net/tcp_states.h`).
const TCP_LISTEN: u32 = 10;
/// `bpf_sock.family` of IPv4 (`AF_INET`).
const AF_INET: u32 = 2;

#[cgroup_skb]
pub(crate) fn egress(ctx: SkBuffContext) -> i32 {
    pass(&ctx, EGRESS);
    1
}

#[cgroup_skb]
pub(crate) fn ingress(ctx: SkBuffContext) -> i32 {
    pass(&ctx, INGRESS);
    1
}

#[inline(always)]
fn pass(ctx: &SkBuffContext, direction: u8) {
    let headers = match packet::headers(ctx) {
        Ok(headers) => headers,
        Err(Unread::NotLinear) => return count(Counter::Unparsed, 1),
        Err(Unread::Other) => return,
    };
    if headers.transport == IPPROTO_UDP {
        let port = constant(&UDP_PORT) as u16;
        if port == 0 || (headers.source != port && headers.destination != port) {
            return;
        }
    }
    let skb = ctx.as_ptr() as *const __sk_buff;
    // SAFETY: the context is the verifier's. The hook runs for full sockets only (`__cgroup_bpf_run_filter_skb`), so that
    // this one needs no `bpf_sk_fullsock`: each helper call saved is 1 % of an exchange.
    let sk = unsafe { (*skb).__bindgen_anon_2.sk };
    if sk.is_null() {
        return;
    }
    // SAFETY: `sk` was just checked.
    if headers.transport == IPPROTO_TCP && unsafe { (*sk).state } == TCP_LISTEN {
        // Data on the third segment of a handshake passes the listener's filter: there is no child socket yet. With
        // TCP_DEFER_ACCEPT that is every connection's first request.
        if headers.payload > 0 && direction == INGRESS {
            early(ctx, &headers);
        }
        return;
    }
    let Some(state) = find_or_make(sk) else { return };
    if state.mode == SILENT {
        return;
    }
    if state.remote_port == 0 || headers.transport == IPPROTO_UDP {
        addresses(ctx, state, sk, &headers, direction);
    }
    if headers.transport == IPPROTO_UDP { datagram(ctx, state, &headers, direction) } else { segment(ctx, state, sk, &headers, direction) }
}

/// Reads the socket's addresses, and what else is known when it is first seen.
#[inline(always)]
fn addresses(ctx: &SkBuffContext, state: &mut State, sk: *mut bpf_sock, headers: &Headers, direction: u8) {
    if state.known == 0 {
        // SAFETY: the context is the verifier's.
        let cookie = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
        if headers.flags & TCP_SYN != 0 {
            state.role = if direction == EGRESS { ROLE_CLIENT } else { ROLE_SERVER };
        }
        sockets::set_up(state, cookie, headers.transport);
    }
    (state.local_port, state.remote_port) =
        if direction == EGRESS { (headers.source, headers.destination) } else { (headers.destination, headers.source) };
    if headers.transport == IPPROTO_TCP {
        // SAFETY: fields of a full socket, which the verifier lets read.
        unsafe {
            if (*sk).family == AF_INET {
                state.local = sockets::mapped((*sk).src_ip4);
                state.remote = sockets::mapped((*sk).dst_ip4);
            } else {
                state.local = sockets::wide((*sk).src_ip6);
                state.remote = sockets::wide((*sk).dst_ip6);
            }
        }
        return;
    }
    // A UDP socket need not be connected: its packets say whom it talks to.
    if let Some((source, destination)) = packet_ends(ctx) {
        (state.local, state.remote) = if direction == EGRESS { (source, destination) } else { (destination, source) };
    }
}

/// Source and destination of a packet.
#[inline(always)]
fn packet_ends(ctx: &SkBuffContext) -> Option<([u8; 16], [u8; 16])> {
    let skb = ctx.as_ptr() as *const __sk_buff;
    // SAFETY: a field of the verifier's context; the helper fills what it was given, or says that it did not.
    unsafe {
        if (*skb).protocol == u32::from(0x0800u16.to_be()) {
            let mut pair = MaybeUninit::<[u32; 2]>::uninit();
            if bpf_skb_load_bytes(ctx.as_ptr(), 12, pair.as_mut_ptr().cast(), 8) != 0 {
                return None;
            }
            let [source, destination] = pair.assume_init();
            return Some((sockets::mapped(source), sockets::mapped(destination)));
        }
        let mut pair = MaybeUninit::<[[u8; 16]; 2]>::uninit();
        if bpf_skb_load_bytes(ctx.as_ptr(), 8, pair.as_mut_ptr().cast(), 32) != 0 {
            return None;
        }
        let [source, destination] = pair.assume_init();
        Some((source, destination))
    }
}

#[inline(always)]
fn datagram(ctx: &SkBuffContext, state: &mut State, headers: &Headers, direction: u8) {
    if headers.payload == 0 {
        return;
    }
    let task = if direction == EGRESS { task::current(constant(&TASK)) } else { Task::UNKNOWN };
    if state.tgid == 0 {
        state.tgid = task.tgid;
    }
    if headers.payload <= 512 {
        emit_datagram::<512>(ctx, state, headers, direction, task)
    } else {
        emit_datagram::<4096>(ctx, state, headers, direction, task)
    }
}

#[repr(C)]
struct SizedEarly {
    head: Early,
    data: [u8; EARLY as usize],
}

/// Hands on what came to a listener, with the ends of the connection that it opens.
#[inline(always)]
fn early(ctx: &SkBuffContext, headers: &Headers) {
    let Some((source, destination)) = packet_ends(ctx) else { return count(Counter::OnListener, 1) };
    let Some(mut entry) = sockets::EVENTS.reserve::<SizedEarly>(0) else {
        count(Counter::OnListener, 1);
        return count(Counter::RingFull, 1);
    };
    let record = entry.as_mut_ptr();
    // SAFETY: the reservation is exclusively ours and as large as the record; the mask bounds the copy by `EARLY`.
    unsafe {
        let open = core::ptr::addr_of_mut!((*record).head.open);
        core::ptr::write_bytes(open.cast::<u64>(), 0, size_of::<Open>() / 8);
        (*open).kind = KIND_EARLY;
        (*open).transport = IPPROTO_TCP;
        (*open).role = ROLE_SERVER;
        (*open).time = bpf_ktime_get_ns();
        (*open).local = destination;
        (*open).remote = source;
        (*open).local_port = headers.destination;
        (*open).remote_port = headers.source;
        (*record).head.seq = headers.seq;
        (*record).head.ack = headers.ack;
        (*record).head.len = headers.payload;
        let data = core::ptr::addr_of_mut!((*record).data);
        (*record).head.captured = load(ctx, headers.payload_at, data.cast(), headers.payload.min(EARLY), EARLY);
    }
    entry.submit(BPF_RB_NO_WAKEUP as u64);
}

#[repr(C)]
struct SizedDatagram<const N: usize> {
    head: Datagram,
    data: [u8; N],
}

/// Sends one datagram, up to `N` bytes of it (a power of two).
#[inline(always)]
fn emit_datagram<const N: usize>(ctx: &SkBuffContext, state: &State, headers: &Headers, direction: u8, task: Task) {
    let Some(mut entry) = sockets::EVENTS.reserve::<SizedDatagram<N>>(0) else {
        return count(Counter::RingFull, 1);
    };
    let record = entry.as_mut_ptr();
    // SAFETY: the reservation is exclusively ours and as large as the record; the mask bounds the copy by `N`.
    unsafe {
        let cgroup = bpf_skb_cgroup_id(ctx.as_ptr().cast());
        sockets::write_open(core::ptr::addr_of_mut!((*record).head.open), state, KIND_DATAGRAM, cgroup);
        (*record).head.open.time = bpf_ktime_get_ns();
        (*record).head.direction = direction;
        (*record).head.reserved = [0; 3];
        (*record).head.tid = task.tid;
        (*record).head.len = headers.payload;
        let data = core::ptr::addr_of_mut!((*record).data);
        (*record).head.captured = load(ctx, headers.payload_at, data.cast(), headers.payload.min(N as u32), N as u32);
    }
    entry.submit(BPF_RB_NO_WAKEUP as u64);
}

#[inline(always)]
fn segment(ctx: &SkBuffContext, state: &mut State, sk: *mut bpf_sock, headers: &Headers, direction: u8) {
    let way = (direction & 1) as usize;
    state.flags[way] |= headers.flags;
    let (order, new) = place(state, headers, way);
    if direction == INGRESS && state.tgid == 0 {
        state.bystander = task::current(constant(&TASK)).tid;
    }
    let ends = headers.flags & (TCP_FIN | TCP_RST);
    if headers.payload == 0 {
        if ends != 0 && (state.mode == UNCLASSIFIED || !state.egress.is_nothing() || !state.ingress.is_nothing()) {
            let head = Head { state, headers, direction, order, flags: ends, task: Task::UNKNOWN };
            emit::<0>(ctx, &head, &Piece { at: 0, len: 0, bytes: 0, tail: 0 });
        }
        return;
    }
    if order == ORDER_OLD && direction == EGRESS {
        state.retransmits += 1;
    }
    if order == ORDER_OLD && state.gap[way] == 0 {
        return;
    }
    state.bytes[way] += u64::from(new);
    state.segments[way] += 1;
    if totals_due(state) {
        totals(state, sk, KIND_TOTALS, 0);
    }
    if ignored(state) {
        return;
    }
    copy(ctx, state, sk, headers, direction, order, ends);
}

/// Whether user space wants nothing of a connection.
#[inline(always)]
fn ignored(state: &State) -> bool {
    state.mode == DECIDED && state.egress.is_nothing() && state.ingress.is_nothing()
}

/// Places a segment among those before it, and tells by how many bytes of payload it moves their end. Bytes that go missing
/// count with those behind them: what fills the gap may repeat any number of others.
#[inline(always)]
fn place(state: &mut State, headers: &Headers, way: usize) -> (u8, u32) {
    let taken = headers.payload + u32::from(headers.flags & TCP_SYN != 0);
    let end = headers.seq.wrapping_add(taken);
    if state.seen[way] == 0 {
        state.seen[way] = 1;
        state.next[way] = end;
        return (ORDER_NEXT, headers.payload);
    }
    let ahead = headers.seq.wrapping_sub(state.next[way]) as i32;
    let new = end.wrapping_sub(state.next[way]);
    if (new as i32) <= 0 {
        // A keep-alive probe, a repeat, or no payload.
        return (if ahead < 0 { ORDER_OLD } else { ORDER_NEXT }, 0);
    }
    if taken == 0 {
        // An acknowledgement in front of which bytes went missing, or behind a FIN: those are not here yet, or none.
        return (ORDER_NEXT, 0);
    }
    state.next[way] = end;
    if ahead > 0 {
        state.gap[way] = 1;
        return (ORDER_AHEAD, new);
    }
    (ORDER_NEXT, new)
}

#[inline(always)]
fn copy(ctx: &SkBuffContext, state: &mut State, sk: *mut bpf_sock, headers: &Headers, direction: u8, order: u8, ends: u8) {
    let burst = state.last != direction + 1;
    if burst {
        state.last = direction + 1;
        state.burst_taken = 0;
        state.read_reported = 0;
    }
    // A long first burst must not keep an undecided connection from its decision.
    if burst || state.mode == UNCLASSIFIED {
        take_policy(state);
        if ignored(state) {
            return;
        }
    }
    if state.mode == UNCLASSIFIED {
        state.first_segments += 1;
        if state.first_segments > UNDECIDED_SEGMENTS {
            count(Counter::Undecided, 1);
            return;
        }
        if state.segments[(direction & 1) as usize] == 1 && headers.payload >= OPENING as u32 {
            opening(ctx, state, headers, direction);
        }
    }
    let mut amount = amount(state, direction);
    if amount.take(state.burst_taken, headers.payload) < headers.payload && state.mode == DECIDED {
        // More may be wanted by now. An end that speaks on and on, as a stream of events, begins no burst at which to look.
        take_policy(state);
        amount = self::amount(state, direction);
    }
    let task = if burst && direction == EGRESS && order == ORDER_NEXT { sender(state, sk, headers.seq) } else { Task::UNKNOWN };
    if state.tgid == 0 {
        state.tgid = task.tgid;
    }
    if state.announced & ANNOUNCED_CGROUP == 0 {
        // SAFETY: the context is the verifier's.
        announce(state, unsafe { bpf_skb_cgroup_id(ctx.as_ptr().cast()) });
        // A socket's cgroup is that of its maker for good: asked once.
        state.announced |= ANNOUNCED_CGROUP;
    }
    let take = spare(amount.take(state.burst_taken, headers.payload));
    state.burst_taken = state.burst_taken.saturating_add(take);
    let rest = headers.payload - take;
    // The end of a pushed segment tells the end of a body.
    let tail = if headers.flags & TCP_PSH != 0 || ends != 0 { rest.min(TAIL) } else { 0 };
    if take > 0 || tail > 0 {
        send(ctx, &Head { state, headers, direction, order, flags: ends, task }, take, rest, tail);
    }
}

/// Bytes to copy of a segment, where `wanted` are wanted.
#[inline(always)]
fn spare(wanted: u32) -> u32 {
    if wanted <= SPARING {
        return wanted;
    }
    let [used, size] = [BPF_RB_AVAIL_DATA, BPF_RB_RING_SIZE].map(|what| sockets::EVENTS.query(u64::from(what)));
    if used < size / 4 * 3 {
        return wanted;
    }
    count(Counter::Spared, 1);
    SPARING
}

/// Looks whether a direction's first bytes stand for a policy: what is missed until user space has judged a connection may
/// leave values unknown for the rest of it.
#[inline(always)]
fn opening(ctx: &SkBuffContext, state: &mut State, headers: &Headers, direction: u8) {
    let mut bytes = [0; OPENING];
    // SAFETY: the helper fills what it was given, or says that it did not.
    if unsafe { bpf_skb_load_bytes(ctx.as_ptr(), headers.payload_at, bytes.as_mut_ptr().cast(), OPENING as u32) } == 0 {
        take_opening(state, &bytes, direction);
    }
}

/// What the policy says of a direction; before there is one, requests get more than responses.
#[inline(always)]
fn amount(state: &State, direction: u8) -> Amount {
    let said = if direction == EGRESS { state.egress } else { state.ingress };
    if state.mode == DECIDED || !said.is_nothing() {
        return said;
    }
    if state.first_segments > FIRST_SEGMENTS {
        return Amount::burst(UNDECIDED_BYTES);
    }
    let request = match state.role {
        ROLE_CLIENT => direction == EGRESS,
        ROLE_SERVER => direction == INGRESS,
        _ => true,
    };
    Amount::burst(if request { FIRST_REQUEST_BYTES } else { FIRST_RESPONSE_BYTES })
}

/// The running task, if it is certain that it sends.
///
/// With something unacknowledged, an acknowledgement or a timer may have released these bytes, whoever was running. Without,
/// the acknowledgement that has just come may have released what waited for it (Nagle's algorithm): then the task is the
/// one that was running when it came, and not the socket's owner.
#[inline(always)]
fn sender(state: &State, sk: *mut bpf_sock, seq: u32) -> Task {
    // SAFETY: `sk` is a full socket; the helper gives null or its TCP part.
    let idle = unsafe { bpf_tcp_sock(sk).as_ref().is_some_and(|tcp| tcp.snd_una == seq) };
    if !idle {
        return Task::UNKNOWN;
    }
    let task = task::current(constant(&TASK));
    let certain = if state.tgid != 0 { task.tgid == state.tgid } else { task.tid != state.bystander };
    if certain { task } else { Task::UNKNOWN }
}

/// What all records of one segment share.
#[derive(Clone, Copy)]
struct Head<'a> {
    state: &'a State,
    headers: &'a Headers,
    direction: u8,
    order: u8,
    flags: u8,
    task: Task,
}

/// A part of a segment: `len` bytes from `at` on, of which the first `bytes` are copied and the last `tail`.
struct Piece {
    at: u32,
    len: u32,
    bytes: u32,
    tail: u32,
}

/// Sends the first `take` bytes of a segment, at most `wire::MOST`, and the last `tail` of the `rest` behind them. A
/// reservation must have a constant size, so there are several: what is reserved and not written is room in the ring, and
/// keeps the processor from fetching the next record's memory in time.
#[inline(always)]
fn send(ctx: &SkBuffContext, head: &Head<'_>, take: u32, rest: u32, tail: u32) {
    let (mut head, mut at) = (*head, 0);
    for _ in 1..RECORDS {
        if take - at <= LARGEST {
            break;
        }
        let flags = core::mem::replace(&mut head.flags, 0);
        emit::<{ LARGEST as usize }>(ctx, &head, &Piece { at, len: LARGEST, bytes: LARGEST, tail: 0 });
        at += LARGEST;
        head = Head { order: ORDER_NEXT, flags, task: Task::UNKNOWN, ..head };
    }
    let (head, bytes) = (&head, take - at);
    let piece = Piece { at, len: bytes + rest, bytes, tail };
    match bytes {
        0 => emit::<0>(ctx, head, &piece),
        1..=64 => emit::<64>(ctx, head, &piece),
        65..=128 => emit::<128>(ctx, head, &piece),
        129..=256 => emit::<256>(ctx, head, &piece),
        257..=512 => emit::<512>(ctx, head, &piece),
        513..=1024 => emit::<1024>(ctx, head, &piece),
        1025..=2048 => emit::<2048>(ctx, head, &piece),
        2049..=4096 => emit::<4096>(ctx, head, &piece),
        4097..=16_384 => emit::<16_384>(ctx, head, &piece),
        _ => emit::<{ LARGEST as usize }>(ctx, head, &piece),
    }
}

#[repr(C)]
struct Sized<const N: usize> {
    head: Segment,
    data: [u8; N],
}

/// Sends one record with up to `N` bytes (a power of two, or none).
#[inline(always)]
fn emit<const N: usize>(ctx: &SkBuffContext, head: &Head<'_>, piece: &Piece) {
    let Some(mut entry) = sockets::EVENTS.reserve::<Sized<N>>(0) else {
        return count(Counter::RingFull, 1);
    };
    let record = entry.as_mut_ptr();
    let from = head.headers.payload_at + piece.at;
    // SAFETY: the reservation is exclusively ours and as large as the record; the masks bound the copies by the arrays.
    unsafe {
        (*record).head.kind = KIND_SEGMENT;
        (*record).head.direction = head.direction;
        (*record).head.order = head.order;
        (*record).head.flags = head.flags;
        (*record).head.cookie = head.state.cookie;
        (*record).head.time = bpf_ktime_get_ns();
        (*record).head.seq = head.headers.seq.wrapping_add(piece.at);
        (*record).head.ack = head.headers.ack;
        (*record).head.len = piece.len;
        (*record).head.tgid = head.task.tgid;
        (*record).head.tid = head.task.tid;
        let data = core::ptr::addr_of_mut!((*record).data);
        (*record).head.captured = if N > 0 { load(ctx, from, data.cast(), piece.bytes, N as u32) } else { 0 };
        let tail = core::ptr::addr_of_mut!((*record).head.tail);
        (*record).head.tail_len = if piece.tail > 0 { load(ctx, from + piece.len - piece.tail, tail.cast(), piece.tail, TAIL) } else { 0 };
    }
    entry.submit(BPF_RB_NO_WAKEUP as u64);
}

/// Copies `len` bytes of a packet, 1 to `most` (a power of two), and says how many it could.
///
/// # Safety
/// There is room for `most` bytes at `to`.
#[inline(always)]
unsafe fn load(ctx: &SkBuffContext, from: u32, to: *mut u8, len: u32, most: u32) -> u32 {
    // The mask, which the compiler must not find superfluous, tells the verifier.
    let len = (core::hint::black_box(len.wrapping_sub(1)) & (most - 1)) + 1;
    // SAFETY: as the caller promises.
    if unsafe { bpf_skb_load_bytes(ctx.as_ptr(), from, to.cast(), len) } == 0 { len } else { 0 }
}
