//! The kinds of rule a list may hold: selection matchers, HTTP routes, log exclusions, redactions.

use super::error::Hint;
use super::kind::{Kind, Problem, ValueError};
use super::raw::{Entry, Node, Value};
use crate::selection::{Glob, Matcher, PortRange};
use remora_core::routes::{Pattern, PatternError};

/// One shell glob.
pub struct GlobKind;

impl Kind for GlobKind {
    type Value = Glob;

    fn parse(&self, node: &Node) -> Result<Glob, ValueError> {
        glob(node)
    }

    fn name(&self) -> String {
        "glob".into()
    }

    fn allowed(&self) -> String {
        "a glob with *, **, ?, [a-z] or {a,b}".into()
    }
}

/// One rule of `selection`.
pub struct MatcherKind;

impl Kind for MatcherKind {
    type Value = Matcher;

    fn parse(&self, node: &Node) -> Result<Matcher, ValueError> {
        let fields = Fields::of(node, &["container", "service", "executable", "port", "path"])?;
        Ok(Matcher {
            container: fields.read("container", glob)?,
            service: fields.read("service", glob)?,
            executable: fields.read("executable", glob)?,
            port: fields.read("port", port_range)?,
            path: fields.read("path", glob)?,
        })
    }

    fn name(&self) -> String {
        "matcher".into()
    }

    fn allowed(&self) -> String {
        "a mapping with one or more of container, service, executable and path (globs) and port (80 or 8000-8099)".into()
    }
}

/// A path template that the user gives for the routes of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteRule {
    /// The services it is for; all if none.
    pub service: Option<Glob>,
    /// The template.
    pub pattern: Pattern,
}

/// One rule of `http.routes`.
pub struct RouteKind;

impl Kind for RouteKind {
    type Value = RouteRule;

    fn parse(&self, node: &Node) -> Result<RouteRule, ValueError> {
        if let Value::Text(_) | Value::Untyped(_) = node.value {
            return Ok(RouteRule { service: None, pattern: route(node)? });
        }
        let fields = Fields::of(node, &["service", "pattern"])?;
        Ok(RouteRule { service: fields.read("service", glob)?, pattern: fields.require("pattern", route)? })
    }

    fn name(&self) -> String {
        "route".into()
    }

    fn allowed(&self) -> String {
        "a path such as /users/{id} or /files/{path...}, or a mapping with pattern and service".into()
    }
}

/// The six ranges of OTLP severity numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogSeverity {
    /// 1 to 4.
    Trace,
    /// 5 to 8.
    Debug,
    /// 9 to 12.
    Info,
    /// 13 to 16.
    Warn,
    /// 17 to 20.
    Error,
    /// 21 to 24.
    Fatal,
}

impl LogSeverity {
    fn named(name: &str) -> Option<Self> {
        match name {
            "trace" => Some(Self::Trace),
            "debug" => Some(Self::Debug),
            "info" => Some(Self::Info),
            "warn" => Some(Self::Warn),
            "error" => Some(Self::Error),
            "fatal" => Some(Self::Fatal),
            _ => None,
        }
    }

    /// The largest OTLP severity number of the range.
    #[must_use]
    pub fn last_number(self) -> u8 {
        (self as u8 + 1) * 4
    }
}

/// Log records that are counted but not exported. Every property that is given must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogRule {
    /// Container name.
    pub container: Option<Glob>,
    /// Service name.
    pub service: Option<Glob>,
    /// Path of the log file.
    pub path: Option<Glob>,
    /// This severity and less severe ones.
    pub severity: Option<LogSeverity>,
    /// Pattern id.
    pub pattern: Option<Glob>,
}

/// One rule of `logs.exclude`.
pub struct LogRuleKind;

impl Kind for LogRuleKind {
    type Value = LogRule;

    fn parse(&self, node: &Node) -> Result<LogRule, ValueError> {
        let fields = Fields::of(node, &["container", "service", "path", "severity", "pattern"])?;
        Ok(LogRule {
            container: fields.read("container", glob)?,
            service: fields.read("service", glob)?,
            path: fields.read("path", glob)?,
            severity: fields.read("severity", severity)?,
            pattern: fields.read("pattern", glob)?,
        })
    }

    fn name(&self) -> String {
        "log rule".into()
    }

    fn allowed(&self) -> String {
        "a mapping with one or more of container, service, path and pattern (globs) and severity (trace, debug, info, warn, error or fatal)"
            .into()
    }
}

/// Text that is taken out of log bodies in addition to the built-in rules.
#[derive(Clone, Debug)]
pub struct RedactionRule {
    /// What is looked for.
    pub pattern: regex::Regex,
    /// What stands there instead; `$1` is the first group.
    pub replacement: String,
}

/// One rule of `logs.redaction.rules`.
pub struct RedactionKind;

impl Kind for RedactionKind {
    type Value = RedactionRule;

    fn parse(&self, node: &Node) -> Result<RedactionRule, ValueError> {
        if let Value::Text(_) | Value::Untyped(_) = node.value {
            return Ok(RedactionRule { pattern: expression(node)?, replacement: REDACTED.into() });
        }
        let fields = Fields::of(node, &["pattern", "replacement"])?;
        let replacement = fields.read("replacement", |node| text(node).map(str::to_owned))?;
        Ok(RedactionRule { pattern: fields.require("pattern", expression)?, replacement: replacement.unwrap_or_else(|| REDACTED.into()) })
    }

    fn name(&self) -> String {
        "redaction".into()
    }

    fn allowed(&self) -> String {
        "a regular expression, or a mapping with pattern and replacement".into()
    }
}

/// What redacted text becomes unless a rule says otherwise.
const REDACTED: &str = "[redacted]";

/// Largest compiled size of a user's regular expression, in bytes.
const MAX_EXPRESSION_BYTES: usize = 1 << 20;

/// The fields of a mapping, all of them known by name.
struct Fields<'a> {
    map: &'a [Entry],
    node: &'a Node,
}

impl<'a> Fields<'a> {
    fn of(node: &'a Node, names: &[&str]) -> Result<Self, ValueError> {
        let Value::Map(map) = &node.value else { return Err(ValueError::wrong_type(node)) };
        if let Some(entry) = map.iter().find(|entry| !names.contains(&entry.key.as_str())) {
            let hint = Hint::find(&entry.key, names.iter().copied());
            let reason = format!("unknown field {}{hint}", entry.key);
            return Err(ValueError { at: entry.at, problem: Problem::Field { reason } });
        }
        if map.is_empty() {
            return Err(ValueError { at: node.at, problem: Problem::Field { reason: "empty mapping".into() } });
        }
        Ok(Self { map, node })
    }

    fn read<T>(&self, name: &str, read: impl Fn(&Node) -> Result<T, ValueError>) -> Result<Option<T>, ValueError> {
        self.map.iter().find(|entry| entry.key == name).map(|entry| read(&entry.node)).transpose()
    }

    fn require<T>(&self, name: &str, read: impl Fn(&Node) -> Result<T, ValueError>) -> Result<T, ValueError> {
        let reason = format!("field {name} is missing");
        self.read(name, read)?.ok_or(ValueError { at: self.node.at, problem: Problem::Field { reason } })
    }
}

fn text(node: &Node) -> Result<&str, ValueError> {
    match &node.value {
        Value::Text(text) | Value::Untyped(text) => Ok(text),
        _ => Err(ValueError::wrong_type(node)),
    }
}

fn glob(node: &Node) -> Result<Glob, ValueError> {
    let text = text(node)?;
    if text.is_empty() {
        return Err(ValueError::impossible(node, text, "empty"));
    }
    Glob::new(text).map_err(|reason| ValueError::impossible(node, text, reason))
}

fn port_range(node: &Node) -> Result<PortRange, ValueError> {
    let text = match &node.value {
        Value::Number(text) | Value::Text(text) | Value::Untyped(text) => text,
        _ => return Err(ValueError::wrong_type(node)),
    };
    PortRange::parse(text).ok_or_else(|| ValueError::impossible(node, text, "not a port"))
}

fn route(node: &Node) -> Result<Pattern, ValueError> {
    let text = text(node)?;
    text.parse().map_err(|error: PatternError| ValueError::impossible(node, text, error.to_string()))
}

fn severity(node: &Node) -> Result<LogSeverity, ValueError> {
    let text = text(node)?;
    LogSeverity::named(text).ok_or_else(|| ValueError::impossible(node, text, "no severity"))
}

fn expression(node: &Node) -> Result<regex::Regex, ValueError> {
    let text = text(node)?;
    regex::RegexBuilder::new(text).size_limit(MAX_EXPRESSION_BYTES).build().map_err(|error| {
        let reason = error.to_string();
        let last = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        ValueError::impossible(node, text, last)
    })
}
