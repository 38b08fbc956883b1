//! Which messages are exported: rules of exclusion, and the first of a pattern in each interval, then one in so many.
//! Must never hold back an error for its rate, and touches no count.

use crate::config::{LogRate, LogRule};
use crate::entity::table::EntityId;
use crate::logs::Held;
use remora_core::model::nanos;
use remora_logs::{PatternId, Severity};
use rustc_hash::FxHashMap;

/// Most patterns whose rate is known at one time; beyond it all start anew.
const MAX_RATES: usize = 65_536;

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Exported.
    Export,
    /// A rule excludes it.
    Excluded,
    /// Its pattern had its share.
    RateLimited,
}

#[derive(Clone, Copy, Debug, Default)]
struct Rate {
    interval: u64,
    seen: u64,
}

/// See the module.
pub(super) struct Limits {
    rules: Vec<LogRule>,
    rate: Option<LogRate>,
    rates: FxHashMap<(EntityId, PatternId), Rate>,
}

impl Limits {
    pub(super) fn new(rules: Vec<LogRule>, rate: Option<LogRate>) -> Self {
        Self { rules, rate, rates: FxHashMap::default() }
    }

    /// Decides on a message that was read at `held.observed`.
    pub(super) fn decide(&mut self, held: &Held, pattern: PatternId, id: &str) -> Fate {
        if self.rules.iter().any(|rule| excludes(rule, held, id)) {
            return Fate::Excluded;
        }
        match self.rate {
            Some(limit) if held.record.severity < Severity::ERROR => self.share(limit, held, pattern),
            _ => Fate::Export,
        }
    }

    fn share(&mut self, limit: LogRate, held: &Held, pattern: PatternId) -> Fate {
        if self.rates.len() >= MAX_RATES {
            self.rates.clear();
        }
        let length = nanos(limit.interval).max(1);
        let interval = held.observed / length;
        let rate = self.rates.entry((held.origin.entity.id, pattern)).or_default();
        if rate.interval != interval {
            *rate = Rate { interval, seen: 0 };
        }
        rate.seen += 1;
        let beyond = rate.seen.saturating_sub(limit.first);
        if beyond == 0 || beyond.is_multiple_of(limit.every.max(1)) { Fate::Export } else { Fate::RateLimited }
    }
}

/// Whether all that a rule names is so.
fn excludes(rule: &LogRule, held: &Held, id: &str) -> bool {
    let entity = &held.origin.entity;
    let severity = held.record.severity;
    let named =
        rule.container.is_some() || rule.service.is_some() || rule.path.is_some() || rule.severity.is_some() || rule.pattern.is_some();
    named
        && rule.container.as_ref().is_none_or(|glob| entity.container_name().is_some_and(|name| glob.is_match(name)))
        && rule.service.as_ref().is_none_or(|glob| glob.is_match(&entity.service.name))
        && rule.path.as_ref().is_none_or(|glob| held.origin.path.as_deref().is_some_and(|path| glob.is_match(path)))
        // What has no severity is not known to be of little importance.
        && rule.severity.is_none_or(|limit| severity.is_specified() && severity.number() <= limit.last_number())
        && rule.pattern.as_ref().is_none_or(|glob| glob.is_match(id))
}
