//! Header sections that were read last: one that is sent again is not read again. What requests say of the ends of their
//! connection, mostly always the same, is not written anew either.
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

#[derive(Debug, Default)]
struct Slot {
    section: Vec<u8>,
    layout: Layout,
    ends: Option<Ends>,
}

/// What the fields of a connection's latest request say of its ends.
#[derive(Debug, Default)]
pub(super) struct Ends {
    conn: Option<ConnId>,
    host: Vec<u8>,
    user_agent: Vec<u8>,
    pub(super) attrs: Attrs,
}

impl Ends {
    /// Becomes that of a request with these fields on `conn`, but for the attributes.
    pub(super) fn of(&mut self, conn: ConnId, fields: &Fields<'_>) {
        self.conn = Some(conn);
        for (own, field) in [(&mut self.host, fields.host), (&mut self.user_agent, fields.user_agent)] {
            own.clear();
            own.extend_from_slice(field.unwrap_or_default());
        }
        self.attrs.clear();
    }

    /// What these fields say is not all that there is to say.
    pub(super) fn forget(&mut self) {
        self.conn = None;
    }

    fn are_of(&self, conn: ConnId, fields: &Fields<'_>) -> bool {
        self.conn == Some(conn)
            && *self.host == *fields.host.unwrap_or_default()
            && *self.user_agent == *fields.user_agent.unwrap_or_default()
    }
}

/// Where in a section the fields are that [`Fields`] holds.
#[derive(Debug, Default)]
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
}

impl Recent {
    /// Reads the section at the start of `bytes`, if its end is there.
    pub(super) fn read<'a>(&mut self, conn: ConnId, from: End, bytes: &'a [u8]) -> Option<Section<'a>> {
        if self.slots.is_empty() {
            self.slots.resize_with(SLOTS, || None);
        }
        let slot = self.slots[slot(conn, from)].get_or_insert_default();
        if !slot.section.is_empty() && bytes.starts_with(&slot.section) {
            return Some(Section { fields: slot.layout.fields(bytes), len: slot.section.len() });
        }
        let (fields, Some(len)) = fields(bytes, 0) else { return None };
        slot.keep(&bytes[..len], &fields);
        Some(Section { fields, len })
    }

    /// What a request with these fields says of the ends of `conn`, if the one before it said the same.
    pub(super) fn ends(&self, conn: ConnId, fields: &Fields<'_>) -> Option<&Attrs> {
        let ends = self.slots.get(slot(conn, End::Client))?.as_ref()?.ends.as_ref()?;
        ends.are_of(conn, fields).then_some(&ends.attrs)
    }

    /// Memory for [`Self::keep_ends`].
    pub(super) fn take_ends(&mut self, conn: ConnId) -> Ends {
        self.slots.get_mut(slot(conn, End::Client)).and_then(|slot| slot.as_mut()?.ends.take()).unwrap_or_default()
    }

    /// Remembers what the latest request of `conn` said of its ends.
    pub(super) fn keep_ends(&mut self, conn: ConnId, ends: Ends) {
        if let Some(Some(slot)) = self.slots.get_mut(slot(conn, End::Client)) {
            slot.ends = Some(ends);
        }
    }
}

impl Slot {
    /// Remembers a section, unless it is one that will not be sent again.
    fn keep(&mut self, section: &[u8], fields: &Fields<'_>) {
        if section.len() <= LONGEST && fields.bad == 0 && fields.traceparent.is_none() {
            self.section.clear();
            self.section.extend_from_slice(section);
            self.layout = Layout::of(section, fields);
        }
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
        assert_eq!(read.len, ONE.len() - 4);
        assert_eq!(read.fields, fields(ONE, 0).0);
        let moved = [ONE, b"more"].concat();
        assert_eq!(recent.read(ConnId(1), End::Client, &moved), Some(read));
        assert_eq!(recent.read(ConnId(1), End::Client, &ONE[..ONE.len() - 5]), None, "without its end");
        let other = [b"Host: b.example:80", &ONE[18..]].concat();
        assert_eq!(recent.read(ConnId(1), End::Client, &other).and_then(|read| read.fields.host), Some(&b"b.example:80"[..]));
    }

    #[test]
    fn ends_belong_to_the_fields_of_one_connection() {
        let mut recent = Recent::default();
        let other = 1 + SLOTS as u64 / 2;
        let read = |recent: &mut Recent, bytes| recent.read(ConnId(1), End::Client, bytes).expect("it is whole").fields;
        let fields = read(&mut recent, ONE);
        let mut ends = recent.take_ends(ConnId(1));
        ends.of(ConnId(1), &fields);
        recent.keep_ends(ConnId(1), ends);
        // The rest of the fields does not matter.
        let fields = read(&mut recent, b"user-agent: ua\r\ntraceparent: 00-1\r\nhost: a.example:80\r\n\r\n");
        assert!(recent.ends(ConnId(1), &fields).is_some() && recent.ends(ConnId(other), &fields).is_none());
        let fields = read(&mut recent, b"user-agent: ua\r\nhost: b.example:80\r\n\r\n");
        assert!(recent.ends(ConnId(1), &fields).is_none());
    }

    #[test]
    fn a_section_with_a_trace_of_its_own_is_not_kept() {
        let mut recent = Recent::default();
        let traced = b"Host: a\r\ntraceparent: 00-1\r\n\r\n";
        for _ in 0..2 {
            let read = recent.read(ConnId(1), End::Client, traced).expect("it is whole");
            assert!(read.fields.traceparent.is_some());
        }
    }
}
