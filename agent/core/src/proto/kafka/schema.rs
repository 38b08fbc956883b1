//! Kafka messages by description: a walk over any version of a message that visits only what a span needs.
//!
//! The walk keeps its place between calls, so a message may come in any pieces, and what nobody wants (payloads, long
//! texts) is skipped by its length. A wrong length ends the walk; it never reads past the message.

use super::records::{self, Batch};

/// What a field means to a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Nothing: it is stepped over.
    Nothing,
    Topic,
    /// A topic's id instead of its name.
    TopicId,
    /// The id of the topic whose name was just read.
    IdOfTopic,
    Partition,
    Group,
    Error,
    /// Acknowledgements that a producer wants: 0 means that no answer comes.
    Acks,
    /// Broker id of a follower that fetches; -1 for a consumer.
    Replica,
}

#[derive(Clone, Copy, Debug)]
enum Shape {
    /// So many bytes, at most 16.
    Fixed(u8),
    /// A string: 16-bit length, or a varint in flexible versions.
    Text,
    /// Bytes: 32-bit length, or a varint in flexible versions.
    Blob,
    /// Bytes that are record batches.
    Records,
    /// An array of structures.
    List(&'static [Field]),
    /// An array of one plain type.
    Plain(&'static [Field]),
}

/// A field of some versions of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    shape: Shape,
    what: What,
    from: i16,
    to: i16,
}

impl Field {
    const fn new(shape: Shape) -> Self {
        Self { shape, what: What::Nothing, from: 0, to: i16::MAX }
    }

    /// It means something.
    pub(super) const fn is(mut self, what: What) -> Self {
        self.what = what;
        self
    }

    /// It came with version `from`.
    pub(super) const fn since(mut self, from: i16) -> Self {
        self.from = from;
        self
    }

    /// It was last in version `to`.
    pub(super) const fn until(mut self, to: i16) -> Self {
        self.to = to;
        self
    }
}

pub(super) const fn fixed(bytes: u8) -> Field {
    Field::new(Shape::Fixed(bytes))
}

pub(super) const fn text() -> Field {
    Field::new(Shape::Text)
}

pub(super) const fn blob() -> Field {
    Field::new(Shape::Blob)
}

pub(super) const fn records() -> Field {
    Field::new(Shape::Records)
}

pub(super) const fn list(fields: &'static [Field]) -> Field {
    Field::new(Shape::List(fields))
}

/// An array of plain values; `of` is one field.
pub(super) const fn plain(of: &'static [Field]) -> Field {
    Field::new(Shape::Plain(of))
}

/// What the walk meets.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event<'a> {
    Int(What, i64),
    /// `None` is null.
    Text(What, Option<&'a [u8]>),
    Id(What, [u8; 16]),
    /// A tagged field of the message itself.
    Tag(u32),
    /// Record batches follow, so many bytes.
    Records(u64),
    /// A batch of records, and the first bytes behind its head.
    Batch(Batch, &'a [u8]),
    /// Records whose number cannot be told.
    Unclear,
}

/// Whether a visitor believes what it was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Belief {
    Plausible,
    Impossible,
}

/// Why a walk paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pause {
    /// The message is over.
    Done,
    /// It needs more bytes than are there.
    More,
    /// So many bytes follow that it does not need.
    Skip(u64),
    /// This is no such message.
    Bad,
}

#[derive(Clone, Copy, Debug)]
struct Level {
    fields: &'static [Field],
    at: u8,
    /// Elements still to come, this one included.
    left: u32,
    /// Whether each element ends with tagged fields.
    tagged: bool,
}

/// Deepest nesting of [`super::api`]'s messages and their header.
const DEPTH: usize = 6;
/// Longest text that is shown; longer ones are stepped over.
const MAX_TEXT: u64 = 1024;

/// How much of a body its fields describe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    Whole,
    /// The part that a span needs; the rest is skipped.
    Start,
}

/// A place in a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    levels: [Level; DEPTH],
    depth: usize,
    version: i16,
    flexible: bool,
    /// Tagged fields still to come in the current section.
    tags: Option<u32>,
    /// Bytes of record batches still to come.
    records: u64,
    /// How many bytes behind a batch's head are shown.
    peek: usize,
}

impl Default for Walk {
    /// Over nothing.
    fn default() -> Self {
        Self::new(&[], 0, false, false, Extent::Whole)
    }
}

impl Walk {
    /// At the start of a body of `fields`, or of the tagged fields of the header in front of it. A part of a body has no
    /// tagged fields at its end.
    pub(super) fn new(fields: &'static [Field], version: i16, flexible: bool, tagged_header: bool, extent: Extent) -> Self {
        let body = Level { fields, at: 0, left: 1, tagged: flexible && extent == Extent::Whole };
        let header = Level { fields: &[], at: 0, left: 1, tagged: true };
        let mut levels = [body; DEPTH];
        levels[1] = header;
        Self { levels, depth: if tagged_header { 2 } else { 1 }, version, flexible, tags: None, records: 0, peek: 0 }
    }

    /// Shows so many bytes behind each batch's head.
    pub(super) fn peeking(mut self, bytes: usize) -> Self {
        self.peek = bytes;
        self
    }

    /// Goes on over `bytes`; `limit` is how many the message has from here on. Returns how many are done with.
    ///
    /// After [`Pause::Skip`] the walk stands behind the skipped bytes. `last` says that no more bytes come before a hole.
    pub(super) fn run(&mut self, bytes: &[u8], limit: u64, last: bool, visit: &mut impl FnMut(Event<'_>) -> Belief) -> (usize, Pause) {
        let mut reader = Reader { bytes, at: 0, limit };
        loop {
            let start = reader.at;
            match self.step(&mut reader, last, visit) {
                Ok(()) => {}
                Err(Pause::More) => return (start, Pause::More),
                Err(pause) => return (reader.at, pause),
            }
        }
    }

    /// Steps over the record batches that are left at the walk's place. How many bytes they have.
    pub(super) fn leave_records(&mut self) -> u64 {
        std::mem::take(&mut self.records)
    }

    fn step(&mut self, reader: &mut Reader<'_>, last: bool, visit: &mut impl FnMut(Event<'_>) -> Belief) -> Result<(), Pause> {
        if self.records > 0 {
            return self.batch(reader, last, visit);
        }
        if let Some(tags) = self.tags {
            return self.tag(tags, reader, visit);
        }
        let Some(level) = self.depth.checked_sub(1).and_then(|top| self.levels.get_mut(top)) else { return Err(Pause::Done) };
        match level.fields.get(usize::from(level.at)) {
            None if level.tagged => {
                self.tags = Some(reader.varint()?);
                Ok(())
            }
            None => {
                self.next_element();
                Ok(())
            }
            Some(field) => {
                let is_there = (field.from..=field.to).contains(&self.version);
                if is_there {
                    self.field(field, reader, visit)?;
                } else {
                    level.at += 1;
                }
                Ok(())
            }
        }
    }

    fn next_element(&mut self) {
        let Some(level) = self.depth.checked_sub(1).and_then(|top| self.levels.get_mut(top)) else { return };
        level.left = level.left.saturating_sub(1);
        level.at = 0;
        if level.left == 0 {
            self.depth -= 1;
        }
    }

    fn tag(&mut self, tags: u32, reader: &mut Reader<'_>, visit: &mut impl FnMut(Event<'_>) -> Belief) -> Result<(), Pause> {
        let Some(left) = tags.checked_sub(1) else {
            self.tags = None;
            self.next_element();
            return Ok(());
        };
        let (tag, size) = (reader.varint()?, reader.varint()?);
        self.tags = Some(left);
        if self.depth == 1 {
            visit(Event::Tag(tag));
        }
        reader.skip(u64::from(size))
    }

    /// Steps over the current field; the place moves on only where its bytes were read.
    fn field(&mut self, field: &'static Field, reader: &mut Reader<'_>, visit: &mut impl FnMut(Event<'_>) -> Belief) -> Result<(), Pause> {
        let belief = match field.shape {
            Shape::Fixed(bytes) => {
                let value = reader.take(usize::from(bytes))?;
                self.advance();
                return believe(show(field.what, value, visit));
            }
            Shape::List(fields) | Shape::Plain(fields) => {
                let count = reader.count(self.flexible)?;
                self.advance();
                if count > reader.limit - reader.at as u64 {
                    return Err(Pause::Bad);
                }
                let tagged = self.flexible && matches!(field.shape, Shape::List(_));
                return self.enter(fields, u32::try_from(count).map_err(|_| Pause::Bad)?, tagged);
            }
            Shape::Text => {
                let length = if self.flexible { reader.compact()? } else { reader.short_length()? };
                if field.what == What::Nothing || length.is_some_and(|length| length > MAX_TEXT) {
                    self.advance();
                    return reader.skip(length.unwrap_or(0));
                }
                let value = match length {
                    Some(length) => Some(reader.take(usize::try_from(length).map_err(|_| Pause::Bad)?)?),
                    None => None,
                };
                visit(Event::Text(field.what, value))
            }
            Shape::Blob | Shape::Records => {
                let length = if self.flexible { reader.compact()? } else { reader.long_length()? }.unwrap_or(0);
                if length > reader.limit - reader.at as u64 {
                    return Err(Pause::Bad);
                }
                self.advance();
                if matches!(field.shape, Shape::Blob) {
                    return reader.skip(length);
                }
                self.records = length;
                return believe(visit(Event::Records(length)));
            }
        };
        self.advance();
        believe(belief)
    }

    fn advance(&mut self) {
        if let Some(level) = self.depth.checked_sub(1).and_then(|top| self.levels.get_mut(top)) {
            level.at += 1;
        }
    }

    fn enter(&mut self, fields: &'static [Field], count: u32, tagged: bool) -> Result<(), Pause> {
        if count == 0 {
            return Ok(());
        }
        let level = self.levels.get_mut(self.depth).ok_or(Pause::Bad)?;
        *level = Level { fields, at: 0, left: count, tagged };
        self.depth += 1;
        Ok(())
    }

    fn batch(&mut self, reader: &mut Reader<'_>, last: bool, visit: &mut impl FnMut(Event<'_>) -> Belief) -> Result<(), Pause> {
        let rest = reader.rest();
        let (size, batch) = match records::head(rest, self.records) {
            records::Head::More => return Err(Pause::More),
            // A broker may cut the last batch where the answer is full.
            records::Head::Cut => (self.records, None),
            records::Head::Unclear => {
                visit(Event::Unclear);
                (self.records, None)
            }
            records::Head::Batch(size, batch) => (size, Some(batch)),
        };
        if let Some(batch) = batch {
            let body = rest.get(batch.head..).unwrap_or_default();
            let wanted = usize::try_from(size).unwrap_or(usize::MAX).saturating_sub(batch.head);
            let wanted = wanted.min(if batch.is_plain() { self.peek } else { 0 });
            if body.len() < wanted && !last {
                return Err(Pause::More);
            }
            if visit(Event::Batch(batch, &body[..wanted.min(body.len())])) == Belief::Impossible {
                return Err(Pause::Bad);
            }
        }
        self.records -= size;
        reader.skip(size)
    }
}

fn believe(belief: Belief) -> Result<(), Pause> {
    if belief == Belief::Impossible { Err(Pause::Bad) } else { Ok(()) }
}

fn show(what: What, value: &[u8], visit: &mut impl FnMut(Event<'_>) -> Belief) -> Belief {
    let event = match (what, value) {
        (What::Nothing, _) => return Belief::Plausible,
        (_, &[a, b]) => Event::Int(what, i64::from(i16::from_be_bytes([a, b]))),
        (_, &[a, b, c, d]) => Event::Int(what, i64::from(i32::from_be_bytes([a, b, c, d]))),
        (_, value) => match value.try_into() {
            Ok(id) => Event::Id(what, id),
            Err(_) => return Belief::Plausible,
        },
    };
    visit(event)
}

/// Bytes of a message in front of the walk.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Bytes of the message from the start of `bytes` on, seen or not.
    limit: u64,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], Pause> {
        let end = self.at.saturating_add(n);
        if end as u64 > self.limit {
            return Err(Pause::Bad);
        }
        let taken = self.bytes.get(self.at..end).ok_or(Pause::More)?;
        self.at = end;
        Ok(taken)
    }

    /// Steps over `n` bytes, by [`Pause::Skip`] where they have not all come.
    fn skip(&mut self, n: u64) -> Result<(), Pause> {
        if n > self.limit - self.at as u64 {
            return Err(Pause::Bad);
        }
        let there = (self.bytes.len() - self.at) as u64;
        if n > there {
            return Err(Pause::Skip(n));
        }
        self.at += usize::try_from(n).unwrap_or(0);
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Pause> {
        self.take(N)?.try_into().map_err(|_| Pause::Bad)
    }

    /// An unsigned varint of at most 32 bits.
    fn varint(&mut self) -> Result<u32, Pause> {
        let mut value = 0u64;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(value).map_err(|_| Pause::Bad);
            }
        }
        Err(Pause::Bad)
    }

    /// A length of flexible versions: one more than it is; 0 is null.
    fn compact(&mut self) -> Result<Option<u64>, Pause> {
        Ok(self.varint()?.checked_sub(1).map(u64::from))
    }

    fn short_length(&mut self) -> Result<Option<u64>, Pause> {
        length(i64::from(i16::from_be_bytes(self.array()?)))
    }

    fn long_length(&mut self) -> Result<Option<u64>, Pause> {
        length(i64::from(i32::from_be_bytes(self.array()?)))
    }

    /// Number of an array's elements; null counts as none.
    fn count(&mut self, flexible: bool) -> Result<u64, Pause> {
        Ok(if flexible { self.compact()? } else { self.long_length()? }.unwrap_or(0))
    }
}

/// A signed length: -1 is null, anything below is wrong.
fn length(length: i64) -> Result<Option<u64>, Pause> {
    match length {
        -1 => Ok(None),
        _ => u64::try_from(length).map(Some).map_err(|_| Pause::Bad),
    }
}
