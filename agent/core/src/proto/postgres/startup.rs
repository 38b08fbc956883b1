//! How a PostgreSQL connection begins: encryption asked for, parameters, or the cancellation of another one's query.

use super::message::{Opening, Read};
use super::{Kind, NAME_LIMIT, Phase, Postgres, message};
use crate::model::semconv as s;
use crate::proto::{Cx, Input, Step, Stop};

impl Postgres {
    pub(super) fn opening(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        match message::opening(input.bytes()) {
            Read::More => Step::More,
            Read::Is((opening, len)) => {
                self.confirmed = true;
                match opening {
                    Opening::Encryption => self.phase = Phase::Encryption,
                    Opening::Cancel => self.cancel(input, cx),
                    Opening::Startup(parameters) => self.startup(parameters, input),
                }
                self.client.take(input, len)
            }
            // A TLS record, or bytes that began before capture did.
            Read::Bad if self.phase == Phase::Encryption => Step::Stop(Stop::Opaque),
            Read::Bad => {
                self.phase = Phase::Messages;
                self.client_message(input, cx)
            }
        }
    }

    fn startup(&mut self, parameters: &[u8], input: &Input<'_>) {
        self.phase = Phase::Messages;
        let user = message::parameter(parameters, b"user");
        if let Some(name) = message::parameter(parameters, b"database").or(user) {
            self.database = String::from_utf8_lossy(&name[..name.len().min(NAME_LIMIT)]).into_owned();
        }
        self.push(Kind::Sync, None, input.mark(0).ack);
    }

    fn cancel(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) {
        let exchange = self.begin(input, cx).map(|mut exchange| {
            exchange.attrs.set_str(s::DB_OPERATION_NAME, "CANCEL");
            cx.request(&mut exchange);
            exchange
        });
        self.push(Kind::Cancel, exchange, input.mark(0).ack);
    }

    /// The one byte that answers a request for encryption.
    pub(super) fn encryption_answer(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        match input.bytes()[0] {
            b'N' => {
                self.phase = Phase::Opening;
                self.server.take(input, 1)
            }
            b'S' | b'G' => Step::Stop(Stop::Opaque),
            _ => {
                self.phase = Phase::Messages;
                self.server_messages(input, cx)
            }
        }
    }
}
