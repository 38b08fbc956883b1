//! Replies and pushes of servers.

use super::command::{Nature, Parsed, integer_line};
use super::reply::{Element, Kind, Topic, element, string, topic};
use super::{Asked, Redis, Sending};
use crate::flow::Loss;
use crate::model::semconv as s;
use crate::model::{Exchange, Mono};
use crate::proto::keys::set_error;
use crate::proto::ordered::Found;
use crate::proto::{Cx, Input, Step, Stop};

impl Redis {
    pub(super) fn reply(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        if self.sending == Sending::Nothing {
            match self.begin_reply(input, cx) {
                Ok(()) => {}
                Err(step) => return step,
            }
        }
        let bytes = input.bytes();
        let mut at = 0;
        while self.elements_left > 0 {
            let element = match element(&bytes[at..]) {
                Parsed::Is(element) => element,
                Parsed::More if at == 0 => return Step::More,
                Parsed::More => return Step::Take(at),
                Parsed::Bad => return self.malformed_reply(input, cx),
            };
            self.element(&element, &bytes[at..], cx);
            let end = (at + element.head) as u64 + element.payload;
            match usize::try_from(end).ok().filter(|end| *end <= bytes.len()) {
                Some(end) => at = end,
                None => return Step::Skip(end),
            }
        }
        self.reply_done(input.time(at - 1), cx).map_or(Step::Take(at), Step::Stop)
    }

    /// Decides what begins here: an answer or a push. `Err` is the step instead.
    fn begin_reply(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Result<(), Step> {
        let bytes = input.bytes();
        let first = match element(bytes) {
            Parsed::Is(first) => first,
            Parsed::More => return Err(Step::More),
            Parsed::Bad => return Err(self.malformed_reply(input, cx)),
        };
        let front = self.calls.front().map(|call| call.what.nature);
        let may_be_topic =
            first.kind == Kind::Push || self.is_subscribed || matches!(front, None | Some(Nature::Subscribe | Nature::Unsubscribe));
        if may_be_topic && matches!(first.kind, Kind::Push | Kind::Aggregate) && first.children >= 2 {
            match string(bytes, first.head) {
                Parsed::More => return Err(Step::More),
                Parsed::Is((name, next)) => match topic(name) {
                    Topic::Message => self.start(Sending::Push),
                    found @ (Topic::Subscribed | Topic::Unsubscribed) if first.children == 3 => {
                        return self.confirmation(input, first.kind, next, found, cx);
                    }
                    _ => {}
                },
                Parsed::Bad => {}
            }
        }
        if self.sending == Sending::Nothing {
            match (first.kind, front) {
                (Kind::Push, _) => self.start(Sending::Push),
                (_, Some(_)) => {
                    self.start(Sending::Answer);
                    self.calls.respond(input, cx);
                }
                (_, None) => {
                    cx.count(Loss::Orphan, 1);
                    self.calls.lose_server(input.seq(0), input.time(0), cx);
                    return Err(Step::Take(bytes.len()));
                }
            }
        }
        Ok(())
    }

    fn start(&mut self, sending: Sending) {
        self.sending = sending;
        self.elements_left = 1;
        self.attribute_left = 0;
        self.is_top = true;
    }

    /// A confirmation of SUBSCRIBE and the like: three elements, the last of them the number of subscriptions.
    fn confirmation(&mut self, input: &Input<'_>, kind: Kind, channel: usize, topic: Topic, cx: &mut Cx<'_>) -> Result<(), Step> {
        let bytes = input.bytes();
        let channel = match element(&bytes[channel..]) {
            Parsed::Is(element) => channel as u64 + element.head as u64 + element.payload,
            Parsed::More => return Err(Step::More),
            Parsed::Bad => return Err(self.malformed_reply(input, cx)),
        };
        let count_at = usize::try_from(channel).unwrap_or(usize::MAX);
        let (count, len) = match (bytes.get(count_at), integer_line(bytes, count_at)) {
            (None, _) | (_, Parsed::More) => return Err(Step::More),
            (Some(b':'), Parsed::Is(line)) => line,
            _ => return Err(self.malformed_reply(input, cx)),
        };
        // RESP3 sends messages as pushes, so an array is no message there.
        self.is_subscribed = count > 0 && kind == Kind::Aggregate;
        let wanted = if topic == Topic::Subscribed { Nature::Subscribe } else { Nature::Unsubscribe };
        if self.calls.front().is_some_and(|call| call.what.nature == wanted) {
            self.calls.respond(input, cx);
            let Some(call) = self.calls.front() else { return Err(Step::Take(len)) };
            call.what.confirmations = call.what.confirmations.saturating_sub(1);
            if call.what.confirmations == 0 {
                self.calls.finish(input.time(len - 1), cx);
            }
        }
        Err(Step::Take(len))
    }

    /// One element of what the server is sending.
    pub(super) fn element(&mut self, element: &Element<'_>, bytes: &[u8], cx: &mut Cx<'_>) {
        if element.kind == Kind::Attribute {
            let left = if self.attribute_left > 0 { &mut self.attribute_left } else { &mut self.elements_left };
            if self.is_top {
                self.attribute_left = self.attribute_left.saturating_add(element.children);
            } else {
                *left = left.saturating_add(element.children);
            }
            return;
        }
        if self.attribute_left > 0 {
            self.attribute_left = (self.attribute_left - 1).saturating_add(element.children);
            return;
        }
        self.elements_left = (self.elements_left - 1).saturating_add(element.children);
        let is_top = std::mem::replace(&mut self.is_top, false);
        if element.kind == Kind::Error && self.sending == Sending::Answer {
            self.error(element, bytes, is_top, cx);
        }
    }

    /// An error as the answer, or in the answer to EXEC.
    fn error(&mut self, element: &Element<'_>, bytes: &[u8], is_top: bool, cx: &mut Cx<'_>) {
        let text = match element.payload {
            0 => element.line,
            len => {
                let end = (element.head as u64).saturating_add(len);
                &bytes[element.head..usize::try_from(end).unwrap_or(usize::MAX).min(bytes.len())]
            }
        };
        let Some(call) = self.calls.front() else { return };
        let Asked { nature, database, .. } = call.what;
        if !is_top && nature != Nature::Exec {
            return;
        }
        if nature == Nature::Select && is_top {
            self.database = database;
        }
        let Some(exchange) = self.calls.front().and_then(|call| call.exchange.as_deref_mut()) else { return };
        if exchange.error.is_none() {
            note_error(exchange, text, cx);
        }
    }

    pub(super) fn reply_done(&mut self, at: Mono, cx: &mut Cx<'_>) -> Option<Stop> {
        let sending = std::mem::replace(&mut self.sending, Sending::Nothing);
        if sending != Sending::Answer {
            return None;
        }
        let asked = self.calls.front().map(|call| call.what);
        self.calls.finish(at, cx);
        if asked.is_some_and(|asked| asked.nature == Nature::Stream) {
            self.stop = Some(Stop::Opaque);
        }
        self.stop
    }

    fn malformed_reply(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        cx.count(Loss::Malformed, 1);
        self.sending = Sending::Nothing;
        self.calls.lose_server(input.seq(0), input.time(0), cx);
        Step::Take(input.bytes().len())
    }

    pub(super) fn find_reply(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        match self.calls.find(input) {
            Found::Here => {
                self.sending = Sending::Nothing;
                self.reply(input, cx)
            }
            Found::Pass(n) => Step::Take(n.max(1)),
        }
    }
}

/// An error's first word is its code (`WRONGTYPE`, `ERR`); a redirect of a cluster is no failure.
fn note_error(exchange: &mut Exchange, text: &[u8], cx: &mut Cx<'_>) {
    let word = text.split(|byte| *byte == b' ').next().unwrap_or_default();
    let is_code = (1..=32).contains(&word.len()) && word.iter().all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'_' | b'0'..=b'9'));
    let code = std::str::from_utf8(word).ok().filter(|_| is_code);
    match code {
        Some(code @ ("MOVED" | "ASK")) => {
            exchange.attrs.set_str(s::DB_RESPONSE_STATUS_CODE, code);
            exchange.attrs.set_bytes(s::REMORA_REDIS_REDIRECT, &text[..text.len().min(128)]);
        }
        Some(code) => set_error(exchange, code),
        None => {
            cx.count(Loss::Malformed, 1);
            exchange.error = Some(s::ERROR_OTHER.to_owned());
        }
    }
}
