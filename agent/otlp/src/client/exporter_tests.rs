//! The sending of one signal under paused time, against a receiver with a script.

use std::collections::VecDeque;

use tonic::Code;

use super::*;
use crate::client::account::Health;

/// Answers in order; when they are used up, everything is accepted.
#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<Step>>>,
    seen: Arc<Mutex<Vec<(Duration, Bytes)>>>,
    began: Option<Instant>,
}

enum Step {
    Fail(SendError),
    Reject(u64),
    Hang,
}

impl Line {
    fn submit(&self, batch: EncodedBatch) -> Result<(), SubmitError> {
        self.submit_tracked(batch).map(drop)
    }
}

impl Script {
    fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { answers: Arc::new(Mutex::new(steps.into_iter().collect())), seen: Arc::default(), began: Some(Instant::now()) }
    }

    /// Seconds since the beginning at which attempts were made.
    fn times(&self) -> Vec<f64> {
        lock(&self.seen).iter().map(|(at, _)| at.as_secs_f64()).collect()
    }

    fn bodies(&self) -> Vec<Bytes> {
        lock(&self.seen).iter().map(|(_, body)| body.clone()).collect()
    }
}

impl Transport for Script {
    async fn send(&self, body: Bytes) -> Result<Accepted, SendError> {
        let at = self.began.map(|began| began.elapsed()).unwrap_or_default();
        lock(&self.seen).push((at, body));
        let step = lock(&self.answers).pop_front();
        match step {
            None => Ok(Accepted::default()),
            Some(Step::Fail(error)) => Err(error),
            Some(Step::Reject(rejected)) => Ok(Accepted { rejected, warning: Some("too old".into()) }),
            Some(Step::Hang) => std::future::pending().await,
        }
    }
}

fn grpc(code: Code, retry_after: Option<u64>) -> Step {
    let retry_after = retry_after.map(Duration::from_secs);
    Step::Fail(SendError::Grpc { endpoint: "http://c".into(), code, message: "busy".into(), retry_after })
}

fn unreachable() -> Step {
    Step::Fail(SendError::Unreachable { endpoint: "http://c".into(), detail: "Connection refused".into() })
}

const PLAIN: Encoding = Encoding { protocol: Protocol::HttpProtobuf, compression: Compression::None };

fn limits() -> Limits {
    let retry = RetryPolicy { first: Duration::from_secs(1), longest: Duration::from_secs(30), give_up_after: Duration::from_secs(100) };
    Limits { queue_bytes: 1_000, in_flight: 1, retry }
}

fn line(script: &Script, limits: Limits) -> Line {
    Line::start(Signal::Traces, script.clone(), PLAIN, limits, &Handle::current())
}

fn batch(name: &'static str, items: u64) -> EncodedBatch {
    EncodedBatch { signal: Signal::Traces, payload: Bytes::from_static(name.as_bytes()), items }
}

/// Shuts down with a deadline and gives the final counters.
async fn finish(line: &Line, seconds: u64) -> ExportCounters {
    line.close();
    line.end(Instant::now() + Duration::from_secs(seconds)).await;
    line.account.snapshot()
}

/// Lets the tasks run for some (paused) time.
async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn unavailable_is_repeated_after_a_growing_pause() {
    let script = Script::new([grpc(Code::Unavailable, None), grpc(Code::Unavailable, None)]);
    let line = line(&script, limits());
    line.submit(batch("a", 5)).unwrap();
    pass(60).await;
    let times = script.times();
    assert_eq!(times.len(), 3);
    assert_eq!(times[0], 0.0);
    assert!((0.5..=1.01).contains(&times[1]), "{times:?}");
    assert!((1.0..=2.01).contains(&(times[2] - times[1])), "{times:?}");
    let counters = finish(&line, 1).await;
    assert_eq!((counters.sent_items, counters.retries, counters.held_bytes), (5, 2, 0));
    assert!(matches!(counters.health, Health::Working { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_pause_asked_for_holds_back_every_request_of_the_signal() {
    let script = Script::new([grpc(Code::ResourceExhausted, Some(20))]);
    let line = line(&script, Limits { in_flight: 2, ..limits() });
    line.submit(batch("a", 1)).unwrap();
    pass(1).await;
    line.submit(batch("b", 1)).unwrap();
    pass(60).await;
    let times = script.times();
    assert_eq!(times.len(), 3);
    assert!(times[1] >= 20.0 && times[2] >= 20.0, "{times:?}");
    assert_eq!(finish(&line, 1).await.sent_items, 2);
}

#[tokio::test(start_paused = true)]
async fn what_must_not_be_repeated_is_dropped_and_counted() {
    let script = Script::new([grpc(Code::ResourceExhausted, None), grpc(Code::InvalidArgument, None), grpc(Code::Unimplemented, None)]);
    let line = line(&script, limits());
    for name in ["a", "b", "c", "d"] {
        line.submit(batch(name, 3)).unwrap();
    }
    pass(60).await;
    let counters = finish(&line, 1).await;
    assert_eq!(script.bodies(), ["a", "b", "c", "d"]);
    assert_eq!((counters.dropped(DropReason::Refused), counters.sent_items, counters.retries), (9, 3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_receipt_tells_when_its_batch_is_settled() {
    let script = Script::new([grpc(Code::Unavailable, None), grpc(Code::InvalidArgument, None)]);
    let line = line(&script, limits());
    let (refused, accepted) = (line.submit_tracked(batch("a", 1)).unwrap(), line.submit_tracked(batch("b", 1)).unwrap());
    tokio::task::yield_now().await;
    assert!(!refused.is_settled() && !accepted.is_settled());
    pass(60).await;
    assert!(refused.is_settled() && accepted.is_settled() && Receipt::settled().is_settled());
}

#[tokio::test(start_paused = true)]
async fn partial_success_is_counted_and_never_repeated() {
    let script = Script::new([Step::Reject(2)]);
    let line = line(&script, limits());
    line.submit(batch("a", 5)).unwrap();
    pass(60).await;
    let counters = finish(&line, 1).await;
    assert_eq!(script.bodies(), ["a"]);
    assert_eq!((counters.sent_items, counters.rejected_items), (3, 2));
    assert_eq!(counters.last_warning.as_deref(), Some("too old"));
}

#[tokio::test(start_paused = true)]
async fn a_request_is_given_up_at_its_age_and_counted() {
    let script = Script::new((0..1_000).map(|_| grpc(Code::Unavailable, None)));
    let line = line(&script, limits());
    line.submit(batch("a", 5)).unwrap();
    pass(200).await;
    let counters = finish(&line, 1).await;
    assert_eq!(counters.dropped(DropReason::RetriesExhausted), 5);
    assert_eq!(counters.retries + 1, script.times().len() as u64);
    assert!(script.times().iter().all(|&at| at <= 131.0), "{:?}", script.times());
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_and_keeps_what_it_took() {
    let script = Script::new([grpc(Code::Unavailable, None)]);
    let line = line(&script, Limits { queue_bytes: 2, ..limits() });
    line.submit(batch("a", 1)).unwrap();
    line.submit(batch("b", 1)).unwrap();
    assert_eq!(line.submit(batch("c", 7)), Err(SubmitError::QueueFull));
    pass(60).await;
    line.submit(batch("d", 1)).unwrap();
    let counters = finish(&line, 60).await;
    assert_eq!(script.bodies(), ["a", "a", "b", "d"]);
    assert_eq!((counters.sent_items, counters.dropped(DropReason::QueueFull), counters.submitted_items), (3, 7, 10));
}

#[tokio::test(start_paused = true)]
async fn shutdown_sends_everything_in_order_and_takes_nothing_more() {
    let script = Script::new([]);
    let line = line(&script, limits());
    for name in ["a", "b", "c"] {
        line.submit(batch(name, 1)).unwrap();
    }
    line.close();
    assert_eq!(line.submit(batch("d", 4)), Err(SubmitError::ShuttingDown));
    let counters = finish(&line, 10).await;
    assert_eq!(script.bodies(), ["a", "b", "c"]);
    assert_eq!((counters.sent_items, counters.dropped(DropReason::Shutdown)), (3, 4));
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_at_its_deadline_and_counts_the_rest() {
    let script = Script::new([Step::Hang]);
    let line = line(&script, limits());
    line.submit(batch("a", 2)).unwrap();
    line.submit(batch("b", 3)).unwrap();
    let before = Instant::now();
    let counters = finish(&line, 10).await;
    assert_eq!(before.elapsed(), Duration::from_secs(10));
    assert_eq!((counters.dropped(DropReason::Shutdown), counters.held_bytes, counters.in_flight), (5, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn shutdown_tries_once_more_where_nothing_listens() {
    let script = Script::new((0..100).map(|_| unreachable()));
    let line = line(&script, limits());
    line.submit(batch("a", 2)).unwrap();
    line.submit(batch("b", 2)).unwrap();
    pass(20).await;
    let attempts = script.times().len();
    let before = Instant::now();
    let counters = finish(&line, 300).await;
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert_eq!(script.times().len(), attempts + 2);
    assert_eq!(counters.dropped(DropReason::Shutdown), 4);
    let Health::Failing { error, .. } = counters.health else { panic!("{:?}", counters.health) };
    assert_eq!(error, "cannot connect to http://c: Connection refused");
}

#[tokio::test(start_paused = true)]
async fn a_request_above_the_limit_of_otlp_is_never_sent() {
    let script = Script::new([]);
    let line = line(&script, Limits { queue_bytes: usize::MAX, ..limits() });
    let payload = Bytes::from(vec![0; body::LARGEST_REQUEST + 1]);
    line.submit(EncodedBatch { signal: Signal::Traces, payload, items: 8 }).unwrap();
    let counters = finish(&line, 10).await;
    assert_eq!(script.bodies().len(), 0);
    assert_eq!(counters.dropped(DropReason::TooLarge), 8);
}
