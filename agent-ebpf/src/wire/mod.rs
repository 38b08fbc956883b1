//! Records of the ring buffer: one definition for the program that writes them and the agent that reads them.
//!
//! Only integers and byte arrays, no padding that is not named: what the kernel writes is never read as a Rust enum or
//! `bool`. Every record starts with its kind. Addresses are 16 bytes, IPv4 as IPv4-mapped IPv6, in network order.

#[cfg(not(target_arch = "bpf"))]
mod decode;

#[cfg(not(target_arch = "bpf"))]
pub use decode::{Malformed, Record, decode};

/// Makes a record readable from bytes on the host; the BPF side writes it in place.
macro_rules! record {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$field_meta:meta])* pub $field:ident: $type:ty,)* } size $size:literal) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug)]
        #[cfg_attr(not(target_arch = "bpf"), derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::KnownLayout))]
        pub struct $name { $($(#[$field_meta])* pub $field: $type,)* }
        const _: () = assert!(size_of::<$name>() == $size);
    };
}

/// Kind of a [`Segment`].
pub const KIND_SEGMENT: u8 = 1;
/// Kind of an [`Open`].
pub const KIND_OPEN: u8 = 2;
/// Kind of a [`Totals`] of a connection that goes on.
pub const KIND_TOTALS: u8 = 3;
/// Kind of a [`Totals`] of a connection that is over.
pub const KIND_CLOSE: u8 = 4;
/// Kind of a [`Read`].
pub const KIND_READ: u8 = 5;
/// Kind of a [`Listen`].
pub const KIND_LISTEN: u8 = 6;

/// Kind of a [`Datagram`].
pub const KIND_DATAGRAM: u8 = 7;

/// Kind of an [`Early`].
pub const KIND_EARLY: u8 = 8;

/// `direction`: sent by the socket.
pub const EGRESS: u8 = 0;
/// `direction`: received by the socket.
pub const INGRESS: u8 = 1;

/// `order`: starts where the highest segment before it ended.
pub const ORDER_NEXT: u8 = 0;
/// `order`: starts later.
pub const ORDER_AHEAD: u8 = 1;
/// `order`: starts earlier.
pub const ORDER_OLD: u8 = 2;

/// TCP flag FIN, where RFC 9293 §3.1 puts it.
pub const TCP_FIN: u8 = 0x01;
/// TCP flag SYN.
pub const TCP_SYN: u8 = 0x02;
/// TCP flag RST.
pub const TCP_RST: u8 = 0x04;
/// TCP flag PSH.
pub const TCP_PSH: u8 = 0x08;
/// TCP flag ACK.
pub const TCP_ACK: u8 = 0x10;

/// `role`: not known.
pub const ROLE_UNKNOWN: u8 = 0;
/// `role`: the socket connected.
pub const ROLE_CLIENT: u8 = 1;
/// `role`: the socket was accepted.
pub const ROLE_SERVER: u8 = 2;
/// `role`: the socket is the agent's own and is recorded no further; its other end is not to be recorded either.
pub const ROLE_OWN: u8 = 3;

/// `transport` of TCP, as IP numbers it.
pub const IPPROTO_TCP: u8 = 6;
/// `transport` of UDP.
pub const IPPROTO_UDP: u8 = 17;

record! {
    /// A range of a stream, followed by the `captured` bytes with which it begins.
    pub struct Segment {
        /// [`KIND_SEGMENT`].
        pub kind: u8,
        /// [`EGRESS`] or [`INGRESS`].
        pub direction: u8,
        /// One of the `ORDER_*`.
        pub order: u8,
        /// `TCP_*` flags that matter: FIN and RST.
        pub flags: u8,
        /// Bytes of the range's beginning that follow this head.
        pub captured: u32,
        /// Socket cookie.
        pub cookie: u64,
        /// `bpf_ktime_get_ns`.
        pub time: u64,
        /// Sequence number of the range's first byte.
        pub seq: u32,
        /// Acknowledgement number.
        pub ack: u32,
        /// Bytes in the range.
        pub len: u32,
        /// Bytes of `tail` that count: those with which the range ends, none of them among the captured.
        pub tail_len: u32,
        /// Process that sent it; 0 if not certain.
        pub tgid: u32,
        /// Thread that sent it; 0 if not certain.
        pub tid: u32,
        /// End of the range.
        pub tail: [u8; TAIL as usize],
    } size 64
}

record! {
    /// A connection, or what became known of it: sent again when more is known.
    pub struct Open {
        /// [`KIND_OPEN`].
        pub kind: u8,
        /// `IPPROTO_TCP` or `IPPROTO_UDP`.
        pub transport: u8,
        /// One of the `ROLE_*`.
        pub role: u8,
        /// 1 if it existed before the programs were attached.
        pub midway: u8,
        /// Process that connected; 0 if unknown.
        pub tgid: u32,
        /// Socket cookie.
        pub cookie: u64,
        /// When it was opened (SYN sent or received), or first seen.
        pub time: u64,
        /// When the handshake ended; 0 if that was not seen.
        pub established: u64,
        /// cgroup v2 id of the socket; 0 if unknown.
        pub cgroup: u64,
        /// Own address.
        pub local: [u8; 16],
        /// Peer's address as in packets.
        pub remote: [u8; 16],
        /// Address given to `connect`; all zero if unknown.
        pub dialed: [u8; 16],
        /// Own port.
        pub local_port: u16,
        /// Peer's port.
        pub remote_port: u16,
        /// Port given to `connect`.
        pub dialed_port: u16,
        /// Zero.
        pub reserved: u16,
        /// `comm` of the connecting thread, zero-padded.
        pub comm: [u8; 16],
    } size 112
}

record! {
    /// Counters of a connection since it was opened, or seen first.
    pub struct Totals {
        /// [`KIND_TOTALS`] or [`KIND_CLOSE`].
        pub kind: u8,
        /// `TCP_*` flags seen in ingress segments.
        pub flags_ingress: u8,
        /// `TCP_*` flags seen in egress segments.
        pub flags_egress: u8,
        /// TCP state that it came from (`enum` in `include/net/tcp_states.h`); 0 while it goes on.
        pub old_state: u8,
        /// Retransmitted segments sent.
        pub retransmits: u32,
        /// Socket cookie.
        pub cookie: u64,
        /// When this was taken.
        pub time: u64,
        /// Payload bytes sent, retransmissions included once.
        pub bytes_sent: u64,
        /// Payload bytes received.
        pub bytes_received: u64,
        /// Payload segments sent (GSO counts as one).
        pub segments_sent: u32,
        /// Payload segments received (GRO counts as one).
        pub segments_received: u32,
        /// Smoothed round-trip time in microseconds; 0 if unknown.
        pub srtt_us: u32,
        /// Zero.
        pub reserved: u32,
    } size 56
}

record! {
    /// A datagram with its ends, followed by `captured` bytes of it: a datagram socket may talk to many peers.
    pub struct Datagram {
        /// The ends; its kind is [`KIND_DATAGRAM`], its `tgid` the process that sent, or owns the socket.
        pub open: Open,
        /// [`EGRESS`] or [`INGRESS`].
        pub direction: u8,
        /// Zero.
        pub reserved: [u8; 3],
        /// Thread that sent it; 0 if not certain.
        pub tid: u32,
        /// Bytes of the datagram.
        pub len: u32,
        /// Bytes that follow this head.
        pub captured: u32,
    } size 128
}

record! {
    /// A segment that brought bytes to a listener, before its connection had a socket; followed by `captured` of them.
    /// The connection's [`Open`] comes next, with the same ends.
    pub struct Early {
        /// The ends, as the socket to come will see them; its kind is [`KIND_EARLY`], its `time` that of the segment.
        pub open: Open,
        /// Sequence number of the first byte.
        pub seq: u32,
        /// Acknowledgement number.
        pub ack: u32,
        /// Bytes of the segment.
        pub len: u32,
        /// Bytes that follow this head.
        pub captured: u32,
    } size 128
}

record! {
    /// A thread took received bytes from a socket.
    pub struct Read {
        /// [`KIND_READ`].
        pub kind: u8,
        /// Zero.
        pub reserved: [u8; 7],
        /// Socket cookie.
        pub cookie: u64,
        /// When.
        pub time: u64,
        /// Process.
        pub tgid: u32,
        /// Thread.
        pub tid: u32,
    } size 32
}

record! {
    /// A socket began to listen, or ended.
    pub struct Listen {
        /// [`KIND_LISTEN`].
        pub kind: u8,
        /// 1 if it ended.
        pub ended: u8,
        /// Port.
        pub port: u16,
        /// Process; 0 if unknown.
        pub tgid: u32,
        /// When.
        pub time: u64,
        /// Address.
        pub local: [u8; 16],
    } size 32
}

/// How much of a direction is copied, in one number: the mode in the upper two bits, bytes in the lower thirty.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount(pub u32);

impl Amount {
    const BYTES: u32 = (1 << 30) - 1;
    /// Nothing.
    pub const NOTHING: Amount = Amount(0);

    /// The first `bytes` of each burst.
    #[must_use]
    pub const fn burst(bytes: u32) -> Self {
        Self(1 << 30 | if bytes > Self::BYTES { Self::BYTES } else { bytes })
    }

    /// The first `bytes` of each segment.
    #[must_use]
    pub const fn segment(bytes: u32) -> Self {
        Self(2 << 30 | if bytes > Self::BYTES { Self::BYTES } else { bytes })
    }

    /// Whether nothing is wanted.
    #[must_use]
    #[inline(always)]
    pub const fn is_nothing(self) -> bool {
        self.0 == 0
    }

    /// Bytes to copy of a segment of `len` bytes when `taken` bytes of its burst were copied before.
    #[must_use]
    #[inline(always)]
    pub const fn take(self, taken: u32, len: u32) -> u32 {
        let bytes = self.0 & Self::BYTES;
        let left = match self.0 >> 30 {
            0 => 0,
            1 => bytes.saturating_sub(taken),
            _ => bytes,
        };
        let left = if left < MOST { left } else { MOST };
        if left < len { left } else { len }
    }
}

/// Capture policy of a connection, written by user space into the map `POLICIES` under its cookie; in the map `OPENINGS`,
/// under the [`OPENING`] bytes with which an end begins, that of a connection until there is one for its cookie, as the
/// end that sends them sees it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Of what the socket sends.
    pub egress: Amount,
    /// Of what it receives.
    pub ingress: Amount,
}

/// Bytes of each request burst that are copied before user space has classified a connection: a head of 64 KiB.
pub const FIRST_REQUEST_BYTES: u32 = 64 * 1024;
/// Bytes of each response burst that are copied before user space has classified a connection.
pub const FIRST_RESPONSE_BYTES: u32 = 4 * 1024;
/// Segments of which so much is copied; an undecided connection that goes on gets [`UNDECIDED_BYTES`] of each burst.
pub const FIRST_SEGMENTS: u32 = 24;
/// Bytes of each burst that are copied while user space takes its time to classify a connection: heads of most messages.
pub const UNDECIDED_BYTES: u32 = 2048;
/// Segments that are reported before user space has classified a connection: a busy connection must lose nothing while
/// user space is held up for some tenths of a second, and must be left alone where it never answers.
pub const UNDECIDED_SEGMENTS: u32 = 16_384;
/// Most bytes that one record carries: a message head of 64 KiB in one segment.
pub const LARGEST: u32 = 64 * 1024;
/// Records of [`LARGEST`] that carry the copied bytes of one segment: it may be larger than an IP packet. The kernel sends two
/// of the path's largest at least (`tcp_min_tso_segs`: 128 KiB on loopback), and up to 512 KiB (`GSO_MAX_SIZE`).
pub const RECORDS: u32 = 8;
/// Most bytes that are copied of one segment.
pub const MOST: u32 = RECORDS * LARGEST;
/// Most bytes that are copied of one segment while three quarters of the ring buffer are full: one connection that carries much must not
/// take the room of all others.
pub const SPARING: u32 = 4096;
/// First bytes of a direction by which a connection may get a policy at once.
pub const OPENING: usize = 8;
/// Bytes of the end of a pushed segment that are sent although its head was not wanted: they tell the end of a body.
pub const TAIL: u32 = 16;

/// Slots of the per-CPU array `COUNTERS`.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Records that found the ring buffer full.
    RingFull = 0,
    /// Packets whose headers were not in the linear part of the buffer.
    Unparsed = 1,
    /// Sockets for which the kernel gave no storage.
    NoStorage = 2,
    /// Payload segments seen on a listening socket that could not be handed on as [`Early`].
    OnListener = 3,
    /// Segments of connections that user space has not classified for too long.
    Undecided = 4,
    /// Large segments of which only [`SPARING`] bytes were copied, as the ring buffer was nearly full.
    Spared = 5,
}

impl Counter {
    /// Number of slots.
    pub const COUNT: u32 = 6;
    /// All slots with the reason as counters spell it.
    pub const ALL: [(Counter, &'static str); Self::COUNT as usize] = [
        (Counter::RingFull, "ring_full"),
        (Counter::Unparsed, "unparsed_headers"),
        (Counter::NoStorage, "no_socket_storage"),
        (Counter::OnListener, "data_on_listener"),
        (Counter::Undecided, "undecided"),
        (Counter::Spared, "ring_nearly_full"),
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_takes_what_its_mode_says() {
        assert_eq!(Amount::NOTHING.take(0, 100), 0);
        assert_eq!([0, 10, 64, 100].map(|taken| Amount::burst(64).take(taken, 60)), [60, 54, 0, 0]);
        assert_eq!([0, 1000].map(|taken| Amount::segment(64).take(taken, 60)), [60, 60]);
        assert_eq!(Amount::segment(64).take(0, 600), 64);
        assert_eq!(Amount::segment(u32::MAX).take(0, 600), 600);
        assert_eq!(Amount::segment(u32::MAX).take(0, 2 * 65_483), 2 * 65_483, "two packets of loopback in one segment");
        assert_eq!(Amount::segment(u32::MAX).take(0, u32::MAX), MOST);
    }
}
