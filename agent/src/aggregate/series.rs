//! The series of one group of instruments: attribute set → values, found without building a key.
//!
//! A series beyond the limit is counted in the overflow series instead: no measurement is lost.

use super::histogram::{Division, Histogram};
use super::instruments::{Group, Instrument, MAX_KEYS, Shape};
use super::{Data, Exemplar, Point, Staleness, Temporality, Visitor};
use hashbrown::HashTable;
use remora_core::model::{Attrs, Key, Mono, Value, semconv as s};
use rustc_hash::FxHasher;
use std::hash::{Hash, Hasher};
use std::time::Duration;

/// Value of an attribute of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scalar<'a> {
    /// Text.
    Str(&'a str),
    /// Integer.
    Int(i64),
    /// Truth value.
    Bool(bool),
}

#[derive(Clone, Debug)]
enum Owned {
    Str(Box<str>),
    Int(i64),
    Bool(bool),
}

impl Owned {
    fn of(scalar: Scalar<'_>) -> Self {
        match scalar {
            Scalar::Str(text) => Self::Str(text.into()),
            Scalar::Int(int) => Self::Int(int),
            Scalar::Bool(truth) => Self::Bool(truth),
        }
    }

    fn get(&self) -> Scalar<'_> {
        match self {
            Self::Str(text) => Scalar::Str(text),
            Self::Int(int) => Scalar::Int(*int),
            Self::Bool(truth) => Scalar::Bool(*truth),
        }
    }
}

/// Values of a group's keys, by their place in [`Group::keys`].
pub(super) type Picked<'a> = [Option<Scalar<'a>>; MAX_KEYS];

/// The values that `attrs` has for `keys`.
pub(super) fn pick<'a>(keys: &[Key], attrs: &'a Attrs) -> Picked<'a> {
    let mut picked = Picked::default();
    for (key, value) in attrs.iter() {
        if let Some(at) = keys.iter().position(|k| *k == key) {
            picked[at] = match value {
                Value::Str(text) => Some(Scalar::Str(text)),
                Value::Int(int) => Some(Scalar::Int(int)),
                Value::Bool(truth) => Some(Scalar::Bool(truth)),
                // What makes a series is a name or a number.
                Value::List(_) => None,
            };
        }
    }
    picked
}

fn hash_of(picked: &Picked<'_>) -> u64 {
    let mut hasher = FxHasher::default();
    picked.hash(&mut hasher);
    hasher.finish()
}

/// Attributes of a series.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    keys: &'static [Key],
    /// `None` for the overflow series.
    values: Option<&'a [Option<Owned>]>,
}

impl<'a> Attributes<'a> {
    /// The attributes that are set, in the order of the group's keys.
    pub fn iter(&self) -> impl Iterator<Item = (Key, Scalar<'a>)> {
        let overflow = self.values.is_none().then_some((s::OTEL_METRIC_OVERFLOW, Scalar::Bool(true)));
        let values = self.values.unwrap_or_default();
        let set = self.keys.iter().zip(values).filter_map(|(key, value)| Some((*key, value.as_ref()?.get())));
        overflow.into_iter().chain(set)
    }
}

/// What is measured of one instrument.
#[derive(Clone, Debug)]
pub(super) enum Measure {
    Histogram(Histogram),
    Counter { value: u64, changed: bool },
    UpDown(i64),
    Gauge(Option<i64>),
}

impl Measure {
    fn new(shape: Shape, division: Division) -> Self {
        match shape {
            Shape::Histogram(bounds) => Self::Histogram(Histogram::new(division, bounds)),
            Shape::Counter => Self::Counter { value: 0, changed: false },
            Shape::UpDownCounter => Self::UpDown(0),
            Shape::Gauge => Self::Gauge(None),
        }
    }

    pub(super) fn record(&mut self, value: f64) {
        if let Self::Histogram(histogram) = self {
            histogram.record(value);
        }
    }

    pub(super) fn add(&mut self, n: u64) {
        if let Self::Counter { value, changed } = self {
            *value = value.saturating_add(n);
            *changed = true;
        }
    }

    pub(super) fn shift(&mut self, by: i64) {
        if let Self::UpDown(value) = self {
            *value += by;
        }
    }

    pub(super) fn set(&mut self, to: Option<i64>) {
        if let Self::Gauge(value) = self {
            *value = to;
        }
    }

    /// What is to be reported; `None` if nothing was ever measured, or nothing in a delta's interval.
    fn data(&self, temporality: Temporality) -> Option<Data<'_>> {
        match self {
            Self::Histogram(histogram) => (histogram.count > 0).then_some(Data::Histogram(histogram)),
            Self::Counter { value, changed } => {
                let report = if temporality == Temporality::Delta { *changed } else { *value > 0 || *changed };
                report.then_some(Data::Sum(i64::try_from(*value).unwrap_or(i64::MAX)))
            }
            Self::UpDown(value) => Some(Data::Sum(*value)),
            Self::Gauge(value) => value.map(Data::Gauge),
        }
    }

    fn begin_interval(&mut self) {
        match self {
            Self::Histogram(histogram) => histogram.clear(),
            Self::Counter { value, changed } => (*value, *changed) = (0, false),
            Self::UpDown(_) | Self::Gauge(_) => {}
        }
    }

    /// Whether the value stands for something that goes on although nothing is measured.
    fn stands(&self) -> bool {
        match self {
            Self::UpDown(value) => *value != 0,
            Self::Gauge(value) => value.is_some(),
            _ => false,
        }
    }
}

/// One series of each instrument of the group.
#[derive(Debug)]
pub(super) struct Row<C> {
    hash: u64,
    values: Option<Box<[Option<Owned>]>>,
    start: Mono,
    pub(super) updated: Mono,
    pub(super) measures: Box<[Measure]>,
    pub(super) exemplar: Option<Exemplar>,
    cache: C,
}

impl<C> Row<C> {
    fn is(&self, picked: &Picked<'_>) -> bool {
        self.values.as_ref().is_some_and(|values| values.iter().zip(picked).all(|(own, other)| own.as_ref().map(Owned::get) == *other))
    }
}

/// Bounds and choices of a registry.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Most series of one group of one entity.
    pub per_entity: usize,
    /// Most series in all, overflow series not counted.
    pub per_node: usize,
    /// How long a series may be without a measurement before it is freed.
    pub idle: Duration,
    /// How histograms divide the line.
    pub division: Division,
    /// What points cover.
    pub temporality: Temporality,
    /// Whether the end of a series is told.
    pub staleness: Staleness,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            per_entity: 2000,
            per_node: 200_000,
            idle: Duration::from_secs(3600),
            division: Division::Explicit,
            temporality: Temporality::Cumulative,
            staleness: Staleness::Mark,
        }
    }
}

/// All series of one group of one entity.
#[derive(Debug)]
pub(super) struct Table<C> {
    group: &'static Group,
    index: HashTable<usize>,
    rows: Vec<Row<C>>,
    overflow: Option<Box<Row<C>>>,
}

/// Times of one collection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interval {
    /// When the one before ended.
    pub(super) since: Mono,
    pub(super) now: Mono,
}

impl<C: Default> Table<C> {
    pub(super) fn new(group: &'static Group) -> Self {
        Self { group, index: HashTable::new(), rows: Vec::new(), overflow: None }
    }

    /// Series of `picked`, a new one if there is room, else the overflow series. `in_use` counts the node's series.
    pub(super) fn row(&mut self, picked: &Picked<'_>, since: Mono, settings: &Settings, in_use: &mut usize) -> &mut Row<C> {
        let hash = hash_of(picked);
        let rows = &self.rows;
        if let Some(at) = self.index.find(hash, |at| rows[*at].is(picked)).copied() {
            return &mut self.rows[at];
        }
        if self.rows.len() >= settings.per_entity || *in_use >= settings.per_node {
            let group = self.group;
            return self.overflow.get_or_insert_with(|| Box::new(new_row(group, 0, None, since, settings.division)));
        }
        *in_use += 1;
        let values = picked[..self.group.keys.len()].iter().map(|value| value.map(Owned::of)).collect();
        let at = self.rows.len();
        self.rows.push(new_row(self.group, hash, Some(values), since, settings.division));
        let rows = &self.rows;
        self.index.insert_unique(hash, at, |at| rows[*at].hash);
        &mut self.rows[at]
    }

    /// Reports all series, and begins a new interval.
    pub(super) fn report<E: Copy>(&mut self, entity: E, interval: Interval, settings: &Settings, visitor: &mut impl Visitor<E, C>) {
        let Self { group, rows, overflow, .. } = self;
        for (at, instrument) in group.instruments.iter().enumerate() {
            for row in rows.iter_mut().chain(overflow.as_deref_mut()) {
                report(group.keys, instrument, at, row, entity, interval, settings, visitor);
            }
        }
    }

    /// Frees the series that had no measurement since `before`, and says so where that matters.
    pub(super) fn evict<E: Copy>(
        &mut self,
        entity: E,
        before: Mono,
        now: Mono,
        settings: &Settings,
        visitor: &mut impl Visitor<E, C>,
    ) -> usize {
        let ends = |row: &Row<C>| row.updated < before && !row.measures.iter().any(Measure::stands);
        let rows = self.rows.len();
        if self.overflow.as_deref().is_some_and(ends)
            && let Some(mut row) = self.overflow.take()
        {
            mark(self.group, &mut row, entity, now, settings, visitor);
        }
        if !self.rows.iter().any(ends) {
            return 0;
        }
        for mut row in self.rows.extract_if(.., |row| ends(row)) {
            mark(self.group, &mut row, entity, now, settings, visitor);
        }
        self.index.clear();
        let rows_left = &self.rows;
        for (at, row) in rows_left.iter().enumerate() {
            self.index.insert_unique(row.hash, at, |at| rows_left[*at].hash);
        }
        rows - self.rows.len()
    }

    /// Says of all series that they have ended. Returns how many there were.
    pub(super) fn end<E: Copy>(&mut self, entity: E, now: Mono, settings: &Settings, visitor: &mut impl Visitor<E, C>) -> usize {
        for row in self.rows.iter_mut().chain(self.overflow.as_deref_mut()) {
            mark(self.group, row, entity, now, settings, visitor);
        }
        self.rows.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.overflow.is_none()
    }
}

fn new_row<C: Default>(group: &Group, hash: u64, values: Option<Box<[Option<Owned>]>>, start: Mono, division: Division) -> Row<C> {
    let measures = group.instruments.iter().map(|instrument| Measure::new(instrument.shape, division)).collect();
    Row { hash, values, start, updated: start, measures, exemplar: None, cache: C::default() }
}

#[expect(clippy::too_many_arguments, reason = "one place that turns a row into a point")]
fn report<E: Copy, C>(
    keys: &'static [Key],
    instrument: &'static Instrument,
    at: usize,
    row: &mut Row<C>,
    entity: E,
    interval: Interval,
    settings: &Settings,
    visitor: &mut impl Visitor<E, C>,
) {
    let temporality = settings.temporality.of(instrument);
    let Some(data) = row.measures[at].data(temporality) else { return };
    let start = if temporality == Temporality::Delta { interval.since } else { row.start };
    // The exemplar is of the first instrument, the duration.
    let exemplar = if at == 0 { row.exemplar.take() } else { None };
    let point = Point { start, time: interval.now, data, exemplar };
    visitor.point(entity, instrument, Attributes { keys, values: row.values.as_deref() }, &mut row.cache, &point);
    if temporality == Temporality::Delta {
        row.measures[at].begin_interval();
    }
}

/// Tells the end of each reported series. Deltas need none: an interval without a point says it.
fn mark<E: Copy, C>(group: &'static Group, row: &mut Row<C>, entity: E, now: Mono, settings: &Settings, visitor: &mut impl Visitor<E, C>) {
    if settings.staleness == Staleness::Silent {
        return;
    }
    for (instrument, measure) in group.instruments.iter().zip(&row.measures) {
        let reported = settings.temporality.of(instrument) == Temporality::Cumulative && measure.data(Temporality::Cumulative).is_some();
        if reported {
            let point = Point { start: row.start, time: now, data: Data::NoRecordedValue, exemplar: None };
            visitor.point(entity, instrument, Attributes { keys: group.keys, values: row.values.as_deref() }, &mut row.cache, &point);
        }
    }
}
