//! The configuration file as written: a tree of YAML nodes, each with its line and column.
//!
//! Knows YAML and nothing of the keys; what a key may hold is decided by `kind` and `keys`. Must never
//! panic or use unbounded memory on any input: size, depth and alias expansion are limited.

use super::error::ConfigError;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};
use std::fmt;

/// Largest configuration file that is read, in bytes.
pub const MAX_FILE_BYTES: usize = 1 << 20;

/// Place in the file, both counted from 1; zero where a value comes from no file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Line.
    pub line: u64,
    /// Column.
    pub column: u64,
}

/// One YAML node.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it starts.
    pub at: Position,
    /// What it holds.
    pub value: Value,
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`, `~` or nothing: the key counts as not set.
    Null,
    /// `true` or `false`.
    Switch(bool),
    /// A number, in decimal notation.
    Number(String),
    /// A string.
    Text(String),
    /// Text without a type of its own, to be read as the key wants it: from an environment variable, a
    /// flag, or a YAML value with `${…}`.
    Untyped(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the file.
    Map(Vec<Entry>),
}

/// One entry of a mapping.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Where the key stands.
    pub at: Position,
    /// The key.
    pub key: String,
    /// Its value.
    pub node: Node,
}

impl Node {
    /// A value that comes from no file and has no type of its own.
    #[must_use]
    pub fn untyped(text: impl Into<String>) -> Self {
        Self { at: Position::default(), value: Value::Untyped(text.into()) }
    }

    /// What the value is called in an error.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Switch(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::Text(_) | Value::Untyped(_) => "a string",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

/// Parses YAML text. An empty document is `Null`.
///
/// # Errors
/// `Syntax` (without a file name) with the position of the fault.
pub fn parse(text: &str) -> Result<Node, ConfigError> {
    if text.len() > MAX_FILE_BYTES {
        return Err(ConfigError::TooLarge { limit: MAX_FILE_BYTES });
    }
    if only_comments(text) {
        return Ok(Node { at: Position::default(), value: Value::Null });
    }
    let options = serde_saphyr::options! {
        strict_booleans: true,
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_depth: 32,
            max_nodes: 100_000,
            max_documents: 1,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 10_000 },
    };
    serde_saphyr::from_str_with_options::<Spanned<Value>>(text, options).map(Node::from).map_err(|error| {
        let at = error.location().map(Position::from).unwrap_or_default();
        ConfigError::Syntax { at, problem: first_line(&error) }
    })
}

fn only_comments(text: &str) -> bool {
    text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()).all(|line| line.is_empty() || line == "---")
}

/// The parser's message on one line and without the position, which the caller prints.
fn first_line(error: &serde_saphyr::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    let line = line.split(" at line ").next().unwrap_or(line);
    line.trim_start_matches("error: ").to_owned()
}

/// Keys are repeated in one-line errors, so control characters in them are escaped.
fn printable(key: String) -> String {
    if key.chars().any(char::is_control) { key.escape_debug().to_string() } else { key }
}

impl From<Location> for Position {
    fn from(location: Location) -> Self {
        Self { line: location.line(), column: location.column() }
    }
}

impl From<Spanned<Value>> for Node {
    fn from(spanned: Spanned<Value>) -> Self {
        Self { at: position(spanned.referenced, spanned.defined), value: spanned.value }
    }
}

fn position(referenced: Location, defined: Location) -> Position {
    let place = if referenced.line() == 0 { defined } else { referenced };
    Position::from(place)
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Switch(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = access.next_element::<Spanned<Value>>()? {
            list.push(Node::from(item));
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some((key, value)) = access.next_entry::<Spanned<String>, Spanned<Value>>()? {
            map.push(Entry { at: position(key.referenced, key.defined), key: printable(key.value), node: Node::from(value) });
        }
        Ok(Value::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_keep_their_type_and_place() {
        let node = parse("# head\nview:\n  listen: 127.0.0.1:80\n  enabled: off\nlist: [1, 2.5, true, ~]\n").expect("yaml");
        let Value::Map(sections) = node.value else { panic!("not a map") };
        assert_eq!(sections[0].key, "view");
        assert_eq!(sections[0].at, Position { line: 2, column: 1 });
        let Value::Map(view) = &sections[0].node.value else { panic!("not a map") };
        assert_eq!(view[0].at, Position { line: 3, column: 3 });
        assert_eq!(view[0].node.at, Position { line: 3, column: 11 });
        assert_eq!(view[0].node.value, Value::Text("127.0.0.1:80".into()));
        assert_eq!(view[1].node.value, Value::Text("off".into()));
        let Value::List(list) = &sections[1].node.value else { panic!("not a list") };
        let values: Vec<_> = list.iter().map(|node| node.value.clone()).collect();
        assert_eq!(values, [Value::Number("1".into()), Value::Number("2.5".into()), Value::Switch(true), Value::Null]);
    }

    #[test]
    fn an_empty_document_is_null() {
        for text in ["", "\n\n", "# only a comment\n", "---\n", "---\n# comment"] {
            assert_eq!(parse(text).expect("empty").value, Value::Null, "{text:?}");
        }
    }

    #[test]
    fn malformed_yaml_is_located() {
        for (text, line) in [
            ("view:\n  listen: [1, 2\n", 2),
            ("a: 1\nb:\n\tc: 2\n", 3),
            ("a: 1\na: 2\n", 2),
            ("a: b: c\n", 1),
            ("a: \"x\n", 1),
            ("a: *nowhere\n", 1),
        ] {
            let error = parse(text).expect_err(text);
            let ConfigError::Syntax { at, problem } = error else { panic!("{text:?}: {error:?}") };
            assert_eq!(at.line, line, "{text:?}: {problem}");
            assert!(!problem.is_empty() && !problem.contains('\n'), "{problem}");
        }
    }

    #[test]
    fn bombs_are_refused() {
        let deep = "[".repeat(5_000);
        assert!(parse(&deep).is_err());
        let mut laughs = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for (name, of) in [("b", "a"), ("c", "b"), ("d", "c"), ("e", "d"), ("f", "e")] {
            let list = vec![format!("*{of}"); 10].join(", ");
            laughs.push_str(&format!("{name}: &{name} [{list}]\n"));
        }
        assert!(parse(&laughs).is_err());
        assert!(matches!(parse(&"a".repeat(MAX_FILE_BYTES + 1)), Err(ConfigError::TooLarge { .. })));
    }
}
