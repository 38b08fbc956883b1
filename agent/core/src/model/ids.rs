//! Identifiers, each a type of its own so that none is taken for another.

use std::fmt;

/// The kernel's socket cookie (`bpf_get_socket_cookie`), unique on a node for the life of the kernel.
///
/// Capture files have no cookies; their reader numbers the connections itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u64);

/// A number that no other exchange of this run has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExchangeId(pub u64);

/// Process id (thread group id) in the agent's pid namespace. Never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pid(pub u32);

/// Thread id in the agent's pid namespace. Never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tid(pub u32);

/// The thread that a hook ran in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Task {
    /// Its process.
    pub pid: Pid,
    /// The thread itself.
    pub tid: Tid,
}

/// Id of a cgroup v2 directory (its inode number), as `bpf_skb_cgroup_id` gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CgroupId(pub u64);

/// W3C trace id; the all-zero value is invalid and never constructed by [`TraceId::new`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

/// W3C parent id (span id); the all-zero value is invalid and never constructed by [`SpanId::new`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId([u8; 8]);

impl TraceId {
    /// `None` for the invalid all-zero id.
    #[must_use]
    pub fn new(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(Self(bytes))
    }

    /// The sixteen bytes as OTLP carries them.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl SpanId {
    /// `None` for the invalid all-zero id.
    #[must_use]
    pub fn new(bytes: [u8; 8]) -> Option<Self> {
        (bytes != [0; 8]).then_some(Self(bytes))
    }

    /// The eight bytes as OTLP carries them.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

/// Trace context read from the wire: W3C Trace Context `traceparent`, or another carrier of the same three values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// Trace that the request belongs to.
    pub trace: TraceId,
    /// Span that the sender named as the parent.
    pub parent: SpanId,
    /// The `trace-flags` byte; bit 0 is `sampled`.
    pub flags: u8,
}

impl TraceContext {
    /// Reads a `traceparent` value (W3C Trace Context §3.2): `version "-" trace-id "-" parent-id "-" trace-flags`.
    ///
    /// Unknown versions are read by the first four fields, as §3.2.4 says; `ff`, upper case and all-zero ids are invalid.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let value = value.trim_ascii();
        let (head, rest) = value.split_at_checked(55)?;
        let version = hex_byte(&head[..2])?;
        let dashes = [head[2], head[35], head[52]] == [b'-'; 3];
        let tail = if version == 0 { rest.is_empty() } else { rest.is_empty() || rest[0] == b'-' };
        if version == 0xff || !dashes || !tail {
            return None;
        }
        Some(Self {
            trace: TraceId::new(hex_array(&head[3..35])?)?,
            parent: SpanId::new(hex_array(&head[36..52])?)?,
            flags: hex_byte(&head[53..55])?,
        })
    }
}

/// Value of a lower-case hexadecimal digit; [`NO_DIGIT`] for all else. Neither a branch nor a table, so that the compiler
/// reads many at once.
fn digit(byte: u8) -> u8 {
    let (number, letter) = (byte.wrapping_sub(b'0'), byte.wrapping_sub(b'a'));
    let number = if number < 10 { number } else { NO_DIGIT };
    if letter < 6 { letter + 10 } else { number }
}

/// What is no digit: it has bits that no digit's value has.
const NO_DIGIT: u8 = 0xf0;

fn hex_byte(two: &[u8]) -> Option<u8> {
    hex_array::<1>(two).map(|[byte]| byte)
}

fn hex_array<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut pairs = *<&[[u8; 2]; N]>::try_from(digits.as_chunks().0).ok()?;
    pairs.as_flattened_mut().iter_mut().for_each(|byte| *byte = digit(*byte));
    let seen = pairs.as_flattened().iter().fold(0, |seen, value| seen | value);
    (seen & NO_DIGIT == 0).then(|| pairs.map(|[high, low]| high << 4 | low))
}

/// What both ends of one call see alike, through NAT and any segmentation: the TCP sequence number of the request's
/// first byte, the acknowledgement number of the segment that carries it, and its first 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallKey {
    /// TCP sequence number of the request's first byte.
    pub seq: u32,
    /// TCP acknowledgement number of the segment that carries that byte.
    pub ack: u32,
    /// The request's first bytes, zero-padded.
    pub head: [u8; 16],
}

impl CallKey {
    /// Key of the call whose request begins with `request` (as many bytes as are known).
    #[must_use]
    pub fn new(seq: u32, ack: u32, request: &[u8]) -> Self {
        if let Some(head) = request.first_chunk() {
            return Self { seq, ack, head: *head };
        }
        let mut head = [0; 16];
        head[..request.len()].copy_from_slice(request);
        Self { seq, ack, head }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lower_case_digits_have_a_value() {
        for byte in 0..=u8::MAX {
            let value = b"0123456789abcdef".iter().position(|digit| *digit == byte);
            assert_eq!(
                [hex_byte(&[byte, b'3']), hex_byte(&[b'5', byte])].map(|byte| byte.map(usize::from)),
                match value {
                    Some(value) => [Some(value << 4 | 3), Some(5 << 4 | value)],
                    None => [None, None],
                }
            );
        }
    }

    #[test]
    fn traceparent_is_read_as_w3c_says() {
        let read = |value: &str| TraceContext::parse(value.as_bytes()).map(|c| format!("{} {} {}", c.trace, c.parent, c.flags));
        let ok = "4bf92f3577b34da6a3ce929d0e0e4736 00f067aa0ba902b7 1".to_owned();
        assert_eq!(read("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), Some(ok.clone()));
        assert_eq!(read("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what"), Some(ok));
        for bad in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
