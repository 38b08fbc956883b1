//! What capture delivers, and what it can be asked for.

use crate::model::{Mono, Task};

/// Way of a segment, seen from the observed end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Sent by the observed end.
    Egress,
    /// Received by the observed end.
    Ingress,
}

/// Place of a segment among those that passed before it in its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// It starts where the highest one before it ended: all bytes in front of it have passed, captured or not.
    Next,
    /// It starts later: what is between may still come.
    Ahead,
    /// It starts earlier: a retransmission, or a late one that fills a gap.
    Old,
}

/// A range of one direction's bytes, of which a part was captured.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Way.
    pub direction: Direction,
    /// When it passed the socket.
    pub time: Mono,
    /// TCP sequence number of the range's first byte.
    pub seq: u32,
    /// TCP acknowledgement number that came with it.
    pub ack: u32,
    /// Bytes in the range.
    pub len: u32,
    /// Where in the range `data` begins. The rest of the range was not captured and will not come.
    pub data_at: u32,
    /// Captured bytes.
    pub data: &'a [u8],
    /// Place among the segments before it.
    pub order: Order,
    /// Thread that sent it, where that is certain.
    pub task: Option<Task>,
}

/// How much of one direction capture copies. Byte counters stay exact whatever this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Amount {
    /// Nothing.
    Nothing,
    /// The first so many bytes of each burst (payload in one direction with none in the other between).
    Burst(u32),
    /// The first so many bytes of every segment.
    Segment(u32),
}

/// How much of each direction capture copies, by the ends' parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Capture {
    /// From the client end.
    pub client: Amount,
    /// From the server end.
    pub server: Amount,
}

impl Capture {
    /// Nothing of either direction.
    pub const NOTHING: Capture = Capture { client: Amount::Nothing, server: Amount::Nothing };
    /// Everything of both.
    pub const ALL: Capture = Capture { client: Amount::Segment(u32::MAX), server: Amount::Segment(u32::MAX) };
}
