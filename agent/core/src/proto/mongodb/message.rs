//! Messages of the MongoDB wire protocol (mongodb.com/docs/manual/reference/mongodb-wire-protocol).

use super::bson::{cstring, int32, is_start};
use super::compressed;

/// Bytes of a message's header.
pub(super) const HEADER: usize = 16;
/// Largest message a server takes (`maxMessageSizeBytes`), with room for what wraps it.
const MAX_MESSAGE: u32 = 48_000_000 + 64 * 1024;

pub(super) const OP_REPLY: i32 = 1;
pub(super) const OP_UPDATE: i32 = 2001;
pub(super) const OP_INSERT: i32 = 2002;
pub(super) const OP_QUERY: i32 = 2004;
pub(super) const OP_GET_MORE: i32 = 2005;
pub(super) const OP_DELETE: i32 = 2006;
pub(super) const OP_KILL_CURSORS: i32 = 2007;
pub(super) const OP_COMPRESSED: i32 = 2012;
pub(super) const OP_MSG: i32 = 2013;

/// Flags of OP_MSG.
const CHECKSUM: u32 = 1;
pub(super) const MORE_TO_COME: u32 = 1 << 1;
const EXHAUST_ALLOWED: u32 = 1 << 16;
/// Flags below this must be known (`Required bits`).
const REQUIRED: u32 = 0xffff;

/// Bytes of OP_COMPRESSED behind the header: opcode, size, compressor.
const COMPRESSED: usize = 9;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Bytes of the message, header included.
    pub(super) len: u64,
    pub(super) id: i32,
    pub(super) response_to: i32,
    pub(super) opcode: i32,
}

/// The header at the start of `bytes`, which must hold [`HEADER`] bytes.
pub(super) fn header(bytes: &[u8]) -> Option<Header> {
    let len = u32::try_from(int32(bytes, 0)?).ok()?;
    let header = Header { len: u64::from(len), id: int32(bytes, 4)?, response_to: int32(bytes, 8)?, opcode: int32(bytes, 12)? };
    let least = match header.opcode {
        OP_MSG => 21 + 5,
        OP_COMPRESSED => 25,
        OP_REPLY => 36,
        OP_QUERY => 16 + 4 + 2 + 8 + 5,
        OP_UPDATE | OP_INSERT | OP_GET_MORE | OP_DELETE | OP_KILL_CURSORS => 24,
        _ => return None,
    };
    (least..=MAX_MESSAGE).contains(&len).then_some(header)
}

impl Header {
    pub(super) fn is_request(&self) -> bool {
        self.response_to == 0 && self.opcode != OP_REPLY
    }

    pub(super) fn is_response(&self) -> bool {
        matches!(self.opcode, OP_MSG | OP_COMPRESSED | OP_REPLY)
    }

    /// Whether `bytes` (from the header on, perhaps cut) are a message of this header as far as they go. `None` if they
    /// are too few to say.
    pub(super) fn fits(&self, bytes: &[u8]) -> Option<bool> {
        let rest = bytes.get(HEADER..)?;
        let left = self.len - HEADER as u64;
        match self.opcode {
            OP_MSG => {
                let flags = int32(rest, 0)?.cast_unsigned();
                let kind = *rest.get(4)?;
                let document = rest.get(5..)?;
                int32(document, 0)?;
                let is_known = flags & REQUIRED & !(CHECKSUM | MORE_TO_COME) == 0;
                let starts = match kind {
                    0 => is_start(document, left - 5),
                    1 => int32(document, 0).is_some_and(|len| len > 5 && u64::from(len.unsigned_abs()) <= left - 5),
                    _ => false,
                };
                Some(is_known && starts)
            }
            OP_COMPRESSED => {
                let original = int32(rest, 0)?;
                let id = *rest.get(8)?;
                let size = int32(rest, 4)?;
                let is_known = matches!(original, OP_REPLY | OP_UPDATE..=OP_KILL_CURSORS | OP_MSG);
                Some(is_known && compressed::is_known(id) && u32::try_from(size).is_ok_and(|size| size <= MAX_MESSAGE))
            }
            OP_QUERY | OP_UPDATE | OP_INSERT | OP_GET_MORE | OP_DELETE => {
                let name = &rest.get(4..)?[..(rest.len() - 4).min(128)];
                let end = memchr::memchr(0, name);
                let text = &name[..end.unwrap_or(name.len())];
                if end.is_none() && name.len() < 128 {
                    return None;
                }
                Some(text.len() > 2 && text.contains(&b'.') && text.iter().all(|byte| *byte > b' ' && *byte != 0x7f))
            }
            OP_REPLY => {
                let n = int32(rest, 16)?;
                Some(int32(rest, 0)? & !0xf == 0 && n >= 0 && (n == 0 || rest.len() < 24 || is_start(&rest[20..], left - 20)))
            }
            _ => Some(true),
        }
    }
}

/// A message's content, as far as it was captured.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Content<'a> {
    pub(super) opcode: i32,
    pub(super) flags: u32,
    /// Full collection name of the messages before OP_MSG.
    pub(super) namespace: Option<&'a [u8]>,
    /// The command or the reply, perhaps cut.
    pub(super) body: Option<&'a [u8]>,
    /// Identifier of the first document sequence, and its documents; none where it is cut.
    pub(super) sequence: Option<(&'a [u8], &'a [u8])>,
}

impl Content<'_> {
    /// Whether the sender wants no answer, or sends another message itself.
    pub(super) fn is_more_to_come(&self) -> bool {
        self.opcode == OP_MSG && self.flags & MORE_TO_COME != 0
    }

    pub(super) fn allows_exhaust(&self) -> bool {
        self.opcode == OP_MSG && self.flags & EXHAUST_ALLOWED != 0
    }

    /// Whether a server answers it.
    pub(super) fn is_answered(&self) -> bool {
        match self.opcode {
            OP_MSG => !self.is_more_to_come(),
            OP_QUERY | OP_GET_MORE => true,
            _ => false,
        }
    }
}

/// How many of a message's bytes have to be there: its command, but never more than `limit`. `None` for more than
/// `bytes` before that can be said.
pub(super) fn needed(header: &Header, bytes: &[u8], limit: usize) -> Option<usize> {
    let most = usize::try_from(header.len).unwrap_or(usize::MAX).min(limit);
    if header.opcode != OP_MSG || header.len <= 4096 {
        return Some(most);
    }
    let mut at = HEADER + 4;
    loop {
        if at + 5 > most {
            return Some(most);
        }
        let kind = *bytes.get(at)?;
        let len = usize::try_from(int32(bytes, at + 1)?).unwrap_or(usize::MAX);
        let end = at.saturating_add(1).saturating_add(len);
        if kind != 1 || end >= most || len < 5 {
            // Documents that follow the command are counted where all of them can be had.
            let follows = end < most && most as u64 == header.len;
            return Some(if follows { most } else { end.min(most) });
        }
        at = end;
    }
}

/// Reads what follows the header of a message of `opcode`; `rest` may be cut.
pub(super) fn content(opcode: i32, rest: &[u8]) -> Content<'_> {
    let mut content = Content { opcode, ..Content::default() };
    match opcode {
        OP_MSG => {
            content.flags = int32(rest, 0).unwrap_or(0).cast_unsigned();
            sections(rest.get(4..).unwrap_or_default(), &mut content);
        }
        OP_REPLY => {
            content.flags = int32(rest, 0).unwrap_or(0).cast_unsigned();
            content.body = rest.get(20..).filter(|body| body.len() > 4);
        }
        OP_QUERY | OP_UPDATE | OP_INSERT | OP_GET_MORE | OP_DELETE => {
            if let Some((name, at)) = cstring(rest, 4) {
                content.namespace = Some(name);
                content.body = rest.get(at + 8..).filter(|_| opcode == OP_QUERY);
            }
        }
        _ => {}
    }
    content
}

/// Sections of OP_MSG: one body (kind 0) and any number of document sequences (kind 1), in any order.
fn sections<'a>(mut rest: &'a [u8], content: &mut Content<'a>) {
    while let Some((&kind, section)) = rest.split_first() {
        let Some(len) = int32(section, 0).and_then(|len| usize::try_from(len).ok()).filter(|len| *len >= 5) else { return };
        let present = &section[..section.len().min(len)];
        match kind {
            0 => content.body = content.body.or(Some(present)),
            1 => {
                if let Some((name, at)) = cstring(present, 4) {
                    let documents = if section.len() >= len { &present[at..] } else { &[] };
                    content.sequence = content.sequence.or(Some((name, documents)));
                }
            }
            _ => return,
        }
        rest = section.get(len..).unwrap_or_default();
    }
}

/// The original opcode and the first decompressed bytes of an OP_COMPRESSED whose captured bytes behind the header are
/// `rest`.
pub(super) fn decompress(rest: &[u8], limit: usize, out: &mut Vec<u8>) -> Option<i32> {
    let opcode = int32(rest, 0)?;
    let id = *rest.get(COMPRESSED - 1)?;
    compressed::start(id, &rest[COMPRESSED..], limit, out)?;
    Some(opcode)
}
