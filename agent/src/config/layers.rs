//! Puts the layers on top of each other: defaults, file, `REMORA_*`, `OTEL_*`, flags. The last one that
//! sets a key wins, and each value remembers where it comes from.

use super::env::{self, Environment, Stray};
use super::error::{ConfigError, Hint, Origin};
use super::keys::{self, AnyKey, Key};
use super::kind::Kind;
use super::otel;
use super::raw::{self, Entry, Node, Position, Value};
use super::values::Protocol;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// The specification's default endpoint for OTLP over HTTP.
const DEFAULT_HTTP_ENDPOINT: &str = "http://localhost:4318";

/// The configuration file, read.
#[derive(Clone, Debug)]
pub struct File {
    /// Its path, for messages.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

/// A key set on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlagValue {
    /// The flag as the user typed it.
    pub flag: String,
    /// The key's path.
    pub path: String,
    /// The value as text.
    pub text: String,
}

/// Everything a configuration is made of.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file, if there is one.
    pub file: Option<File>,
    /// The environment.
    pub environment: Environment,
    /// Keys set by flags, later ones win.
    pub flags: Vec<FlagValue>,
}

/// The effective value of one key.
pub struct Effective {
    /// The key.
    pub key: &'static dyn AnyKey,
    /// Its value; `None` if nothing sets it and it has no default.
    pub node: Option<Node>,
    /// Where the value comes from.
    pub origin: Origin,
}

impl std::fmt::Debug for Effective {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.key.path(), self.origin)
    }
}

/// The layers, flattened: one value a key.
#[derive(Debug)]
pub struct Layers {
    values: BTreeMap<&'static str, (Node, Origin)>,
    /// Remarks that do not stop the start, each one line.
    pub notices: Vec<String>,
}

impl Layers {
    /// Reads all sources.
    ///
    /// # Errors
    /// Malformed text, unknown keys, failed substitutions. Values are judged when they are asked for.
    pub fn read(sources: &Sources) -> Result<Self, ConfigError> {
        let mut layers = Self { values: BTreeMap::new(), notices: Vec::new() };
        if let Some(file) = &sources.file {
            layers.add_file(file, &sources.environment)?;
        }
        layers.add_named_variables(&sources.environment)?;
        for setting in otel::settings(&sources.environment)? {
            layers.set(&setting.path, Node::untyped(setting.text), Origin::Environment(setting.variable))?;
        }
        for flag in &sources.flags {
            layers.set(&flag.path, Node::untyped(&flag.text), Origin::Flag(flag.flag.clone()))?;
        }
        layers.adapt_default_endpoint()?;
        Ok(layers)
    }

    /// The specification has another default endpoint for OTLP over HTTP.
    fn adapt_default_endpoint(&mut self) -> Result<(), ConfigError> {
        if self.get(&keys::OTLP_PROTOCOL)? == Protocol::HttpProtobuf && !self.is_set(keys::OTLP_ENDPOINT.path) {
            self.set(keys::OTLP_ENDPOINT.path, Node::untyped(DEFAULT_HTTP_ENDPOINT), Origin::Default)?;
        }
        Ok(())
    }

    fn set(&mut self, path: &str, node: Node, origin: Origin) -> Result<(), ConfigError> {
        let Some(key) = find(path) else {
            let hint = Hint::find(path, keys::ALL.iter().map(|key| key.path())).without_list();
            return Err(ConfigError::UnknownKey { origin, key: path.to_owned(), hint });
        };
        self.values.insert(key.path(), (key.normal(node), origin));
        Ok(())
    }

    fn add_file(&mut self, file: &File, environment: &Environment) -> Result<(), ConfigError> {
        let path = Arc::new(file.path.clone());
        let root = raw::parse(&file.text).map_err(|source| ConfigError::InFile { path: Arc::clone(&path), source: Box::new(source) })?;
        let reader = FileReader { path, environment };
        let mut found = Vec::new();
        reader.collect("", root, &mut found)?;
        for (key, node, origin) in found {
            self.set(&key, node, origin)?;
        }
        Ok(())
    }

    fn add_named_variables(&mut self, environment: &Environment) -> Result<(), ConfigError> {
        for key in keys::ALL {
            let variable = env::variable(key.path());
            if let Some(text) = environment.get(&variable)? {
                let node = Node::untyped(text);
                self.set(key.path(), node, Origin::Environment(variable))?;
            }
        }
        let paths: Vec<&str> = keys::ALL.iter().map(|key| key.path()).collect();
        for stray in env::strays(environment, &paths) {
            match stray {
                Stray::Foreign { name } => self.notices.push(format!("{name} is no setting of remora and is ignored")),
                Stray::Misspelt { name, hint } => {
                    let origin = Origin::Environment(name.clone());
                    return Err(ConfigError::UnknownKey { origin, key: name, hint });
                }
            }
        }
        Ok(())
    }

    /// The value of a key that has a default or is set; `None` otherwise.
    ///
    /// # Errors
    /// The value does not fit the key.
    pub fn find<K: Kind>(&self, key: &Key<K>) -> Result<Option<K::Value>, ConfigError> {
        let (node, origin) = match self.values.get(key.path) {
            Some((node, origin)) => (node.clone(), origin.clone()),
            None => match key.default {
                Some(text) => (key.kind.normal(Node::untyped(text)), Origin::Default),
                None => return Ok(None),
            },
        };
        key.kind.parse(&node).map(Some).map_err(|error| ConfigError::BadValue {
            origin: relocate(origin, error.at),
            key: key.path,
            problem: error.message(key.kind.secrecy()),
            allowed: key.kind.allowed(),
        })
    }

    /// The value of a key that always has one.
    ///
    /// # Errors
    /// The value does not fit the key, or (a mistake in the table of keys) there is no default.
    pub fn get<K: Kind>(&self, key: &Key<K>) -> Result<K::Value, ConfigError> {
        self.find(key)?.ok_or(ConfigError::Conflict { origin: Origin::Default, key: key.path, problem: "has no value".into() })
    }

    /// Where the value of a key comes from.
    #[must_use]
    pub fn origin(&self, path: &str) -> Origin {
        self.values.get(path).map_or(Origin::Default, |(_, origin)| origin.clone())
    }

    /// Whether anything but the default gives the key its value.
    #[must_use]
    pub fn is_set(&self, path: &str) -> bool {
        self.origin(path) != Origin::Default
    }

    /// All keys with their values.
    #[must_use]
    pub fn effective(&self) -> Vec<Effective> {
        keys::ALL
            .iter()
            .map(|key| {
                let default = || key.default().map(|text| key.normal(Node::untyped(text)));
                let node = self.values.get(key.path()).map(|(node, _)| node.clone()).or_else(default);
                Effective { key: *key, node, origin: self.origin(key.path()) }
            })
            .collect()
    }
}

/// Points into the value of a key where the fault is inside it.
fn relocate(origin: Origin, at: Position) -> Origin {
    match origin {
        Origin::File { path, at: _ } if at.line > 0 => Origin::File { path, at },
        other => other,
    }
}

fn find(path: &str) -> Option<&'static dyn AnyKey> {
    keys::ALL.iter().copied().find(|key| key.path() == path)
}

/// Turns the tree of the file into keys with values.
struct FileReader<'a> {
    path: Arc<PathBuf>,
    environment: &'a Environment,
}

impl FileReader<'_> {
    fn origin(&self, at: Position) -> Origin {
        Origin::File { path: Arc::clone(&self.path), at }
    }

    fn collect(&self, section: &str, node: Node, found: &mut Vec<(String, Node, Origin)>) -> Result<(), ConfigError> {
        let entries = match node.value {
            Value::Map(entries) => entries,
            Value::Null => return Ok(()),
            _ => return Err(self.not_a_section(section, &node)),
        };
        for entry in entries {
            self.collect_entry(section, entry, found)?;
        }
        Ok(())
    }

    fn collect_entry(&self, section: &str, entry: Entry, found: &mut Vec<(String, Node, Origin)>) -> Result<(), ConfigError> {
        let path = if section.is_empty() { entry.key.clone() } else { format!("{section}.{}", entry.key) };
        let nested = !entry.key.contains('.');
        if let Some(key) = find(&path).filter(|_| nested) {
            let node = env::substitute(entry.node, self.environment).map_err(|(node, error)| ConfigError::Substitution {
                origin: self.origin(node.at),
                key: key.path().to_owned(),
                problem: error.to_string(),
            })?;
            if node.value != Value::Null {
                let origin = self.origin(node.at);
                found.push((path, node, origin));
            }
            return Ok(());
        }
        let is_section = keys::ALL.iter().any(|key| key.path().starts_with(&format!("{path}.")));
        if is_section && nested {
            return self.collect(&path, entry.node, found);
        }
        Err(ConfigError::UnknownKey { origin: self.origin(entry.at), hint: hint(section, &entry.key), key: path })
    }

    fn not_a_section(&self, section: &str, node: &Node) -> ConfigError {
        let what = if section.is_empty() { "the file" } else { section };
        ConfigError::NotASection {
            origin: self.origin(node.at),
            section: what.to_owned(),
            found: node.type_name(),
            allowed: members(section),
        }
    }
}

/// Names that may stand in a section.
fn members(section: &str) -> Vec<&'static str> {
    let prefix = if section.is_empty() { String::new() } else { format!("{section}.") };
    let mut names: Vec<&str> = Vec::new();
    for name in keys::ALL.iter().filter_map(|key| key.path().strip_prefix(&prefix)) {
        let name = name.split('.').next().unwrap_or(name);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// What may have been meant: a neighbour, or a key of that name in another section.
fn hint(section: &str, name: &str) -> Hint {
    if let Some((outer, inner)) = name.rsplit_once('.') {
        return Hint::DidYouMean(format!("{inner} below {outer}:"));
    }
    let near = Hint::find(name, members(section));
    if let Hint::DidYouMean(near) = near {
        let path = if section.is_empty() { near } else { format!("{section}.{near}") };
        return Hint::DidYouMean(path);
    }
    let written = if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
    match Hint::find(&written, keys::ALL.iter().map(|key| key.path())) {
        Hint::DidYouMean(path) => Hint::DidYouMean(path),
        Hint::OneOf(_) => near,
    }
}
