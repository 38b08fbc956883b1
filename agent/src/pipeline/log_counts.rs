//! `remora.log.records`: messages of each container or unit by severity, pattern and stream, exact before any limit.
//!
//! Patterns are limited by their tables, and a series that is silent for long ends; both bound the number of series.

use super::log_batch::iostream;
use super::spans::Sheets;
use crate::config::Temporality as Preference;
use crate::entity::table::{Entity, EntityId};
use remora_core::model::{nanos, semconv};
use remora_logs::envelope::Stream;
use remora_logs::{PatternId, Severity};
use remora_otlp::{
    Attribute, Encoded, EncodedBatch, Interval, MetricName, Metrics, Number, NumberPoint, SumKind, Temporality, Value, field,
};
use rustc_hash::FxHashMap;
use std::sync::Arc;
use std::time::Duration;

const NAME: MetricName<'static> =
    MetricName { name: "remora.log.records", description: "Log messages, counted before any limit.", unit: "{record}" };

/// What tells the series of an entity apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    severity: Severity,
    pattern: PatternId,
    stream: Option<Stream>,
}

#[derive(Debug)]
struct Series {
    count: u64,
    start: u64,
    last: u64,
}

struct Counted {
    entity: Arc<Entity>,
    series: FxHashMap<Key, Series>,
}

/// See the module.
pub(super) struct Counts {
    entities: FxHashMap<EntityId, Counted>,
    sheets: Sheets<Metrics>,
    temporality: Temporality,
    staleness: Duration,
    exported: u64,
}

impl Counts {
    /// Nothing counted; `now` in nanoseconds since the Unix epoch.
    pub(super) fn new(preference: Preference, staleness: Duration, now: u64) -> Self {
        let temporality = match preference {
            Preference::Cumulative => Temporality::Cumulative,
            // A counter is delta in both.
            Preference::Delta | Preference::LowMemory => Temporality::Delta,
        };
        Self { entities: FxHashMap::default(), sheets: Sheets::new(), temporality, staleness, exported: now }
    }

    /// Counts one message.
    pub(super) fn add(&mut self, entity: &Arc<Entity>, severity: Severity, pattern: PatternId, stream: Option<Stream>, now: u64) {
        let counted =
            self.entities.entry(entity.id).or_insert_with(|| Counted { entity: Arc::clone(entity), series: FxHashMap::default() });
        if !Arc::ptr_eq(&counted.entity, entity) {
            counted.entity = Arc::clone(entity);
        }
        let start = self.exported;
        let key = Key { severity, pattern, stream };
        let series = counted.series.entry(key).or_insert_with(|| Series { count: 0, start, last: now });
        series.count += 1;
        series.last = now;
    }

    /// The points of all series at `now`; silent ones end.
    pub(super) fn collect(&mut self, now: u64) -> Vec<EncodedBatch> {
        let staleness = nanos(self.staleness);
        let (temporality, sheets) = (self.temporality, &mut self.sheets);
        let mut attributes = Encoded::default();
        for counted in self.entities.values_mut() {
            let items = &mut sheets.of(&counted.entity).items;
            items.sum(NAME, temporality, SumKind::Monotonic, |points| {
                for (key, series) in &counted.series {
                    describe(key, &mut attributes);
                    let interval = Interval { start_unix_nano: series.start, time_unix_nano: now };
                    let value = Some(Number::I64(i64::try_from(series.count).unwrap_or(i64::MAX)));
                    points.push(&NumberPoint { interval, value, exemplars: &[], attributes: &attributes });
                }
            });
            match temporality {
                Temporality::Delta => counted.series.clear(),
                Temporality::Cumulative => counted.series.retain(|_, series| now.saturating_sub(series.last) < staleness),
            }
        }
        self.entities.retain(|_, counted| !counted.series.is_empty());
        self.exported = now;
        self.sheets.pack()
    }
}

fn describe(key: &Key, attributes: &mut Encoded<{ field::NUMBER_POINT }>) {
    attributes.clear();
    let id = key.pattern.to_string();
    attributes.extend([
        Attribute { key: semconv::REMORA_LOG_SEVERITY_NUMBER.name(), value: Value::I64(i64::from(key.severity.number())) },
        Attribute { key: semconv::REMORA_LOG_RECORD_TEMPLATE_ID.name(), value: Value::Str(&id) },
    ]);
    attributes.extend(key.stream.map(|stream| Attribute { key: semconv::LOG_IOSTREAM.name(), value: Value::Str(iostream(stream)) }));
}
