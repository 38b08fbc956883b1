//! DNS messages (RFC 1035 §4, RFC 6891) as bytes: header, question, records.
//!
//! Names are followed through compression pointers only backwards, so no message can make the reader loop.

use std::net::IpAddr;

/// Bytes of a header.
pub(super) const HEADER: usize = 12;

/// Why something cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The bytes end before it does.
    Short,
    /// It is no DNS message.
    Bad,
}

/// Counts of the sections in a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) questions: u16,
    pub(super) answers: u16,
    pub(super) authorities: u16,
    pub(super) additionals: u16,
}

/// The first 12 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) id: u16,
    flags: u16,
    pub(super) counts: Counts,
}

impl Header {
    pub(super) fn read(message: &[u8]) -> Result<Self, Fault> {
        let head = message.first_chunk::<HEADER>().ok_or(Fault::Short)?;
        let word = |i: usize| u16::from_be_bytes([head[2 * i], head[2 * i + 1]]);
        let counts = Counts { questions: word(2), answers: word(3), authorities: word(4), additionals: word(5) };
        Ok(Self { id: word(0), flags: word(1), counts })
    }

    pub(super) fn is_response(self) -> bool {
        self.flags & 0x8000 != 0
    }

    /// 0 query, 4 notify, 5 update.
    pub(super) fn opcode(self) -> u16 {
        self.flags >> 11 & 15
    }

    pub(super) fn is_truncated(self) -> bool {
        self.flags & 0x0200 != 0
    }

    /// The bit that RFC 2535 left reserved: always 0.
    pub(super) fn is_reserved_set(self) -> bool {
        self.flags & 0x0040 != 0
    }

    /// Lower four bits of the response code.
    pub(super) fn rcode(self) -> u16 {
        self.flags & 15
    }
}

/// A question, or the head of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Question {
    /// Where its name begins.
    pub(super) name: usize,
    pub(super) kind: u16,
    pub(super) class: u16,
    /// First byte behind it.
    pub(super) end: usize,
}

impl Question {
    pub(super) fn read(message: &[u8], at: usize) -> Result<Self, Fault> {
        let after = skip_name(message, at)?;
        Ok(Self { name: at, kind: word(message, after)?, class: word(message, after + 2)?, end: after + 4 })
    }
}

/// A resource record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    kind: u16,
    /// Seconds; of an OPT record, more flags.
    pub(super) ttl: u32,
    data: &'a [u8],
    end: usize,
}

const A: u16 = 1;
const AAAA: u16 = 28;
const OPT: u16 = 41;

impl<'a> Record<'a> {
    fn read(message: &'a [u8], at: usize) -> Result<Self, Fault> {
        let head = Question::read(message, at)?;
        let ttl = u32::from(word(message, head.end)?) << 16 | u32::from(word(message, head.end + 2)?);
        let start = head.end + 6;
        let end = start + usize::from(word(message, head.end + 4)?);
        Ok(Self { kind: head.kind, ttl, data: message.get(start..end).ok_or(Fault::Short)?, end })
    }

    /// The address that it gives, if it gives one.
    pub(super) fn address(&self) -> Option<IpAddr> {
        match self.kind {
            A => <[u8; 4]>::try_from(self.data).ok().map(IpAddr::from),
            AAAA => <[u8; 16]>::try_from(self.data).ok().map(IpAddr::from),
            _ => None,
        }
    }

    /// Upper eight bits of the response code, if it is an OPT record (RFC 6891 §6.1.3).
    pub(super) fn extended_rcode(&self) -> Option<u16> {
        (self.kind == OPT).then_some((self.ttl >> 24) as u16)
    }
}

/// Records from some place on, until they are all read or one cannot be.
pub(super) struct Records<'a> {
    message: &'a [u8],
    at: usize,
    left: u32,
}

impl<'a> Records<'a> {
    pub(super) fn new(message: &'a [u8], at: usize, count: u32) -> Self {
        Self { message, at, left: count }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let record = Record::read(self.message, self.at);
        match record {
            Ok(record) => self.at = record.end,
            Err(_) => self.left = 0,
        }
        Some(record)
    }
}

/// Walks over all sections; where the message ends.
pub(super) fn end(message: &[u8], header: Header) -> Result<usize, Fault> {
    let Counts { questions, answers, authorities, additionals } = header.counts;
    let mut at = HEADER;
    for _ in 0..questions {
        at = Question::read(message, at)?.end;
    }
    let records = u32::from(answers) + u32::from(authorities) + u32::from(additionals);
    for record in Records::new(message, at, records) {
        at = record?.end;
    }
    Ok(at)
}

fn word(message: &[u8], at: usize) -> Result<u16, Fault> {
    let bytes = message.get(at..).and_then(|rest| rest.first_chunk::<2>()).ok_or(Fault::Short)?;
    Ok(u16::from_be_bytes(*bytes))
}

/// Longest name on the wire (RFC 1035 §2.3.4).
const MAX_NAME: usize = 255;

/// One step along a name.
enum Part<'a> {
    Label(&'a [u8], usize),
    Pointer(usize),
    End,
}

fn part(message: &[u8], at: usize) -> Result<Part<'_>, Fault> {
    let &first = message.get(at).ok_or(Fault::Short)?;
    match first >> 6 {
        0 if first == 0 => Ok(Part::End),
        0 => {
            let end = at + 1 + usize::from(first);
            message.get(at + 1..end).map(|label| Part::Label(label, end)).ok_or(Fault::Short)
        }
        3 => Ok(Part::Pointer(usize::from(word(message, at)? & 0x3fff))),
        _ => Err(Fault::Bad),
    }
}

/// First byte behind the name at `start`. Its pointer is not followed.
fn skip_name(message: &[u8], start: usize) -> Result<usize, Fault> {
    let mut at = start;
    loop {
        match part(message, at)? {
            Part::Label(_, end) if end - start > MAX_NAME => return Err(Fault::Bad),
            Part::Label(_, end) => at = end,
            Part::Pointer(to) if to >= start => return Err(Fault::Bad),
            Part::Pointer(_) => return Ok(at + 2),
            Part::End => return Ok(at + 1),
        }
    }
}

/// Appends the name at `start` as the semantic conventions want it: lower case (names are equal in any case, RFC 4343,
/// and resolvers vary it), bytes that cannot be printed as `\DDD`, the root as `.`.
pub(super) fn write_name(message: &[u8], start: usize, out: &mut String) -> Result<(), Fault> {
    let (mut at, mut floor, mut length) = (start, start, 0);
    let before = out.len();
    loop {
        match part(message, at)? {
            Part::Label(label, end) => {
                length += label.len() + 1;
                if length > MAX_NAME {
                    return Err(Fault::Bad);
                }
                if out.len() > before {
                    out.push('.');
                }
                label.iter().for_each(|&byte| write_byte(byte, out));
                at = end;
            }
            // Always further back than any place visited before: it ends.
            Part::Pointer(to) if to < floor => (at, floor) = (to, to),
            Part::Pointer(_) => return Err(Fault::Bad),
            Part::End => break,
        }
    }
    if out.len() == before {
        out.push('.');
    }
    Ok(())
}

fn write_byte(byte: u8, out: &mut String) {
    match byte {
        b'\\' | b'"' | b'.' => out.extend(['\\', char::from(byte)]),
        b'\t' => out.push_str("\\t"),
        b'\n' => out.push_str("\\n"),
        b'\r' => out.push_str("\\r"),
        33..=126 => out.push(char::from(byte.to_ascii_lowercase())),
        _ => out.extend(['\\', digit(byte / 100), digit(byte / 10), digit(byte)]),
    }
}

fn digit(value: u8) -> char {
    char::from(b'0' + value % 10)
}

/// Name of a record type (IANA DNS parameters); `None` for one that RFC 3597 writes as `TYPEn`.
pub(super) fn kind_name(kind: u16) -> Option<&'static str> {
    Some(match kind {
        A => "A",
        2 => "NS",
        5 => "CNAME",
        6 => "SOA",
        12 => "PTR",
        13 => "HINFO",
        15 => "MX",
        16 => "TXT",
        AAAA => "AAAA",
        29 => "LOC",
        33 => "SRV",
        35 => "NAPTR",
        39 => "DNAME",
        OPT => "OPT",
        43 => "DS",
        44 => "SSHFP",
        46 => "RRSIG",
        47 => "NSEC",
        48 => "DNSKEY",
        50 => "NSEC3",
        51 => "NSEC3PARAM",
        52 => "TLSA",
        59 => "CDS",
        60 => "CDNSKEY",
        61 => "OPENPGPKEY",
        64 => "SVCB",
        65 => "HTTPS",
        99 => "SPF",
        249 => "TKEY",
        250 => "TSIG",
        251 => "IXFR",
        252 => "AXFR",
        255 => "ANY",
        256 => "URI",
        257 => "CAA",
        _ => return None,
    })
}

/// Name of a response code (IANA DNS parameters); `None` for an unassigned one.
pub(super) fn rcode_name(rcode: u16) -> Option<&'static str> {
    Some(match rcode {
        0 => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        6 => "YXDOMAIN",
        7 => "YXRRSET",
        8 => "NXRRSET",
        9 => "NOTAUTH",
        10 => "NOTZONE",
        11 => "DSOTYPENI",
        16 => "BADVERS",
        17 => "BADKEY",
        18 => "BADTIME",
        19 => "BADMODE",
        20 => "BADNAME",
        21 => "BADALG",
        22 => "BADTRUNC",
        23 => "BADCOOKIE",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(message: &[u8], at: usize) -> Result<String, Fault> {
        let mut out = String::new();
        write_name(message, at, &mut out).map(|()| out)
    }

    #[test]
    fn names_are_lower_case_and_escaped() {
        assert_eq!(name(b"\x03WwW\x04t\x00.\\\x00", 0).unwrap(), r"www.t\000\.\\");
        assert_eq!(name(b"\x00", 0).unwrap(), ".");
        assert_eq!(name("\u{3}\u{e9}x\u{0}".as_bytes(), 0).unwrap(), r"\195\169x");
    }

    #[test]
    fn pointers_are_followed_backwards_only() {
        let message = b"\x01a\x00\x01b\xc0\x00\x01c\xc0\x03";
        assert_eq!(name(message, 7).unwrap(), "c.b.a");
        assert_eq!(skip_name(message, 7), Ok(11));
        assert_eq!(name(b"\x01a\xc0\x00", 0), Err(Fault::Bad), "a loop");
        assert_eq!(name(b"\xc0\x02\xc0\x00", 0), Err(Fault::Bad), "forwards");
        assert_eq!(name(b"\xc0\x00", 0), Err(Fault::Bad), "itself");
        assert_eq!(skip_name(b"\xc0\x00", 0), Err(Fault::Bad));
        assert_eq!(name(b"\x80a", 0), Err(Fault::Bad), "reserved");
        assert_eq!(name(b"\x05ab", 0), Err(Fault::Short));
    }

    #[test]
    fn names_are_bounded() {
        let mut long = b"\x3f".repeat(64 * 5);
        long.push(0);
        assert_eq!(name(&long, 0), Err(Fault::Bad));
        assert_eq!(skip_name(&long, 0), Err(Fault::Bad));
    }
}
