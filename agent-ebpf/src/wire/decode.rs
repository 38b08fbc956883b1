//! Bytes of the ring buffer to records. Total: whatever the bytes are, the answer is a record or a reason.

use super::{
    Datagram, Early, KIND_CLOSE, KIND_DATAGRAM, KIND_EARLY, KIND_LISTEN, KIND_OPEN, KIND_READ, KIND_SEGMENT, KIND_TOTALS, Listen, Open,
    Read, Segment, TAIL, Totals,
};
use zerocopy::FromBytes;

/// One record of the ring buffer.
#[derive(Clone, Copy, Debug)]
pub enum Record<'a> {
    /// A range of a stream and the captured bytes of its beginning.
    Segment(Segment, &'a [u8]),
    /// A datagram and its captured bytes.
    Datagram(Datagram, &'a [u8]),
    /// Bytes that came before their connection's socket.
    Early(Early, &'a [u8]),
    /// A connection.
    Open(Open),
    /// Counters of a connection that goes on.
    Totals(Totals),
    /// Counters of a connection that is over.
    Close(Totals),
    /// A thread read from a socket.
    Read(Read),
    /// A socket listens.
    Listen(Listen),
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Its first byte names no kind.
    #[error("unknown record kind {0}")]
    Kind(u8),
    /// It ends before its kind's head or data does.
    #[error("record of kind {kind} ends after {len} bytes")]
    Short {
        /// Kind.
        kind: u8,
        /// Length found.
        len: usize,
    },
    /// A segment says that more of it was captured than there is.
    #[error("more bytes of a segment than it has")]
    Range,
}

/// Reads one record.
///
/// # Errors
/// [`Malformed`] says what is wrong; the record is to be counted and skipped.
pub fn decode(bytes: &[u8]) -> Result<Record<'_>, Malformed> {
    let kind = *bytes.first().ok_or(Malformed::Short { kind: 0, len: 0 })?;
    let short = Malformed::Short { kind, len: bytes.len() };
    fn head<T: FromBytes>(bytes: &[u8], short: Malformed) -> Result<T, Malformed> {
        T::read_from_prefix(bytes).map(|(head, _)| head).map_err(|_| short)
    }
    let data = |rest: &'_ [u8], captured: u32| usize::try_from(captured).ok().filter(|n| *n <= rest.len()).ok_or(short);
    match kind {
        KIND_SEGMENT => {
            let (head, rest) = Segment::read_from_prefix(bytes).map_err(|_| short)?;
            let is_within = head.tail_len <= TAIL && u64::from(head.captured) + u64::from(head.tail_len) <= u64::from(head.len);
            data(rest, head.captured).and_then(|n| if is_within { Ok(Record::Segment(head, &rest[..n])) } else { Err(Malformed::Range) })
        }
        KIND_DATAGRAM => {
            let (head, rest) = Datagram::read_from_prefix(bytes).map_err(|_| short)?;
            data(rest, head.captured).map(|n| Record::Datagram(head, &rest[..n]))
        }
        KIND_EARLY => {
            let (head, rest) = Early::read_from_prefix(bytes).map_err(|_| short)?;
            data(rest, head.captured).map(|n| Record::Early(head, &rest[..n]))
        }
        KIND_OPEN => head(bytes, short).map(Record::Open),
        KIND_TOTALS => head(bytes, short).map(Record::Totals),
        KIND_CLOSE => head(bytes, short).map(Record::Close),
        KIND_READ => head(bytes, short).map(Record::Read),
        KIND_LISTEN => head(bytes, short).map(Record::Listen),
        other => Err(Malformed::Kind(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_segment_gives_its_head_and_its_bytes() {
        let mut bytes = vec![0; 64];
        bytes[0] = KIND_SEGMENT;
        bytes[1] = super::super::INGRESS;
        bytes[4..8].copy_from_slice(&3u32.to_ne_bytes());
        bytes[8..16].copy_from_slice(&77u64.to_ne_bytes());
        bytes[24..28].copy_from_slice(&9u32.to_ne_bytes());
        bytes[32..36].copy_from_slice(&3u32.to_ne_bytes());
        bytes.extend_from_slice(b"abcdefgh");
        let Ok(Record::Segment(head, data)) = decode(&bytes) else { panic!("no segment") };
        assert_eq!((head.cookie, head.seq, head.direction, data), (77, 9, super::super::INGRESS, &b"abc"[..]));
    }

    #[test]
    fn a_segment_of_which_more_was_captured_than_there_is_is_none() {
        let mut bytes = vec![0; 64];
        bytes[0] = KIND_SEGMENT;
        bytes[32..36].copy_from_slice(&10u32.to_ne_bytes());
        for (tail_len, is_range) in [(10u32, false), (11, true), (17, true), (u32::MAX, true)] {
            bytes[36..40].copy_from_slice(&tail_len.to_ne_bytes());
            assert_eq!(decode(&bytes).err(), is_range.then_some(Malformed::Range), "{tail_len}");
        }
    }

    #[test]
    fn what_is_no_record_says_why() {
        assert_eq!(decode(b"").err(), Some(Malformed::Short { kind: 0, len: 0 }));
        assert_eq!(decode(&[KIND_OPEN; 20]).err(), Some(Malformed::Short { kind: KIND_OPEN, len: 20 }));
        assert_eq!(decode(&[99; 64]).err(), Some(Malformed::Kind(99)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_record_or_a_reason(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(Record::Segment(head, data)) = decode(&bytes) {
                prop_assert_eq!(head.captured as usize, data.len());
            }
        }
    }
}
