//! Header sections that were read last: one that is sent again is not read again, nor is what it says of the ends of its
//! connection written anew.
//!
//! A section is taken for one that is remembered only where all its bytes are the same; the connection decides no more
//! than where it is looked for. Bounded: one slot for each direction of some thousand connections.

use super::head::{Coding, Fields, Length, fields};
use crate::model::{Attrs, ConnId};
use crate::proto::End;
use std::ops::Range;

/// Slots, a power of two.
const SLOTS: usize = 4096;
/// Longest section that is remembered.
const LONGEST: usize = 1024;

/// Sections of all connections.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    /// None before the first section; each slot is filled by the first section that comes there.
    slots: Vec<Option<Box<Slot>>>,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    section: Vec<u8>,
    layout: Layout,
    ends: Option<(ConnId, Attrs)>,
}

/// Where in a section the fields are that [`Fields`] holds.
#[derive(Clone, Debug, Default)]
struct Layout {
    host: Option<Range<usize>>,
    user_agent: Option<Range<usize>>,
    upgrade: Option<Range<usize>>,
    content_type: Option<Range<usize>>,
    grpc_status: Option<Range<usize>>,
    length: Length,
    coding: Coding,
}

/// A header section as read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Section<'a> {
    pub(super) fields: Fields<'a>,
    /// Its length with the empty line.
    pub(super) len: usize,
    /// Whether it is remembered now.
    pub(super) is_kept: bool,
}

impl Recent {
    /// Reads the section at the start of `bytes`, if its end is there.
    pub(super) fn read<'a>(&mut self, conn: ConnId, from: End, bytes: &'a [u8]) -> Option<Section<'a>> {
        if self.slots.is_empty() {
            self.slots.resize_with(SLOTS, || None);
        }
        let slot = self.slots[slot(conn, from)].get_or_insert_default();
        if !slot.section.is_empty() && bytes.starts_with(&slot.section) {
            return Some(Section { fields: slot.layout.fields(bytes), len: slot.section.len(), is_kept: true });
        }
        let (fields, Some(len)) = fields(bytes, 0) else { return None };
        let is_kept = slot.keep(&bytes[..len], &fields);
        Some(Section { fields, len, is_kept })
    }

    /// What [`Self::keep_ends`] was told of the section that `conn`'s client sent last, if that is remembered.
    pub(super) fn ends(&self, conn: ConnId) -> Option<&Attrs> {
        let (of, ends) = self.slots.get(slot(conn, End::Client))?.as_ref()?.ends.as_ref()?;
        (*of == conn).then_some(ends)
    }

    /// Remembers what the section that `conn`'s client sent last says of the connection's ends.
    pub(super) fn keep_ends(&mut self, conn: ConnId, ends: Attrs) {
        if let Some(Some(slot)) = self.slots.get_mut(slot(conn, End::Client)) {
            slot.ends = Some((conn, ends));
        }
    }
}

impl Slot {
    /// Remembers a section, unless it is one that will not be sent again.
    fn keep(&mut self, section: &[u8], fields: &Fields<'_>) -> bool {
        let is_kept = section.len() <= LONGEST && fields.bad == 0 && fields.traceparent.is_none();
        if is_kept {
            self.section.clear();
            self.section.extend_from_slice(section);
            self.layout = Layout::of(section, fields);
            self.ends = None;
        }
        is_kept
    }
}

impl Layout {
    fn of(section: &[u8], fields: &Fields<'_>) -> Self {
        let place = |part: Option<&[u8]>| {
            let part = part?;
            let start = part.as_ptr().addr().checked_sub(section.as_ptr().addr())?;
            Some(start..start + part.len())
        };
        let Fields { host, user_agent, upgrade, content_type, grpc_status, length, coding, .. } = *fields;
        let [host, user_agent, upgrade, content_type, grpc_status] = [host, user_agent, upgrade, content_type, grpc_status].map(place);
        Self { host, user_agent, upgrade, content_type, grpc_status, length, coding }
    }

    /// The fields of `bytes`, which begins with the section that this is of.
    fn fields<'a>(&self, bytes: &'a [u8]) -> Fields<'a> {
        let part = |place: &Option<Range<usize>>| bytes.get(place.clone()?);
        Fields {
            host: part(&self.host),
            user_agent: part(&self.user_agent),
            upgrade: part(&self.upgrade),
            content_type: part(&self.content_type),
            grpc_status: part(&self.grpc_status),
            length: self.length,
            coding: self.coding,
            ..Fields::default()
        }
    }
}

fn slot(conn: ConnId, from: End) -> usize {
    // Numbers of connections that are open at once are mostly near each other.
    usize::try_from(conn.0.wrapping_mul(2) | u64::from(from == End::Server)).unwrap_or(0) % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &[u8] =
        b"Host: a.example:80\r\nContent-Type: text/x\r\nUser-Agent: ua\r\nUpgrade: b\r\ngrpc-status: 3\r\nContent-Length: 7\r\n\r\nbody";

    #[test]
    fn what_is_remembered_is_what_was_read() {
        let mut recent = Recent::default();
        let read = recent.read(ConnId(1), End::Client, ONE).expect("it is whole");
        assert_eq!((read.len, read.is_kept), (ONE.len() - 4, true));
        assert_eq!(read.fields, fields(ONE, 0).0);
        let moved = [ONE, b"more"].concat();
        assert_eq!(recent.read(ConnId(1), End::Client, &moved), Some(read));
        assert_eq!(recent.read(ConnId(1), End::Client, &ONE[..ONE.len() - 5]), None, "without its end");
        let other = [b"Host: b.example:80", &ONE[18..]].concat();
        assert_eq!(recent.read(ConnId(1), End::Client, &other).and_then(|read| read.fields.host), Some(&b"b.example:80"[..]));
    }

    #[test]
    fn ends_belong_to_one_section_of_one_connection() {
        let mut recent = Recent::default();
        let read = |recent: &mut Recent, conn, bytes| recent.read(ConnId(conn), End::Client, bytes).is_some();
        assert!(read(&mut recent, 1, ONE));
        recent.keep_ends(ConnId(1), Attrs::default());
        let other = 1 + SLOTS as u64;
        assert!(recent.ends(ConnId(1)).is_some() && recent.ends(ConnId(other)).is_none());
        assert!(read(&mut recent, other, b"Host: x\r\n\r\n") && recent.ends(ConnId(1)).is_none());
    }

    #[test]
    fn a_section_with_a_trace_of_its_own_is_not_kept() {
        let mut recent = Recent::default();
        let read = recent.read(ConnId(1), End::Client, b"Host: a\r\ntraceparent: 00-1\r\n\r\n").expect("it is whole");
        assert!(!read.is_kept && read.fields.traceparent.is_some());
    }
}
