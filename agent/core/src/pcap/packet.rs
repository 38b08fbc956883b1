//! Headers of one frame: link layer, IP, TCP or UDP, as far as they were captured.

use super::container::Frame;
use etherparse::{EtherType, LaxNetSlice, LaxSlicedPacket, TcpSlice, TransportSlice};
use pcap_parser::Linktype;
use std::net::{IpAddr, SocketAddr};

/// A TCP segment or UDP datagram.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) transport: Header,
    /// Captured payload.
    pub(super) payload: &'a [u8],
    /// Bytes of the payload on the wire.
    pub(super) len: u32,
}

/// The part of the header that matters.
#[derive(Clone, Copy, Debug)]
pub(super) enum Header {
    Tcp(Tcp),
    Udp,
}

/// A TCP header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tcp {
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) syn: bool,
    pub(super) has_ack: bool,
    pub(super) fin: bool,
    pub(super) rst: bool,
}

/// Why a frame is no [`Packet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skipped {
    /// A link layer that is not read.
    Link,
    /// Neither TCP nor UDP over IP.
    Other,
    /// A part of a datagram that IP cut.
    Fragment,
    /// Headers that are cut or broken.
    Broken,
}

/// Link types beyond those that have a name in the container's crate.
const LINUX_SLL2: i32 = 276;
/// `DLT_RAW` of systems that wrote it unmapped.
const RAW_UNMAPPED: [i32; 2] = [12, 14];

/// Reads the headers of `frame`.
pub(super) fn parse<'a>(frame: &Frame<'a>) -> Result<Packet<'a>, Skipped> {
    let layers = layers(frame)?;
    let Some(net) = &layers.net else { return Err(if layers.stop_err.is_some() { Skipped::Broken } else { Skipped::Other }) };
    let (source, destination, declared) = match net {
        LaxNetSlice::Ipv4(ip) => {
            let header = ip.header();
            let declared = header.payload_len().map_or(0, usize::from);
            (IpAddr::V4(header.source_addr()), IpAddr::V4(header.destination_addr()), declared)
        }
        LaxNetSlice::Ipv6(ip) => {
            let header = ip.header();
            let declared = usize::from(header.payload_length()).saturating_sub(ip.extensions().slice().len());
            (IpAddr::V6(header.source_addr()), IpAddr::V6(header.destination_addr()), declared)
        }
        LaxNetSlice::Arp(_) => return Err(Skipped::Other),
    };
    let body = net.ip_payload_ref().ok_or(Skipped::Other)?;
    if body.fragmented {
        return Err(Skipped::Fragment);
    }
    // A length of zero is that of a segment that the card was to cut (TSO).
    let missing = if declared == 0 { frame.wire_len - frame.data.len() } else { declared.saturating_sub(body.payload.len()) };
    let (ports, transport, payload) = match &layers.transport {
        Some(TransportSlice::Tcp(tcp)) => ((tcp.source_port(), tcp.destination_port()), Header::Tcp(header(tcp)), tcp.payload()),
        Some(TransportSlice::Udp(udp)) => ((udp.source_port(), udp.destination_port()), Header::Udp, udp.payload()),
        Some(_) => return Err(Skipped::Other),
        None => return Err(if layers.stop_err.is_some() { Skipped::Broken } else { Skipped::Other }),
    };
    Ok(Packet {
        source: SocketAddr::new(source.to_canonical(), ports.0),
        destination: SocketAddr::new(destination.to_canonical(), ports.1),
        transport,
        payload,
        len: u32::try_from(payload.len() + missing).map_err(|_| Skipped::Broken)?,
    })
}

fn header(tcp: &TcpSlice<'_>) -> Tcp {
    Tcp { seq: tcp.sequence_number(), ack: tcp.acknowledgment_number(), syn: tcp.syn(), has_ack: tcp.ack(), fin: tcp.fin(), rst: tcp.rst() }
}

fn layers<'a>(frame: &Frame<'a>) -> Result<LaxSlicedPacket<'a>, Skipped> {
    let data = frame.data;
    let ip = |at: usize| LaxSlicedPacket::from_ip(data.get(at..).unwrap_or_default()).map_err(|_| Skipped::Broken);
    let ether = |type_at: usize, at: usize| match (data.get(type_at..type_at + 2), data.get(at..)) {
        (Some(kind), Some(rest)) => Ok(LaxSlicedPacket::from_ether_type(EtherType(u16::from_be_bytes([kind[0], kind[1]])), rest)),
        _ => Err(Skipped::Broken),
    };
    match frame.link {
        Linktype::ETHERNET => LaxSlicedPacket::from_ethernet(data).map_err(|_| Skipped::Broken),
        // Four bytes of address family, in the byte order of whoever wrote them; IP names its version itself.
        Linktype::NULL | Linktype::LOOP => ip(4),
        Linktype::RAW | Linktype::IPV4 | Linktype::IPV6 => ip(0),
        Linktype(kind) if RAW_UNMAPPED.contains(&kind) => ip(0),
        Linktype::LINUX_SLL => ether(14, 16),
        Linktype(LINUX_SLL2) => ether(0, 20),
        _ => Err(Skipped::Link),
    }
}
