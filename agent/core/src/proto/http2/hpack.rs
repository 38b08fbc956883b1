//! HPACK (RFC 7541): header blocks of one direction, with a dynamic table that survives losses.
//!
//! Only names that a parser asks for have a [`Name`] of their own and keep their values; of all other fields only the
//! sizes are kept, which the table's order needs. After a loss the table's newest entries are unknown: it begins anew,
//! what is inserted from then on is known again, and an index behind that is an unknown field, never a guess. Keeping
//! an entry longer than the encoder does is harmless: an encoder does not refer to what it has evicted.

use super::huffman;
use std::collections::VecDeque;

/// Names whose values matter to spans, and the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Authority,
    Method,
    Path,
    Scheme,
    Status,
    Protocol,
    Host,
    ContentType,
    UserAgent,
    TraceParent,
    TraceState,
    GrpcStatus,
    GrpcTimeout,
    /// A name that is of no interest.
    Other,
    /// A name that is not known: it was sent before the agent saw the connection, or in a hole.
    Unknown,
}

impl Name {
    /// Number of names that keep their value.
    pub(super) const KEPT: usize = Name::Other as usize;

    fn of(name: &[u8]) -> Self {
        match name {
            b":authority" => Name::Authority,
            b":method" => Name::Method,
            b":path" => Name::Path,
            b":scheme" => Name::Scheme,
            b":status" => Name::Status,
            b":protocol" => Name::Protocol,
            b"host" => Name::Host,
            b"content-type" => Name::ContentType,
            b"user-agent" => Name::UserAgent,
            b"traceparent" => Name::TraceParent,
            b"tracestate" => Name::TraceState,
            b"grpc-status" => Name::GrpcStatus,
            b"grpc-timeout" => Name::GrpcTimeout,
            _ => Name::Other,
        }
    }

    fn is_kept(self) -> bool {
        (self as usize) < Self::KEPT
    }

    /// Whether it is a pseudo-header field of a request (RFC 9113 §8.3.1).
    pub(super) fn is_of_request(self) -> bool {
        matches!(self, Name::Method | Name::Path | Name::Scheme | Name::Authority | Name::Protocol)
    }
}

/// Why a block was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    /// The block ends within a field.
    Short,
    /// It breaks RFC 7541, or refers to what the table cannot hold.
    Bad,
}

/// Bytes of entries that are kept at most, whatever table the ends agreed on.
const KEPT_BYTES: usize = 64 * 1024;
/// Table size where the ends did not say another (RFC 9113 §6.5.2).
const DEFAULT_SIZE: usize = 4096;
/// Table size that is assumed where what the ends said was not seen.
const UNSEEN_SIZE: usize = 16 * 1024;
/// What an entry counts besides its name and value (RFC 7541 §4.1).
const ENTRY_OVERHEAD: usize = 32;

#[derive(Clone, Copy, Debug)]
struct Entry {
    name: Name,
    name_len: usize,
    /// Length of the value; it is in the arena only if the name is one that keeps it.
    value_len: usize,
    /// Where in all that was ever put into the arena its value begins.
    at: usize,
}

impl Entry {
    fn size(&self) -> usize {
        self.name_len + self.value_len + ENTRY_OVERHEAD
    }
}

/// Decoder of one direction's header blocks.
#[derive(Debug)]
pub(super) struct Decoder {
    /// Newest first.
    entries: VecDeque<Entry>,
    arena: Vec<u8>,
    /// Bytes that have left the arena.
    left: usize,
    size: usize,
    limit: usize,
    /// Whether `entries` is all that the encoder's table holds.
    whole: bool,
    name: Vec<u8>,
    value: Vec<u8>,
    odd_names: bool,
}

impl Decoder {
    /// A decoder of a direction that was seen from its first byte on, or joined midway.
    pub(super) fn new(midway: bool) -> Self {
        Self {
            entries: VecDeque::new(),
            arena: Vec::new(),
            left: 0,
            size: 0,
            limit: if midway { UNSEEN_SIZE } else { DEFAULT_SIZE },
            whole: !midway,
            name: Vec::new(),
            value: Vec::new(),
            odd_names: false,
        }
    }

    /// One or more blocks were lost: what the table holds now is unknown.
    pub(super) fn lose(&mut self) {
        self.clear();
        self.whole = false;
    }

    /// Whether the last block had a literal name that RFC 9113 §8.2.1 forbids.
    pub(super) fn had_odd_names(&self) -> bool {
        self.odd_names
    }

    /// Reads `block` and calls `field` for each of its fields, in order. An unknown name has no value.
    pub(super) fn decode(&mut self, block: &[u8], mut field: impl FnMut(Name, &[u8])) -> Result<(), Stopped> {
        self.odd_names = false;
        let mut rest = block;
        let mut first = true;
        while let Some(&byte) = rest.first() {
            match byte {
                // Indexed field.
                0x80.. => {
                    let index = integer(&mut rest, 7)?;
                    self.indexed(index, &mut field)?;
                    first = false;
                }
                // Literal with incremental indexing.
                0x40.. => {
                    self.literal(&mut rest, 6, true, &mut field)?;
                    first = false;
                }
                // Dynamic table size update: only in front of fields (RFC 7541 §4.2).
                0x20.. => {
                    let size = integer(&mut rest, 5)?;
                    if !first {
                        return Err(Stopped::Bad);
                    }
                    self.resize(size);
                }
                // Literal without indexing, or never indexed.
                _ => {
                    self.literal(&mut rest, 4, false, &mut field)?;
                    first = false;
                }
            }
        }
        Ok(())
    }

    fn indexed(&self, index: usize, field: &mut impl FnMut(Name, &[u8])) -> Result<(), Stopped> {
        match index.checked_sub(1).ok_or(Stopped::Bad)? {
            at if at < STATIC.len() => {
                let (name, _, value) = STATIC[at];
                field(name, value.as_bytes());
            }
            at => match self.entry(at - STATIC.len())? {
                Some(entry) => field(entry.name, self.value_of(entry)),
                None => field(Name::Unknown, &[]),
            },
        }
        Ok(())
    }

    /// Entry `at` of the dynamic table; `None` if it is there and not known.
    fn entry(&self, at: usize) -> Result<Option<&Entry>, Stopped> {
        match self.entries.get(at) {
            None if self.whole => Err(Stopped::Bad),
            entry => Ok(entry),
        }
    }

    fn value_of(&self, entry: &Entry) -> &[u8] {
        if !entry.name.is_kept() {
            return &[];
        }
        let at = entry.at.wrapping_sub(self.left);
        self.arena.get(at..at.wrapping_add(entry.value_len)).unwrap_or_default()
    }

    fn literal(&mut self, rest: &mut &[u8], prefix: u32, insert: bool, field: &mut impl FnMut(Name, &[u8])) -> Result<(), Stopped> {
        let (name, name_len) = match integer(rest, prefix)? {
            0 => self.literal_name(rest)?,
            index if index <= STATIC.len() => {
                let (name, name_len, _) = STATIC[index - 1];
                (name, name_len)
            }
            // The length of an unknown name counts as nothing, so that its entry is kept too long rather than too short.
            index => self.entry(index - 1 - STATIC.len())?.map_or((Name::Unknown, 0), |entry| (entry.name, entry.name_len)),
        };
        let (is_huffman, text) = string(rest)?;
        let mut decoded = std::mem::take(&mut self.value);
        decoded.clear();
        let value = if is_huffman { huffman::decode(text, &mut decoded).map(|()| decoded.as_slice()) } else { Some(text) };
        if let Some(value) = value {
            field(name, if name.is_kept() { value } else { &[] });
            if insert {
                self.insert(name, name_len, value);
            }
        }
        let result = value.map(|_| ()).ok_or(Stopped::Bad);
        self.value = decoded;
        result
    }

    fn literal_name(&mut self, rest: &mut &[u8]) -> Result<(Name, usize), Stopped> {
        let (is_huffman, text) = string(rest)?;
        let name = if is_huffman {
            self.name.clear();
            huffman::decode(text, &mut self.name).ok_or(Stopped::Bad)?;
            self.name.as_slice()
        } else {
            text
        };
        let is_odd = name.is_empty() || name.iter().any(|byte| matches!(byte, 0..=b' ' | b'A'..=b'Z' | 0x7f..));
        self.odd_names |= is_odd;
        Ok((Name::of(name), name.len()))
    }

    fn insert(&mut self, name: Name, name_len: usize, value: &[u8]) {
        let entry = Entry { name, name_len, value_len: value.len(), at: self.left + self.arena.len() };
        if entry.size() > self.limit {
            // It empties the table and is not in it (RFC 7541 §4.4), unless the true limit is another.
            self.clear();
            self.whole &= self.limit < KEPT_BYTES;
            return;
        }
        self.evict(self.limit - entry.size());
        if name.is_kept() {
            self.arena.extend_from_slice(value);
        }
        self.size += entry.size();
        self.entries.push_front(entry);
        self.compact();
    }

    fn resize(&mut self, size: usize) {
        self.limit = size.min(KEPT_BYTES);
        self.evict(self.limit);
        // Entries beyond what is kept here are there and not known.
        self.whole &= size <= KEPT_BYTES;
    }

    fn evict(&mut self, limit: usize) {
        while self.size > limit
            && let Some(entry) = self.entries.pop_back()
        {
            self.size -= entry.size();
        }
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.size = 0;
        self.left += self.arena.len();
        self.arena.clear();
    }

    /// Frees values of evicted entries once they are the greater part.
    fn compact(&mut self) {
        let oldest = self.entries.back().map_or(self.left + self.arena.len(), |entry| entry.at);
        let dead = oldest - self.left;
        if dead > DEFAULT_SIZE && dead > self.arena.len() / 2 {
            self.arena.drain(..dead);
            self.left = oldest;
        }
    }
}

/// An integer with an `n`-bit prefix (RFC 7541 §5.1). Larger ones than 2^28 are no sizes or indices of this world.
fn integer(rest: &mut &[u8], n: u32) -> Result<usize, Stopped> {
    let (&first, mut tail) = rest.split_first().ok_or(Stopped::Short)?;
    let mask = (1usize << n) - 1;
    let mut value = usize::from(first) & mask;
    if value == mask {
        let mut shift = 0;
        loop {
            let (&byte, more) = tail.split_first().ok_or(Stopped::Short)?;
            tail = more;
            if shift > 21 {
                return Err(Stopped::Bad);
            }
            value += usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                break;
            }
        }
    }
    *rest = tail;
    Ok(value)
}

/// A string literal (RFC 7541 §5.2): whether it is Huffman text, and its bytes.
fn string<'a>(rest: &mut &'a [u8]) -> Result<(bool, &'a [u8]), Stopped> {
    let is_huffman = rest.first().ok_or(Stopped::Short)? & 0x80 != 0;
    let len = integer(rest, 7)?;
    let (text, tail) = rest.split_at_checked(len).ok_or(Stopped::Short)?;
    *rest = tail;
    Ok((is_huffman, text))
}

/// The static table (RFC 7541 Appendix A): name, its length, value.
#[rustfmt::skip]
static STATIC: [(Name, usize, &str); 61] = [
    (Name::Authority, 10, ""),
    (Name::Method, 7, "GET"),
    (Name::Method, 7, "POST"),
    (Name::Path, 5, "/"),
    (Name::Path, 5, "/index.html"),
    (Name::Scheme, 7, "http"),
    (Name::Scheme, 7, "https"),
    (Name::Status, 7, "200"),
    (Name::Status, 7, "204"),
    (Name::Status, 7, "206"),
    (Name::Status, 7, "304"),
    (Name::Status, 7, "400"),
    (Name::Status, 7, "404"),
    (Name::Status, 7, "500"),
    (Name::Other, 14, ""), // accept-charset
    (Name::Other, 15, "gzip, deflate"), // accept-encoding
    (Name::Other, 15, ""), // accept-language
    (Name::Other, 13, ""), // accept-ranges
    (Name::Other, 6, ""), // accept
    (Name::Other, 27, ""), // access-control-allow-origin
    (Name::Other, 3, ""), // age
    (Name::Other, 5, ""), // allow
    (Name::Other, 13, ""), // authorization
    (Name::Other, 13, ""), // cache-control
    (Name::Other, 19, ""), // content-disposition
    (Name::Other, 16, ""), // content-encoding
    (Name::Other, 16, ""), // content-language
    (Name::Other, 14, ""), // content-length
    (Name::Other, 16, ""), // content-location
    (Name::Other, 13, ""), // content-range
    (Name::ContentType, 12, ""),
    (Name::Other, 6, ""), // cookie
    (Name::Other, 4, ""), // date
    (Name::Other, 4, ""), // etag
    (Name::Other, 6, ""), // expect
    (Name::Other, 7, ""), // expires
    (Name::Other, 4, ""), // from
    (Name::Host, 4, ""),
    (Name::Other, 8, ""), // if-match
    (Name::Other, 17, ""), // if-modified-since
    (Name::Other, 13, ""), // if-none-match
    (Name::Other, 8, ""), // if-range
    (Name::Other, 19, ""), // if-unmodified-since
    (Name::Other, 13, ""), // last-modified
    (Name::Other, 4, ""), // link
    (Name::Other, 8, ""), // location
    (Name::Other, 12, ""), // max-forwards
    (Name::Other, 18, ""), // proxy-authenticate
    (Name::Other, 19, ""), // proxy-authorization
    (Name::Other, 5, ""), // range
    (Name::Other, 7, ""), // referer
    (Name::Other, 7, ""), // refresh
    (Name::Other, 11, ""), // retry-after
    (Name::Other, 6, ""), // server
    (Name::Other, 10, ""), // set-cookie
    (Name::Other, 25, ""), // strict-transport-security
    (Name::Other, 17, ""), // transfer-encoding
    (Name::UserAgent, 10, ""),
    (Name::Other, 4, ""), // vary
    (Name::Other, 3, ""), // via
    (Name::Other, 16, ""), // www-authenticate
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits.chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
    }

    fn read(decoder: &mut Decoder, block: &str) -> Result<String, Stopped> {
        let mut fields = Vec::new();
        decoder.decode(&hex(block), |name, value| fields.push(format!("{name:?}={}", String::from_utf8_lossy(value))))?;
        Ok(fields.join(" "))
    }

    #[test]
    fn requests_of_the_rfc_are_read() {
        // RFC 7541 Appendix C.3 (plain) and C.4 (Huffman) are the same requests.
        let plain = [
            "828684410f7777772e6578616d706c652e636f6d",
            "828684be58086e6f2d6361636865",
            "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
        ];
        let coded = ["828684418cf1e3c2e5f23a6ba0ab90f4ff", "828684be5886a8eb10649cbf", "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf"];
        for blocks in [plain, coded] {
            let mut decoder = Decoder::new(false);
            let fields = blocks.map(|block| read(&mut decoder, block).unwrap());
            assert_eq!(fields[0], "Method=GET Scheme=http Path=/ Authority=www.example.com");
            assert_eq!(fields[1], "Method=GET Scheme=http Path=/ Authority=www.example.com Other=");
            assert_eq!(fields[2], "Method=GET Scheme=https Path=/index.html Authority=www.example.com Other=");
            assert_eq!(decoder.size, 164);
        }
    }

    #[test]
    fn responses_of_the_rfc_evict_as_it_says() {
        // RFC 7541 Appendix C.6, with a table of 256 bytes.
        let mut decoder = Decoder::new(false);
        decoder.resize(256);
        let first = "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3";
        assert_eq!(read(&mut decoder, first).as_deref(), Ok("Status=302 Other= Other= Other="));
        assert_eq!((decoder.size, decoder.entries.len()), (222, 4));
        assert_eq!(read(&mut decoder, "4883640effc1c0bf").as_deref(), Ok("Status=307 Other= Other= Other="));
        assert_eq!((decoder.size, decoder.entries.len()), (222, 4));
    }

    #[test]
    fn a_table_that_was_lost_knows_again_what_comes_after() {
        let mut decoder = Decoder::new(false);
        read(&mut decoder, "4103612e62").unwrap();
        decoder.lose();
        assert_eq!(read(&mut decoder, "82be").as_deref(), Ok("Method=GET Unknown="));
        // A new authority is index 62 again, the lost one is behind it.
        assert_eq!(read(&mut decoder, "4103632e64bebf").as_deref(), Ok("Authority=c.d Authority=c.d Unknown="));
        // A value under a name that is not known stays one.
        assert_eq!(read(&mut decoder, "7f000178be").as_deref(), Ok("Unknown= Unknown="));
    }

    #[test]
    fn references_to_what_cannot_be_there_are_bad() {
        for bad in ["80", "be", "ff00", "7e0161", "0f", "82 20", "ffffffffffff7f", "4085ffffffffff00"] {
            let result = read(&mut Decoder::new(false), bad);
            assert!(result.is_err(), "{bad}: {result:?}");
        }
        assert_eq!(read(&mut Decoder::new(false), "8241"), Err(Stopped::Short));
        assert_eq!(read(&mut Decoder::new(false), "82410361"), Err(Stopped::Short));
    }

    #[test]
    fn sizes_change_the_table_within_bounds() {
        let mut decoder = Decoder::new(false);
        read(&mut decoder, "4103612e62").unwrap();
        assert_eq!(read(&mut decoder, "20 3fe11f 82").as_deref(), Ok("Method=GET"));
        assert_eq!(read(&mut decoder, "be"), Err(Stopped::Bad));
        // A table of a MiB: entries beyond what is kept are unknown, not bad.
        read(&mut decoder, "3fe1ff3f").unwrap();
        for _ in 0..3000 {
            read(&mut decoder, &format!("4440{}", "61".repeat(64))).unwrap();
        }
        assert!(decoder.arena.len() < 2 * KEPT_BYTES);
        assert_eq!(read(&mut decoder, "ffdd0f").as_deref(), Ok("Unknown="));
        assert!(read(&mut decoder, "be").unwrap().starts_with("Path=aaaa"));
    }

    proptest! {
        #[test]
        fn arbitrary_blocks_do_no_harm(blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..20), midway in any::<bool>()) {
            let mut decoder = Decoder::new(midway);
            for block in blocks {
                let _ = decoder.decode(&block, |_, _| {});
                prop_assert!(decoder.size <= KEPT_BYTES && decoder.arena.len() <= 3 * KEPT_BYTES);
            }
        }
    }
}
