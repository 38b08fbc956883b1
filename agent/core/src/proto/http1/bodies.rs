//! Bodies of messages, which are passed over to their ends.

use super::body::Framing;
use super::head::Parsed;
use super::{CRLF, Http1, Reading, body, head, web};
use crate::flow::Carrier;
use crate::model::Mono;
use crate::proto::{Cx, End, Input, Step};

impl Http1 {
    /// Goes on behind a head of `len` bytes.
    pub(super) fn body(&mut self, from: End, framing: Framing, input: &Input<'_>, len: usize, cx: &mut Cx<'_>) -> Step {
        match framing {
            Framing::Length(0) | Framing::Tunnel => {
                let step = self.lane(from).take(input, len);
                self.message_done(from, input.time(len - 1), cx);
                return step;
            }
            Framing::Length(n) if self.wants_body(from, n) => {
                let lane = self.lane(from);
                (lane.body, lane.reading) = (Some(n), Reading::Web(n));
            }
            Framing::Length(n) if self.reads_events(from) => {
                let lane = self.lane(from);
                (lane.body, lane.reading) = (Some(n), Reading::Events { left: n, behind: 0 });
            }
            Framing::Length(n) => {
                let lane = self.lane(from);
                lane.body = Some(n);
                return lane.skip(input, n.saturating_add(len as u64), Reading::Body);
            }
            Framing::Chunked => self.lane(from).reading = Reading::Chunk,
            Framing::UntilClose => self.lane(from).reading = Reading::UntilClose,
            Framing::Unknown => self.lose_framing(from, Reading::Lost, None, cx),
        }
        self.lane(from).take(input, len)
    }

    pub(super) fn chunk(&mut self, from: End, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        match body::chunk_line(input.bytes()) {
            Parsed::More => Step::More,
            Parsed::Bad => self.malformed(from, input, cx),
            Parsed::Is((0, len)) => {
                let lane = self.lane(from);
                lane.reading = Reading::Trailers;
                lane.take(input, len)
            }
            Parsed::Is((size, len)) => {
                if self.wants_body(from, size) && !self.look(&input.bytes()[len..], size, cx) {
                    return Step::More;
                }
                let reads_events = self.reads_events(from);
                let lane = self.lane(from);
                lane.body = lane.body.map(|sum| sum.saturating_add(size));
                if reads_events {
                    lane.reading = Reading::Events { left: size, behind: CRLF };
                    return lane.take(input, len);
                }
                lane.skip(input, size + len as u64 + CRLF, Reading::ChunkData)
            }
        }
    }

    /// Whether the next `len` bytes of the body may hold the outcome of a gRPC-Web call.
    fn wants_body(&self, from: End, len: u64) -> bool {
        let exchange = self.queue.front().and_then(|call| call.exchange.as_ref());
        from == End::Server && self.server.attached && exchange.is_some_and(|exchange| web::wants(exchange, len))
    }

    /// Looks for the outcome of a gRPC-Web call in the first `len` of `bytes`, if they have come.
    fn look(&mut self, bytes: &[u8], len: u64, cx: &Cx<'_>) -> bool {
        let Some(bytes) = usize::try_from(len).ok().and_then(|len| bytes.get(..len)) else { return false };
        if let Some(exchange) = self.queue.front_mut().and_then(|call| call.exchange.as_mut()) {
            web::body(exchange, bytes, cx.role());
        }
        true
    }

    pub(super) fn web_body(&mut self, from: End, len: u64, input: &Input<'_>, cx: &Cx<'_>) -> Step {
        if !self.look(input.bytes(), len, cx) {
            return Step::More;
        }
        self.lane(from).skip(input, len, Reading::Body)
    }

    /// A line of the trailer section, or the empty one at its end.
    pub(super) fn trailer(&mut self, from: End, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let Some((line, len)) = head::line(input.bytes(), 0) else { return Step::More };
        let is_last = line.is_empty();
        let step = self.lane(from).take(input, len);
        if is_last {
            self.message_done(from, input.time(len - 1), cx);
        }
        step
    }

    fn reads_events(&self, from: End) -> bool {
        from == End::Server && self.events.is_some()
    }

    fn read_events(&mut self, bytes: &[u8], cx: &mut Cx<'_>) {
        if let Some(events) = &mut self.events {
            events.feed(bytes, &mut |data| cx.message(End::Server, Carrier::EventStream, data));
        }
    }

    /// In a body or chunk of events: see [`Reading::Events`].
    pub(super) fn events(&mut self, left: u64, behind: u64, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let bytes = input.bytes();
        let part = usize::try_from(left).map_or(bytes, |left| &bytes[..left.min(bytes.len())]);
        self.read_events(part, cx);
        let left = left - part.len() as u64;
        if left > 0 {
            self.server.reading = Reading::Events { left, behind };
            return self.server.take(input, part.len());
        }
        let reading = if behind == 0 { Reading::Body } else { Reading::ChunkData };
        self.server.skip(input, part.len() as u64 + behind, reading)
    }

    /// So many bytes of a body or chunk of events were lost, of which `left` were to come.
    pub(super) fn events_lost(&mut self, left: u64, behind: u64, bytes: u64, at: Mono, cx: &mut Cx<'_>) {
        match left.checked_sub(bytes) {
            Some(0) if behind == 0 => self.message_done(End::Server, at, cx),
            Some(left) => self.server.reading = Reading::Events { left, behind },
            None if behind == 0 => self.lose_framing(End::Server, Reading::Lost, None, cx),
            None => self.lose_framing(End::Server, Reading::Torn, None, cx),
        }
    }

    pub(super) fn until_close(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        self.read_events(input.bytes(), cx);
        let len = input.bytes().len();
        self.server.body = self.server.body.map(|sum| sum + len as u64);
        self.server.take(input, len)
    }

    /// Bytes of a chunked body whose chunk lines were lost: capture keeps the end of each pushed segment. A stream of events,
    /// of which capture keeps all, goes on with a segment that is nothing but chunks.
    pub(super) fn torn(&mut self, from: End, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let len = input.bytes().len();
        if from == End::Client && self.may_resume(input) {
            return self.find_request(input, cx);
        }
        let part = input.next_segment(0).unwrap_or(len);
        let is_segment = input.starts_segment(0) && input.ends_segment(part);
        if self.reads_events(from) && is_segment && body::are_chunks(&input.bytes()[..part]) {
            self.server.reading = Reading::Chunk;
            return self.chunk(from, input, cx);
        }
        let step = self.lane(from).take(input, part);
        if input.ends_segment(part) && body::ends_with_last_chunk(&input.bytes()[..part], input.starts_segment(0)) {
            self.message_done(from, input.time(part - 1), cx);
        }
        step
    }

    pub(super) fn message_done(&mut self, from: End, at: Mono, cx: &mut Cx<'_>) {
        match from {
            End::Client => self.request_done(at),
            End::Server => {
                self.server.reading = Reading::Head;
                if self.server.attached {
                    self.finish_response(Some(at), cx);
                }
            }
        }
    }
}
