//! The kinds of value a key may hold: how each is read, and how it is described to a user.
//!
//! A kind sees one node at a time and knows neither keys nor origins. `normal` gives text from the
//! environment the type the kind wants; `parse` then decides.

use super::raw::{self, Node, Position, Value};
use ipnet::IpNet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A value that does not fit its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueError {
    /// The offending node; it may lie inside the value of the key.
    pub at: Position,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Another type than the key's.
    WrongType {
        /// What was found.
        found: &'static str,
    },
    /// The right type with an impossible content.
    Impossible {
        /// The content as written.
        value: String,
        /// Why not; empty if what is allowed says it all.
        reason: String,
    },
    /// A field that such a mapping has not, or lacks.
    Field {
        /// What is wrong.
        reason: String,
    },
}

impl ValueError {
    /// The node has another type.
    #[must_use]
    pub fn wrong_type(node: &Node) -> Self {
        Self { at: node.at, problem: Problem::WrongType { found: node.type_name() } }
    }

    /// The node has a content that cannot be.
    #[must_use]
    pub fn impossible(node: &Node, value: &str, reason: impl Into<String>) -> Self {
        let value = value.to_owned();
        Self { at: node.at, problem: Problem::Impossible { value, reason: reason.into() } }
    }

    /// In words; a secret's content is not repeated.
    #[must_use]
    pub fn message(&self, secrecy: Secrecy) -> String {
        match &self.problem {
            Problem::WrongType { found } => format!("{found} is of the wrong type"),
            Problem::Field { reason } => reason.clone(),
            Problem::Impossible { reason, .. } if secrecy == Secrecy::Secret => {
                format!("impossible value{}", suffix(reason))
            }
            Problem::Impossible { value, reason } => format!("impossible value {value:?}{}", suffix(reason)),
        }
    }
}

fn suffix(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(" ({reason})") }
}

/// Whether a value may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrecy {
    /// Shown in `remora config`.
    Public,
    /// Never printed.
    Secret,
}

/// A kind of value.
pub trait Kind: Sync {
    /// What a node of this kind becomes.
    type Value;

    /// Gives text without a type the type of this kind; what does not fit stays as it is.
    fn normal(&self, node: Node) -> Node {
        node
    }

    /// Reads a node.
    ///
    /// # Errors
    /// What is wrong with it.
    fn parse(&self, node: &Node) -> Result<Self::Value, ValueError>;

    /// The name of the kind in the reference.
    fn name(&self) -> String;

    /// What is allowed, in words.
    fn allowed(&self) -> String;

    /// Whether values are secrets.
    fn secrecy(&self) -> Secrecy {
        Secrecy::Public
    }
}

/// Text that may be of no type: the content of a string node.
fn text(node: &Node) -> Result<&str, ValueError> {
    match &node.value {
        Value::Text(text) | Value::Untyped(text) => Ok(text),
        _ => Err(ValueError::wrong_type(node)),
    }
}

/// `true` or `false`.
pub struct Switch;

impl Kind for Switch {
    type Value = bool;

    fn normal(&self, node: Node) -> Node {
        let value = match node.value {
            Value::Untyped(text) if text.eq_ignore_ascii_case("true") => Value::Switch(true),
            Value::Untyped(text) if text.eq_ignore_ascii_case("false") => Value::Switch(false),
            other => other,
        };
        Node { value, ..node }
    }

    fn parse(&self, node: &Node) -> Result<bool, ValueError> {
        match &node.value {
            Value::Switch(value) => Ok(*value),
            Value::Untyped(text) => Err(ValueError::impossible(node, text, "")),
            _ => Err(ValueError::wrong_type(node)),
        }
    }

    fn name(&self) -> String {
        "boolean".into()
    }

    fn allowed(&self) -> String {
        "true or false".into()
    }
}

/// Gives text that is a number the type of a number.
fn normal_number(node: Node) -> Node {
    let value = match node.value {
        Value::Untyped(text) if text.trim().parse::<f64>().is_ok_and(f64::is_finite) => Value::Number(text.trim().to_owned()),
        other => other,
    };
    Node { value, ..node }
}

fn number(node: &Node) -> Result<&str, ValueError> {
    match &node.value {
        Value::Number(text) => Ok(text),
        Value::Untyped(text) => Err(ValueError::impossible(node, text, "not a number")),
        _ => Err(ValueError::wrong_type(node)),
    }
}

/// A whole number within bounds.
pub struct Count {
    /// Smallest.
    pub min: u64,
    /// Largest.
    pub max: u64,
}

impl Kind for Count {
    type Value = u64;

    fn normal(&self, node: Node) -> Node {
        normal_number(node)
    }

    fn parse(&self, node: &Node) -> Result<u64, ValueError> {
        let text = number(node)?;
        match text.parse::<u64>() {
            Ok(value) if (self.min..=self.max).contains(&value) => Ok(value),
            _ => Err(ValueError::impossible(node, text, "")),
        }
    }

    fn name(&self) -> String {
        "integer".into()
    }

    fn allowed(&self) -> String {
        format!("an integer from {} to {}", self.min, self.max)
    }
}

/// A number from 0 to 1.
pub struct Ratio;

impl Kind for Ratio {
    type Value = f64;

    fn normal(&self, node: Node) -> Node {
        normal_number(node)
    }

    fn parse(&self, node: &Node) -> Result<f64, ValueError> {
        let text = number(node)?;
        match text.parse::<f64>() {
            Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
            _ => Err(ValueError::impossible(node, text, "")),
        }
    }

    fn name(&self) -> String {
        "ratio".into()
    }

    fn allowed(&self) -> String {
        "a number from 0 to 1".into()
    }
}

/// Splits `10ms` into its number and its unit.
fn with_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim()))
}

/// An amount of memory, in bytes.
pub struct Size {
    /// Smallest.
    pub min: u64,
    /// Largest.
    pub max: u64,
    /// Which sizes between.
    pub step: Step,
}

/// Which sizes between the bounds are possible.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// All.
    Byte,
    /// Powers of two, as the kernel wants for a ring buffer.
    PowerOfTwo,
}

/// Units of `Size`.
const SIZE_UNITS: [(&str, u64); 8] =
    [("", 1), ("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("kB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000)];

impl Size {
    fn read(&self, text: &str) -> Option<u64> {
        let (number, unit) = with_unit(text)?;
        let (_, factor) = SIZE_UNITS.iter().find(|(name, _)| *name == unit)?;
        let bytes = number.checked_mul(*factor)?;
        let fits = self.step == Step::Byte || bytes.is_power_of_two();
        (fits && (self.min..=self.max).contains(&bytes)).then_some(bytes)
    }
}

impl Kind for Size {
    type Value = u64;

    fn parse(&self, node: &Node) -> Result<u64, ValueError> {
        let text = match &node.value {
            Value::Number(text) | Value::Text(text) | Value::Untyped(text) => text,
            _ => return Err(ValueError::wrong_type(node)),
        };
        self.read(text).ok_or_else(|| ValueError::impossible(node, text, ""))
    }

    fn name(&self) -> String {
        "size".into()
    }

    fn allowed(&self) -> String {
        let step = if self.step == Step::PowerOfTwo { ", a power of two" } else { "" };
        format!("bytes, or with a unit such as 64KiB, from {} to {}{step}", show_size(self.min), show_size(self.max))
    }
}

fn show_size(bytes: u64) -> String {
    for (unit, factor) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes >= factor && bytes.is_multiple_of(factor) {
            return format!("{}{unit}", bytes / factor);
        }
    }
    bytes.to_string()
}

/// A span of time with its unit.
pub struct Time {
    /// Shortest.
    pub min: Duration,
    /// Longest.
    pub max: Duration,
}

/// Units of `Time`, in milliseconds.
const TIME_UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

impl Kind for Time {
    type Value = Duration;

    fn parse(&self, node: &Node) -> Result<Duration, ValueError> {
        if let Value::Number(number) = &node.value {
            return Err(ValueError::impossible(node, number, "no unit"));
        }
        let text = text(node)?;
        read_time(text).filter(|time| (self.min..=self.max).contains(time)).ok_or_else(|| ValueError::impossible(node, text, ""))
    }

    fn name(&self) -> String {
        "duration".into()
    }

    fn allowed(&self) -> String {
        format!("a duration with unit ms, s, m, h or d, from {} to {}", show_time(self.min), show_time(self.max))
    }
}

fn read_time(text: &str) -> Option<Duration> {
    let (number, unit) = with_unit(text)?;
    let (_, factor) = TIME_UNITS.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*factor).map(Duration::from_millis)
}

fn show_time(time: Duration) -> String {
    let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let unit = TIME_UNITS.iter().rev().find(|(_, factor)| ms >= *factor && ms.is_multiple_of(*factor));
    unit.map_or_else(|| format!("{ms}ms"), |(unit, factor)| format!("{}{unit}", ms / factor))
}

/// Any text.
pub struct Text {
    /// What it means, in words.
    pub allowed: &'static str,
}

impl Kind for Text {
    type Value = String;

    fn parse(&self, node: &Node) -> Result<String, ValueError> {
        let text = text(node)?;
        if text.trim().is_empty() {
            return Err(ValueError::impossible(node, text, "empty"));
        }
        Ok(text.to_owned())
    }

    fn name(&self) -> String {
        "string".into()
    }

    fn allowed(&self) -> String {
        self.allowed.into()
    }
}

/// The URL of an OTLP receiver; for gRPC also `host:port`.
pub struct Endpoint;

impl Kind for Endpoint {
    type Value = String;

    fn parse(&self, node: &Node) -> Result<String, ValueError> {
        let text = text(node)?;
        let uri: http::Uri = text.trim().parse().map_err(|_| ValueError::impossible(node, text, "no URL"))?;
        let named = uri.host().is_some_and(|host| !host.is_empty());
        match uri.scheme_str() {
            Some("http" | "https") if named => Ok(text.trim().to_owned()),
            None if named && uri.port_u16().is_some() => Ok(text.trim().to_owned()),
            _ => Err(ValueError::impossible(node, text, "no http or https URL")),
        }
    }

    fn name(&self) -> String {
        "URL".into()
    }

    fn allowed(&self) -> String {
        "a URL such as http://collector:4317 or https://collector:4318".into()
    }
}

/// Text that must not be seen.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret, for the one who has to send or compare it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// Secret text of a least length.
pub struct SecretText {
    /// Fewest characters.
    pub min_length: usize,
}

impl Kind for SecretText {
    type Value = Secret;

    fn parse(&self, node: &Node) -> Result<Secret, ValueError> {
        let text = text(node)?;
        if text.chars().count() < self.min_length {
            return Err(ValueError::impossible(node, text, "too short"));
        }
        Ok(Secret::new(text))
    }

    fn name(&self) -> String {
        "secret".into()
    }

    fn allowed(&self) -> String {
        format!("at least {} characters", self.min_length)
    }

    fn secrecy(&self) -> Secrecy {
        Secrecy::Secret
    }
}

/// An absolute path.
pub struct Absolute;

impl Kind for Absolute {
    type Value = PathBuf;

    fn parse(&self, node: &Node) -> Result<PathBuf, ValueError> {
        let text = text(node)?;
        let path = PathBuf::from(text);
        if !path.is_absolute() || text.contains('\0') {
            return Err(ValueError::impossible(node, text, ""));
        }
        Ok(path)
    }

    fn name(&self) -> String {
        "path".into()
    }

    fn allowed(&self) -> String {
        "an absolute path".into()
    }
}

/// An address to listen on.
pub struct Listen;

impl Kind for Listen {
    type Value = SocketAddr;

    fn parse(&self, node: &Node) -> Result<SocketAddr, ValueError> {
        let text = text(node)?;
        text.parse().map_err(|_| ValueError::impossible(node, text, ""))
    }

    fn name(&self) -> String {
        "address".into()
    }

    fn allowed(&self) -> String {
        "an IP address and port, such as 127.0.0.1:4390 or [::1]:4390".into()
    }
}

/// One of a few words.
pub struct Choice<T: 'static>(pub &'static [(&'static str, T)]);

impl<T: Copy + Sync> Kind for Choice<T> {
    type Value = T;

    fn parse(&self, node: &Node) -> Result<T, ValueError> {
        let text = text(node)?;
        let found = self.0.iter().find(|(name, _)| *name == text);
        found.map(|(_, value)| *value).ok_or_else(|| ValueError::impossible(node, text, ""))
    }

    fn name(&self) -> String {
        "choice".into()
    }

    fn allowed(&self) -> String {
        let names: Vec<_> = self.0.iter().map(|(name, _)| *name).collect();
        match names.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
            _ => names.concat(),
        }
    }
}

/// An address range, or a single address.
pub struct Network;

impl Kind for Network {
    type Value = IpNet;

    fn parse(&self, node: &Node) -> Result<IpNet, ValueError> {
        let text = text(node)?;
        let single = || text.parse::<std::net::IpAddr>().map(IpNet::from);
        text.parse::<IpNet>().or_else(|_| single()).map_err(|_| ValueError::impossible(node, text, ""))
    }

    fn name(&self) -> String {
        "network".into()
    }

    fn allowed(&self) -> String {
        "an address range such as 10.0.0.0/8 or fd00::/8".into()
    }
}

/// A list; in the environment separated by commas, or a YAML list in brackets.
pub struct ListOf<K>(pub K);

impl<K: Kind> Kind for ListOf<K> {
    type Value = Vec<K::Value>;

    fn normal(&self, node: Node) -> Node {
        let value = match node.value {
            Value::Untyped(text) => Value::List(items(&text)),
            other => other,
        };
        let value = match value {
            Value::List(list) => Value::List(list.into_iter().map(|item| self.0.normal(item)).collect()),
            other => other,
        };
        Node { value, ..node }
    }

    fn parse(&self, node: &Node) -> Result<Self::Value, ValueError> {
        match &node.value {
            Value::List(list) => list.iter().map(|item| self.0.parse(item)).collect(),
            _ => Err(ValueError::wrong_type(node)),
        }
    }

    fn name(&self) -> String {
        format!("list of {}", self.0.name())
    }

    fn allowed(&self) -> String {
        format!("a list; each: {}", self.0.allowed())
    }

    fn secrecy(&self) -> Secrecy {
        self.0.secrecy()
    }
}

/// Splits text from the environment into list items.
fn items(text: &str) -> Vec<Node> {
    if let Some(Value::List(list)) = flow(text, '[') {
        return list;
    }
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Node::untyped).collect()
}

/// Reads text from the environment that starts like a YAML flow collection as one.
fn flow(text: &str, opening: char) -> Option<Value> {
    let text = text.trim();
    text.starts_with(opening).then(|| raw::parse(text).ok()).flatten().map(|node| without_places(node).value)
}

/// Forgets positions that count inside a variable's text and not in a file.
fn without_places(node: Node) -> Node {
    let value = match node.value {
        Value::List(list) => Value::List(list.into_iter().map(without_places).collect()),
        Value::Map(map) => Value::Map(
            map.into_iter().map(|entry| raw::Entry { at: Position::default(), key: entry.key, node: without_places(entry.node) }).collect(),
        ),
        other => other,
    };
    Node { at: Position::default(), value }
}

/// Names with text values; in the environment `name=value,name=value`, or a YAML mapping in braces.
pub struct Labels {
    /// What the names are, in words.
    pub what: &'static str,
    /// Whether the values are secrets.
    pub secrecy: Secrecy,
}

impl Kind for Labels {
    type Value = Vec<(String, String)>;

    fn normal(&self, node: Node) -> Node {
        let value = match node.value {
            Value::Untyped(text) => flow(&text, '{').or_else(|| pairs(&text)).unwrap_or(Value::Untyped(text)),
            other => other,
        };
        Node { value, ..node }
    }

    fn parse(&self, node: &Node) -> Result<Self::Value, ValueError> {
        let map = match &node.value {
            Value::Map(map) => map,
            Value::Untyped(text) => return Err(ValueError::impossible(node, text, "")),
            _ => return Err(ValueError::wrong_type(node)),
        };
        map.iter().map(|entry| Ok((entry.key.clone(), text(&entry.node)?.to_owned()))).collect()
    }

    fn name(&self) -> String {
        "mapping".into()
    }

    fn allowed(&self) -> String {
        format!("{} with string values (numbers in quotes)", self.what)
    }

    fn secrecy(&self) -> Secrecy {
        self.secrecy
    }
}

/// Reads `name=value,name=value` with percent-encoded values, as the `OTEL_*` variables write it.
fn pairs(text: &str) -> Option<Value> {
    let mut map = Vec::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=')?;
        let (key, value) = (percent_decode(key.trim())?, percent_decode(value.trim())?);
        if key.is_empty() {
            return None;
        }
        let node = Node { at: Position::default(), value: Value::Text(value) };
        map.push(raw::Entry { at: Position::default(), key, node });
    }
    Some(Value::Map(map))
}

/// Decodes `%41`; `None` if that is no UTF-8. A `%` without two hexadecimal digits stands for itself.
fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let (byte, tail) = match (first, tail) {
            (b'%', [high, low, tail @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => (hex(*high) << 4 | hex(*low), tail),
            _ => (first, tail),
        };
        bytes.push(byte);
        rest = tail;
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit.wrapping_sub(b'A').wrapping_add(10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<K: Kind>(kind: &K, text: &str) -> Result<K::Value, ValueError> {
        kind.parse(&kind.normal(Node::untyped(text)))
    }

    #[test]
    fn sizes_have_units_and_bounds() {
        let kind = Size { min: 1024, max: 1 << 30, step: Step::PowerOfTwo };
        assert_eq!(read(&kind, "16MiB"), Ok(16 << 20));
        assert_eq!(read(&kind, "4096"), Ok(4096));
        assert_eq!(read(&kind, "1 KiB"), Ok(1024));
        for bad in ["", "1", "3MiB", "16mib", "-1", "1e6", "99999999999999999999", "18446744073709551615GiB", "2GiB"] {
            assert!(read(&kind, bad).is_err(), "{bad}");
        }
        assert_eq!(kind.allowed(), "bytes, or with a unit such as 64KiB, from 1KiB to 1GiB, a power of two");
    }

    #[test]
    fn times_need_a_unit() {
        let kind = Time { min: Duration::from_millis(10), max: Duration::from_secs(3600) };
        assert_eq!(read(&kind, "1500ms"), Ok(Duration::from_millis(1500)));
        assert_eq!(read(&kind, "2m"), Ok(Duration::from_secs(120)));
        for bad in ["", "5", "5x", "1ms", "2h", "-5s", "1.5s", "99999999999999999d"] {
            assert!(read(&kind, bad).is_err(), "{bad}");
        }
        assert_eq!(kind.allowed(), "a duration with unit ms, s, m, h or d, from 10ms to 1h");
    }

    #[test]
    fn labels_are_read_as_the_specification_encodes_headers() {
        let kind = Labels { what: "headers", secrecy: Secrecy::Secret };
        let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        assert_eq!(read(&kind, "a=1, b = x%20y=z,,"), Ok(vec![pair("a", "1"), pair("b", "x y=z")]));
        assert_eq!(read(&kind, "{a: one, b: \"2\"}"), Ok(vec![pair("a", "one"), pair("b", "2")]));
        for bad in ["novalue", "=x", "a=%ff"] {
            let error = read(&kind, bad).expect_err(bad);
            assert!(!error.message(Secrecy::Secret).contains(bad), "{error:?}");
        }
        assert!(read(&kind, "{a: 1}").is_err());
    }

    #[test]
    fn lists_come_with_commas_or_brackets() {
        let kind = ListOf(Network);
        let nets = |texts: &[&str]| texts.iter().map(|t| t.parse::<IpNet>().expect("net")).collect::<Vec<_>>();
        assert_eq!(read(&kind, "10.0.0.0/8, fd00::/8"), Ok(nets(&["10.0.0.0/8", "fd00::/8"])));
        assert_eq!(read(&kind, "[\"192.168.1.1\"]"), Ok(nets(&["192.168.1.1/32"])));
        assert_eq!(read(&kind, ""), Ok(vec![]));
        assert!(read(&kind, "10.0.0.0/33").is_err());
    }

    #[test]
    fn ratios_and_counts_are_bounded() {
        assert_eq!(read(&Ratio, "0.25"), Ok(0.25));
        for bad in ["1.1", "-0.1", "nan", "half", "inf"] {
            assert!(read(&Ratio, bad).is_err(), "{bad}");
        }
        let count = Count { min: 1, max: 10 };
        assert_eq!(read(&count, "10"), Ok(10));
        for bad in ["0", "11", "1.5", "ten", "-1"] {
            assert!(read(&count, bad).is_err(), "{bad}");
        }
    }
}
