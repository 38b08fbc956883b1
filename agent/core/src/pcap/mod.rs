//! Capture files (pcap, pcapng) through the same flow and parsers as live traffic.
//!
//! A capture sees one wire: each connection is observed at one end, the client's unless told otherwise, so a request
//! is one exchange. Hostile files give errors or counted skips, never a crash; memory is bounded by the file's largest
//! block (at most 16 MiB), the connections of the table and what the flow holds.

mod container;
mod packet;
mod replay;
#[cfg(test)]
mod tests;

pub use container::PcapError;
pub use replay::{Replay, Summary};

use crate::flow::{Flow, Sink};
use crate::model::Role;
use std::io::Read;

/// Reads a capture file to its end and lets `flow` see its packets as `end` of each connection saw them.
///
/// Times are nanoseconds since the Unix epoch.
///
/// # Errors
/// The file is no capture, or breaks its format. What came before that was delivered.
pub fn replay(file: impl Read + Send, end: Role, flow: &mut Flow, sink: &mut dyn Sink) -> Result<Summary, PcapError> {
    let mut replay = Replay::new(end);
    let result = container::read(file, &mut |frame| replay.frame(&frame, flow, sink));
    let mut summary = replay.finish(flow, sink);
    summary.cut = result?;
    Ok(summary)
}
