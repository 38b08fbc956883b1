//! Attributes of an exchange: names of the semantic conventions with values that live in one reused buffer.
//!
//! An exchange is filled and emptied millions of times a second, so its texts share one growing `String` and cost no
//! allocation once that has found its size.

use super::Key;

/// A borrowed attribute value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// Text.
    Str(&'a str),
    /// Signed integer.
    Int(i64),
    /// Truth value.
    Bool(bool),
    /// Array of texts.
    List(Vec<&'a str>),
}

#[derive(Clone, Copy, Debug)]
enum Slot {
    Text { at: u32, len: u32 },
    Int(i64),
    Bool(bool),
    List { first: u32, len: u32 },
}

/// An ordered set of attributes. Setting a key again replaces its value.
#[derive(Debug, Default)]
pub struct Attrs {
    slots: Vec<(Key, Slot)>,
    text: String,
    items: Vec<(u32, u32)>,
}

impl Attrs {
    /// Forgets all attributes and keeps the memory.
    pub fn clear(&mut self) {
        self.slots.clear();
        self.text.clear();
        self.items.clear();
    }

    /// Number of attributes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is no attribute.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Sets a text.
    pub fn set_str(&mut self, key: Key, value: &str) {
        let (at, len) = self.store(value);
        self.put(key, Slot::Text { at, len });
    }

    /// Sets a text from the wire; bytes that are not UTF-8 become U+FFFD.
    pub fn set_bytes(&mut self, key: Key, value: &[u8]) {
        match std::str::from_utf8(value) {
            Ok(text) => self.set_str(key, text),
            Err(_) => self.set_str(key, &String::from_utf8_lossy(value)),
        }
    }

    /// Sets a text by writing it in place.
    pub fn set_with(&mut self, key: Key, write: impl FnOnce(&mut String)) {
        let at = self.text.len();
        write(&mut self.text);
        // A writer that shortened the buffer would have cut other attributes.
        debug_assert!(self.text.len() >= at, "set_with only appends");
        let (at, len) = (offset(at), offset(self.text.len().saturating_sub(at)));
        self.put(key, Slot::Text { at, len });
    }

    /// Sets an integer.
    pub fn set_int(&mut self, key: Key, value: i64) {
        self.put(key, Slot::Int(value));
    }

    /// Sets a truth value.
    pub fn set_bool(&mut self, key: Key, value: bool) {
        self.put(key, Slot::Bool(value));
    }

    /// Sets an array of texts.
    pub fn set_list<'a>(&mut self, key: Key, values: impl IntoIterator<Item = &'a str>) {
        let first = self.items.len();
        for value in values {
            let item = self.store(value);
            self.items.push(item);
        }
        let len = offset(self.items.len() - first);
        self.put(key, Slot::List { first: offset(first), len });
    }

    /// Removes an attribute.
    pub fn remove(&mut self, key: Key) {
        self.slots.retain(|(k, _)| *k != key);
    }

    /// Value of `key`.
    #[must_use]
    pub fn get(&self, key: Key) -> Option<Value<'_>> {
        self.slot(key).map(|slot| self.value(slot))
    }

    /// Value of `key` if it is a text.
    #[must_use]
    pub fn str(&self, key: Key) -> Option<&str> {
        match self.slot(key)? {
            Slot::Text { at, len } => Some(self.text_at(at, len)),
            Slot::Int(_) | Slot::Bool(_) | Slot::List { .. } => None,
        }
    }

    /// Value of `key` if it is an integer.
    #[must_use]
    pub fn int(&self, key: Key) -> Option<i64> {
        match self.slot(key)? {
            Slot::Int(int) => Some(int),
            _ => None,
        }
    }

    fn slot(&self, key: Key) -> Option<Slot> {
        self.slots.iter().find(|(k, _)| *k == key).map(|(_, slot)| *slot)
    }

    /// All attributes in the order in which they were first set.
    pub fn iter(&self) -> impl Iterator<Item = (Key, Value<'_>)> {
        self.slots.iter().map(|(key, slot)| (*key, self.value(*slot)))
    }

    fn value(&self, slot: Slot) -> Value<'_> {
        match slot {
            Slot::Text { at, len } => Value::Str(self.text_at(at, len)),
            Slot::Int(int) => Value::Int(int),
            Slot::Bool(truth) => Value::Bool(truth),
            Slot::List { first, len } => {
                let items = &self.items[first as usize..(first + len) as usize];
                Value::List(items.iter().map(|&(at, len)| self.text_at(at, len)).collect())
            }
        }
    }

    fn text_at(&self, at: u32, len: u32) -> &str {
        &self.text[at as usize..(at + len) as usize]
    }

    fn store(&mut self, value: &str) -> (u32, u32) {
        let at = self.text.len();
        self.text.push_str(value);
        (offset(at), offset(value.len()))
    }

    fn put(&mut self, key: Key, slot: Slot) {
        match self.slots.iter_mut().find(|(k, _)| *k == key) {
            Some((_, old)) => *old = slot,
            None => self.slots.push((key, slot)),
        }
    }
}

/// Offsets fit `u32`: parsers bound what they store to far below 4 GiB.
fn offset(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

impl Clone for Attrs {
    fn clone(&self) -> Self {
        Self { slots: self.slots.clone(), text: self.text.clone(), items: self.items.clone() }
    }

    /// Becomes a copy of `source` in its own memory.
    fn clone_from(&mut self, source: &Self) {
        self.slots.clone_from(&source.slots);
        self.text.clone_from(&source.text);
        self.items.clone_from(&source.items);
    }
}

impl PartialEq for Attrs {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|(key, value)| other.get(key) == Some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::model::semconv::{URL_PATH as A, URL_QUERY as B};

    #[test]
    fn a_key_set_again_has_the_new_value_and_its_old_place() {
        let mut attrs = Attrs::default();
        attrs.set_str(A, "one");
        attrs.set_int(B, 2);
        attrs.set_bytes(A, b"t\xffo");
        let all: Vec<_> = attrs.iter().collect();
        assert_eq!(all, [(A, Value::Str("t\u{fffd}o")), (B, Value::Int(2))]);
    }

    #[test]
    fn lists_and_texts_survive_each_other() {
        let mut attrs = Attrs::default();
        attrs.set_list(A, ["x", "yy"]);
        attrs.set_with(B, |text| text.push_str("zzz"));
        assert_eq!(attrs.get(A), Some(Value::List(vec!["x", "yy"])));
        assert_eq!(attrs.str(B), Some("zzz"));
        attrs.clear();
        assert!(attrs.is_empty());
    }
}
