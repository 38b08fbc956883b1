//! Recycled exchanges: the common path allocates nothing.

use crate::model::{Exchange, ExchangeId};

/// A bounded free list that also numbers exchanges.
#[derive(Debug, Default)]
pub struct Pool {
    #[expect(clippy::vec_box, reason = "the boxes themselves are what is recycled")]
    free: Vec<Box<Exchange>>,
    last: u64,
}

/// More than this are freed: a burst must not hold memory for ever.
const KEPT: usize = 1024;

impl Pool {
    /// An empty exchange with a new id.
    pub fn take(&mut self) -> Box<Exchange> {
        let mut exchange = self.free.pop().unwrap_or_default();
        self.last += 1;
        exchange.id = ExchangeId(self.last);
        exchange
    }

    /// Takes an exchange back.
    pub fn put(&mut self, mut exchange: Box<Exchange>) {
        if self.free.len() < KEPT {
            exchange.reset();
            self.free.push(exchange);
        }
    }
}
