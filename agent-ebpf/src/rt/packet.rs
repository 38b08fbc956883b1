//! IP and transport headers of a packet, read directly from its linear part.

use crate::wire::{IPPROTO_TCP, IPPROTO_UDP};
use aya_ebpf::{EbpfContext, bindings::__sk_buff, programs::SkBuffContext};

/// What the programs need of a packet's headers.
#[derive(Clone, Copy)]
pub struct Headers {
    /// `IPPROTO_TCP` or `IPPROTO_UDP`.
    pub transport: u8,
    /// TCP flags.
    pub flags: u8,
    /// Source port.
    pub source: u16,
    /// Destination port.
    pub destination: u16,
    /// Where the payload begins.
    pub payload_at: u32,
    /// Payload bytes.
    pub payload: u32,
    /// TCP sequence number.
    pub seq: u32,
    /// TCP acknowledgement number.
    pub ack: u32,
}

/// Why a packet has no [`Headers`].
pub enum Unread {
    /// Neither TCP nor UDP, or a later fragment.
    Other,
    /// Its headers are not where they can be read.
    NotLinear,
}

/// Reads the headers.
#[inline(always)]
pub fn headers(ctx: &SkBuffContext) -> Result<Headers, Unread> {
    let skb = ctx.as_ptr() as *const __sk_buff;
    // SAFETY: the context pointer is the verifier's; `data` and `data_end` bound every read below.
    unsafe {
        let data = (*skb).data as usize;
        let end = (*skb).data_end as usize;
        if data + 20 > end {
            return Err(Unread::NotLinear);
        }
        let byte = |at: usize| *((data + at) as *const u8);
        let (transport, ip_len, total) = match byte(0) >> 4 {
            // RFC 791 §3.1: header length, fragment offset, protocol.
            4 => {
                let fragment = u16::from_be_bytes([byte(6), byte(7)]) & 0x1fff;
                if fragment != 0 {
                    return Err(Unread::Other);
                }
                (byte(9), ((byte(0) & 15) as usize) * 4, (*skb).len)
            }
            // RFC 8200 §3: next header. Extension headers are left alone: TCP behind one is rare and not read.
            6 => (byte(6), 40, (*skb).len),
            _ => return Err(Unread::Other),
        };
        let at = data + (ip_len & 0x3f);
        match transport {
            IPPROTO_TCP => {
                if at + 20 > end {
                    return Err(Unread::NotLinear);
                }
                let half = |i: usize| u16::from_be(*((at + i) as *const u16));
                let word = |i: usize| u32::from_be(*((at + i) as *const u32));
                let offset = *((at + 12) as *const u8);
                let header = ip_len as u32 + ((offset >> 4) as u32) * 4;
                let flags = *((at + 13) as *const u8);
                let payload = total.saturating_sub(header);
                Ok(Headers {
                    transport,
                    flags,
                    source: half(0),
                    destination: half(2),
                    payload_at: header,
                    payload,
                    seq: word(4),
                    ack: word(8),
                })
            }
            IPPROTO_UDP => {
                if at + 8 > end {
                    return Err(Unread::NotLinear);
                }
                let half = |i: usize| u16::from_be(*((at + i) as *const u16));
                let header = ip_len as u32 + 8;
                let payload = total.saturating_sub(header);
                Ok(Headers { transport, flags: 0, source: half(0), destination: half(2), payload_at: header, payload, seq: 0, ack: 0 })
            }
            _ => Err(Unread::Other),
        }
    }
}
