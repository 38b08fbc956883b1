//! Header sections that were read last: of one that is sent again, no more is read than what may differ.
//!
//! A section is taken for one that is remembered only where it has the same lines: what differs are values (a trace, a
//! date, an id) that are as long as the ones before. The connection decides no more than where it is looked for. Bounded:
//! one slot for each direction of some thousand connections.

use super::head::{Fields, Line, Section, lines};
use super::said::Said;
use crate::model::ConnId;
use crate::proto::End;
use crate::proto::bytes::common;

/// Slots, a power of two.
const SLOTS: usize = 4096;
/// Longest section that is remembered.
const LONGEST: usize = 1024;

/// Sections of all connections.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    /// None before the first section; each slot is filled by the first section that comes there.
    slots: Vec<Option<Box<Slot>>>,
    /// Lines of the section that is being read.
    lines: Vec<Line>,
}

#[derive(Debug, Default)]
struct Slot {
    section: Vec<u8>,
    lines: Vec<Line>,
    fields: Fields,
    said: Option<Box<Said>>,
}

impl Recent {
    /// Reads the section at the start of `bytes`, if its end is there.
    pub(super) fn read<'a>(&mut self, conn: ConnId, from: End, bytes: &'a [u8]) -> Option<Section<'a>> {
        if self.slots.is_empty() {
            self.slots.resize_with(SLOTS, || None);
        }
        let slot = self.slots[slot(conn, from)].get_or_insert_default();
        if let Some(section) = slot.read(bytes) {
            return Some(section);
        }
        let mut fields = Fields::default();
        self.lines.clear();
        let lines = lines(bytes, 0, |line| {
            fields.add(&line, bytes);
            if line.end() < LONGEST {
                self.lines.push(line);
            }
        });
        fields.bad = lines.bad;
        let bytes = &bytes[..lines.end?];
        if bytes.len() <= LONGEST && lines.bad == 0 && lines.folded == 0 {
            slot.section.clear();
            slot.section.extend_from_slice(bytes);
            std::mem::swap(&mut slot.lines, &mut self.lines);
            slot.fields = fields;
        }
        Some(Section { bytes, fields })
    }

    /// Takes out what the latest request of `conn`, or of another connection, has said.
    pub(super) fn take_said(&mut self, conn: ConnId) -> Box<Said> {
        self.slots.get_mut(slot(conn, End::Client)).and_then(|slot| slot.as_mut()?.said.take()).unwrap_or_default()
    }

    /// Remembers what the latest request of `conn` has said.
    pub(super) fn keep_said(&mut self, conn: ConnId, said: Box<Said>) {
        if let Some(Some(slot)) = self.slots.get_mut(slot(conn, End::Client)) {
            slot.said = Some(said);
        }
    }
}

impl Slot {
    /// The section at the start of `bytes`, if it has the same lines as this one, but for values as long as these.
    fn read<'a>(&self, bytes: &'a [u8]) -> Option<Section<'a>> {
        let bytes = bytes.get(..self.section.len()).filter(|bytes| !bytes.is_empty())?;
        if *bytes == *self.section {
            return Some(Section { bytes, fields: self.fields });
        }
        let mut lines = self.lines.iter();
        let mut is_framed_alike = true;
        let mut same = common(bytes, &self.section);
        while same < bytes.len() {
            let line = lines.find(|line| same < line.end()).filter(|line| line.has_value(bytes, same))?;
            is_framed_alike &= !line.is_of_framing();
            same = line.end();
            same += common(&bytes[same..], &self.section[same..]);
        }
        if is_framed_alike {
            return Some(Section { bytes, fields: self.fields });
        }
        let mut fields = Fields::default();
        self.lines.iter().for_each(|line| fields.add(line, bytes));
        Some(Section { bytes, fields })
    }
}

fn slot(conn: ConnId, from: End) -> usize {
    // Numbers of connections that are open at once are mostly near each other.
    usize::try_from(conn.0.wrapping_mul(2) | u64::from(from == End::Server)).unwrap_or(0) % SLOTS
}

#[cfg(test)]
mod tests {
    use super::super::head::fields;
    use super::*;

    const ONE: &[u8] =
        b"Host: a.example:80\r\nContent-Type: text/x\r\nUser-Agent: ua\r\nUpgrade: b\r\ngrpc-status: 3\r\nContent-Length: 7\r\n\r\nbody";

    #[test]
    fn what_is_remembered_is_what_was_read() {
        let mut recent = Recent::default();
        let read = recent.read(ConnId(1), End::Client, ONE).expect("it is whole");
        assert_eq!(read.bytes.len(), ONE.len() - 4);
        assert_eq!(read.fields, fields(ONE, 0).0);
        let moved = [ONE, b"more"].concat();
        assert_eq!(recent.read(ConnId(1), End::Client, &moved), Some(read));
        assert_eq!(recent.read(ConnId(1), End::Client, &ONE[..ONE.len() - 5]), None, "without its end");
        let other = [b"Host: b.example:80", &ONE[18..]].concat();
        let read = recent.read(ConnId(1), End::Client, &other).expect("it is whole");
        assert_eq!(read.value(read.fields.host), Some(&b"b.example:80"[..]));
    }

    /// Reads `first`, then `second`, which must give what it gives alone. Whether the first was of use is told too.
    fn second_read(first: &[u8], second: &[u8]) -> bool {
        let mut recent = Recent::default();
        recent.read(ConnId(1), End::Client, first);
        let fits = recent.slots[slot(ConnId(1), End::Client)].as_ref().is_some_and(|slot| slot.read(second).is_some());
        let read = recent.read(ConnId(1), End::Client, second);
        let (alone, end) = fields(second, 0);
        assert_eq!(read, end.map(|len| Section { bytes: &second[..len], fields: alone }), "{}", second.escape_ascii());
        fits
    }

    #[test]
    fn other_values_of_the_same_length_are_read_in_their_places() {
        let first = b"Host: a\r\ntraceparent: 00-1\r\nX: 1\r\nContent-Length: 70\r\n\r\n";
        for (second, fits) in [
            (&b"Host: b\r\ntraceparent: 00-2\r\nX: 2\r\nContent-Length: 71\r\n\r\n"[..], true),
            (b"Host: a\r\ntraceparent: 00-1\r\nX:\r1\r\nContent-Length: 71\r\n\r\nbody", true),
            (b"Host: a\r\ntraceparent: 00-1\r\nX: 1\r\nContent-Length: 7 \r\n\r\nbody", false),
            (b"Host: a\r\ntraceparent: 00-1\r\nY: 1\r\nContent-Length: 70\r\n\r\n", false),
            (b"Host: a\r\ntraceparent: 00-1\r\nX: 1\r\nContent-Length: 700\r\n\r\n", false),
            (b"Host: a\r\ntraceparent: 00-1\r\nX: 1\r\nContent-Length: 70\r\nA: b\r\n\r\n", false),
            (b"Host: a\r\ntraceparent: \n\n-1\r\nX: 1\r\nContent-Length: 70\r\n\r\n", false),
            (b"Host: a\r\ntraceparent: 00-1\r\n\n: 1\r\nContent-Length: 70\r\n\r\n", false),
            (b"Host: a\r\ntraceparent: 00-1\r\n\r\nX 1\r\nContent-Length: 70\r\n\r\n", false),
            (b"Host: a\r\ntraceparent: 00-1\r\nX: 1\r\nContent-Length: 70\r\n\rx", false),
        ] {
            assert_eq!(second_read(first, second), fits, "{}", second.escape_ascii());
        }
        assert!(!second_read(b"Host: a\r\n folded\r\n\r\n", b"Host: a\r\n folded\r\n\r\n"), "it may be no more than a value");
    }

    proptest::proptest! {
        #[test]
        fn what_was_read_before_changes_nothing(changes in proptest::collection::vec((0..ONE.len(), proptest::sample::select(&b"a: \r\n\t0,X"[..])), 0..4)) {
            let mut other = ONE.to_vec();
            changes.into_iter().for_each(|(at, byte)| other[at] = byte);
            second_read(ONE, &other);
            second_read(&other, ONE);
        }
    }
}
