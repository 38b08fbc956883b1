//! `db.query.summary`: operations with their targets, in the order of the text.
//!
//! Semantic conventions 1.44, "Generating a summary of the query": `SELECT users`, `INSERT details SELECT orders`,
//! `SELECT a b` for a join; several statements are `BATCH …`; at most 255 bytes, no name split.

use super::scan::{Kind, Token};

/// Longest summary.
const LIMIT: usize = 255;
/// Longest name that is taken for a table's.
const NAME_LIMIT: usize = 128;

/// What the next name is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Expect {
    #[default]
    Nothing,
    /// A table, or a function that gives rows.
    Source,
    /// A table.
    Table,
    /// Something that is no table: an index, a channel.
    Object,
    /// A stored procedure.
    Procedure,
    /// What `CREATE`, `ALTER` or `DROP` is about.
    Definition,
}

/// What stands before a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Before {
    #[default]
    Start,
    Open,
    Close,
    /// `EXPLAIN`, `ANALYZE` and the like: a statement may follow.
    Prefix,
    Distinct,
    /// A name that a dot continues.
    Name,
    Other,
}

#[derive(Debug, Default)]
pub(super) struct Summary {
    text: String,
    operation: String,
    collection: String,
    procedure: String,
    /// Different tables named.
    tables: u32,
    /// Length of the first statement's summary.
    first: usize,
    /// Start of this statement's summary.
    start: usize,
    statements: u32,
    differs: bool,
    has_tokens: bool,
    is_with: bool,
    depth: u32,
    /// Depths (bits) at which a statement was begun: `FROM` names tables only there.
    statement_at: u64,
    /// Depths at which a comma leads to another table.
    sources_at: u64,
    expect: Expect,
    before: Before,
    /// Where in `text` the last name began, and what kind it is.
    name: Option<(usize, Expect)>,
    is_dotted: bool,
}

/// Whether a `(` is next.
fn opens(rest: &[u8]) -> bool {
    rest.trim_ascii_start().first() == Some(&b'(')
}

fn bit(depth: u32) -> u64 {
    1u64.checked_shl(depth).unwrap_or(0)
}

impl Summary {
    /// Writes into the memory of these texts, in the order of [`Self::finish`].
    pub(super) fn over(texts: [String; 4]) -> Self {
        let [mut text, mut operation, mut collection, mut procedure] = texts;
        [&mut text, &mut operation, &mut collection, &mut procedure].into_iter().for_each(String::clear);
        Self { text, operation, collection, procedure, ..Self::default() }
    }

    /// Follows one token; `rest` is the text behind it.
    pub(super) fn token(&mut self, token: &Token<'_>, rest: &[u8]) {
        match token.kind {
            Kind::Punct(b';') if self.depth == 0 => return self.statement_done(),
            Kind::Punct(b'(') => self.open(),
            Kind::Punct(b')') => self.close(),
            Kind::Punct(b',') => self.comma(),
            Kind::Punct(b'.') => {
                self.is_dotted = self.before == Before::Name;
                return;
            }
            Kind::Word if !self.is_dotted && self.expect != Expect::Definition && self.keyword(token.text, rest) => {}
            Kind::Word | Kind::Quoted => self.name(token, rest),
            _ => self.set_before(Before::Other),
        }
        self.has_tokens = true;
        self.is_dotted = false;
    }

    fn set_before(&mut self, before: Before) {
        self.before = before;
        self.expect = Expect::Nothing;
    }

    fn open(&mut self) {
        self.depth += 1;
        self.statement_at &= !bit(self.depth);
        self.sources_at &= !bit(self.depth);
        self.set_before(if self.before == Before::Start { Before::Start } else { Before::Open });
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.set_before(Before::Close);
    }

    fn comma(&mut self) {
        self.set_before(Before::Other);
        if self.sources_at & bit(self.depth) != 0 {
            self.expect = Expect::Source;
        }
    }

    /// Follows a word if it is a keyword that matters here.
    fn keyword(&mut self, word: &[u8], rest: &[u8]) -> bool {
        let mut upper = [0; 16];
        let Some(upper) = upper.get_mut(..word.len()) else { return false };
        upper.copy_from_slice(word);
        upper.make_ascii_uppercase();
        let begins = match self.before {
            Before::Start | Before::Prefix => true,
            Before::Open => !opens(rest),
            Before::Close => self.is_with && !opens(rest),
            _ => false,
        };
        let at = bit(self.depth);
        match &*upper {
            b"SELECT" => self.operation("SELECT", Expect::Nothing),
            b"INSERT" if begins => self.operation("INSERT", Expect::Table),
            b"REPLACE" if begins => self.operation("REPLACE", Expect::Table),
            b"MERGE" if begins => self.operation("MERGE", Expect::Table),
            b"UPDATE" if begins => {
                self.operation("UPDATE", Expect::Table);
                self.sources_at |= at;
            }
            b"DELETE" if begins => self.operation("DELETE", Expect::Nothing),
            b"FROM" if self.before == Before::Distinct => self.set_before(Before::Other),
            b"FROM" if self.statement_at & at != 0 => {
                self.set_before(Before::Other);
                self.sources_at |= at;
                self.expect = Expect::Source;
            }
            b"JOIN" | b"STRAIGHT_JOIN" if self.statement_at & at != 0 => {
                self.set_before(Before::Other);
                self.expect = Expect::Source;
            }
            b"INTO" if self.operation == "LOAD" => self.expect = Expect::Table,
            b"INTO" => {}
            b"USING" if self.operation == "MERGE" && self.depth == 0 => self.expect = Expect::Source,
            b"ONLY" | b"LATERAL" | b"LOW_PRIORITY" | b"HIGH_PRIORITY" | b"DELAYED" | b"IGNORE" | b"QUICK" | b"TABLE" | b"IF" | b"NOT"
            | b"EXISTS" | b"CONCURRENTLY"
                if self.expect != Expect::Nothing => {}
            b"WHERE" | b"GROUP" | b"ORDER" | b"HAVING" | b"LIMIT" | b"SET" | b"UNION" | b"EXCEPT" | b"INTERSECT" | b"VALUES"
            | b"RETURNING" | b"FOR" | b"WINDOW" | b"ON"
                if self.has_tokens =>
            {
                self.set_before(Before::Other);
                if &*upper != b"ON" {
                    self.sources_at &= !at;
                }
            }
            b"DISTINCT" => self.set_before(Before::Distinct),
            b"ANALYZE" | b"VERBOSE" | b"EXTENDED" if self.before == Before::Prefix => {}
            _ if self.before == Before::Start => return self.first_word(upper),
            _ => return false,
        }
        true
    }

    /// The word that begins a statement.
    fn first_word(&mut self, upper: &[u8]) -> bool {
        let (operation, expect) = match upper {
            b"WITH" => {
                self.is_with = true;
                self.set_before(Before::Other);
                return true;
            }
            b"CREATE" => ("CREATE", Expect::Definition),
            b"ALTER" => ("ALTER", Expect::Definition),
            b"DROP" => ("DROP", Expect::Definition),
            b"TRUNCATE" => ("TRUNCATE", Expect::Table),
            b"CALL" => ("CALL", Expect::Procedure),
            b"COPY" => ("COPY", Expect::Table),
            b"LISTEN" => ("LISTEN", Expect::Object),
            b"NOTIFY" => ("NOTIFY", Expect::Object),
            b"UNLISTEN" => ("UNLISTEN", Expect::Nothing),
            b"EXPLAIN" | b"DESCRIBE" | b"DESC" => {
                self.operation("EXPLAIN", Expect::Nothing);
                self.before = Before::Prefix;
                return true;
            }
            b"ANALYZE" => ("ANALYZE", Expect::Nothing),
            b"VACUUM" => ("VACUUM", Expect::Nothing),
            b"BEGIN" => ("BEGIN", Expect::Nothing),
            b"START" => ("START", Expect::Nothing),
            b"COMMIT" => ("COMMIT", Expect::Nothing),
            b"END" => ("END", Expect::Nothing),
            b"ROLLBACK" => ("ROLLBACK", Expect::Nothing),
            b"ABORT" => ("ABORT", Expect::Nothing),
            b"SAVEPOINT" => ("SAVEPOINT", Expect::Nothing),
            b"RELEASE" => ("RELEASE", Expect::Nothing),
            b"SET" => ("SET", Expect::Nothing),
            b"RESET" => ("RESET", Expect::Nothing),
            b"SHOW" => ("SHOW", Expect::Nothing),
            b"USE" => ("USE", Expect::Nothing),
            b"PREPARE" => ("PREPARE", Expect::Nothing),
            b"EXECUTE" => ("EXECUTE", Expect::Nothing),
            b"DEALLOCATE" => ("DEALLOCATE", Expect::Nothing),
            b"DECLARE" => ("DECLARE", Expect::Nothing),
            b"FETCH" => ("FETCH", Expect::Nothing),
            b"MOVE" => ("MOVE", Expect::Nothing),
            b"CLOSE" => ("CLOSE", Expect::Nothing),
            b"DISCARD" => ("DISCARD", Expect::Nothing),
            b"LOCK" => ("LOCK", Expect::Nothing),
            b"UNLOCK" => ("UNLOCK", Expect::Nothing),
            b"GRANT" => ("GRANT", Expect::Nothing),
            b"REVOKE" => ("REVOKE", Expect::Nothing),
            b"DO" => ("DO", Expect::Nothing),
            b"VALUES" => ("VALUES", Expect::Nothing),
            b"LOAD" => ("LOAD", Expect::Nothing),
            b"HANDLER" => ("HANDLER", Expect::Nothing),
            b"KILL" => ("KILL", Expect::Nothing),
            b"FLUSH" => ("FLUSH", Expect::Nothing),
            b"OPTIMIZE" => ("OPTIMIZE", Expect::Nothing),
            b"REINDEX" => ("REINDEX", Expect::Nothing),
            b"CLUSTER" => ("CLUSTER", Expect::Nothing),
            b"REFRESH" => ("REFRESH", Expect::Nothing),
            b"COMMENT" => ("COMMENT", Expect::Nothing),
            b"CHECKPOINT" => ("CHECKPOINT", Expect::Nothing),
            b"XA" => ("XA", Expect::Nothing),
            _ => {
                self.set_before(Before::Other);
                return true;
            }
        };
        self.operation(operation, expect);
        self.statement_at &= !bit(self.depth);
        true
    }

    fn operation(&mut self, name: &'static str, expect: Expect) {
        self.push(name.as_bytes());
        // The statement behind `WITH` is the one outside of all parentheses.
        let is_main = self.operation.is_empty() || self.is_with && self.depth == 0;
        if is_main {
            self.operation.clear();
            self.operation.push_str(name);
        }
        self.statement_at |= bit(self.depth);
        self.sources_at &= !bit(self.depth);
        self.before = Before::Other;
        self.expect = expect;
    }

    fn name(&mut self, token: &Token<'_>, rest: &[u8]) {
        if self.is_dotted {
            return self.continue_name(token, rest);
        }
        let expect = std::mem::take(&mut self.expect);
        self.before = Before::Name;
        self.name = None;
        if expect == Expect::Nothing || expect == Expect::Source && opens(rest) {
            return;
        }
        if expect == Expect::Definition {
            return self.definition(token.text);
        }
        let at = self.text.len();
        if self.push(unquoted(token)) {
            self.name = Some((at, expect));
            self.note(at, expect, rest);
        }
    }

    /// Another part of `schema.table`.
    fn continue_name(&mut self, token: &Token<'_>, rest: &[u8]) {
        self.before = Before::Name;
        let Some((at, expect)) = self.name.take() else { return };
        let part = unquoted(token);
        if self.text.len() - at + part.len() > NAME_LIMIT
            || self.text.len() + part.len() >= LIMIT
            || expect == Expect::Source && opens(rest)
        {
            self.text.truncate(at);
            return;
        }
        self.text.push('.');
        self.text.push_str(&String::from_utf8_lossy(part));
        self.name = Some((at, expect));
        self.note(at, expect, rest);
    }

    /// Remembers a name once its last part was read.
    fn note(&mut self, at: usize, expect: Expect, rest: &[u8]) {
        if rest.trim_ascii_start().first() == Some(&b'.') {
            return;
        }
        let name = self.text[at..].trim_start();
        match expect {
            Expect::Procedure if self.procedure.is_empty() => name.clone_into(&mut self.procedure),
            Expect::Source | Expect::Table if self.tables == 0 => {
                name.clone_into(&mut self.collection);
                self.tables = 1;
            }
            Expect::Source | Expect::Table if self.collection != name => self.tables += 1,
            _ => {}
        }
    }

    /// `CREATE`, `ALTER` or `DROP` and the words in front of what it is about.
    fn definition(&mut self, word: &[u8]) {
        let mut upper = [0; 16];
        let Some(upper) = upper.get_mut(..word.len()) else { return };
        upper.copy_from_slice(word);
        upper.make_ascii_uppercase();
        let (object, expect) = match &*upper {
            b"TABLE" => ("TABLE", Expect::Table),
            b"VIEW" => ("VIEW", Expect::Table),
            b"INDEX" => ("INDEX", Expect::Object),
            b"DATABASE" => ("DATABASE", Expect::Object),
            b"SCHEMA" => ("SCHEMA", Expect::Object),
            b"SEQUENCE" => ("SEQUENCE", Expect::Object),
            b"FUNCTION" => ("FUNCTION", Expect::Object),
            b"PROCEDURE" => ("PROCEDURE", Expect::Object),
            b"TRIGGER" => ("TRIGGER", Expect::Object),
            b"TYPE" => ("TYPE", Expect::Object),
            b"EXTENSION" => ("EXTENSION", Expect::Object),
            b"USER" => ("USER", Expect::Nothing),
            b"ROLE" => ("ROLE", Expect::Nothing),
            // UNIQUE, TEMPORARY, OR REPLACE, MATERIALIZED …
            _ => {
                self.expect = Expect::Definition;
                return;
            }
        };
        self.push(object.as_bytes());
        self.operation.push(' ');
        self.operation.push_str(object);
        self.expect = expect;
        self.before = Before::Other;
    }

    /// Adds a word; `false` if it does not fit.
    fn push(&mut self, word: &[u8]) -> bool {
        let gap = usize::from(self.text.len() > self.start);
        if word.is_empty() || word.len() > NAME_LIMIT || self.text.len() - self.start + gap + word.len() > LIMIT {
            return false;
        }
        if gap == 1 {
            self.text.push(' ');
        }
        match std::str::from_utf8(word) {
            Ok(word) => self.text.push_str(word),
            Err(_) => self.text.push_str(&String::from_utf8_lossy(word)),
        }
        true
    }

    fn statement_done(&mut self) {
        if !std::mem::take(&mut self.has_tokens) {
            return;
        }
        self.statements += 1;
        if self.statements == 1 {
            self.first = self.text.len();
        } else {
            self.differs |= self.text[self.start..] != self.text[..self.first];
            self.text.truncate(self.first);
        }
        self.start = self.text.len();
        (self.is_with, self.depth, self.statement_at, self.sources_at) = (false, 0, 0, 0);
        (self.expect, self.before, self.name, self.is_dotted) = (Expect::Nothing, Before::Start, None, false);
    }

    /// Summary, operation, collection and procedure, and how many statements there were.
    pub(super) fn finish(mut self) -> ([String; 4], u32) {
        if let Some((at, _)) = self.name.filter(|_| self.is_dotted) {
            // The text was cut inside a name.
            self.text.truncate(at);
        }
        self.statement_done();
        let Self { mut text, mut operation, mut collection, mut procedure, .. } = self;
        if self.differs {
            [&mut text, &mut operation, &mut collection, &mut procedure].into_iter().for_each(String::clear);
        }
        if self.statements > 1 {
            [&mut text, &mut operation].into_iter().for_each(|of| of.insert_str(0, if of.is_empty() { "BATCH" } else { "BATCH " }));
        }
        text.truncate(text.floor_char_boundary(LIMIT));
        if self.tables != 1 {
            collection.clear();
        }
        ([text, operation, collection, procedure], self.statements)
    }
}

/// A name without its quotes, if they are not needed to read it as one word.
fn unquoted<'a>(token: &Token<'a>) -> &'a [u8] {
    let inner = match token.text {
        [_, inner @ .., _] if token.kind == Kind::Quoted => inner,
        _ => return token.text,
    };
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'-' | 0x80..);
    if inner.iter().all(is_plain) { inner } else { token.text }
}
