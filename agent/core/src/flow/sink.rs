//! Where exchanges go, and what is counted on the way.

use super::{Amount, Direction};
use crate::model::{ConnId, ConnInfo, Exchange};

/// Something that was dropped, cut or not understood. Every variant is a reason that is exported as a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Loss {
    /// Bytes that a parser needed and capture did not deliver.
    Hole,
    /// Segments out of order beyond what is kept while waiting for the missing one.
    Reorder,
    /// A message head longer than the parser's buffer.
    Oversized,
    /// Bytes that break the protocol.
    Malformed,
    /// Requests in flight beyond the limit of one connection.
    InFlight,
    /// A response whose request was not seen.
    Orphan,
    /// Connections beyond the limit of the table.
    Connections,
    /// Text beyond the limit of one attribute.
    Text,
    /// A connection first taken for a protocol that it does not speak.
    Misclassified,
}

impl Loss {
    /// All reasons.
    pub const ALL: [Loss; 9] = [
        Loss::Hole,
        Loss::Reorder,
        Loss::Oversized,
        Loss::Malformed,
        Loss::InFlight,
        Loss::Orphan,
        Loss::Connections,
        Loss::Text,
        Loss::Misclassified,
    ];

    /// The reason as counters spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Loss::Hole => "hole",
            Loss::Reorder => "reorder",
            Loss::Oversized => "oversized",
            Loss::Malformed => "malformed",
            Loss::InFlight => "in_flight_limit",
            Loss::Orphan => "orphan_response",
            Loss::Connections => "connection_limit",
            Loss::Text => "text_limit",
            Loss::Misclassified => "misclassified",
        }
    }
}

/// What carries messages that are no requests and no answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Carrier {
    /// A connection behind its upgrade (RFC 6455).
    WebSocket,
    /// A response of server-sent events (HTML Standard §9.2).
    EventStream,
}

/// Receives what the flow finds. Called on the capture thread: must not block.
pub trait Sink {
    /// A request's head has been read. Called once per exchange, before [`Self::exchange`] or [`Self::void`].
    fn request(&mut self, conn: &ConnInfo, exchange: &mut Exchange);

    /// An exchange is finished. Gives the box back for another use, unless it was kept.
    fn exchange(&mut self, conn: &ConnInfo, exchange: Box<Exchange>) -> Option<Box<Exchange>>;

    /// A request turned out to be none, or nothing certain can be told of it: forget what [`Self::request`] noted.
    fn void(&mut self, conn: &ConnInfo, exchange: &Exchange) {
        let _ = (conn, exchange);
    }

    /// Capture of `conn` shall take these amounts from now on.
    fn capture(&mut self, conn: ConnId, egress: Amount, ingress: Amount) {
        let _ = (conn, egress, ingress);
    }

    /// The protocol or the role of `conn` became known.
    fn classified(&mut self, conn: &ConnInfo, protocol: Option<&'static str>) {
        let _ = (conn, protocol);
    }

    /// The response to an announced request is a stream of events: it lasts until [`Self::exchange`] or [`Self::void`].
    fn streams(&mut self, conn: &ConnInfo, exchange: &Exchange) {
        let _ = (conn, exchange);
    }

    /// A message that is no request and no answer passed `conn`, with `bytes` bytes of payload.
    fn message(&mut self, conn: &ConnInfo, carrier: Carrier, direction: Direction, bytes: u64) {
        let _ = (conn, carrier, direction, bytes);
    }

    /// `n` things were lost for `loss`, in `protocol` if that was known.
    fn loss(&mut self, protocol: Option<&'static str>, loss: Loss, n: u64) {
        let _ = (protocol, loss, n);
    }
}
