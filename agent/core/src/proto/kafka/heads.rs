//! Heads of requests and answers: which call each begins or ends.

use super::found::Subject;
use super::{Call, Head, Kafka, RESPONSE_HEAD, Read, Reading, api, array, frame, head, response_walk, role_kind, unseen};
use crate::flow::Loss;
use crate::model::semconv as s;
use crate::model::{Exchange, Kind};
use crate::proto::{Cx, End, Input, Step, Stop};

impl Kafka {
    pub(super) fn request_head(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let head = match head(input.bytes()) {
            Read::Is(head) => head,
            Read::More => return Step::More,
            Read::Bad => return self.strange_head(End::Client, input, cx),
        };
        let lane = &mut self.client;
        lane.found.reset(Subject::Named);
        lane.left = head.left;
        lane.last = input.time(head.len - 1);
        lane.begin(head.walk());
        if self.queue.len() >= cx.options.in_flight_limit {
            cx.count(Loss::InFlight, 1);
        } else {
            let exchange = begin(&head, input, cx);
            self.client.call =
                Some(Call { key: head.key, version: head.version, correlation: head.correlation, api: head.api, exchange, unsure: false });
        }
        self.head_done(End::Client, head.len, cx)
    }

    pub(super) fn response_head(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let (length, correlation) = match (frame(input.bytes(), 4), array(input.bytes(), 4)) {
            (Read::Bad, _) => return self.strange_head(End::Server, input, cx),
            (Read::Is(length), Some(correlation)) => (length, i32::from_be_bytes(correlation)),
            _ => return Step::More,
        };
        let lane = &mut self.server;
        lane.left = length - 4;
        lane.last = input.time(RESPONSE_HEAD - 1);
        lane.reading = Reading::Rest;
        match self.answered(correlation, cx) {
            Some(mut call) => {
                let lane = &mut self.server;
                lane.found.reset(if call.key == api::FETCH { Subject::WithRecords } else { Subject::Nothing });
                lane.begin(response_walk(call.api, call.key, call.version));
                cx.respond(&mut call.exchange, input, 0);
                lane.call = Some(call);
            }
            None => cx.count(Loss::Orphan, 1),
        }
        self.head_done(End::Server, RESPONSE_HEAD, cx)
    }

    /// Bytes where a message should begin that are none.
    fn strange_head(&mut self, end: End, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        if !self.confirmed {
            return Step::Stop(Stop::NotMine);
        }
        cx.count(Loss::Malformed, 1);
        // Tokens of the first SASL handshake have a length and nothing else.
        if let Read::Is(length) = frame(input.bytes(), 0) {
            let lane = self.lane(end);
            (lane.reading, lane.left) = (Reading::Rest, length + 4);
            return lane.skip(input, length + 4);
        }
        self.lose(end);
        Step::Take(input.bytes().len())
    }

    fn head_done(&mut self, end: End, taken: usize, cx: &mut Cx<'_>) -> Step {
        if self.lane(end).left == 0 {
            self.message_done(end, cx);
        }
        Step::Take(taken)
    }

    /// Takes the call with `correlation` out of the queue.
    fn answered(&mut self, correlation: i32, cx: &mut Cx<'_>) -> Option<Call> {
        let place = self.queue.iter().position(|call| call.correlation == correlation)?;
        // A broker answers the requests of a connection in order: older answers that may be lost are.
        while place > 0 && self.queue.front().is_some_and(|call| call.unsure && call.correlation != correlation) {
            if let Some(call) = self.queue.pop_front() {
                unseen(call, cx);
            }
        }
        let place = self.queue.iter().position(|call| call.correlation == correlation)?;
        self.queue.remove(place)
    }
}

/// A new exchange with what a request's head tells.
pub(super) fn begin(head: &Head<'_>, input: &Input<'_>, cx: &mut Cx<'_>) -> Box<Exchange> {
    let mut exchange = cx.begin(input, 0);
    let (name, kind, operation) = match head.key {
        api::PRODUCE => ("send", Kind::Producer, Some("send")),
        api::FETCH => ("poll", Kind::Consumer, Some("receive")),
        api::OFFSET_COMMIT | api::TXN_OFFSET_COMMIT => ("commit", Kind::Client, Some("settle")),
        _ => (head.api.name, Kind::Client, None),
    };
    exchange.kind = role_kind(cx, kind);
    let attrs = &mut exchange.attrs;
    attrs.set_str(s::MESSAGING_SYSTEM, "kafka");
    attrs.set_str(s::MESSAGING_OPERATION_NAME, name);
    if let Some(operation) = operation {
        attrs.set_str(s::MESSAGING_OPERATION_TYPE, operation);
    }
    attrs.set_str(s::REMORA_KAFKA_API_NAME, head.api.name);
    attrs.set_int(s::REMORA_KAFKA_API_VERSION, i64::from(head.version));
    if !head.client_id.is_empty() {
        attrs.set_bytes(s::MESSAGING_CLIENT_ID, head.client_id);
    }
    exchange
}
