//! PostgreSQL connections of which bytes were lost: what may still be said, and where requests and answers begin again.

use super::message::{Chain, HEAD, Read};
use super::{Call, Phase, Postgres, Turns, message};
use crate::flow::Loss;
use crate::model::Message;
use crate::model::semconv as s;
use crate::proto::ordered::is_behind;
use crate::proto::sql::Backslash;
use crate::proto::{Cx, End, Input, Mark, Step, Stop};

impl Postgres {
    pub(super) fn malformed(&mut self, from: End, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        if !self.confirmed {
            return Step::Stop(Stop::NotMine);
        }
        cx.count(Loss::Malformed, 1);
        match from {
            End::Client => self.lose_client(Some(input.mark(0).ack), cx),
            End::Server => self.lose_server(None, cx),
        }
        let len = input.bytes().len();
        match from {
            End::Client => self.client.take(input, len),
            End::Server => self.server.take(input, len),
        }
    }

    pub(super) fn lose_client(&mut self, ack: Option<u32>, cx: &mut Cx<'_>) {
        self.tear_pending(cx);
        self.client.lost = true;
        self.client.lost_ack = ack;
        self.is_group_open = false;
        // What was lost may have given these names to other statements.
        self.named.clear();
        self.unnamed = None;
        self.portals.clear();
        if self.turns == Turns::Pipelined {
            self.give_up(cx);
        }
    }

    /// Framing of the server is gone; `mark` is the segment that showed it.
    fn lose_server(&mut self, mark: Option<Mark>, cx: &mut Cx<'_>) {
        self.server.lost = true;
        self.rules.backslash = Backslash::Unknown;
        self.miss(mark, cx);
    }

    /// The start of the answers to all that was asked is lost.
    pub(super) fn miss(&mut self, mark: Option<Mark>, cx: &mut Cx<'_>) {
        for call in &mut self.calls {
            call.missed = true;
            if let (Some(mark), Some(exchange)) = (mark, &mut call.exchange)
                && exchange.response.is_none()
            {
                exchange.response = Some(Message { first: mark.time, last: mark.time, body_bytes: None });
            }
        }
        if self.turns == Turns::Pipelined {
            self.give_up(cx);
        }
    }

    pub(super) fn give_up(&mut self, cx: &mut Cx<'_>) {
        self.stop = Some(Stop::Opaque);
        self.flush_pending(cx);
        while let Some(mut call) = self.calls.pop_front() {
            call.missed = true;
            self.finish(call, None, cx);
        }
    }

    /// Looks for a request: whole valid messages at the start of a segment, after the server has said something.
    pub(super) fn find_request(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let bytes = input.bytes();
        let before = self.client.lost_ack.or(self.calls.back().map(|call| call.ack));
        let ack = input.mark(0).ack;
        if !input.starts_segment(0) || before.is_some_and(|before| !is_behind(ack, before)) {
            return self.client.take(input, input.next_segment(0).unwrap_or(bytes.len()));
        }
        // Messages of one burst: what the server had said when they were sent is the same for all.
        let mut burst = 0;
        while burst < bytes.len() && input.mark(burst).ack == ack {
            burst = input.next_segment(burst).unwrap_or(bytes.len());
        }
        match message::client_chain(&bytes[..burst]) {
            Chain::Certain | Chain::Partial => {
                self.client.lost = false;
                self.client.lost_ack = None;
                self.client_message(input, cx)
            }
            Chain::Maybe if burst == bytes.len() => Step::More,
            Chain::Maybe | Chain::No => self.client.take(input, input.next_segment(0).unwrap_or(bytes.len())),
        }
    }

    /// Looks for the answer to the first call where its request said that it begins, else for the end of its group.
    pub(super) fn find_answer(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let bytes = input.bytes();
        let Some(call) = self.calls.front() else { return self.server.take(input, bytes.len()) };
        if call.missed {
            return self.find_ready(input, cx);
        }
        let ahead = call.ack.wrapping_sub(input.seq(0));
        if ahead == 0 {
            self.server.lost = false;
            return self.server_messages(input, cx);
        }
        if ahead >= 1 << 31 {
            self.miss(Some(input.mark(0)), cx);
            return self.find_ready(input, cx);
        }
        self.server.take(input, bytes.len().min(usize::try_from(ahead).unwrap_or(bytes.len())))
    }

    /// `ReadyForQuery` at the end of a segment, behind the NUL that ends every completion and every error.
    fn find_ready(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let part = input.next_segment(0).unwrap_or(input.bytes().len());
        let bytes = &input.bytes()[..part];
        let Some((before, [b'Z', 0, 0, 0, 5, b'I' | b'T' | b'E'])) = bytes.split_at_checked(part.saturating_sub(6)) else {
            return self.server.take(input, part);
        };
        let is_end = match before {
            [.., last, 0] if last.is_ascii_alphanumeric() => true,
            [.., 0, 0] => {
                self.fail_unknown();
                true
            }
            _ => false,
        };
        let step = self.server.take(input, part);
        if is_end && input.ends_segment(part) && self.turns == Turns::Alternate {
            self.server.lost = false;
            let end = input.time(part - 1);
            while let Some(call) = self.calls.pop_front() {
                self.finish(call, Some(end), cx);
            }
            self.is_group_failed = false;
        }
        step
    }

    /// The only call ended with an error whose code was lost.
    fn fail_unknown(&mut self) {
        if let [Call { exchange: Some(exchange), .. }] = self.calls.make_contiguous() {
            exchange.error = Some(s::ERROR_OTHER.to_owned());
        }
    }

    /// A message of the client was cut, or bytes between messages are missing. Returns what is left of the message.
    pub(super) fn cut_by_client(&mut self, before: &Input<'_>, end: u64, cx: &mut Cx<'_>) -> Option<u64> {
        if self.phase != Phase::Messages || before.bytes().is_empty() {
            return None;
        }
        let Read::Is(head) = message::client_head(before.bytes()) else { return None };
        let left = (before.offset() + head.total() as u64).checked_sub(end)?;
        let body = before.bytes().get(HEAD..)?;
        // A message whose names are lost may be about any statement.
        match head.kind {
            b'B' => message::bind_names(body).map(|_| ())?,
            b'P' | b'E' => message::text(body).map(|_| ())?,
            b'C' => return None,
            _ => {}
        }
        self.client_body(head, before, cx);
        Some(left)
    }

    pub(super) fn cut_by_server(&mut self, before: &Input<'_>, end: u64, cx: &mut Cx<'_>) -> Option<u64> {
        if self.phase != Phase::Messages || before.bytes().is_empty() {
            return None;
        }
        let Read::Is(head) = message::server_head(before.bytes()) else { return None };
        let left = (before.offset() + head.total() as u64).checked_sub(end)?;
        let body = &before.bytes()[HEAD..before.bytes().len().min(head.total())];
        match head.kind {
            // A tag that was cut tells no number.
            b'C' => self.server_message(head.kind, &[], before, 0, cx),
            b'Z' | b'E' => self.server_message(head.kind, body, before, 0, cx),
            _ => {}
        }
        Some(left)
    }
}
