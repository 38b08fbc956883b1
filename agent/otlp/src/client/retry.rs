//! When a request is sent again, and after how long. Pure: instants and randomness come in.
//!
//! Source: OTLP specification 1.11, "Failures", "OTLP/gRPC Throttling", "OTLP/HTTP Throttling".
//! One backoff serves one destination: a receiver that asks for a pause gets it from every request
//! of the signal, not only from the one that was refused.

use std::time::{Duration, SystemTime};

use http::StatusCode;
use tokio::time::Instant;
use tonic::Code;

use super::account::DropReason;
use super::error::SendError;

/// A pause that a receiver asks for is honoured up to here; it must not stop the client for good.
const LONGEST_ASKED: Duration = Duration::from_secs(300);

/// How failed requests are repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Pause after the first failure.
    pub first: Duration,
    /// Longest pause; each one is twice the one before.
    pub longest: Duration,
    /// Age of a request, since its first attempt, at which it is dropped and counted.
    pub give_up_after: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { first: Duration::from_millis(500), longest: Duration::from_secs(30), give_up_after: Duration::from_secs(300) }
    }
}

/// What to do after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Send again, not before the time the receiver asked for.
    Retry { asked: Option<Duration> },
    /// Never send again.
    Drop(DropReason),
}

pub(crate) fn judge(error: &SendError) -> Verdict {
    match error {
        // TLS is retried as any connection that cannot be made: certificates get repaired.
        SendError::Unreachable { .. } | SendError::Tls { .. } | SendError::Disconnected { .. } | SendError::TimedOut { .. } => {
            Verdict::Retry { asked: None }
        }
        SendError::Grpc { code, retry_after, .. } => judge_grpc(*code, *retry_after),
        SendError::Http { status, retry_after, .. } => judge_http(*status, *retry_after),
        SendError::NotOtlp { .. } | SendError::AnswerTooLarge { .. } => Verdict::Drop(DropReason::Refused),
        SendError::RequestTooLarge { .. } => Verdict::Drop(DropReason::TooLarge),
        SendError::Compression(_) => Verdict::Drop(DropReason::Unencodable),
    }
}

fn judge_grpc(code: Code, retry_after: Option<Duration>) -> Verdict {
    match code {
        Code::Cancelled | Code::DeadlineExceeded | Code::Aborted | Code::OutOfRange | Code::Unavailable | Code::DataLoss => {
            Verdict::Retry { asked: retry_after }
        }
        Code::ResourceExhausted if retry_after.is_some() => Verdict::Retry { asked: retry_after },
        _ => Verdict::Drop(DropReason::Refused),
    }
}

fn judge_http(status: StatusCode, retry_after: Option<Duration>) -> Verdict {
    match status.as_u16() {
        429 | 502 | 503 | 504 => Verdict::Retry { asked: retry_after },
        _ => Verdict::Drop(DropReason::Refused),
    }
}

/// `Retry-After` as seconds or as an HTTP-date (RFC 9110 section 10.2.3).
pub(crate) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// Why nothing is sent at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pause {
    /// Own exponential backoff.
    Backoff(Instant),
    /// The receiver asked for it.
    Asked(Instant),
}

impl Pause {
    pub(crate) fn until(self) -> Instant {
        match self {
            Pause::Backoff(until) | Pause::Asked(until) => until,
        }
    }
}

/// The pauses of one destination.
#[derive(Debug)]
pub(crate) struct Backoff {
    policy: RetryPolicy,
    failures: u32,
    failed_at: Option<Instant>,
    pause: Option<Pause>,
}

impl Backoff {
    pub(crate) fn new(policy: RetryPolicy) -> Self {
        Self { policy, failures: 0, failed_at: None, pause: None }
    }

    /// The pause at `now`, if there is one.
    pub(crate) fn pause(&self, now: Instant) -> Option<Pause> {
        self.pause.filter(|pause| pause.until() > now)
    }

    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
        // A pause that the receiver asked for stands, whatever other requests achieved.
        self.pause = self.pause.filter(|pause| matches!(pause, Pause::Asked(_)));
    }

    /// Notes a failure of an attempt begun at `started`; `random` decides the jitter.
    ///
    /// Requests in flight together fail together: only the first of them lengthens the pause.
    pub(crate) fn failed(&mut self, started: Instant, now: Instant, asked: Option<Duration>, random: u64) {
        if self.failed_at.is_none_or(|failed_at| started >= failed_at) {
            self.failures = self.failures.saturating_add(1);
            self.failed_at = Some(now);
            self.pause_until(Pause::Backoff(now + jittered(self.step(), random)));
        }
        if let Some(asked) = asked {
            self.pause_until(Pause::Asked(now + asked.min(LONGEST_ASKED)));
        }
    }

    /// Ends an own pause, so that a last attempt can be made; never one that was asked for.
    pub(crate) fn hurry(&mut self) {
        self.pause = self.pause.filter(|pause| matches!(pause, Pause::Asked(_)));
    }

    fn pause_until(&mut self, pause: Pause) {
        if self.pause.is_none_or(|current| current.until() <= pause.until()) {
            self.pause = Some(pause);
        }
    }

    fn step(&self) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(20);
        self.policy.first.saturating_mul(1 << doublings).min(self.policy.longest)
    }
}

/// Between half of `step` and all of it.
fn jittered(step: Duration, random: u64) -> Duration {
    let half = step / 2;
    let share = (random >> 40) as f64 / (1u64 << 24) as f64;
    half + half.mul_f64(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grpc(code: Code, retry_after: Option<Duration>) -> Verdict {
        judge(&SendError::Grpc { endpoint: String::new(), code, message: String::new(), retry_after })
    }

    #[test]
    fn grpc_codes_as_in_the_table_of_the_specification() {
        let retryable = [1, 4, 10, 11, 14, 15];
        for number in 1..=16 {
            let expected = if retryable.contains(&number) { Verdict::Retry { asked: None } } else { Verdict::Drop(DropReason::Refused) };
            assert_eq!(grpc(Code::from_i32(number), None), expected, "code {number}");
        }
        let asked = Some(Duration::from_secs(3));
        assert_eq!(grpc(Code::ResourceExhausted, asked), Verdict::Retry { asked });
        assert_eq!(grpc(Code::Unavailable, asked), Verdict::Retry { asked });
        assert_eq!(grpc(Code::InvalidArgument, asked), Verdict::Drop(DropReason::Refused));
    }

    #[test]
    fn http_codes_as_in_the_table_of_the_specification() {
        for number in 300..600 {
            let status = StatusCode::from_u16(number).unwrap();
            let verdict = judge(&SendError::Http { endpoint: String::new(), status, message: String::new(), retry_after: None });
            assert_eq!(matches!(verdict, Verdict::Retry { .. }), [429, 502, 503, 504].contains(&number), "{number}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Wed, 21 Oct 2026 07:28:00 GMT").unwrap();
        assert_eq!(retry_after("120", now), Some(Duration::from_secs(120)));
        assert_eq!(retry_after(" 0 ", now), Some(Duration::ZERO));
        assert_eq!(retry_after("Wed, 21 Oct 2026 07:28:30 GMT", now), Some(Duration::from_secs(30)));
        assert_eq!(retry_after("Wed, 21 Oct 2026 07:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
        assert_eq!(retry_after("-1", now), None);
    }

    fn policy() -> RetryPolicy {
        RetryPolicy { first: Duration::from_secs(1), longest: Duration::from_secs(8), give_up_after: Duration::from_secs(60) }
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_jitter_stays_within_half() {
        let mut now = Instant::now();
        for (random, share) in [(0, 0.5), (u64::MAX, 1.0)] {
            let mut backoff = Backoff::new(policy());
            for step in [1.0, 2.0, 4.0, 8.0, 8.0] {
                backoff.failed(now, now, None, random);
                let until = backoff.pause(now).unwrap().until();
                assert!(((until - now).as_secs_f64() - step * share).abs() < 0.001, "{step}");
                now = until;
                assert_eq!(backoff.pause(now), None);
            }
        }
    }

    #[test]
    fn failures_of_the_same_moment_count_once() {
        let now = Instant::now();
        let later = now + Duration::from_millis(10);
        let mut backoff = Backoff::new(policy());
        (0..10).for_each(|_| backoff.failed(now, later, None, u64::MAX));
        let pause = backoff.pause(later).unwrap().until() - later;
        assert!(pause <= Duration::from_secs(1), "{pause:?}");
    }

    #[test]
    fn a_pause_that_was_asked_for_outlives_success_and_hurry() {
        let now = Instant::now();
        let mut backoff = Backoff::new(policy());
        backoff.failed(now, now, Some(Duration::from_secs(20)), 0);
        backoff.succeeded();
        backoff.hurry();
        assert_eq!(backoff.pause(now), Some(Pause::Asked(now + Duration::from_secs(20))));
        backoff.failed(now, now, Some(Duration::from_secs(1_000_000)), 0);
        assert_eq!(backoff.pause(now), Some(Pause::Asked(now + LONGEST_ASKED)));
    }

    #[test]
    fn success_ends_the_own_backoff() {
        let now = Instant::now();
        let mut backoff = Backoff::new(policy());
        backoff.failed(now, now, None, 0);
        backoff.succeeded();
        assert_eq!(backoff.pause(now), None);
    }
}
