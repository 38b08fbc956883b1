//! Runs the clients of all signals: takes batches from any thread, compresses each once, sends
//! several at a time, repeats what may be repeated, and ends within a deadline.
//!
//! One signal is two tasks: one compresses everything that waits, so that an outage is survived
//! with compressed bytes in memory; one sends what is compressed, in order, with a bounded number of
//! requests in flight. Batches are refused, never displaced, when memory is full: what was taken
//! stays.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::request::EncodedBatch;
use crate::signal::Signal;

use super::account::{Account, Change, DropReason, ExportCounters, Ticket};
use super::answer::Accepted;
use super::body;
use super::config::{ClientConfig, Compression, Protocol};
use super::error::{SendError, SetupError};
use super::retry::{Backoff, Pause, RetryPolicy, Verdict, judge};
use super::transport::{HttpTransport, Transport};

/// What the exporter sends and how much it may hold.
#[derive(Clone, Debug)]
pub struct ExporterConfig {
    /// One client for each signal that is exported.
    pub clients: Vec<ClientConfig>,
    /// Bytes that each signal may hold, queued and in flight.
    pub queue_bytes: usize,
    /// Requests of one signal that may be in flight at once; at least 1.
    pub in_flight: usize,
    /// How failed requests are repeated.
    pub retry: RetryPolicy,
}

impl ExporterConfig {
    /// Default of `queue_bytes`.
    pub const QUEUE_BYTES: usize = 32 * 1024 * 1024;
    /// Default of `in_flight`.
    pub const IN_FLIGHT: usize = 4;

    /// Defaults for `clients`.
    pub fn new(clients: Vec<ClientConfig>) -> Self {
        Self { clients, queue_bytes: Self::QUEUE_BYTES, in_flight: Self::IN_FLIGHT, retry: RetryPolicy::default() }
    }
}

/// A batch that was not taken; its items are counted as dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The queue holds as many bytes as it may.
    #[error("the export queue is full")]
    QueueFull,
    /// The signal is not exported.
    #[error("the signal is not exported")]
    Disabled,
    /// The exporter is shutting down.
    #[error("the exporter is shutting down")]
    ShuttingDown,
}

/// Tells whether a batch has been settled: accepted, rejected or given up.
///
/// For callers that keep what they sent until then, such as positions in files.
#[derive(Clone, Debug)]
pub struct Receipt(Weak<()>);

impl Receipt {
    /// A receipt of a batch that was never taken.
    pub const fn settled() -> Self {
        Self(Weak::new())
    }

    /// Whether the exporter holds nothing of the batch any more.
    pub fn is_settled(&self) -> bool {
        self.0.strong_count() == 0
    }
}

/// The clients of all signals.
pub struct Exporter {
    lines: [Option<Line>; Signal::ALL.len()],
    disabled: Account,
}

impl Exporter {
    /// Reads certificates and starts the tasks on `runtime`; connects at the first batch.
    pub fn start(config: ExporterConfig, runtime: &Handle) -> Result<Self, SetupError> {
        let mut lines = [None, None, None];
        for client in config.clients {
            let encoding = Encoding { protocol: client.protocol, compression: client.compression };
            let signal = client.signal;
            let transport = HttpTransport::new(client)?;
            let limits = Limits { queue_bytes: config.queue_bytes, in_flight: config.in_flight.max(1), retry: config.retry };
            lines[signal.index()] = Some(Line::start(signal, transport, encoding, limits, runtime));
        }
        Ok(Self { lines, disabled: Account::default() })
    }

    /// Hands a batch over without waiting. Usable from any thread.
    pub fn submit(&self, batch: EncodedBatch) -> Result<(), SubmitError> {
        self.submit_tracked(batch).map(drop)
    }

    /// As [`Exporter::submit`]; the receipt tells when the batch is settled.
    pub fn submit_tracked(&self, batch: EncodedBatch) -> Result<Receipt, SubmitError> {
        match &self.lines[batch.signal.index()] {
            Some(line) => line.submit_tracked(batch),
            None => {
                self.disabled.refuse(batch.items, DropReason::Disabled);
                Err(SubmitError::Disabled)
            }
        }
    }

    /// Counters of `signal`; `None` if it is not exported.
    pub fn counters(&self, signal: Signal) -> Option<ExportCounters> {
        self.lines[signal.index()].as_ref().map(|line| line.account.snapshot())
    }

    /// Takes no more batches, sends those held until `deadline` has passed, and counts the rest as
    /// dropped. A receiver that cannot be reached is tried once more and not waited for.
    pub async fn shutdown(&self, deadline: Duration) {
        let end = Instant::now() + deadline;
        self.lines.iter().flatten().for_each(Line::close);
        for line in self.lines.iter().flatten() {
            line.end(end).await;
        }
    }
}

/// How bodies of one signal are made.
#[derive(Clone, Copy)]
struct Encoding {
    protocol: Protocol,
    compression: Compression,
}

#[derive(Clone, Copy)]
struct Limits {
    queue_bytes: usize,
    in_flight: usize,
    retry: RetryPolicy,
}

/// A batch on its way: first its payload, then its request body.
struct Parcel {
    bytes: Bytes,
    ticket: Ticket,
    /// Dropped when the batch is settled.
    held: Arc<()>,
}

/// The client of one signal, from the caller's side.
struct Line {
    account: Arc<Account>,
    queue_bytes: usize,
    queue: Mutex<Option<mpsc::UnboundedSender<Parcel>>>,
    draining: watch::Sender<bool>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Line {
    fn start(signal: Signal, transport: impl Transport, encoding: Encoding, limits: Limits, runtime: &Handle) -> Self {
        let account = Arc::new(Account::default());
        let (draining, drain) = watch::channel(false);
        // Unbounded channels: the tickets inside bound the bytes.
        let (queue, waiting) = mpsc::unbounded_channel();
        let (encoded, ready) = mpsc::unbounded_channel();
        let backoff = Mutex::new(Backoff::new(limits.retry));
        let route = Route { signal, transport, account: Arc::clone(&account), backoff, policy: limits.retry, jitter: Jitter::new(), drain };
        let route = Arc::new(route);
        let tasks = vec![
            runtime.spawn(encode_all(waiting, encoded, encoding, Arc::clone(&route))),
            runtime.spawn(send_all(ready, route, limits.in_flight)),
        ];
        Self { account, queue_bytes: limits.queue_bytes, queue: Mutex::new(Some(queue)), draining, tasks: Mutex::new(tasks) }
    }

    fn submit_tracked(&self, batch: EncodedBatch) -> Result<Receipt, SubmitError> {
        let queue = lock(&self.queue);
        let Some(queue) = queue.as_ref() else {
            self.account.refuse(batch.items, DropReason::Shutdown);
            return Err(SubmitError::ShuttingDown);
        };
        let admitted = self.account.admit(batch.items, batch.payload.len(), self.queue_bytes);
        let ticket = admitted.map_err(|_| SubmitError::QueueFull)?;
        let held = Arc::new(());
        let receipt = Receipt(Arc::downgrade(&held));
        queue.send(Parcel { bytes: batch.payload, ticket, held }).map_err(|_| SubmitError::ShuttingDown)?;
        Ok(receipt)
    }

    fn close(&self) {
        lock(&self.queue).take();
        self.draining.send_replace(true);
    }

    async fn end(&self, deadline: Instant) {
        let tasks = std::mem::take(&mut *lock(&self.tasks));
        for mut task in tasks {
            if tokio::time::timeout_at(deadline, &mut task).await.is_err() {
                task.abort();
                // Tickets are counted when the task is really gone.
                let _ = task.await;
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Compresses every batch as soon as it is there.
async fn encode_all<T: Transport>(
    mut waiting: mpsc::UnboundedReceiver<Parcel>,
    encoded: mpsc::UnboundedSender<Parcel>,
    encoding: Encoding,
    route: Arc<Route<T>>,
) {
    while let Some(mut parcel) = waiting.recv().await {
        match encode(encoding, parcel.bytes).await {
            Ok(body) => {
                parcel.ticket.resize(body.len());
                parcel.bytes = body;
                // Fails only when the sending task is gone; the ticket then counts the items.
                let _ = encoded.send(parcel);
            }
            Err(error) => route.refused(parcel.ticket, &error),
        }
    }
}

async fn encode(encoding: Encoding, payload: Bytes) -> Result<Bytes, SendError> {
    let Encoding { protocol, compression } = encoding;
    if compression == Compression::None {
        return body::encode(protocol, compression, &payload);
    }
    let work = move || body::encode(protocol, compression, &payload);
    tokio::task::spawn_blocking(work).await.map_err(|error| SendError::Compression(error.to_string()))?
}

/// Sends what is compressed, with at most `in_flight` requests at once.
async fn send_all<T: Transport>(mut ready: mpsc::UnboundedReceiver<Parcel>, route: Arc<Route<T>>, in_flight: usize) {
    let permits = Arc::new(Semaphore::new(in_flight));
    let mut deliveries = JoinSet::new();
    while let Some(parcel) = ready.recv().await {
        while deliveries.try_join_next().is_some() {}
        // The semaphore is never closed.
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { break };
        let route = Arc::clone(&route);
        deliveries.spawn(async move {
            route.deliver(parcel).await;
            drop(permit);
        });
    }
    while deliveries.join_next().await.is_some() {}
}

/// The way to the receiver of one signal.
struct Route<T> {
    signal: Signal,
    transport: T,
    account: Arc<Account>,
    backoff: Mutex<Backoff>,
    policy: RetryPolicy,
    jitter: Jitter,
    drain: watch::Receiver<bool>,
}

impl<T: Transport> Route<T> {
    /// Sends a body until it is settled.
    async fn deliver(&self, parcel: Parcel) {
        let Parcel { bytes, ticket, held: _held } = parcel;
        let mut first = None;
        let mut hurried = false;
        loop {
            self.wait_for_turn(&mut hurried).await;
            let started = Instant::now();
            let age_from = *first.get_or_insert(started);
            let error = match self.attempt(bytes.clone()).await {
                Ok(accepted) => return self.accepted(ticket, accepted),
                Err(error) => error,
            };
            let Verdict::Retry { asked } = judge(&error) else { return self.refused(ticket, &error) };
            let now = Instant::now();
            self.report_failure(&error);
            lock(&self.backoff).failed(started, now, asked, self.jitter.next());
            if let Some(reason) = self.hopeless(&error, now - age_from) {
                return ticket.dropped(reason);
            }
            self.account.retry();
        }
    }

    async fn attempt(&self, body: Bytes) -> Result<Accepted, SendError> {
        let _in_flight = self.account.begin_attempt();
        self.transport.send(body).await
    }

    /// Waits while there is a pause. Shutting down cuts an own pause short, once for each request.
    async fn wait_for_turn(&self, hurried: &mut bool) {
        let mut drain = self.drain.clone();
        while let Some(pause) = self.pause() {
            if *drain.borrow_and_update() && !*hurried {
                *hurried = true;
                lock(&self.backoff).hurry();
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep_until(pause.until()) => {}
                Ok(()) = drain.changed() => {}
            }
        }
    }

    fn pause(&self) -> Option<Pause> {
        lock(&self.backoff).pause(Instant::now())
    }

    /// Why a request that may be repeated is given up all the same.
    fn hopeless(&self, error: &SendError, age: Duration) -> Option<DropReason> {
        let unreachable = matches!(error, SendError::Unreachable { .. } | SendError::Tls { .. });
        if unreachable && *self.drain.borrow() {
            return Some(DropReason::Shutdown);
        }
        (age >= self.policy.give_up_after).then_some(DropReason::RetriesExhausted)
    }

    fn accepted(&self, ticket: Ticket, accepted: Accepted) {
        ticket.sent(accepted.rejected);
        lock(&self.backoff).succeeded();
        if self.account.working(SystemTime::now()) == Change::Recovered {
            tracing::info!(signal = self.signal.name(), "export works again");
        }
        let Some(warning) = accepted.warning else { return };
        let text = warning.clone();
        if self.account.warned(warning) {
            tracing::warn!(signal = self.signal.name(), rejected = accepted.rejected, "receiver: {text}");
        }
    }

    /// Settles a request that must not be repeated.
    fn refused(&self, ticket: Ticket, error: &SendError) {
        self.report_failure(error);
        let reason = match judge(error) {
            Verdict::Drop(reason) => reason,
            Verdict::Retry { .. } => DropReason::Refused,
        };
        ticket.dropped(reason);
    }

    /// Logs a failure when it is another one than before.
    fn report_failure(&self, error: &SendError) {
        if self.account.failing(error, SystemTime::now()) == Change::Failing {
            tracing::warn!(signal = self.signal.name(), "export fails: {error}");
        }
    }
}

/// Randomness for jitter: good enough to spread agents, nothing more (splitmix64).
struct Jitter(Mutex<u64>);

impl Jitter {
    fn new() -> Self {
        use std::hash::{BuildHasher, RandomState};
        Self(Mutex::new(RandomState::new().hash_one(std::process::id())))
    }

    fn next(&self) -> u64 {
        let mut state = lock(&self.0);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
#[path = "exporter_tests.rs"]
mod tests;
