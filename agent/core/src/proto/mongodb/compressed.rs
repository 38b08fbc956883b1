//! The first bytes of a compressed message (OP_COMPRESSED), however much of it was captured: bounded in time and memory.

use crate::proto::inflate;

/// Compressor ids of OP_COMPRESSED.
const NOOP: u8 = 0;
const SNAPPY: u8 = 1;
const ZLIB: u8 = 2;
const ZSTD: u8 = 3;

/// Whether `id` is a compressor's.
pub(super) fn is_known(id: u8) -> bool {
    id <= ZSTD
}

/// Fills `out` with at most `limit` bytes of what `data`, which may be cut, decompresses to.
///
/// `None` if `data` is broken before anything came of it, or the compressor is unknown.
pub(super) fn start(id: u8, data: &[u8], limit: usize, out: &mut Vec<u8>) -> Option<()> {
    out.clear();
    match id {
        NOOP => out.extend_from_slice(&data[..data.len().min(limit)]),
        SNAPPY => snappy(data, limit, out),
        ZLIB => inflate::zlib(data, limit, out).unwrap_or_default(),
        ZSTD => inflate::zstd(data, limit, out).unwrap_or_default(),
        _ => return None,
    }
    (!out.is_empty()).then_some(())
}

/// Snappy's raw format (`format_description.txt`), up to where it is cut or broken: crates want it whole.
fn snappy(data: &[u8], limit: usize, out: &mut Vec<u8>) {
    let preamble = data.iter().take(5).take_while(|byte| **byte >= 0x80).count() + 1;
    let mut rest = data.get(preamble..).unwrap_or_default();
    while out.len() < limit
        && let Some((&tag, tail)) = rest.split_first()
    {
        let step = match tag & 3 {
            0 => literal(tag, tail, limit, out),
            kind => copy(tag, kind, tail, limit, out),
        };
        let Some(after) = step else { return };
        rest = after;
    }
}

/// A literal run: `None` where it is cut.
fn literal<'a>(tag: u8, tail: &'a [u8], limit: usize, out: &mut Vec<u8>) -> Option<&'a [u8]> {
    let (len, data) = match usize::from(tag >> 2) {
        len @ 0..60 => (len, tail),
        wide => {
            let (number, data) = tail.split_at_checked(wide - 59)?;
            (number.iter().rev().fold(0usize, |n, byte| n << 8 | usize::from(*byte)), data)
        }
    };
    let len = len.checked_add(1)?;
    let present = len.min(data.len()).min(limit - out.len());
    out.extend_from_slice(&data[..present]);
    data.get(len..)
}

/// A copy of earlier output: `None` where it is cut or points before the start.
fn copy<'a>(tag: u8, kind: u8, tail: &'a [u8], limit: usize, out: &mut Vec<u8>) -> Option<&'a [u8]> {
    let width = [0, 1, 2, 4][usize::from(kind)];
    let (number, after) = tail.split_at_checked(width)?;
    let number = number.iter().rev().fold(0usize, |n, byte| n << 8 | usize::from(*byte));
    let (len, offset) = match kind {
        1 => (usize::from(tag >> 2 & 7) + 4, usize::from(tag >> 5) << 8 | number),
        _ => (usize::from(tag >> 2) + 1, number),
    };
    let from = out.len().checked_sub(offset).filter(|_| offset > 0)?;
    for i in 0..len.min(limit - out.len()) {
        out.push(out[from + i]);
    }
    Some(after)
}
