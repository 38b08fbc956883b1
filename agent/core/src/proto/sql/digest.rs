//! What a statement does, in a few words; remembered by its text without literals.
//!
//! Programs send few different statements again and again, with other literals. The table is direct-mapped and bounded:
//! a slot goes to another text only when that is seen for the second time in a row there, so statements that are sent
//! once displace nothing.

use super::scan::{Kind, Scanner};
use super::{Backslash, Dialect, Rules, summary::Summary};
use rustc_hash::FxHasher;
use std::hash::Hasher;

/// Slots of the table, a power of two.
const SLOTS: usize = 2048;
/// Longest text that is remembered.
const LONGEST: usize = 1024;

/// Operation and target of a statement, as far as they are certain. Meant to be filled again and again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Digest {
    /// `db.query.summary`; empty if nothing is certain.
    pub(super) summary: String,
    /// Its operation, upper case, e.g. `SELECT` or `CREATE TABLE`; empty if unknown.
    pub(super) operation: String,
    /// The one table it names; empty if there are none or several.
    pub(super) collection: String,
    /// The stored procedure that it calls; empty if none.
    pub(super) procedure: String,
    /// Statements in the text.
    pub(super) count: u32,
}

impl Digest {
    /// Reads a text without literals. `whole` says that it is all of it.
    fn fill(&mut self, text: &[u8], whole: bool, dialect: Dialect) {
        let Self { summary, operation, collection, procedure, .. } = self;
        let mut reader = Summary::over([summary, operation, collection, procedure].map(std::mem::take));
        let mut scanner = Scanner::new(text, Rules { dialect, backslash: Backslash::Plain });
        while let Some(token) = scanner.next() {
            // The last word of a text that was cut may be the start of a longer one.
            let is_sure = whole || !scanner.rest().is_empty() || !matches!(token.kind, Kind::Word | Kind::Quoted);
            if is_sure {
                reader.token(&token, scanner.rest());
            }
        }
        ([self.summary, self.operation, self.collection, self.procedure], self.count) = reader.finish();
        if !whole && !matches!(&*self.operation, "INSERT" | "REPLACE" | "COPY") {
            // What was cut may name more tables.
            self.collection.clear();
        }
    }

    /// Becomes a copy of `other` in its own memory.
    fn copy(&mut self, other: &Self) {
        other.summary.clone_into(&mut self.summary);
        other.operation.clone_into(&mut self.operation);
        other.collection.clone_into(&mut self.collection);
        other.procedure.clone_into(&mut self.procedure);
        self.count = other.count;
    }

    /// Bytes that it holds.
    pub(super) fn size(&self) -> usize {
        let Self { summary, operation, collection, procedure, .. } = self;
        [summary, operation, collection, procedure].into_iter().map(String::capacity).sum()
    }
}

#[derive(Clone, Debug, Default)]
struct Slot {
    /// Hash of the latest text that came here.
    seen: u64,
    hash: u64,
    text: Box<[u8]>,
    digest: Digest,
}

/// Digests of the statements of all connections.
#[derive(Debug, Default)]
pub(crate) struct Digests {
    /// None before the first statement; each slot is filled by the first text that comes there.
    slots: Vec<Option<Box<Slot>>>,
    /// Memory for the text that is read.
    pub(super) scratch: Vec<u8>,
}

impl Digests {
    /// Sets `digest` to that of `text`, which has no literals. `whole` says that it is all of the statement.
    pub(super) fn read(&mut self, text: &[u8], whole: bool, dialect: Dialect, digest: &mut Digest) {
        if !whole || text.len() > LONGEST {
            return digest.fill(text, whole, dialect);
        }
        if self.slots.is_empty() {
            self.slots.resize_with(SLOTS, || None);
        }
        let hash = hash(text, dialect);
        let slot = self.slots[usize::try_from(hash >> 32).unwrap_or(0) % SLOTS].get_or_insert_default();
        if slot.hash == hash && *slot.text == *text {
            return digest.copy(&slot.digest);
        }
        digest.fill(text, whole, dialect);
        if slot.text.is_empty() || slot.seen == hash {
            (slot.hash, slot.text) = (hash, text.into());
            slot.digest.copy(digest);
        }
        slot.seen = hash;
    }
}

/// Texts of different dialects have different hashes, so that a slot needs to keep only one of the two.
fn hash(text: &[u8], dialect: Dialect) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(text);
    hasher.finish() << 1 | u64::from(dialect == Dialect::MySql)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(digests: &mut Digests, text: &str, dialect: Dialect) -> String {
        let mut digest = Digest::default();
        digests.read(text.as_bytes(), true, dialect, &mut digest);
        digest.summary
    }

    #[test]
    fn a_remembered_digest_is_the_one_that_was_read() {
        let mut digests = Digests::default();
        for _ in 0..3 {
            for n in 0..5000 {
                assert_eq!(of(&mut digests, &format!("SELECT * FROM t{n}"), Dialect::Postgres), format!("SELECT t{n}"));
            }
        }
        assert_eq!(of(&mut digests, "SELECT * FROM \"a\"", Dialect::Postgres), "SELECT a");
        assert_eq!(of(&mut digests, "SELECT * FROM \"a\"", Dialect::MySql), "SELECT");
    }

    #[test]
    fn a_text_that_is_sent_once_displaces_none() {
        let mut digests = Digests::default();
        of(&mut digests, "SELECT 1 FROM kept", Dialect::Postgres);
        let kept = |digests: &Digests| digests.slots.iter().flatten().filter(|slot| *slot.text == *b"SELECT 1 FROM kept").count();
        (0..20_000).for_each(|n| drop(of(&mut digests, &format!("SELECT {n} FROM once"), Dialect::Postgres)));
        assert_eq!(kept(&digests), 1);
    }
}
