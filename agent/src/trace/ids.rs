//! Trace and span ids that both ends of a call compute alike, because nothing may be injected to tell them.
//!
//! An id is SipHash-1-3 of the call's key (`seq` and `ack` big-endian, then `head`: 24 bytes) under a key of its own
//! for each kind of id: span ids are the 64-bit hash big-endian, trace ids the 128-bit hash as its reference writes it.
//! Every agent of every version must compute the same: this never changes (golden values below).
//! The hash is no secret and protects nothing; it only spreads.

use remora_core::model::{CallKey, ExchangeId, SpanId, TraceId};
use siphasher::sip::SipHasher13;
use siphasher::sip128;

/// What an id names; each has a hash key of its own.
#[derive(Clone, Copy)]
enum Domain {
    Trace = 1,
    Client = 2,
    Server = 3,
}

/// First half of every hash key: `remora\0\0`, big-endian.
const FAMILY: u64 = u64::from_be_bytes(*b"remora\0\0");

/// Trace of a call that carries no context.
#[must_use]
pub fn trace_id(call: &CallKey) -> TraceId {
    wide(FAMILY, Domain::Trace as u64, &bytes_of(call))
}

/// Span of the end that asks.
#[must_use]
pub fn client_span_id(call: &CallKey) -> SpanId {
    narrow(FAMILY, Domain::Client as u64, &bytes_of(call))
}

/// Span of the end that answers.
#[must_use]
pub fn server_span_id(call: &CallKey) -> SpanId {
    narrow(FAMILY, Domain::Server as u64, &bytes_of(call))
}

/// Makes ids of exchanges that have no key which others see too, and whose ids need only be unique.
#[derive(Clone, Copy, Debug)]
pub struct Unkeyed {
    seed: u64,
}

impl Unkeyed {
    /// `seed` is random for each start of the agent.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// Trace of an exchange.
    #[must_use]
    pub fn trace_id(&self, exchange: ExchangeId) -> TraceId {
        wide(self.seed, Domain::Trace as u64, &exchange.0.to_be_bytes())
    }

    /// Span of an exchange.
    #[must_use]
    pub fn span_id(&self, exchange: ExchangeId) -> SpanId {
        narrow(self.seed, Domain::Client as u64, &exchange.0.to_be_bytes())
    }
}

fn bytes_of(call: &CallKey) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[..4].copy_from_slice(&call.seq.to_be_bytes());
    bytes[4..8].copy_from_slice(&call.ack.to_be_bytes());
    bytes[8..].copy_from_slice(&call.head);
    bytes
}

fn wide(k0: u64, k1: u64, bytes: &[u8]) -> TraceId {
    let hash = sip128::SipHasher13::new_with_keys(k0, k1).hash(bytes).as_bytes();
    TraceId::new(hash).unwrap_or_else(|| never_zero(TraceId::new))
}

fn narrow(k0: u64, k1: u64, bytes: &[u8]) -> SpanId {
    let hash = SipHasher13::new_with_keys(k0, k1).hash(bytes).to_be_bytes();
    SpanId::new(hash).unwrap_or_else(|| never_zero(SpanId::new))
}

/// The all-zero id is invalid; the one hash in 2^64 that is zero becomes all ones.
fn never_zero<const N: usize, T>(id: impl Fn([u8; N]) -> Option<T>) -> T {
    id([0xff; N]).expect("an id of ones is not zero")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_never_change_between_versions() {
        // Computed by another program from the description above.
        let call = CallKey::new(0x0102_0304, 0x0506_0708, b"GET /orders HTTP/1.1");
        assert_eq!(trace_id(&call).to_string(), "36b444658fae193e8d86e6371da46abf");
        assert_eq!(client_span_id(&call).to_string(), "fa37275e79d1f6b0");
        assert_eq!(server_span_id(&call).to_string(), "ec440914c8bf728e");
    }

    #[test]
    fn every_part_of_the_key_matters_and_so_does_the_kind_of_id() {
        let call = CallKey::new(1, 2, b"GET / HTTP/1.1\r\n");
        let others = [CallKey::new(2, 2, b"GET / HTTP/1.1\r\n"), CallKey::new(1, 3, b"GET / HTTP/1.1\r\n"), CallKey::new(1, 2, b"GET /")];
        for other in others {
            assert_ne!(trace_id(&call), trace_id(&other));
            assert_ne!(client_span_id(&call), client_span_id(&other));
        }
        assert_ne!(client_span_id(&call), server_span_id(&call));
    }

    #[test]
    fn ids_without_a_key_differ_by_exchange_and_by_start_of_the_agent() {
        let (one, two) = (Unkeyed::new(1), Unkeyed::new(2));
        assert_ne!(one.span_id(ExchangeId(1)), one.span_id(ExchangeId(2)));
        assert_ne!(one.trace_id(ExchangeId(1)), two.trace_id(ExchangeId(1)));
    }
}
