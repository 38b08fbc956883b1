//! The compressed protocol: packets in packets that are compressed one by one, by zlib or zstd.
//!
//! What is in them goes to the parser of plain packets as a stream of its own, whose segments are the compressed
//! packets, with their times and sequence numbers: both ends compute the same keys. What was not captured of a packet is
//! a hole of known length in that stream. Where compressed packets begin is known exactly as long as the parser of plain
//! packets knows where its own begin; after a loss they are found together. Bounded in time and memory.

use super::MySql;
use super::packet::{self, Certainty};
use crate::flow::{Amount, Capture};
use crate::proto::ordered::{Found, end_of_hole, is_within};
use crate::proto::{Cx, End, Input, Mark, Parser, Step, Stop, inflate};

/// Compressed length, sequence number and plain length in front of a payload.
const HEAD: usize = 7;
/// Bytes of a compressed packet that are waited for.
const KEEP: usize = 60 * 1024;
/// Most plain bytes that are read of one packet.
const PLAIN: usize = 64 * 1024;
/// First bytes of a zstd frame (RFC 8878 §3.1.1).
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// What is asked of capture: a packet whose end is missing gives no more than its start.
pub(super) const CAPTURE: Capture = Capture { client: Amount::Burst(64 * 1024), server: Amount::Burst(64 * 1024) };

/// Head of a compressed packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    len: usize,
    seq: u8,
    /// Bytes of plain packets in it.
    plain: usize,
    is_stored: bool,
}

impl Head {
    fn read(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, seq, d, e, f, ..] = *bytes else { return None };
        let number = |[a, b, c]: [u8; 3]| usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16;
        let (len, plain) = (number([a, b, c]), number([d, e, f]));
        let is_stored = plain == 0;
        Some(Self { len, seq, plain: if is_stored { len } else { plain }, is_stored })
    }

    fn total(&self) -> usize {
        HEAD + self.len
    }

    /// The first plain bytes of a payload that may be cut. What is broken ends early: the rest counts as lost.
    fn open(&self, payload: &[u8]) -> Vec<u8> {
        let limit = self.plain.min(PLAIN);
        let mut out = Vec::new();
        if self.is_stored {
            out.extend_from_slice(&payload[..payload.len().min(limit)]);
        } else if payload.starts_with(ZSTD_MAGIC) {
            inflate::zstd(payload, limit, &mut out).unwrap_or_default();
        } else {
            inflate::zlib(payload, limit, &mut out).unwrap_or_default();
        }
        out
    }
}

/// The plain bytes of one direction.
#[derive(Debug, Default)]
struct Lane {
    /// Bytes of a compressed packet that was cut: they are skipped next.
    drain: u64,
    /// Plain bytes that wait for the parser.
    bytes: Vec<u8>,
    /// Place of the first of them, or of the next that will come.
    offset: u64,
    marks: Vec<Mark>,
    /// Plain bytes that the parser does not want.
    skip: u64,
}

impl Lane {
    fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }

    /// Forgets what waits: what follows, from `offset` on, is no continuation of it.
    fn restart(&mut self, offset: u64) {
        *self = Self { offset, drain: self.drain, ..Self::default() };
    }

    /// Takes the first `n` bytes away.
    fn take(&mut self, n: usize) {
        self.bytes.drain(..n);
        self.offset += n as u64;
        if self.bytes.is_empty() {
            // A packet is large and rare beside what waits: its memory is given back.
            (self.bytes, self.marks) = (Vec::new(), Vec::new());
            return;
        }
        let keep = self.marks.partition_point(|mark| mark.offset <= self.offset).saturating_sub(1);
        self.marks.drain(..keep);
    }
}

/// Compressed packets of both directions.
#[derive(Debug, Default)]
pub(super) struct Compressed {
    lanes: [Lane; 2],
}

impl Compressed {
    fn lane(&mut self, from: End) -> &mut Lane {
        &mut self.lanes[usize::from(from == End::Server)]
    }

    pub(super) fn parse(&mut self, from: End, input: &Input<'_>, plain: &mut MySql, cx: &mut Cx<'_>) -> Step {
        let drain = std::mem::take(&mut self.lane(from).drain);
        if drain > 0 {
            return Step::Skip(drain);
        }
        if plain.calls.is_lost(from)
            && let Some(step) = self.find(from, input, plain, cx)
        {
            return step;
        }
        let bytes = input.bytes();
        let Some(head) = Head::read(bytes) else { return Step::More };
        if bytes.len() < head.total().min(KEEP) {
            return Step::More;
        }
        match self.packet(from, head, input, plain, cx) {
            Some(stop) => Step::Stop(stop),
            None if head.total() <= bytes.len() => Step::Take(head.total()),
            None => Step::Skip(head.total() as u64),
        }
    }

    /// Looks for the start of a command or of its answer; `None` where it is.
    fn find(&mut self, from: End, input: &Input<'_>, plain: &mut MySql, cx: &mut Cx<'_>) -> Option<Step> {
        let next = input.next_segment(0).unwrap_or(input.bytes().len());
        let lane = self.lane(from);
        lane.restart(lane.end());
        match from {
            End::Client if !plain.calls.may_resume(input) || !is_command(&input.bytes()[..next]) => return Some(Step::Take(next)),
            End::Client => plain.calls.resume(cx),
            End::Server => match plain.calls.find(input) {
                Found::Here => {}
                Found::Pass(n) => return Some(Step::Take(n)),
            },
        }
        plain.reset_answer();
        None
    }

    /// Opens the packet at the start of `input`, as far as it is there.
    fn packet(&mut self, from: End, head: Head, input: &Input<'_>, plain: &mut MySql, cx: &mut Cx<'_>) -> Option<Stop> {
        let there = input.bytes().len().min(head.total());
        let (first, last) = (input.mark(0), input.mark(there.saturating_sub(1)));
        let opened = head.open(input.bytes().get(HEAD..there).unwrap_or_default());
        let lane = self.lane(from);
        let offset = lane.end();
        // A request begins with its first byte, an answer ends with its last.
        let time = if from == End::Client { first.time } else { last.time };
        let mark = Mark { offset, end: offset + head.plain as u64, seq: input.seq(0), time, ..first };
        lane.bytes.extend_from_slice(&opened);
        lane.marks.push(mark);
        let stop = self.feed(from, plain, cx);
        let missing = (head.plain - opened.len()) as u64;
        if missing > 0 && stop.is_none() {
            self.hole(from, missing, &mark, plain, cx);
        }
        stop
    }

    /// Lets the parser of plain packets go over what waits.
    fn feed(&mut self, from: End, plain: &mut MySql, cx: &mut Cx<'_>) -> Option<Stop> {
        let lane = self.lane(from);
        let mut done = 0;
        while let Some(left) = lane.bytes.get(done..).filter(|left| !left.is_empty()) {
            let input = Input::new(left, lane.offset + done as u64, &lane.marks);
            let step = if lane.skip > 0 { Step::Skip(std::mem::take(&mut lane.skip)) } else { plain.parse(from, &input, cx) };
            done += match step {
                Step::Take(n) => n.clamp(1, left.len()),
                Step::Skip(n) => {
                    let now = usize::try_from(n.max(1)).unwrap_or(usize::MAX).min(left.len());
                    lane.skip = n.max(1) - now as u64;
                    if lane.skip == 0 {
                        plain.skipped(from, &input.mark(now - 1), cx);
                    }
                    now
                }
                Step::More => break,
                Step::Stop(stop) => return Some(stop),
            };
        }
        lane.take(done);
        None
    }

    /// `bytes` plain bytes of the packet `mark` are missing.
    fn hole(&mut self, from: End, bytes: u64, mark: &Mark, plain: &mut MySql, cx: &mut Cx<'_>) {
        let lane = self.lane(from);
        let within = lane.skip.min(bytes);
        lane.skip -= within;
        lane.offset += within;
        if within > 0 && lane.skip == 0 {
            plain.skipped(from, mark, cx);
        }
        if bytes > within {
            let before = Input::new(&lane.bytes, lane.offset, &lane.marks);
            plain.lost(from, &before, bytes - within, mark, cx);
            lane.restart(lane.end() + bytes - within);
        }
    }

    pub(super) fn lost(&mut self, from: End, before: &Input<'_>, bytes: u64, mark: &Mark, plain: &mut MySql, cx: &mut Cx<'_>) {
        if plain.calls.is_lost(from) {
            return plain.lost(from, before, bytes, mark, cx);
        }
        let inside = std::mem::take(&mut self.lane(from).drain);
        let head = Head::read(before.bytes()).filter(|_| inside == 0);
        let left = match head {
            Some(head) => (head.total() as u64).checked_sub(before.bytes().len() as u64 + bytes),
            None => inside.checked_sub(bytes),
        };
        if let Some(left) = left {
            if let Some(head) = head {
                self.packet(from, head, before, plain, cx);
            }
            self.lane(from).drain = left;
            return;
        }
        let lane = self.lane(from);
        lane.restart(lane.end());
        match from {
            End::Client => plain.lose_client(mark.ack, is_within(before, bytes, mark)),
            End::Server => plain.lose_server(end_of_hole(before, bytes, mark), mark.time, cx),
        }
    }
}

/// Whether a segment is one compressed packet with a command, whole and valid.
fn is_command(segment: &[u8]) -> bool {
    let Some(head) = Head::read(segment).filter(|head| head.seq == 0 && head.total() == segment.len() && head.plain <= PLAIN) else {
        return false;
    };
    let opened = head.open(&segment[HEAD..]);
    opened.len() == head.plain && packet::command(&opened) == Certainty::Certain
}
