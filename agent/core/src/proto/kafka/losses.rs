//! Connections of which bytes were lost: what may still be said, and where messages begin again.

use super::errors;
use super::found::Found;
use super::schema::Pause;
use super::{ENOUGH, Fit, Kafka, Probe, RESPONSE_HEAD, Read, Reading, array, fit_request, frame, probe, response_walk};
use crate::proto::{Cx, End, Input, Parser, Step};

impl Kafka {
    /// The framing of `end` is lost: what is answered meanwhile may not be seen.
    pub(super) fn lose(&mut self, end: End) {
        self.lane(end).reading = Reading::Lost;
        if end == End::Server {
            self.queue.iter_mut().for_each(|call| call.unsure = true);
        }
    }

    /// Looks for a message that begins with a segment and cannot be anything else.
    pub(super) fn find(&mut self, end: End, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let elsewhere = Step::Take(input.next_segment(0).unwrap_or(input.bytes().len()));
        if !input.starts_segment(0) {
            return elsewhere;
        }
        let fit = match end {
            End::Client => fit_request(input.bytes()),
            End::Server => self.fit_response(input.bytes()),
        };
        match fit {
            Fit::Whole => {
                self.lane(end).reading = Reading::Head;
                self.parse(end, input, cx)
            }
            Fit::Short => Step::More,
            Fit::Odd | Fit::Not => elsewhere,
        }
    }

    /// How well bytes fit the response to a request that waits for one. Correlation numbers are small, and so are many numbers
    /// in the middle of a message: what has not come to its end must fit for as long as a request must, and its error be one
    /// that has a name.
    fn fit_response(&self, bytes: &[u8]) -> Fit {
        let (length, correlation) = match (frame(bytes, 4), array(bytes, 4)) {
            (Read::Bad, _) => return Fit::Not,
            (Read::Is(length), Some(correlation)) => (length, i32::from_be_bytes(correlation)),
            _ => return Fit::Short,
        };
        let Some(call) = self.queue.iter().find(|call| call.correlation == correlation) else { return Fit::Not };
        let Some(mut walk) = response_walk(call.api, call.key, call.version) else { return Fit::Whole };
        let body = bytes.get(RESPONSE_HEAD..).unwrap_or_default();
        let mut found = Found::default();
        let probed = probe(&mut walk, body, length - 4, &mut found);
        match probed {
            Probe::Bad => Fit::Not,
            _ if found.error.is_some_and(|code| errors::name(code).is_none()) => Fit::Not,
            Probe::Short if bytes.len() < ENOUGH => Fit::Short,
            Probe::Done(_) | Probe::Short => Fit::Whole,
        }
    }

    /// Takes what was captured in front of a hole of a message that is being walked over. How many bytes from there on
    /// are of no interest anyway.
    pub(super) fn last_bytes(&mut self, end: End, before: &Input<'_>, cx: &mut Cx<'_>) -> u64 {
        let lane = self.lane(end);
        if lane.owed > 0 {
            return lane.owed;
        }
        let memory = &mut cx.shared.kafka;
        let found = &mut lane.found;
        match lane.walk.run(before.bytes(), lane.left, true, &mut |event| found.see(event, memory)) {
            (used, Pause::Skip(n)) => used as u64 + n,
            (used, Pause::More) => used as u64,
            _ => 0,
        }
    }

    /// `gone` bytes of a message's body are lost, the first `unwanted` of which are of no interest. How many that are not
    /// gone are of none either.
    pub(super) fn lose_body(&mut self, end: End, gone: u64, unwanted: u64) -> u64 {
        if gone <= unwanted {
            return unwanted - gone;
        }
        let lane = self.lane(end);
        let records = lane.walk.leave_records();
        if let Some(left) = (unwanted + records).checked_sub(gone).filter(|_| records > 0) {
            // Only how many records there are is lost: the walk goes on behind them.
            lane.found.miss_records();
            self.mark_lost(end);
            return left;
        }
        self.cut(end);
        0
    }

    /// The head of a message was lost: its length may be there.
    pub(super) fn lost_head(&mut self, end: End, before: &Input<'_>) -> Option<u64> {
        if end == End::Server {
            // Whose answer it was is not known.
            self.queue.iter_mut().for_each(|call| call.unsure = true);
        }
        let Read::Is(length) = frame(before.bytes(), 4) else { return None };
        self.lane(end).reading = Reading::Rest;
        Some(length + 4)
    }

    /// A part of the current message that was wanted is lost.
    fn cut(&mut self, end: End) {
        let lane = self.lane(end);
        lane.found.cut();
        lane.reading = Reading::Rest;
        self.mark_lost(end);
    }

    fn mark_lost(&mut self, end: End) {
        if let Some(call) = &mut self.lane(end).call {
            match end {
                End::Client => call.exchange.completeness.request_lost = true,
                End::Server => call.exchange.completeness.response_lost = true,
            }
        }
    }
}
