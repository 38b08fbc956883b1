//! Packets of the MySQL and MariaDB protocol (MySQL Internals, "Client/Server Protocol"; MariaDB, "Protocol").

use memchr::memchr;

/// Length and sequence number in front of a payload.
pub(super) const HEAD: usize = 4;
/// A payload of this length goes on in the next packet.
pub(super) const FULL: usize = 0xff_ffff;

pub(super) const CONNECT_WITH_DB: u32 = 1 << 3;
pub(super) const COMPRESS: u32 = 1 << 5;
pub(super) const PROTOCOL_41: u32 = 1 << 9;
pub(super) const SSL: u32 = 1 << 11;
const SECURE_CONNECTION: u32 = 1 << 15;
const LENENC_AUTH: u32 = 1 << 21;
pub(super) const DEPRECATE_EOF: u32 = 1 << 24;
pub(super) const OPTIONAL_METADATA: u32 = 1 << 25;
pub(super) const ZSTD: u32 = 1 << 26;
pub(super) const QUERY_ATTRIBUTES: u32 = 1 << 27;

/// Status flag: another result follows.
pub(super) const MORE_RESULTS: u16 = 1 << 3;
/// Status flag: rows are fetched by a cursor and do not follow.
pub(super) const CURSOR: u16 = 1 << 6;

/// Status flag: `NO_BACKSLASH_ESCAPES` is in `sql_mode`.
pub(super) const NO_BACKSLASH_ESCAPES: u16 = 1 << 9;

/// Head of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) len: usize,
    pub(super) seq: u8,
}

impl Head {
    /// Bytes of head and payload.
    pub(super) fn total(self) -> usize {
        self.len + HEAD
    }
}

pub(super) fn head(bytes: &[u8]) -> Option<Head> {
    let [a, b, c, seq, ..] = *bytes else { return None };
    Some(Head { len: usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16, seq })
}

/// Reads a payload front to back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn bytes(&mut self, n: usize) -> Option<&'a [u8]> {
        let (first, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(first)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.bytes(1).map(|bytes| bytes[0])
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.bytes(2).map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]))
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.bytes(4).map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// Length-encoded integer.
    pub(super) fn lenenc(&mut self) -> Option<u64> {
        let n = match self.u8()? {
            small @ 0..=0xfa => return Some(u64::from(small)),
            0xfc => 2,
            0xfd => 3,
            0xfe => 8,
            _ => return None,
        };
        Some(self.bytes(n)?.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }

    /// Text behind its length.
    pub(super) fn text(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.lenenc()?).ok()?;
        self.bytes(len)
    }

    /// Text that ends with NUL.
    pub(super) fn nul(&mut self) -> Option<&'a [u8]> {
        let end = memchr(0, self.0)?;
        let text = self.bytes(end)?;
        self.bytes(1)?;
        Some(text)
    }
}

/// What a server says when it is connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Greeting<'a> {
    pub(super) version: &'a [u8],
    pub(super) capabilities: u32,
}

/// The server's greeting, if `payload` is one (protocol 10).
pub(super) fn greeting(payload: &[u8]) -> Option<Greeting<'_>> {
    let mut reader = Reader(payload);
    let protocol = reader.u8()?;
    let version = reader.nul()?;
    let rest = reader.bytes(4 + 8 + 1 + 2)?;
    let is_version = !version.is_empty() && version.len() < 128 && version.iter().all(u8::is_ascii_graphic);
    if protocol != 10 || !is_version || rest[12] != 0 {
        return None;
    }
    let low = u32::from(u16::from_le_bytes([rest[13], rest[14]]));
    // Behind the character set and the status; a server from before 4.1 ends here.
    let high = reader.bytes(3).and_then(|_| reader.u16()).map_or(0, u32::from);
    Some(Greeting { version, capabilities: high << 16 | low })
}

/// What a client says when it logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Login<'a> {
    pub(super) capabilities: u32,
    pub(super) database: Option<&'a [u8]>,
}

/// The answer to a greeting; `None` if it is none. A request for TLS has no more than capabilities.
pub(super) fn login(payload: &[u8]) -> Option<Login<'_>> {
    let mut reader = Reader(payload);
    let capabilities = reader.u32()?;
    let rest = reader.bytes(4 + 1 + 23)?;
    // 19 reserved bytes; MariaDB uses the 4 behind them.
    if capabilities & PROTOCOL_41 == 0 || rest[5..24].iter().any(|byte| *byte != 0) {
        return None;
    }
    Some(Login { capabilities, database: database(reader, capabilities) })
}

fn database(mut reader: Reader<'_>, capabilities: u32) -> Option<&[u8]> {
    reader.nul()?;
    if capabilities & LENENC_AUTH != 0 {
        reader.text()?;
    } else if capabilities & SECURE_CONNECTION != 0 {
        let len = reader.u8()?;
        reader.bytes(usize::from(len))?;
    } else {
        reader.nul()?;
    }
    if capabilities & CONNECT_WITH_DB == 0 { None } else { reader.nul() }
}

/// User and database of `COM_CHANGE_USER`.
pub(super) fn change_user(payload: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader(payload);
    reader.nul()?;
    let len = reader.u8()?;
    reader.bytes(usize::from(len))?;
    reader.nul()
}

/// `OK`: affected rows and status flags. `payload` begins with its `00` or `fe`.
pub(super) fn ok(payload: &[u8]) -> Option<(u64, u16)> {
    let mut reader = Reader(payload);
    reader.u8()?;
    let affected = reader.lenenc()?;
    reader.lenenc()?;
    Some((affected, reader.u16()?))
}

/// Status flags of the packet that ends columns or rows: `EOF` has 5 bytes, the `OK` in its place at least 7.
pub(super) fn end_status(payload: &[u8], len: usize) -> Option<u16> {
    if len > 5 {
        return ok(payload).map(|(_, status)| status);
    }
    let mut reader = Reader(payload.get(3..)?);
    reader.u16()
}

/// `ERR`: its number.
pub(super) fn error(payload: &[u8]) -> Option<u16> {
    let mut reader = Reader(payload.get(1..)?);
    reader.u16()
}

/// Text of `COM_QUERY` behind its attributes, and the trace context among these.
pub(super) fn query(payload: &[u8], has_attributes: bool) -> (&[u8], Option<&[u8]>) {
    // A client that logged in unseen may send attributes too: no statement begins with a control character.
    if !has_attributes && payload.first().is_none_or(|byte| *byte >= b'\t') {
        return (payload, None);
    }
    attributes(payload).unwrap_or((&[], None))
}

fn attributes(payload: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let mut reader = Reader(payload);
    let count = usize::try_from(reader.lenenc()?).ok()?;
    reader.lenenc()?;
    if count == 0 {
        return Some((reader.0, None));
    }
    let nulls = reader.bytes(count.div_ceil(8))?;
    let is_bound = reader.u8()? == 1;
    if !is_bound {
        return None;
    }
    let mut traceparent = None;
    let types = reader;
    for _ in 0..count {
        reader.u16()?;
        reader.text()?;
    }
    let mut types = types;
    for i in 0..count {
        let kind = types.u16()?;
        let name = types.text()?;
        if nulls[i / 8] >> (i % 8) & 1 == 1 {
            continue;
        }
        let value = value(&mut reader, kind)?;
        if name == b"traceparent" {
            traceparent = Some(value);
        }
    }
    Some((reader.0, traceparent))
}

/// A value of the binary protocol.
fn value<'a>(reader: &mut Reader<'a>, kind: u16) -> Option<&'a [u8]> {
    let len = match kind & 0xff {
        6 => 0,
        1 => 1,
        2 | 13 => 2,
        3 | 4 | 9 => 4,
        5 | 8 => 8,
        7 | 10 | 11 | 12 => usize::from(reader.u8()?),
        _ => return reader.text(),
    };
    reader.bytes(len)
}

/// How certain it is that bytes are a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Certainty {
    No,
    /// A part of one, or one that says little.
    Maybe,
    Certain,
}

fn is_readable(text: &[u8]) -> bool {
    text.iter().all(|byte| *byte >= b' ' && *byte != 0x7f || matches!(byte, b'\t' | b'\n' | b'\r'))
}

/// Judges `bytes`, all of one burst, as commands of a client in the middle of a connection.
pub(super) fn command(mut bytes: &[u8]) -> Certainty {
    let mut certain = false;
    while !bytes.is_empty() {
        let Some(head) = head(bytes) else {
            return if bytes.iter().any(|byte| *byte != 0) || certain { Certainty::Maybe } else { Certainty::No };
        };
        let body = &bytes[HEAD..bytes.len().min(head.total())];
        match one(head, body, body.len() == head.len) {
            Certainty::Certain => certain = true,
            other => return if certain && other == Certainty::Maybe { Certainty::Certain } else { other },
        }
        bytes = bytes.get(head.total()..).unwrap_or_default();
    }
    if certain { Certainty::Certain } else { Certainty::Maybe }
}

fn one(head: Head, body: &[u8], whole: bool) -> Certainty {
    if head.seq != 0 || head.len == 0 {
        return Certainty::No;
    }
    let Some((&command, rest)) = body.split_first() else { return Certainty::Maybe };
    let exact = |len: usize| if head.len != len { Certainty::No } else { Certainty::Maybe };
    match command {
        0x03 | 0x16 => {
            let (text, _) = if command == 0x03 { query(rest, false) } else { (rest, None) };
            let first = text.iter().find(|byte| !byte.is_ascii_whitespace());
            let begins = first.is_some_and(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'(' | b'/' | b'-' | b'#'));
            if !is_readable(text) || first.is_some() && !begins {
                return Certainty::No;
            }
            if begins && (whole || text.len() >= 16) { Certainty::Certain } else { Certainty::Maybe }
        }
        0x17 if head.len >= 10 => match rest.get(4..9) {
            Some([flags, 1, 0, 0, 0]) if *flags < 16 => {
                if whole {
                    Certainty::Certain
                } else {
                    Certainty::Maybe
                }
            }
            Some(_) => Certainty::No,
            None => Certainty::Maybe,
        },
        0x02 if is_readable(rest) && !rest.is_empty() => Certainty::Maybe,
        0x01 | 0x09 | 0x0e | 0x1f => exact(1),
        0x19 | 0x1a => exact(5),
        0x1c => exact(9),
        0x1b => exact(3),
        _ => Certainty::No,
    }
}

/// Judges `bytes` as the answer to a command in the middle of a connection.
pub(super) fn answer(bytes: &[u8]) -> Certainty {
    let Some(head) = head(bytes) else { return Certainty::Maybe };
    let body = &bytes[HEAD..bytes.len().min(head.total())];
    if head.seq != 1 || head.len == 0 {
        return Certainty::No;
    }
    match body.first() {
        None => Certainty::Maybe,
        Some(0xff) => match body.get(3..9) {
            Some([b'#', state @ ..]) if state.iter().all(u8::is_ascii_alphanumeric) => Certainty::Certain,
            Some(_) => Certainty::No,
            None => Certainty::Maybe,
        },
        Some(0) if head.len >= 7 => Certainty::Maybe,
        Some(1..=0xfa) if head.len <= 2 => {
            let Some(next) = bytes.get(head.total()..) else { return Certainty::Maybe };
            match next.get(3..8) {
                Some([2, 3, b'd', b'e', b'f']) => Certainty::Certain,
                Some(_) => Certainty::No,
                None => Certainty::Maybe,
            }
        }
        Some(_) => Certainty::No,
    }
}
