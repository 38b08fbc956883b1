//! Exact metrics of requests and connections: every exchange is counted, before any sampling.
//!
//! Series belong to an entity `E` (one Resource each). They are bounded per entity and in all, begin when they are first
//! needed, and end with their entity or after long silence. Pure: times come in, points go out to a [`Visitor`], which
//! may keep a `C` (say, encoded attributes) with each series. Must know neither OTLP nor a clock.

pub mod histogram;
pub mod instruments;
pub mod messages;
pub mod series;
pub mod tcp;

use histogram::Histogram;
use instruments::{GROUPS, GroupId, Instrument, Shape, Source};
use remora_core::model::{ConnId, Exchange, Mono, SpanId, TraceId, nanos, semconv as s};
use rustc_hash::FxHashMap;
use series::{Attributes, Interval, Measure, Picked, Row, Settings, Table, pick};
use std::hash::Hash;

/// What a point of a sum or histogram covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Temporality {
    /// From the start of the series.
    Cumulative,
    /// From the collection before.
    Delta,
}

impl Temporality {
    /// Up-down counters and gauges have no sensible delta (as the specification's `delta` preference says).
    #[must_use]
    pub fn of(self, instrument: &Instrument) -> Self {
        match instrument.shape {
            Shape::UpDownCounter | Shape::Gauge => Self::Cumulative,
            Shape::Histogram(_) | Shape::Counter => self,
        }
    }
}

/// Whether the end of a series is told by a point without a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Staleness {
    /// Once, so that backends do not draw it on.
    Mark,
    /// Never: some backends store such points as values.
    Silent,
}

/// A request that a series may show as an example: the slowest exported one of the interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exemplar {
    /// Its duration in seconds.
    pub value: f64,
    /// When it ended.
    pub time: Mono,
    /// Its trace.
    pub trace: TraceId,
    /// Its span.
    pub span: SpanId,
}

/// Value of a point.
#[derive(Clone, Copy, Debug)]
pub enum Data<'a> {
    /// Of a counter or up-down counter.
    Sum(i64),
    /// Of a gauge.
    Gauge(i64),
    /// Of a histogram; never empty.
    Histogram(&'a Histogram),
    /// The series has ended.
    NoRecordedValue,
}

/// A point of a series.
#[derive(Clone, Copy, Debug)]
pub struct Point<'a> {
    /// From when on.
    pub start: Mono,
    /// Until when.
    pub time: Mono,
    /// Value.
    pub data: Data<'a>,
    /// Example.
    pub exemplar: Option<Exemplar>,
}

/// Takes the points of a collection: by entity, then by instrument.
pub trait Visitor<E, C> {
    /// One point. `cache` stays with the series' attribute set, which several instruments may share.
    fn point(&mut self, entity: E, instrument: &'static Instrument, attributes: Attributes<'_>, cache: &mut C, point: &Point<'_>);
}

/// How far the end of an entity has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Lives,
    /// Its last points are due.
    Ended,
    /// Its last points were reported; marks are due.
    Reported,
}

#[derive(Debug)]
struct Entity<C> {
    tables: [Option<Box<Table<C>>>; GROUPS.len()],
    life: Life,
}

/// All entities, and the limits that they share.
#[derive(Debug)]
struct Entities<E, C> {
    map: FxHashMap<E, Entity<C>>,
    settings: Settings,
    /// End of the last collection: a series that begins now was zero then.
    since: Mono,
    in_use: usize,
}

/// The registry.
#[derive(Debug)]
pub struct Aggregate<E, C = ()> {
    entities: Entities<E, C>,
    connections: FxHashMap<ConnId, tcp::Tracked<E>>,
}

impl<E: Copy + Eq + Hash, C: Default> Aggregate<E, C> {
    /// An empty registry; counting begins at `start`.
    #[must_use]
    pub fn new(settings: Settings, start: Mono) -> Self {
        let entities = Entities { map: FxHashMap::default(), settings, since: start, in_use: 0 };
        Self { entities, connections: FxHashMap::default() }
    }

    /// Counts a completed exchange of `entity` (see [`crate::trace::span::complete`]); `exported` is its span, if that is.
    pub fn exchange(&mut self, entity: E, exchange: &Exchange, exported: Option<(TraceId, SpanId)>) {
        let Some(id) = GroupId::of(exchange) else { return };
        let (group, end) = (id.group(), exchange.end());
        let row = self.entities.whole_row(entity, id, &pick(group.keys, &exchange.attrs), end);
        let seconds = end.since(exchange.request.first).as_secs_f64();
        for (instrument, measure) in group.instruments.iter().zip(&mut row.measures) {
            measure_exchange(instrument, measure, exchange, seconds);
        }
        if let Some((trace, span)) = exported
            && row.exemplar.is_none_or(|exemplar| exemplar.value < seconds)
        {
            row.exemplar = Some(Exemplar { value: seconds, time: end, trace, span });
        }
    }

    /// `entity` is over: the next collection reports its last points, the one after that their end.
    pub fn ended(&mut self, entity: E) {
        if let Some(entity) = self.entities.map.get_mut(&entity) {
            entity.life = Life::Ended;
        }
    }

    /// Reports all series to `visitor` and begins the next interval at `now`.
    pub fn collect(&mut self, now: Mono, visitor: &mut impl Visitor<E, C>) {
        self.entities.collect(now, visitor);
    }

    /// Series in use, overflow series not counted.
    #[must_use]
    pub fn series(&self) -> usize {
        self.entities.in_use
    }
}

fn measure_exchange(instrument: &Instrument, measure: &mut Measure, exchange: &Exchange, seconds: f64) {
    let bytes = match instrument.source {
        Source::Duration => return measure.record(seconds),
        Source::RequestBody => exchange.request.body_bytes,
        Source::ResponseBody => exchange.response.and_then(|response| response.body_bytes),
        Source::Messages => {
            // An operation that failed moved nothing; one that does not say how many moved one.
            let moved = if exchange.error.is_some() { 0 } else { exchange.attrs.int(s::MESSAGING_BATCH_MESSAGE_COUNT).unwrap_or(1) };
            return measure.add(u64::try_from(moved).unwrap_or(0));
        }
        Source::Other => None,
    };
    if let Some(bytes) = bytes {
        #[expect(clippy::cast_precision_loss, reason = "bodies beyond 2^53 bytes do not exist")]
        measure.record(bytes as f64);
    }
}

impl<E: Copy + Eq + Hash, C: Default> Entities<E, C> {
    fn whole_row(&mut self, entity: E, id: GroupId, picked: &Picked<'_>, at: Mono) -> &mut Row<C> {
        let Self { map, settings, since, in_use } = self;
        let entity = map.entry(entity).or_insert_with(|| Entity { tables: [const { None }; GROUPS.len()], life: Life::Lives });
        if entity.life == Life::Reported {
            // Something came late: it has its own last points.
            entity.life = Life::Ended;
        }
        let table = entity.tables[id as usize].get_or_insert_with(|| Box::new(Table::new(id.group())));
        let row = table.row(picked, *since, settings, in_use);
        row.updated = row.updated.max(at);
        row
    }

    fn row(&mut self, entity: E, id: GroupId, picked: &Picked<'_>, at: Mono) -> &mut [Measure] {
        &mut self.whole_row(entity, id, picked, at).measures
    }

    fn collect(&mut self, now: Mono, visitor: &mut impl Visitor<E, C>) {
        let interval = Interval { since: self.since, now };
        let settings = self.settings;
        let idle = nanos(settings.idle);
        let before = Mono(now.0.saturating_sub(idle));
        let mut freed = 0;
        self.map.retain(|id, entity| {
            let tables = entity.tables.iter_mut().flatten();
            if entity.life == Life::Reported {
                freed += tables.map(|table| table.end(*id, now, &settings, visitor)).sum::<usize>();
                return false;
            }
            for table in tables {
                table.report(*id, interval, &settings, visitor);
                freed += table.evict(*id, before, now, &settings, visitor);
            }
            for table in &mut entity.tables {
                table.take_if(|table| table.is_empty());
            }
            if entity.life == Life::Ended {
                entity.life = Life::Reported;
            }
            entity.life == Life::Reported || entity.tables.iter().any(Option::is_some)
        });
        self.in_use -= freed.min(self.in_use);
        self.since = now;
    }
}

#[cfg(test)]
mod tests;
