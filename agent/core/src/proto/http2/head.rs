//! The fields of one header block that matter, copied out of it: a value in the block may be gone with the next field.

use super::hpack::Name;

/// Texts of one block that are kept at most; a block can name an entry of the table again and again.
const KEPT_TEXT: usize = 128 * 1024;

/// Fields of a request, a response or trailers.
#[derive(Debug, Default)]
pub(super) struct Head {
    text: Vec<u8>,
    values: [Option<(usize, usize)>; Name::KEPT],
    /// Fields whose name is not known, or that come behind the block's cut.
    unknown: u32,
}

impl Head {
    /// Forgets all fields and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.values = [None; Name::KEPT];
        self.unknown = 0;
    }

    /// Adds a field. The first of a name counts; `tracestate` is a list (W3C Trace Context §3.3).
    pub(super) fn add(&mut self, name: Name, value: &[u8]) {
        if name == Name::Unknown {
            self.unknown += 1;
        }
        let Some(slot) = self.values.get_mut(name as usize) else { return };
        if self.text.len() + value.len() > KEPT_TEXT {
            return self.is_cut();
        }
        let at = self.text.len();
        match (*slot, name) {
            (None, _) => {}
            (Some((from, to)), Name::TraceState) => {
                self.text.extend_from_within(from..to);
                self.text.push(b',');
            }
            (Some(_), _) => return,
        }
        self.text.extend_from_slice(value);
        *slot = Some((at, self.text.len()));
    }

    /// More fields followed, and were not seen.
    pub(super) fn is_cut(&mut self) {
        self.unknown += 1;
    }

    /// Value of a field, if it is there and known.
    pub(super) fn get(&self, name: Name) -> Option<&[u8]> {
        let (from, to) = (*self.values.get(name as usize)?)?;
        self.text.get(from..to)
    }

    /// Whether a field is missing that may have been sent.
    pub(super) fn may_lack(&self, name: Name) -> bool {
        self.unknown > 0 && self.get(name).is_none()
    }

    /// Whether this is certainly the head of a request, and no trailers.
    pub(super) fn is_request(&self) -> bool {
        [Name::Method, Name::Path, Name::Scheme, Name::Authority].into_iter().any(|name| self.get(name).is_some())
    }

    /// `:status`.
    pub(super) fn status(&self) -> Option<u16> {
        match *self.get(Name::Status)? {
            [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
                Some(u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0'))
            }
            _ => None,
        }
    }
}
