//! What the walk over one message brings to light, ready to become attributes.

use super::errors;
use super::memory::Memory;
use super::records::{Batch, shared_context};
use super::schema::{Belief, Event, What};
use crate::model::semconv as s;
use crate::model::{Exchange, TraceContext};

/// Which topics of a message are its subject.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Subject {
    /// Those it names.
    #[default]
    Named,
    /// Those with records or errors: a fetch answers for all that were asked.
    WithRecords,
    /// None: it only answers.
    Nothing,
}

/// None, one, or more than one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Few<T> {
    #[default]
    None,
    One(T),
    Many,
}

impl<T: PartialEq> Few<T> {
    fn add(&mut self, value: T) {
        *self = match std::mem::take(self) {
            Few::None => Few::One(value),
            Few::One(known) if known == value => Few::One(known),
            _ => Few::Many,
        };
    }
}

/// Facts of one message. Its texts are reused.
#[derive(Debug, Default)]
pub(super) struct Found {
    subject: Subject,
    /// Topic at the walk's place: its name, if known, and its id, if it was named by that.
    current: String,
    current_id: Option<[u8; 16]>,
    partition: i64,
    /// The message's topics: name and id of the first stand in `topic`.
    topics: Few<()>,
    topic: String,
    topic_id: Option<[u8; 16]>,
    partitions: Few<i64>,
    groups: Few<()>,
    group: String,
    pub(super) acks: Option<i64>,
    /// Whether a broker fetches to copy.
    pub(super) is_replica: bool,
    /// First error code that is not 0.
    pub(super) error: Option<i16>,
    /// Bytes of record batches.
    pub(super) bytes: u64,
    messages: u64,
    /// Whether there may be more messages than `messages`.
    is_unclear: bool,
    offset: Option<i64>,
    context: Few<TraceContext>,
    trace_state: String,
    /// Whether a record batch with a known format was seen.
    pub(super) has_batch: bool,
}

/// Longest topic name (Kafka's `Topic.MAX_NAME_LENGTH`).
const MAX_TOPIC: usize = 249;

fn is_topic(name: &[u8]) -> bool {
    let is_legal = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    (1..=MAX_TOPIC).contains(&name.len()) && name.iter().all(is_legal)
}

impl Found {
    /// Empties it for another message.
    pub(super) fn reset(&mut self, subject: Subject) {
        let Self { current, topic, group, trace_state, .. } = std::mem::take(self);
        let mut texts = [current, topic, group, trace_state];
        texts.iter_mut().for_each(String::clear);
        let [current, topic, group, trace_state] = texts;
        *self = Self { subject, current, topic, group, trace_state, ..Self::default() };
    }

    /// Takes in what the walk met.
    pub(super) fn see(&mut self, event: Event<'_>, memory: &mut Memory) -> Belief {
        match event {
            Event::Text(What::Topic, name) => return self.topic_named(name),
            Event::Text(What::Group, Some(group)) => self.group_named(std::str::from_utf8(group).unwrap_or_default()),
            Event::Id(What::TopicId, id) => self.topic_by_id(id, memory),
            Event::Id(What::IdOfTopic, id) if self.current.is_empty() => self.topic_by_id(id, memory),
            Event::Id(What::IdOfTopic, id) => memory.learn_topic(id, &self.current),
            Event::Int(What::Partition, partition) => self.partition_numbered(partition),
            Event::Int(What::Acks, acks) => {
                self.acks = Some(acks);
                return if (-1..=1).contains(&acks) { Belief::Plausible } else { Belief::Impossible };
            }
            Event::Int(What::Replica, replica) => self.is_replica = replica >= 0,
            // A follower says its id in a tagged field since version 15.
            Event::Tag(1) => self.is_replica = true,
            Event::Int(What::Error, code) => self.failed(code),
            Event::Records(bytes) => self.carries(bytes),
            Event::Batch(batch, body) => self.batch(batch, body),
            Event::Unclear => self.is_unclear = true,
            _ => {}
        }
        Belief::Plausible
    }

    fn topic_named(&mut self, name: Option<&[u8]>) -> Belief {
        self.current.clear();
        self.current_id = None;
        let Some(name) = name else { return Belief::Plausible };
        if !is_topic(name) {
            return Belief::Impossible;
        }
        self.current.push_str(std::str::from_utf8(name).unwrap_or_default());
        if self.subject == Subject::Named {
            self.add_topic();
        }
        Belief::Plausible
    }

    fn group_named(&mut self, group: &str) {
        match self.groups {
            Few::None => {
                self.groups = Few::One(());
                self.group.push_str(group);
            }
            Few::One(()) if self.group == group => {}
            _ => self.groups = Few::Many,
        }
    }

    fn topic_by_id(&mut self, id: [u8; 16], memory: &Memory) {
        self.current.clear();
        self.current.push_str(memory.topic(&id).unwrap_or_default());
        self.current_id = (id != [0; 16]).then_some(id);
        if self.subject == Subject::Named && self.current_id.is_some() {
            self.add_topic();
        }
    }

    fn add_topic(&mut self) {
        match self.topics {
            Few::None => {
                self.topics = Few::One(());
                self.topic.clone_from(&self.current);
                self.topic_id = self.current_id;
            }
            Few::One(()) if self.topic == self.current && self.topic_id == self.current_id => {}
            _ => self.topics = Few::Many,
        }
    }

    fn partition_numbered(&mut self, partition: i64) {
        self.partition = partition;
        if self.subject == Subject::Named {
            self.partitions.add(partition);
        }
    }

    fn add_place(&mut self) {
        if self.subject == Subject::WithRecords {
            self.add_topic();
            self.partitions.add(self.partition);
        }
    }

    fn failed(&mut self, code: i64) {
        let Some(code) = i16::try_from(code).ok().filter(|&code| code != 0) else { return };
        self.error = self.error.or(Some(code));
        if !self.current.is_empty() || self.current_id.is_some() {
            self.add_place();
        }
    }

    fn carries(&mut self, bytes: u64) {
        self.bytes += bytes;
        if bytes > 0 {
            self.add_place();
        }
    }

    fn batch(&mut self, batch: Batch, body: &[u8]) {
        self.has_batch = true;
        self.offset = self.offset.or(Some(batch.offset));
        match batch.count {
            Some(count) => self.messages += u64::from(count),
            None => self.is_unclear = true,
        }
        let count = batch.count.filter(|_| batch.is_plain());
        match count.and_then(|count| shared_context(body, count)) {
            Some((context, state)) => {
                if self.context == Few::None {
                    self.trace_state.push_str(std::str::from_utf8(state).unwrap_or_default());
                }
                self.context.add(context);
            }
            None => self.context = Few::Many,
        }
    }

    /// Records of the place where the walk is were lost: what is counted is not all.
    pub(super) fn miss_records(&mut self) {
        self.is_unclear = true;
        self.context = Few::Many;
    }

    /// Part of the message was lost: what is counted is not all, and what it is about neither.
    pub(super) fn cut(&mut self) {
        self.miss_records();
        self.topics = Few::Many;
        self.partitions = Few::Many;
    }

    /// Sets the attributes of the message's subject.
    pub(super) fn describe(&self, exchange: &mut Exchange) {
        let attrs = &mut exchange.attrs;
        if self.topics == Few::One(()) {
            match self.topic_id {
                Some(id) if self.topic.is_empty() => attrs.set_with(s::REMORA_KAFKA_TOPIC_ID, |text| write_id(text, id)),
                _ => attrs.set_str(s::MESSAGING_DESTINATION_NAME, &self.topic),
            }
            if let Few::One(partition) = self.partitions {
                attrs.set_with(s::MESSAGING_DESTINATION_PARTITION_ID, |text| write_display(text, partition));
            }
        }
        if self.groups == Few::One(()) && !self.group.is_empty() {
            attrs.set_str(s::MESSAGING_CONSUMER_GROUP_NAME, &self.group);
        }
    }

    /// Sets how many messages were moved, where that is certain.
    pub(super) fn count(&self, exchange: &mut Exchange) {
        if !self.is_unclear {
            exchange.attrs.set_int(s::MESSAGING_BATCH_MESSAGE_COUNT, i64::try_from(self.messages).unwrap_or(i64::MAX));
        }
    }

    /// Sets where in its only partition a fetch's records begin.
    pub(super) fn begin_offset(&self, exchange: &mut Exchange) {
        if let (Few::One(_), Few::One(()), Some(offset)) = (self.partitions, self.topics, self.offset) {
            exchange.attrs.set_int(s::MESSAGING_KAFKA_OFFSET, offset);
        }
    }

    /// The trace that all records belong to.
    pub(super) fn trace(&mut self, exchange: &mut Exchange) {
        if let Few::One(context) = self.context {
            exchange.context = Some(context);
            exchange.trace_state.push_str(&self.trace_state);
        }
    }

    /// Sets the error, unless it is a step of the protocol.
    pub(super) fn fail(&self, exchange: &mut Exchange) {
        let Some(code) = self.error else { return };
        exchange.attrs.set_int(s::REMORA_KAFKA_ERROR_CODE, i64::from(code));
        if !errors::is_routine(code) {
            exchange.error = Some(errors::name(code).map_or_else(|| format!("KAFKA_{code}"), str::to_owned));
        }
    }

    /// Whether there is neither a record nor an error: a poll that waited for nothing.
    pub(super) fn is_idle(&self) -> bool {
        self.bytes == 0 && self.error.is_none()
    }
}

pub(super) fn write_display(text: &mut String, value: impl std::fmt::Display) {
    use std::fmt::Write;
    // Writing to a string cannot fail.
    let _ = write!(text, "{value}");
}

/// A topic id as Kafka's tools print it: 22 characters of base64 (RFC 4648 §5).
fn write_id(text: &mut String, id: [u8; 16]) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits = u128::from_be_bytes(id);
    for place in 0..22 {
        let shift = 122 - 6 * place;
        let digit = if shift >= 0 { bits >> shift } else { bits << -shift } & 63;
        text.push(char::from(DIGITS[usize::try_from(digit).unwrap_or(0) & 63]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_ids_are_printed_as_kafka_does() {
        let mut text = String::new();
        write_id(&mut text, *b"\x69\xb7\x1d\x79\xf8\x21\x8a\x39\x25\x9a\x7a\x29\xaa\xbb\x2d\xba");
        assert_eq!(text, "abcdefghijklmnopqrstug");
    }
}
