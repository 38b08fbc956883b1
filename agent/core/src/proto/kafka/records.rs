//! Record batches (message format 2, KIP-98) and the message sets before them: how many, from which offset, and the
//! trace contexts in the headers of records that are not compressed.

use crate::model::TraceContext;

/// Bytes of a batch in front of its length's end.
const LENGTH_END: usize = 12;
/// Place of the format's number, the same in all formats.
const MAGIC: usize = 16;
/// Head of a batch of format 2.
const HEAD: usize = 61;

/// Head of a batch, or of a message of an older format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Batch {
    /// Offset of its first record.
    pub(super) offset: i64,
    /// Records in it; `None` where only decompression would tell. Marks of transactions are no messages.
    pub(super) count: Option<u32>,
    /// Bytes of the head.
    pub(super) head: usize,
    compressed: bool,
    format: u8,
}

impl Batch {
    /// Whether its records can be read as they are.
    pub(super) fn is_plain(&self) -> bool {
        !self.compressed && self.format == 2
    }
}

/// What stands at a batch's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// More bytes are needed.
    More,
    /// A batch that does not end within its records.
    Cut,
    /// No known format.
    Unclear,
    /// Its whole size and head.
    Batch(u64, Batch),
}

/// Reads the head at the start of `bytes`, within records that have `left` bytes from there on.
pub(super) fn head(bytes: &[u8], left: u64) -> Head {
    if left <= MAGIC as u64 {
        return Head::Cut;
    }
    let (Some(offset), Some(length), Some(&magic)) = (array(bytes, 0), array(bytes, 8), bytes.get(MAGIC)) else { return Head::More };
    let (offset, length) = (i64::from_be_bytes(offset), i32::from_be_bytes(length));
    let Ok(length) = u64::try_from(length) else { return Head::Unclear };
    let size = length + LENGTH_END as u64;
    let needed = if magic == 2 { HEAD } else { MAGIC + 2 };
    if magic > 2 || size < needed as u64 {
        return Head::Unclear;
    }
    if size > left {
        return Head::Cut;
    }
    if bytes.len() < needed {
        return Head::More;
    }
    let batch = if magic == 2 { batch(bytes, offset) } else { message(bytes, offset, magic) };
    batch.map_or(Head::More, |batch| Head::Batch(size, batch))
}

fn batch(bytes: &[u8], offset: i64) -> Option<Batch> {
    let attributes = u16::from_be_bytes(array(bytes, 21)?);
    let count = u32::from_be_bytes(array(bytes, 57)?);
    let is_control = attributes & 0x20 != 0;
    Some(Batch { offset, count: Some(if is_control { 0 } else { count }), head: HEAD, compressed: attributes & 7 != 0, format: 2 })
}

fn message(bytes: &[u8], offset: i64, format: u8) -> Option<Batch> {
    let compressed = bytes.get(MAGIC + 1)? & 7 != 0;
    Some(Batch { offset, count: (!compressed).then_some(1), head: MAGIC + 2, compressed, format })
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// The trace context that all of `count` records share, and the `tracestate` of the first; `None` where they differ, a
/// record has none, or not all of them are in `bytes`.
pub(super) fn shared_context(mut bytes: &[u8], count: u32) -> Option<(TraceContext, &[u8])> {
    let mut shared: Option<(TraceContext, &[u8])> = None;
    for _ in 0..count {
        let (context, state, rest) = context(bytes)?;
        match shared {
            Some((first, _)) if first != context => return None,
            Some(_) => {}
            None => shared = Some((context, state)),
        }
        bytes = rest;
    }
    shared
}

/// Most headers of one record that are looked at.
const MAX_HEADERS: i64 = 64;

/// Trace context, `tracestate` and what follows the record at the start of `bytes`.
fn context(bytes: &[u8]) -> Option<(TraceContext, &[u8], &[u8])> {
    let (size, rest) = varint(bytes)?;
    let size = usize::try_from(size).ok()?;
    let (record, after) = rest.split_at_checked(size)?;
    // Attributes, timestamp delta, offset delta, key, value.
    let (_, rest) = varint(record.get(1..)?)?;
    let (_, rest) = varint(rest)?;
    let (_, rest) = bytes_field(rest)?;
    let (_, rest) = bytes_field(rest)?;
    let (headers, mut rest) = varint(rest)?;
    let (mut found, mut state): (_, &[u8]) = (None, b"");
    for _ in 0..headers.min(MAX_HEADERS) {
        let (key, value);
        (key, rest) = bytes_field(rest)?;
        (value, rest) = bytes_field(rest)?;
        match key {
            b"traceparent" => found = TraceContext::parse(value),
            b"tracestate" => state = value,
            _ => {}
        }
    }
    found.map(|context| (context, state, after))
}

/// Bytes behind a signed length; null is empty.
fn bytes_field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = varint(bytes)?;
    rest.split_at_checked(usize::try_from(length.max(0)).ok()?)
}

/// A zigzag varint of at most 64 bits.
fn varint(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let mut value = 0u64;
    for (i, &byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f).checked_shl(u32::try_from(7 * i).ok()?).unwrap_or(0);
        if byte & 0x80 == 0 {
            #[expect(clippy::cast_possible_wrap, reason = "zigzag encoding")]
            let signed = (value >> 1) as i64 ^ -((value & 1) as i64);
            return Some((signed, &bytes[i + 1..]));
        }
    }
    None
}
