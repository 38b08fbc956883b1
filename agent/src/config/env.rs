//! Environment variables: those named after keys (`REMORA_SECTION_KEY`) and `${NAME}` in the file.
//!
//! Works on a snapshot handed in by `main`; never asks the process for its environment.

use super::error::{ConfigError, Hint};
use super::raw::{Entry, Node, Value};
use std::collections::BTreeMap;
use std::ffi::OsString;

/// Prefix of the variables named after keys.
const PREFIX: &str = "REMORA_";

/// Variables with the prefix that are no keys.
const OTHER: [&str; 1] = ["REMORA_CONFIG"];

/// The environment as it was when the agent started.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: BTreeMap<String, OsString>,
}

impl Environment {
    /// Takes a snapshot; variables whose names are not UTF-8 cannot be meant for the agent.
    pub fn new<N: Into<OsString>, V: Into<OsString>>(variables: impl IntoIterator<Item = (N, V)>) -> Self {
        let variables = variables.into_iter().filter_map(|(name, value)| Some((name.into().into_string().ok()?, value.into()))).collect();
        Self { variables }
    }

    /// The value of a variable; an empty one counts as not set, as the OpenTelemetry specification says.
    ///
    /// # Errors
    /// The value is not UTF-8.
    pub fn get(&self, name: &str) -> Result<Option<&str>, ConfigError> {
        let Some(value) = self.variables.get(name) else { return Ok(None) };
        let value = value.to_str().ok_or_else(|| ConfigError::NotUnicode { name: name.to_owned() })?;
        Ok((!value.is_empty()).then_some(value))
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.variables.keys().map(String::as_str)
    }
}

/// The variable of a key: `metrics.interval` is `REMORA_METRICS_INTERVAL`.
#[must_use]
pub fn variable(path: &str) -> String {
    format!("{PREFIX}{}", path.to_ascii_uppercase().replace('.', "_"))
}

/// A variable with the agent's prefix that belongs to no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stray {
    /// Almost certainly a misspelt key: it starts with the name of a section.
    Misspelt {
        /// The variable.
        name: String,
        /// What may have been meant.
        hint: Hint,
    },
    /// Something else's variable.
    Foreign {
        /// The variable.
        name: String,
    },
}

/// Finds the variables with the agent's prefix that belong to no key. Kubernetes injects
/// `REMORA_SERVICE_HOST`, `REMORA_PORT_…` and the like for a Service of that name; those are no mistakes.
#[must_use]
pub fn strays(environment: &Environment, paths: &[&str]) -> Vec<Stray> {
    let known: Vec<String> = paths.iter().map(|path| variable(path)).collect();
    environment
        .names()
        .filter(|name| name.starts_with(PREFIX))
        .filter(|name| !OTHER.contains(name) && !known.iter().any(|known| known == name))
        .map(|name| classify(name, &known, paths))
        .collect()
}

fn classify(name: &str, known: &[String], paths: &[&str]) -> Stray {
    let hint = Hint::find(name, known.iter().map(String::as_str));
    let in_section =
        paths.iter().filter_map(|path| path.split('.').next()).any(|section| name.starts_with(&format!("{}_", variable(section))));
    let misspelt = in_section || matches!(hint, Hint::DidYouMean(_));
    if !misspelt || is_service_link(name) {
        return Stray::Foreign { name: name.to_owned() };
    }
    Stray::Misspelt { name: name.to_owned(), hint: hint.without_list() }
}

/// Whether Kubernetes or Docker wrote the variable to link a service.
fn is_service_link(name: &str) -> bool {
    let after_port = name.rsplit_once("_PORT_").map(|(_, rest)| rest);
    let numbered = after_port.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    numbered || name.ends_with("_SERVICE_HOST") || name.contains("_SERVICE_PORT") || name.ends_with("_PORT")
}

/// A `${…}` that cannot be replaced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubstitutionError {
    /// `${` without `}`.
    #[error("${{ without a closing }}; write $${{ for a literal ${{")]
    Unclosed,
    /// What stands in the braces is no name.
    #[error("{0:?} is not the name of an environment variable; write $${{ for a literal ${{")]
    BadName(String),
    /// The variable is not set and there is no default.
    #[error("environment variable {0} is not set; write ${{{0}:-default}} to give a default")]
    Unset(String),
    /// The variable's value is not UTF-8.
    #[error("environment variable {0} is not valid UTF-8")]
    NotUnicode(String),
}

/// Replaces `${NAME}` and `${NAME:-default}` in every string value below `node`; `$${` stands for `${`.
///
/// # Errors
/// The first that cannot be replaced, with the node it stands in.
pub fn substitute(node: Node, environment: &Environment) -> Result<Node, (Node, SubstitutionError)> {
    let value = match node.value {
        Value::Text(text) if text.contains("${") => match replace(&text, environment) {
            Ok(text) => Value::Untyped(text),
            Err(error) => return Err((Node { at: node.at, value: Value::Text(text) }, error)),
        },
        Value::List(list) => Value::List(list.into_iter().map(|item| substitute(item, environment)).collect::<Result<_, _>>()?),
        Value::Map(map) => Value::Map(
            map.into_iter().map(|entry| Ok(Entry { node: substitute(entry.node, environment)?, ..entry })).collect::<Result<_, _>>()?,
        ),
        other => other,
    };
    Ok(Node { at: node.at, value })
}

fn replace(text: &str, environment: &Environment) -> Result<String, SubstitutionError> {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, from) = rest.split_at(start);
        let inside = &from[2..];
        if let Some(before) = before.strip_suffix('$') {
            result.push_str(before);
            result.push_str("${");
            rest = inside;
            continue;
        }
        result.push_str(before);
        let (reference, after) = inside.split_once('}').ok_or(SubstitutionError::Unclosed)?;
        result.push_str(&lookup(reference, environment)?);
        rest = after;
    }
    result.push_str(rest);
    Ok(result)
}

fn lookup(reference: &str, environment: &Environment) -> Result<String, SubstitutionError> {
    let (name, default) = match reference.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (reference, None),
    };
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts_well || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(SubstitutionError::BadName(name.to_owned()));
    }
    match (environment.get(name), default) {
        (Err(_), _) => Err(SubstitutionError::NotUnicode(name.to_owned())),
        (Ok(Some(value)), _) => Ok(value.to_owned()),
        (Ok(None), Some(default)) => Ok(default.to_owned()),
        (Ok(None), None) => Err(SubstitutionError::Unset(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced() {
        let environment = Environment::new([("HOST", "db"), ("EMPTY", ""), ("_P1", "80")]);
        let cases = [
            ("${HOST}:${_P1}", Ok("db:80")),
            ("${NONE:-x:y}", Ok("x:y")),
            ("${EMPTY:-d}", Ok("d")),
            ("${NONE:-}", Ok("")),
            ("$${HOST} costs $5", Ok("${HOST} costs $5")),
            ("a${HOST", Err(SubstitutionError::Unclosed)),
            ("${}", Err(SubstitutionError::BadName(String::new()))),
            ("${1A}", Err(SubstitutionError::BadName("1A".into()))),
            ("${A B}", Err(SubstitutionError::BadName("A B".into()))),
            ("${NONE}", Err(SubstitutionError::Unset("NONE".into()))),
            ("${EMPTY}", Err(SubstitutionError::Unset("EMPTY".into()))),
        ];
        for (text, expected) in cases {
            assert_eq!(replace(text, &environment), expected.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn strays_are_told_from_other_peoples_variables() {
        let environment = Environment::new([
            ("REMORA_METRICS_INTERVALL", "1"),
            ("REMORA_VIEW_COLOUR", "1"),
            ("REMORA_SERVICE_HOST", "10.0.0.1"),
            ("REMORA_PORT_4390_TCP_ADDR", "10.0.0.1"),
            ("REMORA_VIEW_SERVICE_PORT_HTTP", "80"),
            ("REMORA_BIN", "/x"),
            ("REMORA_CONFIG", "/c"),
            ("REMORA_VIEW_LISTEN", "x"),
            ("HOME", "/"),
        ]);
        let found = strays(&environment, &["metrics.interval", "view.listen"]);
        let misspelt: Vec<_> = found.iter().filter(|stray| matches!(stray, Stray::Misspelt { .. })).collect();
        assert_eq!(
            misspelt,
            [
                &Stray::Misspelt { name: "REMORA_METRICS_INTERVALL".into(), hint: Hint::DidYouMean("REMORA_METRICS_INTERVAL".into()) },
                &Stray::Misspelt { name: "REMORA_VIEW_COLOUR".into(), hint: Hint::OneOf(vec![]) },
            ]
        );
        assert_eq!(found.len(), 6);
    }
}
