//! Connections of which bytes were lost or break the grammar: what may still be said, and where messages begin again.

use super::body::{Asked, Framing};
use super::head::{Parsed, RequestLine, Section};
use super::{Answer, Http1, Reading, Turns, body, head, web};
use crate::flow::Loss;
use crate::model::Family;
use crate::model::semconv as s;
use crate::proto::ordered::is_behind;
use crate::proto::{Cx, End, Input, Mark, Step, Stop, http};

impl Http1 {
    /// Bytes that break the grammar.
    pub(super) fn malformed(&mut self, from: End, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        if !self.confirmed {
            return Step::Stop(Stop::NotMine);
        }
        cx.count(Loss::Malformed, 1);
        self.lose_framing(from, Reading::Lost, Some(input.mark(0).ack), cx);
        self.lane(from).take(input, input.bytes().len())
    }

    /// It is not known any more where messages begin. A connection that pipelines cannot be paired after that.
    pub(super) fn lose_framing(&mut self, from: End, reading: Reading, ack: Option<u32>, cx: &mut Cx<'_>) {
        let lane = self.lane(from);
        lane.lose(reading);
        lane.lost_ack = ack;
        if from == End::Client
            && let Some(call) = self.queue.back_mut()
        {
            call.sent = true;
        }
        if self.turns == Turns::Pipelined {
            self.give_up(cx);
        }
    }

    pub(super) fn give_up(&mut self, cx: &mut Cx<'_>) {
        self.stop = Some(Stop::Opaque);
        while let Some(call) = self.queue.front() {
            if call.answer == Answer::Awaited {
                self.missed(None);
            }
            self.finish_response(None, cx);
        }
    }

    /// Whether the client may begin a request here: at the start of a segment, after the server has said something.
    pub(super) fn may_resume(&self, input: &Input<'_>) -> bool {
        let before = self.client.lost_ack.or(self.queue.back().map(|call| call.ack));
        input.starts_segment(0) && before.is_none_or(|before| is_behind(input.mark(0).ack, before))
    }

    /// Looks for a request at the start of a segment: nothing less than a whole valid head with a well-known method
    /// (the rest of a token is a token too), in segments between which the server said nothing.
    pub(super) fn find_request(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        if self.may_resume(input) {
            let is_one_burst = |len: usize| input.mark(len - 1).ack == input.mark(0).ack;
            match head::request(input.bytes()) {
                Parsed::Is(head) if head.fields.bad == 0 && http::is_known_method(head.line.method) && is_one_burst(head.len) => {
                    self.client.reading = Reading::Head;
                    self.client.lost_ack = None;
                    return self.request_head(input, cx);
                }
                Parsed::More if is_one_burst(input.bytes().len()) => return Step::More,
                _ => {}
            }
        }
        let len = input.next_segment(0).unwrap_or(input.bytes().len());
        self.client.take(input, len)
    }

    /// Looks for the answer to the first call, where its request said that it begins.
    pub(super) fn find_response(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let len = input.bytes().len();
        let Some(call) = self.queue.front() else { return self.server.take(input, len) };
        if call.answer != Answer::Awaited {
            return self.server.take(input, len);
        }
        let ahead = call.ack.wrapping_sub(input.seq(0));
        if ahead == 0 {
            self.server.reading = Reading::Head;
            return self.response_head(input, cx);
        }
        if ahead >= 1 << 31 {
            self.missed(Some(input.mark(0)));
            return self.server.take(input, len);
        }
        self.server.take(input, len.min(usize::try_from(ahead).unwrap_or(len)))
    }

    /// A request's head that was cut: its line, or the start of that, may be there.
    fn cut_request(&mut self, before: &Input<'_>, cx: &mut Cx<'_>) {
        let bytes = before.bytes();
        let (line, fields, is_cut) = match (head::request_line(bytes), head::cut_request_line(bytes)) {
            (Parsed::Is((line, len)), _) => (line, head::fields(bytes, len).0, false),
            (_, Some((method, target))) => (RequestLine { text: bytes, method, target, version: "1.1" }, head::Fields::default(), true),
            _ => return,
        };
        let section = Section { bytes, fields };
        self.turn(before.mark(0).ack, cx);
        let mut exchange = self.begin(&line, &section, before, cx);
        if let Some(exchange) = &mut exchange {
            exchange.completeness.request_lost = true;
            exchange.completeness.request_cut |= is_cut;
            if is_cut {
                exchange.attrs.remove(s::NETWORK_PROTOCOL_VERSION);
            }
        }
        self.push(exchange, Asked::by(line.method), before.mark(0).ack);
        cx.want(self.room.cut());
    }

    pub(super) fn lost_by_client(&mut self, before: &Input<'_>, mark: &Mark, ack: Option<u32>, cx: &mut Cx<'_>) {
        match self.client.reading {
            Reading::Head | Reading::Lost if !before.bytes().is_empty() => {
                self.cut_request(before, cx);
                self.lose_framing(End::Client, Reading::Lost, ack, cx);
            }
            Reading::Head => {
                // One or more requests that nobody saw.
                self.turn(mark.ack, cx);
                self.lose_framing(End::Client, Reading::Lost, ack, cx);
            }
            Reading::Lost => self.client.lost_ack = ack.or(self.client.lost_ack),
            Reading::Chunk | Reading::Trailers | Reading::Torn => self.lose_framing(End::Client, Reading::Torn, ack, cx),
            Reading::Body | Reading::Web(_) | Reading::ChunkData | Reading::Events { .. } | Reading::UntilClose => {}
        }
    }

    pub(super) fn lost_by_server(&mut self, before: &Input<'_>, bytes: u64, mark: &Mark, cx: &mut Cx<'_>) {
        if let Some(events) = &mut self.events {
            events.lost();
        }
        match self.server.reading {
            Reading::Head => {
                self.cut_response(before, mark, cx);
                self.lose_framing(End::Server, Reading::Lost, None, cx);
            }
            Reading::Events { left, behind } => self.events_lost(left, behind, bytes, mark.time, cx),
            Reading::Web(_) => self.lose_framing(End::Server, Reading::Lost, None, cx),
            Reading::Lost => {
                let end = mark.seq_at(before.offset() + before.bytes().len() as u64 + bytes);
                if self.queue.front().is_some_and(|call| call.answer == Answer::Awaited && is_behind(end, call.ack)) {
                    self.missed(Some(*mark));
                }
            }
            Reading::Chunk | Reading::Trailers => self.lose_framing(End::Server, Reading::Torn, None, cx),
            Reading::UntilClose => self.server.body = self.server.body.map(|sum| sum.saturating_add(bytes)),
            Reading::Torn | Reading::Body | Reading::ChunkData => {}
        }
    }

    /// A response's head that was cut: its status line may be there.
    fn cut_response(&mut self, before: &Input<'_>, mark: &Mark, cx: &mut Cx<'_>) {
        let Some(call) = self.queue.front_mut() else { return };
        let line = match head::status_line(before.bytes()) {
            Parsed::Is((line, _)) if line.code >= 200 || line.code == 101 => line,
            _ => {
                if !before.bytes().is_empty() {
                    cx.want(self.room.cut());
                }
                return self.missed(Some(*mark));
            }
        };
        call.answer = Answer::Begun;
        if let Some(exchange) = &mut call.exchange {
            exchange.completeness.response_lost = true;
            cx.respond(exchange, before, 0);
            match exchange.family {
                Family::Rpc => web::head(exchange, line.code, &Section::default(), cx.role()),
                _ => http::status(exchange, line.code, cx),
            }
        }
        self.server.attached = true;
        if body::response_framing(&head::Fields::default(), line.code, call.asked) == Framing::Tunnel {
            self.finish_response(None, cx);
            self.stop = Some(Stop::Opaque);
        }
        cx.want(self.room.cut());
    }
}
