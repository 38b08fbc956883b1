//! Bodies of messages, walked over by their description.

use super::found::Found;
use super::schema::Pause;
use super::{Kafka, Reading, api, memory, role_kind};
use crate::flow::Loss;
use crate::model::semconv as s;
use crate::model::{Exchange, Kind};
use crate::proto::{Cx, End, Input, Step, Stop};

impl Kafka {
    pub(super) fn body(&mut self, end: End, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let lane = self.lane(end);
        let bytes = input.bytes();
        let there = usize::try_from(lane.left).map_or(bytes, |left| bytes.get(..left).unwrap_or(bytes));
        let memory = &mut cx.shared.kafka;
        let found = &mut lane.found;
        let (used, pause) = lane.walk.run(there, lane.left, false, &mut |event| found.see(event, memory));
        let rest = lane.left - used as u64;
        match pause {
            Pause::Done if rest > 0 => {
                lane.reading = Reading::Rest;
                let all = lane.left;
                lane.skip(input, all)
            }
            Pause::Skip(n) => lane.skip(input, used as u64 + n),
            Pause::Bad => self.malformed(end, input, cx),
            // It ends before its fields do.
            Pause::More if there.len() as u64 == lane.left => self.malformed(end, input, cx),
            Pause::More if used == 0 => Step::More,
            Pause::Done | Pause::More => {
                lane.left = rest;
                lane.last = input.time(used.saturating_sub(1));
                if rest == 0 {
                    self.message_done(end, cx);
                }
                Step::Take(used.max(1))
            }
        }
    }

    fn malformed(&mut self, end: End, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        if !self.confirmed {
            if let Some(call) = self.client.call.take() {
                cx.void(call.exchange);
            }
            return Step::Stop(Stop::NotMine);
        }
        cx.count(Loss::Malformed, 1);
        let lane = self.lane(end);
        lane.found.cut();
        lane.reading = Reading::Rest;
        let left = lane.left;
        lane.skip(input, left)
    }

    /// The last byte of a message has passed.
    pub(super) fn message_done(&mut self, end: End, cx: &mut Cx<'_>) {
        let lane = self.lane(end);
        (lane.reading, lane.owed) = (Reading::Head, 0);
        match end {
            End::Client => self.request_done(cx),
            End::Server => self.response_done(cx),
        }
    }

    fn request_done(&mut self, cx: &mut Cx<'_>) {
        self.confirmed = true;
        let lane = &mut self.client;
        let Some(mut call) = lane.call.take() else { return };
        call.unsure = self.server.reading == Reading::Lost;
        let exchange = &mut call.exchange;
        exchange.request.last = lane.last;
        lane.found.describe(exchange);
        match call.key {
            api::PRODUCE => {
                // Nobody may answer a producer of which it is not known.
                call.unsure |= lane.found.acks.is_none();
                exchange.request.body_bytes = (!exchange.completeness.request_lost).then_some(lane.found.bytes);
                lane.found.count(exchange);
                lane.found.trace(exchange);
            }
            api::FETCH if lane.found.is_replica => {
                exchange.kind = role_kind(cx, Kind::Client);
                exchange.attrs.set_str(s::MESSAGING_OPERATION_NAME, "replicate");
                exchange.attrs.remove(s::MESSAGING_OPERATION_TYPE);
            }
            api::FETCH => {
                if let Some(group) = cx.shared.kafka.group(client(exchange, cx)) {
                    exchange.attrs.set_str(s::MESSAGING_CONSUMER_GROUP_NAME, group);
                }
            }
            key if api::is_membership(key) => {
                if let Some(group) = exchange.attrs.str(s::MESSAGING_CONSUMER_GROUP_NAME) {
                    cx.shared.kafka.learn_group(client(exchange, cx), group);
                }
            }
            _ => {}
        }
        cx.request(exchange);
        // Nobody answers a producer that asked for no acknowledgement.
        if call.key == api::PRODUCE && lane.found.acks == Some(0) { cx.finish(call.exchange) } else { self.queue.push_back(call) }
    }

    fn response_done(&mut self, cx: &mut Cx<'_>) {
        let lane = &mut self.server;
        let Some(mut call) = lane.call.take() else { return };
        let exchange = &mut call.exchange;
        if call.key == api::FETCH && lane.found.is_idle() {
            return cx.void(call.exchange);
        }
        if let Some(response) = &mut exchange.response {
            response.last = lane.last;
        }
        if call.key == api::FETCH {
            fetched(exchange, &lane.found);
        }
        lane.found.fail(exchange);
        cx.finish(call.exchange);
    }
}

/// What came is what a poll was about, not what was asked for.
fn fetched(exchange: &mut Exchange, found: &Found) {
    if found.bytes > 0 {
        exchange.attrs.remove(s::MESSAGING_DESTINATION_NAME);
        exchange.attrs.remove(s::MESSAGING_DESTINATION_PARTITION_ID);
        exchange.attrs.remove(s::REMORA_KAFKA_TOPIC_ID);
        found.describe(exchange);
        found.begin_offset(exchange);
    }
    found.count(exchange);
    if let Some(response) = &mut exchange.response {
        response.body_bytes = (!exchange.completeness.response_lost).then_some(found.bytes);
    }
}

/// Whose request it is.
pub(super) fn client(exchange: &Exchange, cx: &Cx<'_>) -> u64 {
    memory::client(cx.conn, exchange.attrs.str(s::MESSAGING_CLIENT_ID).unwrap_or_default().as_bytes())
}
