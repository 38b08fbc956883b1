//! The files themselves: frames out of pcap and pcapng containers.

use pcap_parser::traits::PcapReaderIterator;
use pcap_parser::{Block, Linktype, PcapBlockOwned, create_reader};
use std::io::Read;

/// Why a file could not be read to its end.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PcapError {
    /// Neither magic number.
    #[error("not a pcap or pcapng file")]
    NotACapture,
    /// The file has no bytes.
    #[error("the file is empty")]
    Empty,
    /// Reading failed.
    #[error("reading failed after {offset} bytes")]
    Read {
        /// Bytes that were understood.
        offset: usize,
    },
    /// A block that is larger than any packet.
    #[error("block of more than {MAX_BLOCK} bytes at byte {offset}")]
    TooLarge {
        /// Where the block begins.
        offset: usize,
    },
    /// Something that breaks the format.
    #[error("malformed block at byte {offset}")]
    Malformed {
        /// Where it begins.
        offset: usize,
    },
}

/// One captured frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    /// Nanoseconds since the Unix epoch.
    pub(super) time: u64,
    pub(super) link: Linktype,
    pub(super) data: &'a [u8],
    /// Bytes that it had on the wire.
    pub(super) wire_len: usize,
}

/// Largest block that is read.
const MAX_BLOCK: usize = 16 * 1024 * 1024;
/// First size of the buffer.
const BUFFER: usize = 256 * 1024;
/// Most interfaces of one pcapng section.
const MAX_INTERFACES: usize = 64 * 1024;

/// How an interface gives its frames.
#[derive(Clone, Copy, Debug)]
struct Interface {
    link: Linktype,
    /// Units of time in a second.
    resolution: u64,
    /// Seconds to add.
    offset: i64,
    /// Longest frame that is kept; 0 for no limit.
    snaplen: u32,
}

/// Gives every frame to `each`. `Ok(true)` if the file ends in the middle of a block.
pub(super) fn read(file: impl Read + Send, each: &mut dyn FnMut(Frame<'_>)) -> Result<bool, PcapError> {
    use pcap_parser::PcapError as E;
    let mut reader = create_reader(BUFFER, file).map_err(|error| match error {
        E::Eof => PcapError::Empty,
        E::ReadError => PcapError::Read { offset: 0 },
        _ => PcapError::NotACapture,
    })?;
    let mut interfaces = Vec::new();
    let mut size = BUFFER;
    loop {
        let offset = reader.consumed();
        match reader.next() {
            Ok((len, block)) => {
                self::block(block, &mut interfaces, each);
                reader.consume(len);
            }
            Err(E::Eof) => return Ok(false),
            Err(E::UnexpectedEof) => return Ok(true),
            Err(E::Incomplete(_) | E::BufferTooSmall) => {
                if is_full(reader.as_ref(), size) {
                    size *= 2;
                    if size > MAX_BLOCK || !reader.grow(size) {
                        return Err(PcapError::TooLarge { offset });
                    }
                }
                let before = reader.data().len();
                reader.refill().map_err(|_| PcapError::Read { offset })?;
                if reader.data().len() == before && reader.reader_exhausted() {
                    return Ok(before > 0);
                }
            }
            Err(_) => return Err(PcapError::Malformed { offset }),
        }
    }
}

fn is_full(reader: &dyn PcapReaderIterator, size: usize) -> bool {
    reader.data().len() >= size
}

fn block(block: PcapBlockOwned<'_>, interfaces: &mut Vec<Interface>, each: &mut dyn FnMut(Frame<'_>)) {
    match block {
        PcapBlockOwned::LegacyHeader(header) => {
            let resolution = if header.is_nanosecond_precision() { NANOS } else { 1_000_000 };
            *interfaces = vec![Interface { link: header.network, resolution, offset: 0, snaplen: 0 }];
        }
        PcapBlockOwned::Legacy(frame) => {
            if let Some(interface) = interfaces.first() {
                let units = u64::from(frame.ts_sec).saturating_mul(interface.resolution).saturating_add(u64::from(frame.ts_usec));
                each(interface.frame(units, frame.data, frame.caplen, frame.origlen));
            }
        }
        PcapBlockOwned::NG(Block::SectionHeader(_)) => interfaces.clear(),
        PcapBlockOwned::NG(Block::InterfaceDescription(block)) if interfaces.len() < MAX_INTERFACES => {
            let resolution = block.ts_resolution().filter(|&n| n > 0).unwrap_or(1_000_000);
            let (offset, snaplen) = (block.ts_offset(), block.snaplen);
            interfaces.push(Interface { link: block.linktype, resolution, offset, snaplen });
        }
        PcapBlockOwned::NG(Block::EnhancedPacket(block)) => {
            if let Some(interface) = usize::try_from(block.if_id).ok().and_then(|id| interfaces.get(id)) {
                let units = u64::from(block.ts_high) << 32 | u64::from(block.ts_low);
                each(interface.frame(units, block.data, block.caplen, block.origlen));
            }
        }
        PcapBlockOwned::NG(Block::SimplePacket(block)) => {
            if let Some(interface) = interfaces.first() {
                let kept = if interface.snaplen == 0 { block.origlen } else { block.origlen.min(interface.snaplen) };
                each(interface.frame(0, block.data, kept, block.origlen));
            }
        }
        PcapBlockOwned::NG(_) => {}
    }
}

/// Nanoseconds in a second.
const NANOS: u64 = 1_000_000_000;

impl Interface {
    fn frame<'a>(&self, units: u64, data: &'a [u8], kept: u32, on_wire: u32) -> Frame<'a> {
        let len = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
        let data = &data[..data.len().min(len(kept))];
        let nanos = u128::from(units) * u128::from(NANOS) / u128::from(self.resolution);
        let time = i128::try_from(nanos).unwrap_or(i128::MAX).saturating_add(i128::from(self.offset) * i128::from(NANOS));
        Frame { time: u64::try_from(time).unwrap_or(0), link: self.link, data, wire_len: len(on_wire).max(data.len()) }
    }
}
