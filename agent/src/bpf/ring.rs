//! The reading end of the ring buffer between kernel and agent (`Documentation/bpf/ringbuf.rst`, `kernel/bpf/ringbuf.c`).
//!
//! aya's own maps the data twice in a row, so that no record is in two pieces: the kernel counts it as the agent's memory
//! twice. Here it is mapped once and a record that goes over the end is put together. What was read is given back in large
//! pieces: the position is on a cache line that every writer reads. It must never wait, and never believe a length.

use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Bytes in front of each record: its length with two flags, and where its page is.
const HEADER: u64 = 8;
/// Flag of a length: still being written (`BPF_RINGBUF_BUSY_BIT`).
const BUSY: u32 = 1 << 31;
/// Flag of a length: to be skipped (`BPF_RINGBUF_DISCARD_BIT`).
const DISCARDED: u32 = 1 << 30;
/// Most bytes that are read before they are given back; less where the ring is small.
const GIVE_BACK: u64 = 64 * 1024;

/// Memory that is unmapped when it is dropped.
struct Mapping {
    at: NonNull<u8>,
    len: usize,
}

// SAFETY: the memory is reached through this value alone, wherever that is.
unsafe impl Send for Mapping {}

impl Mapping {
    fn of(map: BorrowedFd<'_>, offset: usize, len: usize, access: ProtFlags) -> Result<Self, Errno> {
        // SAFETY: a new mapping at a place that the kernel chooses.
        let at = unsafe { rustix::mm::mmap(std::ptr::null_mut(), len, access, MapFlags::SHARED, map, offset as u64) }?;
        NonNull::new(at.cast()).map(|at| Self { at, len }).ok_or(Errno::NOMEM)
    }

    /// The position at the start of the mapping.
    fn position(&self) -> &AtomicU64 {
        // SAFETY: mappings are whole pages, so that there are eight aligned bytes; both sides use them as an atomic.
        unsafe { AtomicU64::from_ptr(self.at.as_ptr().cast()) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: nothing refers to the mapping any more. It cannot be refused.
        let _ = unsafe { rustix::mm::munmap(self.at.as_ptr().cast(), self.len) };
    }
}

/// The ring buffer.
pub(super) struct Ring {
    /// One page with the position up to which was read.
    consumer: Mapping,
    /// One page with the position up to which was reserved, and the data behind it.
    producer: Mapping,
    page: usize,
    /// Bytes of data, a power of two.
    size: u64,
    /// A record that went over the end of the data.
    joined: Vec<u8>,
}

impl Ring {
    /// Maps the ring buffer `map` of `size` bytes.
    ///
    /// # Errors
    /// What the kernel says against it.
    pub(super) fn new(map: BorrowedFd<'_>, size: u32) -> Result<Self, Errno> {
        let page = rustix::param::page_size();
        let consumer = Mapping::of(map, 0, page, ProtFlags::READ | ProtFlags::WRITE)?;
        let producer = Mapping::of(map, page, page + size as usize, ProtFlags::READ)?;
        Ok(Self { consumer, producer, page, size: u64::from(size), joined: Vec::new() })
    }

    /// Hands at most `limit` records that wait to `each`. Returns how many there were.
    pub(super) fn drain(&mut self, limit: usize, mut each: impl FnMut(&[u8])) -> usize {
        let end = self.producer.position().load(Ordering::Acquire);
        let mut at = self.consumer.position().load(Ordering::Relaxed);
        let (mut given_back, mut n) = (at, 0);
        let piece = GIVE_BACK.min(self.size / 16);
        while at < end && n < limit {
            let header = self.header(at).load(Ordering::Acquire);
            let len = u64::from(header & !(BUSY | DISCARDED));
            if header & BUSY != 0 || len > self.size - HEADER {
                break;
            }
            if header & DISCARDED == 0 {
                each(self.record(at + HEADER, len));
                n += 1;
            }
            at += (HEADER + len).next_multiple_of(HEADER);
            if at - given_back >= piece {
                given_back = at;
                self.consumer.position().store(at, Ordering::Release);
            }
        }
        self.consumer.position().store(at, Ordering::Release);
        n
    }

    /// Where the byte at `position` is, and how many follow it before the end of the data.
    fn data(&self, position: u64) -> (NonNull<u8>, usize) {
        let offset = (position & (self.size - 1)) as usize;
        // SAFETY: the offset is below the size, and the data begins behind the first page of the mapping.
        (unsafe { self.producer.at.add(self.page + offset) }, self.size as usize - offset)
    }

    /// The length of the record at `position`, which is a multiple of eight.
    fn header(&self, position: u64) -> &AtomicU32 {
        // SAFETY: within the data and aligned; the kernel writes it with a single store.
        unsafe { AtomicU32::from_ptr(self.data(position).0.as_ptr().cast()) }
    }

    fn record(&mut self, position: u64, len: u64) -> &[u8] {
        let (start, room) = self.data(position);
        let len = len as usize;
        // SAFETY: within the data; the kernel does not write to a submitted record before its bytes are given back.
        let bytes = |from: NonNull<u8>, len| unsafe { std::slice::from_raw_parts(from.as_ptr(), len) };
        if len <= room {
            return bytes(start, len);
        }
        let (rest, _) = self.data(position + room as u64);
        self.joined.clear();
        self.joined.extend_from_slice(bytes(start, room));
        self.joined.extend_from_slice(bytes(rest, len - room));
        &self.joined
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 4096;

    /// A ring in plain memory, and its writer.
    struct Written {
        ring: Ring,
        at: u64,
    }

    impl Written {
        fn new() -> Self {
            let page = rustix::param::page_size();
            let anonymous = |len| {
                let access = ProtFlags::READ | ProtFlags::WRITE;
                // SAFETY: a new mapping at a place that the kernel chooses.
                let at = unsafe { rustix::mm::mmap_anonymous(std::ptr::null_mut(), len, access, MapFlags::PRIVATE) }.expect("memory");
                Mapping { at: NonNull::new(at.cast()).expect("an address"), len }
            };
            let (consumer, producer) = (anonymous(page), anonymous(page + SIZE as usize));
            Self { ring: Ring { consumer, producer, page, size: SIZE, joined: Vec::new() }, at: 0 }
        }

        fn byte(&mut self, position: u64, byte: u8) {
            // SAFETY: within the mapping, and the ring is not being read.
            unsafe { self.ring.data(position).0.write(byte) }
        }

        fn write(&mut self, flags: u32, record: &[u8]) {
            let len = record.len() as u32;
            (len | flags).to_ne_bytes().into_iter().zip(0..).for_each(|(byte, i)| self.byte(self.at + i, byte));
            record.iter().zip(HEADER..).for_each(|(byte, i)| self.byte(self.at + i, *byte));
            self.at += (HEADER + u64::from(len)).next_multiple_of(8);
            self.ring.producer.position().store(self.at, Ordering::Release);
        }

        fn read(&mut self, limit: usize) -> Vec<Vec<u8>> {
            let mut records = Vec::new();
            let n = self.ring.drain(limit, |record| records.push(record.to_vec()));
            assert_eq!(n, records.len());
            records
        }

        fn given_back(&self) -> u64 {
            self.ring.consumer.position().load(Ordering::Acquire)
        }
    }

    #[test]
    fn records_are_read_in_order_and_given_back() {
        let mut written = Written::new();
        written.write(0, b"one");
        written.write(DISCARDED, b"never");
        written.write(0, b"twotwotwo");
        assert_eq!(written.read(1), [b"one"]);
        assert_eq!(written.read(9), [b"twotwotwo"]);
        assert_eq!((written.read(9), written.given_back()), (vec![], written.at));
    }

    #[test]
    fn a_record_that_is_being_written_holds_back_those_behind_it() {
        let mut written = Written::new();
        written.write(0, b"one");
        let busy = written.at;
        written.write(BUSY, b"two");
        written.write(0, b"three");
        assert_eq!((written.read(9), written.given_back()), (vec![b"one".to_vec()], busy));
        let end = std::mem::replace(&mut written.at, busy);
        written.write(0, b"two");
        written.ring.producer.position().store(end, Ordering::Release);
        assert_eq!(written.read(9), [&b"two"[..], b"three"]);
    }

    #[test]
    fn records_of_any_length_survive_the_end_of_the_data() {
        let mut written = Written::new();
        for len in (1..2000).step_by(7) {
            let record: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
            written.write(0, &record);
            assert_eq!(written.read(9), [record]);
        }
        assert!(written.at > 50 * SIZE);
    }

    #[test]
    fn a_length_beyond_the_data_is_not_believed() {
        let mut written = Written::new();
        written.write(0, b"one");
        written.write(0, b"two");
        let bad = 16u64;
        (SIZE as u32).to_ne_bytes().into_iter().zip(0..).for_each(|(byte, i)| written.byte(bad + i, byte));
        assert_eq!(written.read(9), [b"one"]);
    }
}
