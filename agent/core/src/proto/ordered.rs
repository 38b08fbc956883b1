//! Calls of a protocol that answers in order and numbers nothing: which answer belongs to which request, and what may
//! still be said of that once bytes were lost.
//!
//! Never pairs by guess. A client that was never seen to send while an answer was due (it waits, request by request or
//! batch by batch) begins anew after a loss where its first segment behind the loss acknowledges more than the lost
//! ones did; the answer begins at exactly the acknowledged byte. A client that does not wait is paired again only after
//! a long quiet.

use super::http::close_error;
use super::{Cx, End, Input, Mark};
use crate::flow::{Loss, QUIET};
use crate::model::semconv as s;
use crate::model::{CallKey, Close, Exchange, Message, Mono};
use std::collections::VecDeque;

/// Pipelines are long where requests are small: so many times [`super::Options::in_flight_limit`] are tracked.
const PIPELINE: usize = 16;
/// Most calls remembered on one connection, tracked or not.
const MAX_CALLS: usize = 64 * 1024;

/// A request on its way, with what its protocol has to know of it.
#[derive(Debug)]
pub(super) struct Call<T> {
    /// `None` if it is not tracked (over a limit, or already reported as timed out).
    pub(super) exchange: Option<Box<Exchange>>,
    /// What the protocol has to know to read the answer.
    pub(super) what: T,
    /// Whether the first bytes of its answer were seen.
    pub(super) begun: bool,
    /// Whether its answer was lost in part or in whole.
    missed: bool,
    /// When its last byte so far was sent.
    sent: Mono,
}

/// How a client uses the connection, as far as seen. Only ever grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Pace {
    /// One request at a time.
    Single,
    /// Several at a time, then it waits for all answers.
    Batches,
    /// It does not wait.
    Interleaved,
}

/// Whether the start of messages is known in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Known,
    Lost,
}

/// Where the server's stream goes on, for a server whose framing is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The answer to the first call begins here.
    Here,
    /// These bytes belong to nothing known.
    Pass(usize),
}

/// How long a call may wait for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// No longer than any other.
    Usual,
    /// Any time: the answer waits for something to happen.
    Endless,
    /// It may not be answered at all.
    Silent,
}

/// The calls of one connection.
#[derive(Debug)]
pub(super) struct Calls<T> {
    queue: VecDeque<Call<T>>,
    pace: Pace,
    client: Framing,
    server: Framing,
    /// Acknowledgement number of the latest request.
    burst: Option<u32>,
    /// Acknowledgement number beyond which the client may be understood again.
    lost_ack: Option<u32>,
    /// Sequence number at which the first call's answer begins, while the server's framing is lost.
    resume_at: Option<u32>,
    last: Mono,
    first_fin: Option<End>,
}

/// Whether `a` is behind `b` in sequence space (RFC 9293 §3.4).
pub(super) fn is_behind(a: u32, b: u32) -> bool {
    a != b && a.wrapping_sub(b) < 1 << 31
}

impl<T> Calls<T> {
    pub(super) fn new(midway: bool) -> Self {
        let framing = if midway { Framing::Lost } else { Framing::Known };
        Self {
            queue: VecDeque::new(),
            pace: Pace::Single,
            client: framing,
            server: framing,
            burst: None,
            lost_ack: None,
            resume_at: None,
            last: Mono::default(),
            first_fin: None,
        }
    }

    /// Whether it is not known where `end`'s messages begin.
    pub(super) fn is_lost(&self, end: End) -> bool {
        let framing = if end == End::Client { self.client } else { self.server };
        framing == Framing::Lost
    }

    /// The call that is answered next.
    pub(super) fn front(&mut self) -> Option<&mut Call<T>> {
        self.queue.front_mut()
    }

    /// The latest call.
    pub(super) fn back(&mut self) -> Option<&mut Call<T>> {
        self.queue.back_mut()
    }

    /// All calls, the oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Call<T>> {
        self.queue.iter()
    }

    // ---- requests

    /// A request's head of `len` bytes has been read at the start of `input`: its exchange, unless too many wait.
    pub(super) fn begin(&mut self, input: &Input<'_>, len: usize, cx: &mut Cx<'_>) -> Option<Box<Exchange>> {
        self.turn(input.mark(0).ack, input.time(0), cx);
        if self.queue.len() >= cx.options.in_flight_limit.saturating_mul(PIPELINE) {
            cx.count(Loss::InFlight, 1);
            return None;
        }
        let mut exchange = cx.begin(input, 0);
        // The other end may see what follows the request in another segment.
        exchange.call = Some(CallKey::new(input.seq(0), input.mark(0).ack, input.bytes().get(..len).unwrap_or_default()));
        Some(exchange)
    }

    /// Announces the exchange and waits for its answer.
    pub(super) fn push(&mut self, mut exchange: Option<Box<Exchange>>, what: T, cx: &mut Cx<'_>) {
        if let Some(exchange) = &mut exchange {
            cx.request(exchange);
        }
        if self.queue.len() >= MAX_CALLS {
            self.give_up(cx);
        }
        self.queue.push_back(Call { exchange, what, begun: false, missed: false, sent: self.last });
    }

    /// More of the latest request was sent.
    pub(super) fn sent(&mut self, at: Mono) {
        self.last = self.last.max(at);
        if let Some(call) = self.queue.back_mut() {
            call.sent = at;
            if let Some(exchange) = &mut call.exchange {
                exchange.request.last = exchange.request.last.max(at);
            }
        }
    }

    /// A request begins whose segment acknowledges `ack`.
    fn turn(&mut self, ack: u32, at: Mono, cx: &mut Cx<'_>) {
        let is_quiet = self.is_quiet(at);
        let goes_on = self.burst.replace(ack) == Some(ack);
        if !self.queue.is_empty() {
            match (goes_on, self.server) {
                (true, _) => self.pace = self.pace.max(Pace::Batches),
                (false, Framing::Known) => self.pace = Pace::Interleaved,
                (false, Framing::Lost) => {}
            }
        }
        if self.server == Framing::Lost && !goes_on {
            self.finish_unseen(cx);
            self.resume_at = (self.pace < Pace::Interleaved || is_quiet).then_some(ack);
        }
        self.last = self.last.max(at);
    }

    fn is_quiet(&self, at: Mono) -> bool {
        self.last.after(QUIET) <= at
    }

    /// Whether a client whose framing is lost may begin a request at the start of `input`.
    pub(super) fn may_resume(&self, input: &Input<'_>) -> bool {
        let mark = input.mark(0);
        let before = self.lost_ack.or(self.burst.filter(|_| !self.queue.is_empty()));
        let waits = self.pace < Pace::Interleaved || self.is_quiet(mark.time);
        input.starts_segment(0) && waits && before.is_none_or(|before| is_behind(mark.ack, before))
    }

    /// The client was understood again: a request begins at the start of `input`.
    pub(super) fn resume(&mut self, cx: &mut Cx<'_>) {
        self.client = Framing::Known;
        self.lost_ack = None;
        self.finish_unseen(cx);
        self.server = Framing::Lost;
        // The request itself sets where its answer begins.
        self.burst = None;
    }

    // ---- answers

    /// Looks for the first call's answer in the bytes of a server whose framing is lost.
    pub(super) fn find(&mut self, input: &Input<'_>) -> Found {
        let len = input.bytes().len();
        self.last = self.last.max(input.time(len.saturating_sub(1)));
        let Some(at) = self.resume_at else { return Found::Pass(len) };
        let ahead = at.wrapping_sub(input.seq(0));
        if ahead == 0 && !self.queue.is_empty() {
            self.server = Framing::Known;
            self.resume_at = None;
            return Found::Here;
        }
        if ahead == 0 || ahead >= 1 << 31 {
            self.lose_answers(input.time(0));
            return Found::Pass(len);
        }
        Found::Pass(len.min(usize::try_from(ahead).unwrap_or(len)))
    }

    /// The first call's answer begins at the start of `input`.
    pub(super) fn respond(&mut self, input: &Input<'_>, cx: &Cx<'_>) {
        let Some(call) = self.queue.front_mut() else { return };
        if !std::mem::replace(&mut call.begun, true)
            && let Some(exchange) = &mut call.exchange
        {
            cx.respond(exchange, input, 0);
        }
    }

    /// The first call's answer is over.
    pub(super) fn finish(&mut self, at: Mono, cx: &mut Cx<'_>) {
        self.last = self.last.max(at);
        let Some(mut call) = self.queue.pop_front() else { return };
        if let Some(exchange) = &mut call.exchange
            && let Some(response) = &mut exchange.response
        {
            response.last = response.first.max(at);
        }
        hand_over(call, cx);
    }

    /// The latest request gets no answer: the protocol says so.
    pub(super) fn finish_back(&mut self, cx: &mut Cx<'_>) {
        if let Some(call) = self.queue.pop_back() {
            hand_over(call, cx);
        }
    }

    /// The first `n` calls are over without an answer, as their protocol lets them be.
    pub(super) fn finish_silent(&mut self, n: usize, cx: &mut Cx<'_>) {
        for call in self.queue.drain(..n.min(self.queue.len())) {
            hand_over(call, cx);
        }
    }

    /// Which of the first `n` calls the server just answered cannot be told.
    pub(super) fn miss(&mut self, n: usize) {
        self.queue.iter_mut().take(n).for_each(mark_missed);
    }

    /// All calls are over, and their answers were not seen (or not their ends).
    fn finish_unseen(&mut self, cx: &mut Cx<'_>) {
        while let Some(mut call) = self.queue.pop_front() {
            mark_missed(&mut call);
            hand_over(call, cx);
        }
    }

    // ---- losses

    /// It is not known any more where requests begin. `ack` is that of the segment in which they were lost, or of the
    /// one behind it.
    pub(super) fn lose_client(&mut self, ack: u32, is_within: bool) {
        self.client = Framing::Lost;
        // A segment behind the hole says nothing of what its client knew when it sent what is missing, unless it
        // never sends one request behind another.
        self.lost_ack = (is_within || self.pace > Pace::Single).then_some(ack);
    }

    /// Bytes of a client whose framing is lost already were lost, or are not understood.
    pub(super) fn stay_lost(&mut self, ack: u32, is_within: bool) {
        if is_within || self.pace > Pace::Single {
            self.lost_ack = Some(ack);
        }
    }

    /// Bytes of the server up to sequence number `end` were lost where an answer might begin or go on.
    pub(super) fn lose_server(&mut self, end: u32, at: Mono, cx: &mut Cx<'_>) {
        if self.server == Framing::Lost && self.resume_at.is_some_and(|at| !is_behind(end, at)) {
            return;
        }
        self.lose_answers(at);
        if self.pace == Pace::Interleaved {
            self.finish_unseen(cx);
        }
    }

    /// The answers to the calls that wait cannot be told apart any more.
    fn lose_answers(&mut self, at: Mono) {
        self.server = Framing::Lost;
        self.resume_at = None;
        if let [call] = self.queue.make_contiguous()
            && let Some(exchange) = &mut call.exchange
        {
            exchange.response = exchange.response.or(Some(Message { first: at, last: at, body_bytes: None }));
        }
        self.queue.iter_mut().for_each(mark_missed);
    }

    fn give_up(&mut self, cx: &mut Cx<'_>) {
        self.pace = Pace::Interleaved;
        self.server = Framing::Lost;
        self.resume_at = None;
        self.finish_unseen(cx);
    }

    // ---- ends

    pub(super) fn fin(&mut self, from: End) {
        self.first_fin = self.first_fin.or(Some(from));
    }

    pub(super) fn closed(&mut self, how: Close, cx: &mut Cx<'_>, patience: impl Fn(&T) -> Patience) {
        while let Some(mut call) = self.queue.pop_front() {
            let is_settled = call.missed || patience(&call.what) == Patience::Silent;
            let error = if is_settled { None } else { close_error(how, self.first_fin, cx) };
            if let Some(exchange) = &mut call.exchange {
                exchange.completeness.response_lost |= how == Close::Unobserved && !is_settled;
                exchange.error = exchange.error.take().or(error.map(str::to_owned));
            }
            hand_over(call, cx);
        }
    }

    /// Finishes calls that wait since `before`.
    pub(super) fn expire(&mut self, before: Mono, cx: &mut Cx<'_>, patience: impl Fn(&T) -> Patience) {
        for call in &mut self.queue {
            let patience = patience(&call.what);
            let is_old = !call.begun && call.sent < before && patience != Patience::Endless;
            if let Some(mut exchange) = call.exchange.take_if(|_| is_old) {
                if !call.missed && patience == Patience::Usual {
                    exchange.error = Some(s::ERROR_TIMEOUT.to_owned());
                }
                cx.finish(exchange);
            }
        }
    }
}

fn mark_missed<T>(call: &mut Call<T>) {
    call.missed = true;
    if let Some(exchange) = &mut call.exchange {
        exchange.completeness.response_lost = true;
    }
}

fn hand_over<T>(call: Call<T>, cx: &mut Cx<'_>) {
    if let Some(exchange) = call.exchange {
        cx.finish(exchange);
    }
}

/// Sequence number behind a hole of `bytes` bytes that follows `before`.
pub(super) fn end_of_hole(before: &Input<'_>, bytes: u64, mark: &Mark) -> u32 {
    mark.seq_at(before.offset() + before.bytes().len() as u64 + bytes)
}

/// Whether `mark` is the segment that holds the missing bytes, and not one that follows them.
pub(super) fn is_within(before: &Input<'_>, bytes: u64, mark: &Mark) -> bool {
    mark.offset < before.offset() + before.bytes().len() as u64 + bytes
}
