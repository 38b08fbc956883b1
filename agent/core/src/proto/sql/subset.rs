//! For tests of the protocols that carry SQL: whether exchanges of a stream with holes are some of the whole stream's.

use crate::model::Exchange;
use crate::model::semconv as s;
use crate::testkit::Outcome;
use proptest::prelude::*;

/// Call key, summary and error, whether the text was cut, and whether nothing is missing.
type Fact = (Option<u32>, Option<String>, Option<String>, bool, bool);

/// What may be missing in part, and must never be another.
fn facts(outcome: &Outcome) -> Vec<Fact> {
    let fact = |exchange: &Exchange| {
        let text = |key| exchange.attrs.str(key).map(str::to_owned);
        let missing = exchange.completeness;
        (exchange.call.map(|call| call.seq), text(s::DB_QUERY_SUMMARY), exchange.error.clone(), missing.request_cut, missing.is_complete())
    };
    outcome.exchanges.iter().map(fact).collect()
}

/// Fails where an exchange of `holed` is none of `whole`, or another.
pub(in crate::proto) fn check(whole: &Outcome, holed: &Outcome) -> Result<(), TestCaseError> {
    let whole = facts(whole);
    for (seq, summary, error, cut, complete) in facts(holed) {
        let same = whole.iter().find(|(other, ..)| *other == seq);
        let (_, whole_summary, whole_error, ..) =
            same.ok_or_else(|| TestCaseError::fail(format!("{summary:?} is no exchange of the whole")))?;
        let fits = summary.is_none()
            || summary == *whole_summary
            || cut && whole_summary.as_deref().unwrap_or_default().starts_with(summary.as_deref().unwrap_or_default());
        prop_assert!(fits, "{:?} for {:?}", summary, whole_summary);
        prop_assert!(!complete || error == *whole_error, "{:?} for {:?}", error, whole_error);
    }
    Ok(())
}
