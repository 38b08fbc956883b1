//! MySQL connections of which bytes were lost: what may still be said, and where commands and answers begin again.

use super::packet::{Certainty, FULL, HEAD};
use super::{Lane, MySql, Phase, Reading, packet};
use crate::flow::Loss;
use crate::model::Mono;
use crate::proto::ordered::Found;
use crate::proto::sql::Backslash;
use crate::proto::{Cx, End, Input, Step, Stop};

impl MySql {
    pub(super) fn malformed(&mut self, from: End, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        if !self.confirmed {
            return Step::Stop(Stop::NotMine);
        }
        cx.count(Loss::Malformed, 1);
        let len = input.bytes().len();
        match from {
            End::Client => self.lose_client(input.mark(0).ack, true),
            End::Server => self.lose_server(input.seq(len), input.time(len - 1), cx),
        }
        Step::Take(len)
    }

    pub(super) fn lose_client(&mut self, ack: u32, is_within: bool) {
        self.client = Lane::default();
        self.rules.backslash = Backslash::Unknown;
        self.calls.lose_client(ack, is_within);
    }

    pub(super) fn lose_server(&mut self, end: u32, at: Mono, cx: &mut Cx<'_>) {
        self.reset_answer();
        self.calls.lose_server(end, at, cx);
    }

    /// Looks for a command: whole and valid, at the start of a segment, after the server has said something.
    pub(super) fn find_command(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let bytes = input.bytes();
        let next = input.next_segment(0).unwrap_or(bytes.len());
        if !self.calls.may_resume(input) {
            return Step::Take(next);
        }
        let ack = input.mark(0).ack;
        let mut burst = 0;
        while burst < bytes.len() && input.mark(burst).ack == ack {
            burst = input.next_segment(burst).unwrap_or(bytes.len());
        }
        match packet::command(&bytes[..burst]) {
            Certainty::Certain => {
                self.calls.resume(cx);
                self.reset_answer();
                self.client_packet(input, cx)
            }
            Certainty::Maybe if burst == bytes.len() && packet::head(bytes).is_none_or(|head| head.total() > bytes.len()) => Step::More,
            Certainty::Maybe | Certainty::No => Step::Take(next),
        }
    }

    pub(super) fn find_answer(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        match self.calls.find(input) {
            Found::Here => {
                self.reset_answer();
                self.server_packet(input, cx)
            }
            Found::Pass(len) => {
                let part = input.next_segment(0).unwrap_or(len).min(len);
                if input.ends_segment(part) {
                    self.find_end(&input.bytes()[..part], input.time(part - 1), cx);
                }
                Step::Take(part)
            }
        }
    }

    /// The end of rows at the end of a segment ends the only call whose answer has begun.
    fn find_end(&mut self, bytes: &[u8], at: Mono, cx: &mut Cx<'_>) {
        let is_eof = matches!(bytes, [.., 5, 0, 0, _, 0xfe, _, _, low, _] if *low & 0x08 == 0);
        let is_ok = matches!(bytes, [.., 7, 0, 0, _, 0xfe, 0, 0, low, _, _, _] if *low & 0x08 == 0);
        let is_only = self.calls.iter().count() == 1
            && self.calls.front().is_some_and(|call| call.exchange.as_ref().is_some_and(|e| e.completeness.response_lost));
        if is_only && (is_eof || is_ok) {
            self.calls.finish(at, cx);
        }
    }

    /// A packet of the client was cut. Returns what is left of it.
    pub(super) fn cut_by_client(&mut self, before: &Input<'_>, bytes: u64, cx: &mut Cx<'_>) -> Option<u64> {
        let head = packet::head(before.bytes())?;
        let left = (head.total() as u64).checked_sub(before.bytes().len() as u64 + bytes)?;
        if before.bytes().len() > HEAD && !self.client.continues {
            // A command whose statement is not told may be any.
            if head.seq == 0 && matches!(before.bytes()[HEAD], 0x17 | 0xfa | 0x1c | 0x19) && before.bytes().len() < HEAD + 5 {
                return None;
            }
            self.client_body(head, before, cx);
        } else if head.seq == 0 {
            return None;
        }
        self.client.continues = head.len == FULL;
        Some(left)
    }

    pub(super) fn cut_by_server(&mut self, before: &Input<'_>, bytes: u64) -> Option<u64> {
        // Only what is longer than what tells its kind can be skipped; that much has not come.
        let head = packet::head(before.bytes())?;
        let left = (head.total() as u64).checked_sub(before.bytes().len() as u64 + bytes)?;
        let is_plain = self.phase == Phase::Commands && matches!(self.reading, Reading::Columns(2..));
        if !is_plain || self.seq != Some(head.seq) {
            return None;
        }
        if let Reading::Columns(columns) = self.reading {
            self.reading = Reading::Columns(columns - 1);
        }
        self.seq = Some(head.seq.wrapping_add(1));
        Some(left)
    }
}
