//! The log thread: lines of all sources in, log records, counts and patterns out.
//!
//! Messages are held until their batch is made, so that all messages of a pattern carry the id that the pattern has then.
//! Positions of sources are written in front of each batch and count once the batch has left, so that nothing is lost by
//! a kill, and what may come twice is known. It may wait for a disk, and so is not the capture thread.

use super::log_batch::{LogBuffer, Pattern};
use super::log_counts::Counts;
use super::log_limits::{Fate, Limits};
use super::served::{Feed, SpanJoin};
use super::spans::Outlet;
use crate::config::{LogRate, LogRule, RedactionRule, Temporality};
use crate::entity::table::{Entities, Entity, EntityId, EntityKind};
use crate::logs::{Held, Intake, Origin, Sources, State, Store, TableId, Work, is_selected};
use crate::selection::Selection;
use crate::selfobs::{Counters, Event, Loss};
use crate::view::{PatternSeen, UnixNanos, View};
use remora_logs::structured::Value as Field;
use remora_logs::table::{Change, overflow_id};
use remora_logs::{PatternId, Severity};
use remora_otlp::EncodedBatch;
use remora_otlp::client::Receipt;
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Sleep while nothing is new.
const IDLE: Duration = Duration::from_millis(100);
/// Bytes of messages that wait, at most about so many.
const HELD_BYTES: usize = 4 << 20;
/// What can be read in this time is still read when the agent stops; the rest has its turn after the next start.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Between writes of what was learned of patterns.
const PATTERNS: Duration = Duration::from_secs(30);
/// Most batches whose positions are known apart.
const MAX_FLIGHTS: usize = 16;

/// Where log records go. Must not block.
pub trait LogOutlet: Send {
    /// Takes a batch, or counts it as dropped; the receipt tells when it is settled.
    fn submit_tracked(&self, batch: EncodedBatch) -> Receipt;
}

/// Bounds and rules of log export.
pub struct LogSettings {
    /// Records in one export.
    pub batch: usize,
    /// Longest time that a record waits.
    pub delay: Duration,
    /// Between exports of metrics.
    pub metrics_interval: Duration,
    /// Of counters.
    pub temporality: Temporality,
    /// After which a series ends.
    pub staleness: Duration,
    /// What the user wants observed at all.
    pub selection: Selection,
    /// Records that are not exported.
    pub exclude: Vec<LogRule>,
    /// Rate limit.
    pub rate: Option<LogRate>,
    /// Redactions of the user.
    pub redactions: Vec<RedactionRule>,
}

/// What the log thread needs.
pub struct LogParts {
    /// Where lines come from.
    pub sources: Sources,
    /// Where they become messages.
    pub intake: Intake,
    /// Where positions are kept; `None` if the state directory cannot be used.
    pub store: Option<Store>,
    /// Where records go.
    pub records: Box<dyn LogOutlet>,
    /// Where metrics go.
    pub metrics: Box<dyn Outlet>,
    /// Requests that the processes of this node serve.
    pub served: Feed,
    /// Whose processes those are.
    pub entities: Entities,
    /// Live view.
    pub view: View,
    /// The agent's counters.
    pub counters: Arc<Counters>,
    /// Bounds and rules.
    pub settings: LogSettings,
}

/// A batch on its way, and the positions that are done once it has left.
struct Flight {
    receipts: Vec<Receipt>,
    state: State,
}

/// What is left when the thread has ended: positions that count if the last batches arrive.
pub struct Landing {
    store: Option<Store>,
    done: State,
    flights: VecDeque<Flight>,
    counters: Arc<Counters>,
}

/// Whether everything that was on its way when the agent stopped has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It has.
    All,
    /// Some of it was given up: it is sent again after the next start.
    Partial,
}

impl Landing {
    /// Writes the last positions, after the exporter has ended.
    pub fn settle(mut self, arrival: Arrival) {
        let sent = self.flights.back().map_or_else(|| self.done.clone(), |flight| flight.state.clone());
        if arrival == Arrival::All {
            self.done = sent.clone();
        }
        if let Some(store) = &mut self.store
            && let Err(error) = store.save_last(&self.done, &sent)
        {
            self.counters.lost(Loss::StateWrite, 1);
            tracing::error!(%error, "positions of logs could not be written: lines may be sent again");
        }
    }
}

/// Runs until `stop` is set, then reads what is there, completes open messages and submits them.
pub fn run(parts: LogParts, stop: &AtomicBool) -> Landing {
    let now = Instant::now();
    let mut desk = LogDesk::new(parts, now);
    let (mut exported, mut kept, mut stopped) = (now, now, None);
    loop {
        let now = Instant::now();
        if stop.load(Ordering::Relaxed) {
            stopped.get_or_insert(now);
        }
        let wall = UnixNanos::now().0;
        let work = desk.turn(now, wall);
        if now.duration_since(exported) >= desk.settings.metrics_interval {
            exported = now;
            desk.export_counts(wall);
        }
        if now.duration_since(kept) >= PATTERNS {
            kept = now;
            desk.intake.save();
        }
        if stopped.is_some_and(|stopped| work != Work::More || now.duration_since(stopped) >= LAST_WORDS) {
            return desk.end(wall);
        }
        if work != Work::More {
            std::thread::sleep(IDLE.min(desk.settings.delay));
        }
    }
}

struct LogDesk {
    sources: Sources,
    intake: Intake,
    store: Option<Store>,
    records: Box<dyn LogOutlet>,
    metrics: Box<dyn Outlet>,
    join: SpanJoin,
    view: View,
    counters: Arc<Counters>,
    settings: LogSettings,
    limits: Limits,
    counts: Counts,
    buffer: LogBuffer,
    done: State,
    flights: VecDeque<Flight>,
    flushed: Instant,
    /// Why positions could last not be written, so that it is told once.
    trouble: Option<std::io::ErrorKind>,
}

/// Messages of one pattern, severity and service in one batch, for the live view.
struct Seen {
    count: u64,
    example: usize,
}

impl LogDesk {
    fn new(parts: LogParts, now: Instant) -> Self {
        let LogParts { mut sources, intake, store, records, metrics, served, entities, view, counters, mut settings } = parts;
        let wall = UnixNanos::now().0;
        let limits = Limits::new(std::mem::take(&mut settings.exclude), settings.rate);
        let counts = Counts::new(settings.temporality, settings.staleness, wall);
        let done = sources.positions();
        Self {
            sources,
            intake,
            store,
            records,
            metrics,
            join: SpanJoin::new(served, entities, wall),
            view,
            counters,
            settings,
            limits,
            counts,
            buffer: LogBuffer::new(),
            done,
            flights: VecDeque::new(),
            flushed: now,
            trouble: None,
        }
    }

    fn turn(&mut self, now: Instant, wall: u64) -> Work {
        let batch = self.settings.batch;
        let full = |intake: &Intake| intake.waiting() >= batch || intake.waiting_bytes() >= HELD_BYTES;
        let work = self.sources.turn(&mut self.intake, now, wall, full);
        self.join.listen();
        let waiting = self.intake.waiting() > 0;
        if full(&self.intake) || (waiting && now.duration_since(self.flushed) >= self.settings.delay) {
            self.flush(now);
        } else if !waiting {
            self.flushed = now;
        }
        self.land(now);
        work
    }

    /// Makes the batches of all messages that wait.
    fn flush(&mut self, now: Instant) {
        self.flushed = now;
        let mut held = self.intake.take();
        self.describe(&mut held);
        // The journal has the records of many.
        let read = held.len();
        let mut selected: FxHashMap<EntityId, bool> = FxHashMap::default();
        held.retain(|held| {
            let entity = &held.origin.entity;
            *selected.entry(entity.id).or_insert_with(|| is_selected(&self.settings.selection, entity))
        });
        self.counters.lost(Loss::Excluded, (read - held.len()) as u64);
        held.iter_mut().for_each(|held| redact(held, &self.settings.redactions));
        let (patterns, spans) = (self.patterns(&held), self.join.spans(&held));
        self.counters.count(Event::JoinedRecords, spans.iter().flatten().count() as u64);
        let mut batches = Vec::new();
        self.announce(&held, &patterns);
        for ((held, pattern), span) in held.iter().zip(&patterns).zip(&spans) {
            self.counts.add(&held.origin.entity, held.record.severity, pattern.id, held.stream, held.observed);
            self.counters.count(Event::LogRecords, 1);
            self.count_losses(held, pattern);
            match self.limits.decide(held, pattern.id, &pattern.text) {
                Fate::Export => self.buffer.add(held, pattern, span.as_ref()),
                Fate::Excluded => self.counters.lost(Loss::Excluded, 1),
                Fate::RateLimited => self.counters.lost(Loss::RateLimit, 1),
            }
            if self.buffer.len() >= self.settings.batch {
                batches.extend(self.buffer.pack());
            }
        }
        batches.extend(self.buffer.pack());
        self.show(&held, &patterns);
        let state = self.sources.positions();
        self.save(&state, now);
        let receipts = batches.into_iter().map(|batch| self.records.submit_tracked(batch)).collect();
        self.take_off(Flight { receipts, state });
        self.intake.make_room();
    }

    /// Gives messages of containers that were strangers when they were read what has become known of those since.
    fn describe(&mut self, held: &mut [Held]) {
        let mut known: FxHashMap<EntityId, Option<Arc<Entity>>> = FxHashMap::default();
        let is_stranger = |entity: &Entity| entity.kind == EntityKind::Container && entity.container.is_none();
        for held in held.iter_mut().filter(|held| is_stranger(&held.origin.entity)) {
            let stranger = &held.origin.entity;
            if let Some(entity) = known.entry(stranger.id).or_insert_with(|| self.sources.described(stranger)) {
                held.origin = Arc::new(Origin { entity: Arc::clone(entity), path: held.origin.path.clone() });
            }
        }
    }

    fn count_losses(&self, held: &Held, pattern: &Pattern) {
        if held.record.dropped_bytes > 0 {
            self.counters.lost(Loss::LineTooLong, 1);
        }
        if pattern.id == overflow_id(held.record.severity) {
            self.counters.lost(Loss::PatternLimit, 1);
        }
    }

    /// The pattern of each message, as it is now.
    fn patterns(&self, held: &[Held]) -> Vec<Pattern> {
        let mut known: FxHashMap<(TableId, PatternId, Severity), Pattern> = FxHashMap::default();
        let of = |held: &Held| {
            let (table, id, severity) = (held.table, held.record.pattern, held.record.severity);
            let pattern = known.entry((table, id, severity)).or_insert_with(|| {
                let (id, template) = self.intake.pattern(table, id, severity);
                Pattern::new(id, template)
            });
            pattern.clone()
        };
        held.iter().map(of).collect()
    }

    /// Tells of patterns that are new, and of those that became part of others since they were told of.
    fn announce(&mut self, held: &[Held], patterns: &[Pattern]) {
        let tables: FxHashSet<TableId> = held.iter().map(|held| held.table).collect();
        for table in tables {
            let changes = self.intake.changes(table);
            let new: FxHashSet<PatternId> =
                changes.iter().filter_map(|change| if let Change::New { id, .. } = change { Some(*id) } else { None }).collect();
            let of = |id: PatternId| held.iter().zip(patterns).find(|(held, pattern)| held.table == table && pattern.id == id);
            for change in &changes {
                match change {
                    Change::New { id, severity, .. } => {
                        if let Some((held, pattern)) = of(*id) {
                            self.buffer.new_pattern(held, pattern, *severity);
                        }
                    }
                    // One that came and went within this batch was never told of.
                    Change::Alias { old, new: into } if !new.contains(old) => {
                        let (into, _) = self.intake.pattern(table, *into, Severity::UNSPECIFIED);
                        if let Some((held, pattern)) = of(into) {
                            self.buffer.merged_pattern(held, *old, pattern);
                        }
                    }
                    Change::Alias { .. } | Change::Evicted { .. } => {}
                }
            }
        }
    }

    fn show(&self, held: &[Held], patterns: &[Pattern]) {
        let mut seen: FxHashMap<(u32, PatternId, Severity), Seen> = FxHashMap::default();
        for (index, (held, pattern)) in held.iter().zip(patterns).enumerate() {
            let key = (held.origin.entity.id.0, pattern.id, held.record.severity);
            seen.entry(key).or_insert(Seen { count: 0, example: index }).count += 1;
        }
        for ((_, _, severity), Seen { count, example }) in seen {
            let (held, pattern) = (&held[example], &patterns[example]);
            self.view.log_pattern(&PatternSeen {
                service: &held.origin.entity.service.name,
                id: &pattern.text,
                severity: severity.number(),
                template: &pattern.template,
                example: &held.record.body,
                count,
                time: UnixNanos(held.observed),
            });
        }
    }

    fn take_off(&mut self, flight: Flight) {
        let crowded = self.flights.len() >= MAX_FLIGHTS;
        match self.flights.back_mut() {
            Some(last) if crowded => {
                last.receipts.retain(|receipt| !receipt.is_settled());
                last.receipts.extend(flight.receipts);
                last.state = flight.state;
            }
            _ => self.flights.push_back(flight),
        }
    }

    /// Takes note of batches that have left, in their order.
    fn land(&mut self, now: Instant) {
        let mut landed = None;
        while self.flights.front().is_some_and(|flight| flight.receipts.iter().all(Receipt::is_settled)) {
            landed = self.flights.pop_front();
        }
        let Some(Flight { state, .. }) = landed else { return };
        self.done = state;
        // While more is on its way, the next batch writes it.
        if self.flights.is_empty() {
            let sent = self.done.clone();
            self.save(&sent, now);
        }
    }

    fn save(&mut self, sent: &State, now: Instant) {
        let Some(store) = &mut self.store else { return };
        match store.save(&self.done, sent, now) {
            Ok(()) => self.trouble = None,
            Err(error) => {
                self.counters.lost(Loss::StateWrite, 1);
                if self.trouble.replace(error.kind()) != Some(error.kind()) {
                    tracing::warn!(%error, "positions of logs cannot be written: lines may be sent again after a restart");
                }
            }
        }
    }

    fn export_counts(&mut self, wall: u64) {
        self.counts.collect(wall).into_iter().for_each(|batch| self.metrics.submit(batch));
    }

    fn end(mut self, wall: u64) -> Landing {
        let now = Instant::now();
        self.sources.finish(&mut self.intake, now, wall);
        if self.intake.waiting() > 0 {
            self.flush(now);
        }
        self.export_counts(wall);
        self.intake.save();
        Landing { store: self.store, done: self.done, flights: self.flights, counters: self.counters }
    }
}

/// Applies the user's redactions to everything that is text.
fn redact(held: &mut Held, rules: &[RedactionRule]) {
    let record = &mut held.record;
    let exception = record.exception.iter_mut().flat_map(|exception| [&mut exception.message, &mut exception.stacktrace]);
    let fields = record.attributes.iter_mut().filter_map(|(_, value)| if let Field::String(text) = value { Some(text) } else { None });
    for text in [&mut record.body].into_iter().chain(exception).chain(fields) {
        for rule in rules {
            if let std::borrow::Cow::Owned(clean) = rule.pattern.replace_all(text, rule.replacement.as_str()) {
                *text = clean;
            }
        }
    }
}
