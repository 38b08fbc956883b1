//! What is held back of a connection that was joined midway, where answers are told apart by nothing but their order.
//!
//! Requests may have been on their way when the connection was joined: then the first answers belong to these, and all
//! that was paired is wrong. It is right if the client goes on once all it asked is answered, and it is wrong if there
//! are more answers than requests. Until then finished exchanges wait here. Bounded.

use crate::model::Exchange;

/// Most exchanges that are held back.
const MOST: usize = 1024;

/// Exchanges in the boxes that are recycled.
pub(crate) type Exchanges = Vec<Box<Exchange>>;

/// Exchanges of one connection that may have been paired wrongly.
#[derive(Debug, Default)]
pub(crate) struct Probation {
    is_on: bool,
    /// Requests that were announced and not finished.
    open: usize,
    held: Exchanges,
}

impl Probation {
    pub(crate) fn new(is_on: bool) -> Self {
        Self { is_on, ..Self::default() }
    }

    /// Whether exchanges are held back.
    pub(crate) fn is_on(&self) -> bool {
        self.is_on
    }

    /// A request begins. Gives what is proven right by that.
    #[must_use]
    pub(crate) fn request(&mut self) -> Exchanges {
        let is_proven = self.is_on && self.open == 0 && !self.held.is_empty();
        self.open += usize::from(self.is_on);
        if is_proven { self.end() } else { Exchanges::new() }
    }

    /// An exchange was taken back.
    pub(crate) fn void(&mut self) {
        self.open = self.open.saturating_sub(1);
    }

    /// An exchange is finished. Gives it back if it need not wait.
    #[must_use]
    pub(crate) fn finish(&mut self, exchange: Box<Exchange>) -> Option<Box<Exchange>> {
        if !self.is_on {
            return Some(exchange);
        }
        self.open = self.open.saturating_sub(1);
        self.held.push(exchange);
        None
    }

    /// An answer came that no request is known of. Gives what is proven wrong by that.
    #[must_use]
    pub(crate) fn orphan(&mut self) -> Exchanges {
        std::mem::take(&mut self.held)
    }

    /// Whether more is held back than is worth the memory: the client never waits for all its answers.
    pub(crate) fn is_hopeless(&self) -> bool {
        self.held.len() >= MOST
    }

    /// The connection is over, or quiet: nothing was on its way. Gives what is proven right by that.
    #[must_use]
    pub(crate) fn end(&mut self) -> Exchanges {
        self.is_on = false;
        std::mem::take(&mut self.held)
    }
}
