//! Which traces are exported: the samplers of the OpenTelemetry specification, decided by trace id so that both ends of
//! a call, on whatever node, decide alike.
//!
//! Sampling never touches metrics: those are aggregated before.

use remora_core::model::TraceId;

/// Whether a parent's decision is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParentRule {
    /// `parentbased_*`: a span with a parent is kept exactly if its parent is.
    Follow,
    /// Each span is judged by its trace id alone.
    Ignore,
}

/// What becomes of spans with an error in a trace that is not kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Errors {
    /// Dropped as the others.
    #[default]
    AsOthers,
    /// Kept, alone: they name no parent, as that was not exported.
    Keep,
}

/// A sampler of `OTEL_TRACES_SAMPLER`: `always_on` is ratio 1, `always_off` ratio 0.
#[derive(Clone, Copy, Debug)]
pub struct Sampler {
    parent: ParentRule,
    /// Traces whose 56 random bits are below this are dropped (W3C Trace Context 2 §2.2, `th` of consistent sampling).
    reject_below: u64,
    errors: Errors,
}

/// Random bits of a trace id: the last seven bytes.
const RANDOM_BITS: u32 = 56;

impl Sampler {
    /// `ratio` of the traces is kept; it is clamped to 0..=1, and what is no number keeps nothing.
    #[must_use]
    pub fn new(parent: ParentRule, ratio: f64, errors: Errors) -> Self {
        let all = (1_u64 << RANDOM_BITS) as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 2^56 by the clamp")]
        let kept = (ratio.clamp(0.0, 1.0) * all) as u64;
        Self { parent, reject_below: (1 << RANDOM_BITS) - kept, errors }
    }

    /// Whether a span of `trace` is kept, given its parent's decision if it has a parent.
    #[must_use]
    pub fn keeps(&self, trace: &TraceId, parent: Option<bool>) -> bool {
        match (self.parent, parent) {
            (ParentRule::Follow, Some(kept)) => kept,
            _ => random_bits(trace) >= self.reject_below,
        }
    }

    /// What becomes of errors in traces that are not kept.
    #[must_use]
    pub fn errors(&self) -> Errors {
        self.errors
    }
}

fn random_bits(trace: &TraceId) -> u64 {
    let [.., a, b, c, d, e, f, g] = *trace.bytes();
    u64::from_be_bytes([0, a, b, c, d, e, f, g])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::ids;
    use remora_core::model::CallKey;

    fn traces() -> impl Iterator<Item = TraceId> {
        (0..10_000).map(|n| ids::trace_id(&CallKey::new(n, 7, b"GET / HTTP/1.1")))
    }

    #[test]
    fn a_ratio_keeps_that_share_of_traces_and_a_larger_ratio_keeps_them_too() {
        let kept = |ratio: f64| {
            let sampler = Sampler::new(ParentRule::Ignore, ratio, Errors::AsOthers);
            traces().filter(|trace| sampler.keeps(trace, None)).collect::<Vec<_>>()
        };
        let (tenth, half) = (kept(0.1), kept(0.5));
        assert!((850..1150).contains(&tenth.len()), "{}", tenth.len());
        assert!((4700..5300).contains(&half.len()), "{}", half.len());
        assert!(tenth.iter().all(|trace| half.contains(trace)));
        assert_eq!((kept(0.0).len(), kept(1.0).len(), kept(f64::NAN).len()), (0, 10_000, 0));
    }

    #[test]
    fn a_parent_decides_only_for_samplers_that_follow_it() {
        let trace = traces().next().expect("one");
        let follow = Sampler::new(ParentRule::Follow, 0.0, Errors::AsOthers);
        let ignore = Sampler::new(ParentRule::Ignore, 0.0, Errors::AsOthers);
        assert_eq!([None, Some(true), Some(false)].map(|parent| follow.keeps(&trace, parent)), [false, true, false]);
        assert!(!ignore.keeps(&trace, Some(true)));
    }
}
