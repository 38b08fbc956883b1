//! Commands that clients send, and what each means for the connection.

use super::command::{Command, Facts, Nature, Parsed, bulk_header, command, is_command_name, is_known, procedure};
use super::{Answers, Asked, CRLF, Redis, Sending};
use crate::flow::Loss;
use crate::model::Exchange;
use crate::model::semconv as s;
use crate::proto::keys::set_query_text;
use crate::proto::text::write_decimal;
use crate::proto::{Cx, Input, Step, Stop};

impl Redis {
    pub(super) fn request(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let bytes = input.bytes();
        // Empty lines are ignored.
        let empty = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        if empty > 0 {
            return Step::Take(empty);
        }
        match command(bytes) {
            Parsed::More => Step::More,
            Parsed::Bad => self.malformed_request(input, cx),
            Parsed::Is(command) if command.total == 0 => Step::Take(command.len),
            Parsed::Is(command) if !is_command_name(command.arg(0).unwrap_or_default()) => self.malformed_request(input, cx),
            Parsed::Is(command) => {
                self.confirmed = true;
                self.begin(&command, input, cx);
                self.args_left = if command.is_inline { 0 } else { command.left() };
                self.calls.sent(input.time(command.len - 1));
                self.request_sent(cx);
                Step::Take(command.len)
            }
        }
    }

    fn begin(&mut self, command: &Command<'_>, input: &Input<'_>, cx: &mut Cx<'_>) {
        let facts = Facts::of(command);
        let nature = facts.nature();
        let database = self.database;
        match nature {
            Nature::Select => self.database = command.arg(1).and_then(number),
            Nature::Reset => self.reset(),
            _ => {}
        }
        let mut exchange = self.calls.begin(input, command.len, cx);
        if let Some(exchange) = &mut exchange {
            self.describe(exchange, command, facts, cx);
        }
        self.note_transaction(command, exchange.as_deref_mut());
        let confirmations = if nature == Nature::Subscribe { command.total - 1 } else { 1 };
        self.calls.push(exchange, Asked { nature, confirmations, database }, cx);
        if nature == Nature::Client {
            self.client_reply(command);
        }
    }

    fn describe(&self, exchange: &mut Exchange, command: &Command<'_>, facts: Facts, cx: &mut Cx<'_>) {
        let attrs = &mut exchange.attrs;
        attrs.set_str(s::DB_SYSTEM_NAME, "redis");
        match facts.simple_name() {
            Some(name) => attrs.set_str(s::DB_OPERATION_NAME, name),
            None => attrs.set_with(s::DB_OPERATION_NAME, |out| facts.write_name(command, out)),
        }
        if let Some(database) = self.database {
            attrs.set_with(s::DB_NAMESPACE, |out| write_decimal(out, database));
        }
        if let Some(procedure) = procedure(command) {
            attrs.set_bytes(s::DB_STORED_PROCEDURE_NAME, &procedure[..procedure.len().min(64)]);
        }
        let raw = cx.options.raw_text;
        set_query_text(exchange, cx, |out| facts.write_text(command, raw, out));
    }

    /// Counts the commands between MULTI and EXEC.
    fn note_transaction(&mut self, command: &Command<'_>, exchange: Option<&mut Exchange>) {
        let is = |name: &str| command.arg(0).is_some_and(|arg| arg.eq_ignore_ascii_case(name.as_bytes()));
        if is("MULTI") {
            self.queued = Some(0);
        } else if is("DISCARD") {
            self.queued = None;
        } else if is("EXEC") {
            if let (Some(queued), Some(exchange)) = (self.queued.take().filter(|n| *n > 0), exchange) {
                exchange.attrs.set_int(s::DB_OPERATION_BATCH_SIZE, queued);
            }
        } else if let Some(queued) = &mut self.queued {
            *queued += 1;
        }
    }

    fn reset(&mut self) {
        self.database = Some(0);
        self.queued = None;
        self.is_subscribed = false;
        self.answers = Answers::All;
    }

    /// `CLIENT REPLY ON|OFF|SKIP` decides which commands are answered from itself on.
    fn client_reply(&mut self, command: &Command<'_>) {
        let is = |index: usize, word: &[u8]| command.arg(index).is_some_and(|arg| arg.eq_ignore_ascii_case(word));
        if !is(1, b"REPLY") {
            return;
        }
        if is(2, b"ON") {
            self.answers = Answers::All;
        } else if is(2, b"OFF") {
            self.answers = Answers::None;
        } else if is(2, b"SKIP") && self.answers == Answers::All {
            self.answers = Answers::SkipThis;
        }
    }

    /// The arguments of the latest request that are not shown: their bytes are not needed.
    pub(super) fn arguments(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let bytes = input.bytes();
        let mut at = 0;
        while self.args_left > 0 {
            match bulk_header(bytes, at) {
                Parsed::Is((len, data)) => {
                    let end = (data as u64).saturating_add(len + CRLF);
                    self.args_left -= 1;
                    match usize::try_from(end).ok().filter(|end| *end <= bytes.len()) {
                        Some(end) => at = end,
                        None => return Step::Skip(end),
                    }
                }
                Parsed::More if at == 0 => return Step::More,
                Parsed::More => break,
                Parsed::Bad => return self.malformed_request(input, cx),
            }
        }
        self.calls.sent(input.time(at - 1));
        self.request_sent(cx);
        Step::Take(at)
    }

    /// All bytes of the latest request have passed, unless arguments are left.
    pub(super) fn request_sent(&mut self, cx: &mut Cx<'_>) {
        if self.args_left > 0 {
            return;
        }
        match self.answers {
            Answers::All => {}
            Answers::None => self.calls.finish_back(cx),
            Answers::SkipThis | Answers::SkipNext => {
                self.calls.finish_back(cx);
                self.answers = if self.answers == Answers::SkipThis { Answers::SkipNext } else { Answers::All };
            }
        }
    }

    fn malformed_request(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        if !self.confirmed {
            return Step::Stop(Stop::NotMine);
        }
        cx.count(Loss::Malformed, 1);
        self.args_left = 0;
        self.calls.lose_client(input.mark(0).ack, true);
        Step::Take(input.bytes().len())
    }

    /// Looks for a command at the start of a segment.
    pub(super) fn find_request(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let len = input.next_segment(0).unwrap_or(input.bytes().len());
        if !self.calls.may_resume(input) || input.bytes()[0] != b'*' {
            return Step::Take(len);
        }
        match command(input.bytes()) {
            Parsed::Is(command) if command.arg(0).is_some_and(|name| is_known(name) || name.contains(&b'.')) => {
                self.calls.resume(cx);
                self.sending = Sending::Nothing;
                self.request(input, cx)
            }
            Parsed::More => Step::More,
            _ => Step::Take(len),
        }
    }
}

fn number(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
