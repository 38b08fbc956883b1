//! Why a configuration was refused, always as one line that a user can act on.

use super::raw::Position;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// The configuration file.
    File {
        /// The file.
        path: Arc<PathBuf>,
        /// Where in it.
        at: Position,
    },
    /// An environment variable.
    Environment(String),
    /// A command line flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, at } => write!(f, "{}:{}:{}", path.display(), at.line, at.column),
            Self::Environment(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// A configuration that the agent does not start with.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file that was asked for cannot be read.
    #[error("{}: cannot read the configuration file: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is larger than any configuration.
    #[error(" larger than {limit} bytes")]
    TooLarge {
        /// Largest size that is read, in bytes.
        limit: usize,
    },
    /// The text is not YAML.
    #[error("{}:{}: malformed YAML: {problem}", .at.line, .at.column)]
    Syntax {
        /// Where.
        at: Position,
        /// What the parser says.
        problem: String,
    },
    /// A failure inside the file at `path`.
    #[error("{}:{source}", .path.display())]
    InFile {
        /// The file.
        path: Arc<PathBuf>,
        /// The failure.
        source: Box<ConfigError>,
    },
    /// No such key.
    #[error("{origin}: unknown key {key}{hint}")]
    UnknownKey {
        /// Where it stands.
        origin: Origin,
        /// The key as written, with its sections.
        key: String,
        /// What may have been meant.
        hint: Hint,
    },
    /// A plain value where a section has to be.
    #[error("{origin}: {section}: {found} instead of a mapping; allowed: {}", .allowed.join(", "))]
    NotASection {
        /// Where it stands.
        origin: Origin,
        /// The section.
        section: String,
        /// The type that was found.
        found: &'static str,
        /// The keys of the section.
        allowed: Vec<&'static str>,
    },
    /// The value does not fit the key.
    #[error("{origin}: {key}: {problem}; allowed: {allowed}")]
    BadValue {
        /// Where it stands.
        origin: Origin,
        /// The key.
        key: &'static str,
        /// What is wrong.
        problem: String,
        /// What would be right.
        allowed: String,
    },
    /// Values that are right alone contradict each other.
    #[error("{origin}: {key}: {problem}")]
    Conflict {
        /// Where the value stands that has to change.
        origin: Origin,
        /// Its key.
        key: &'static str,
        /// What is wrong and what to do.
        problem: std::borrow::Cow<'static, str>,
    },
    /// `${NAME}` in the file names a variable that is not set, or is not closed.
    #[error("{origin}: {key}: {problem}")]
    Substitution {
        /// Where it stands.
        origin: Origin,
        /// The key.
        key: String,
        /// What is wrong.
        problem: String,
    },
    /// An environment variable is not UTF-8.
    #[error("{name}: the environment variable is not valid UTF-8")]
    NotUnicode {
        /// The variable.
        name: String,
    },
}

/// The closest thing that exists, if one is close.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// Did you mean this?
    DidYouMean(String),
    /// Nothing is close; these exist.
    OneOf(Vec<String>),
}

impl Hint {
    /// Picks the candidate closest to `written`, or lists them all.
    #[must_use]
    pub fn find<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Self {
        let candidates: Vec<&str> = candidates.into_iter().collect();
        let closest = candidates.iter().map(|candidate| (strsim::damerau_levenshtein(written, candidate), *candidate)).min();
        match closest {
            Some((distance, candidate)) if distance <= 1 + written.chars().count() / 4 => Self::DidYouMean(candidate.to_owned()),
            _ => Self::OneOf(candidates.into_iter().map(str::to_owned).collect()),
        }
    }
}

impl Hint {
    /// The hint without a list that is too long to help.
    #[must_use]
    pub fn without_list(self) -> Self {
        match self {
            Self::OneOf(_) => Self::OneOf(Vec::new()),
            found => found,
        }
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DidYouMean(key) => write!(f, "; did you mean {key}?"),
            Self::OneOf(keys) if keys.is_empty() => Ok(()),
            Self::OneOf(keys) => write!(f, "; allowed here: {}", keys.join(", ")),
        }
    }
}
