//! Waiting for a condition, never for a time.

use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

/// Only a hang takes this long, also on a machine that is busy with other things.
const BOUND: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(20);

/// Asks until there is an answer, and returns it.
///
/// # Panics
/// There was none within two minutes; the message names `what` was waited for.
pub fn wait_until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < BOUND, "waited {BOUND:?} in vain for: {what}");
        thread::sleep(PAUSE);
    }
}

/// A TCP port of the loopback address that nothing listens on.
///
/// # Panics
/// The machine has none left.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("the address of a bound socket").port()
}
