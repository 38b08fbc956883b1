//! Route templates that the user gives.

use super::segments;
use std::str::FromStr;
use thiserror::Error;

/// A template of a path: literal segments, `{name}` for one segment or the middle of one, `{name...}` for the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    parts: Vec<Part>,
    rest: Rest,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    /// Anything between the two; not empty.
    Any {
        before: String,
        behind: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    None,
    Any,
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PatternError {
    /// It is relative.
    #[error("does not start with /")]
    Relative,
    /// A placeholder for the rest stands before the end.
    #[error("{{name...}} stands before the end")]
    RestInside,
    /// Braces are not paired, or a segment has two placeholders.
    #[error("a segment has one {{name}} at most")]
    Braces,
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if !text.starts_with('/') {
            return Err(PatternError::Relative);
        }
        let mut pattern = Self { text: text.to_owned(), parts: Vec::new(), rest: Rest::None };
        for segment in segments(text) {
            if pattern.rest == Rest::Any {
                return Err(PatternError::RestInside);
            }
            match part(segment)? {
                Some(part) => pattern.parts.push(part),
                None => pattern.rest = Rest::Any,
            }
        }
        Ok(pattern)
    }
}

/// One segment; `None` for the rest of the path.
fn part(segment: &str) -> Result<Option<Part>, PatternError> {
    let Some((before, rest)) = segment.split_once('{') else {
        return if segment.contains('}') { Err(PatternError::Braces) } else { Ok(Some(Part::Literal(segment.to_owned()))) };
    };
    let Some((name, behind)) = rest.split_once('}') else { return Err(PatternError::Braces) };
    if [before, name, behind].iter().any(|part| part.contains(['{', '}'])) {
        return Err(PatternError::Braces);
    }
    if before.is_empty() && behind.is_empty() && name.ends_with("...") {
        return Ok(None);
    }
    Ok(Some(Part::Any { before: before.to_owned(), behind: behind.to_owned() }))
}

impl Part {
    fn is_match(&self, segment: &str) -> bool {
        match self {
            Part::Literal(text) => text == segment,
            Part::Any { before, behind } => segment
                .strip_prefix(before.as_str())
                .and_then(|rest| rest.strip_suffix(behind.as_str()))
                .is_some_and(|value| !value.is_empty()),
        }
    }
}

impl Pattern {
    /// Whether `path` is of this route. A final `/` makes no difference.
    #[must_use]
    pub fn is_match(&self, path: &str) -> bool {
        let mut segments = segments(path);
        self.parts.iter().all(|part| segments.next().is_some_and(|segment| part.is_match(segment)))
            && (self.rest == Rest::Any || segments.next().is_none())
    }

    /// The template as written: the route.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        pattern.parse::<Pattern>().expect("pattern").is_match(path)
    }

    #[test]
    fn a_placeholder_is_one_segment_or_the_rest() {
        for (pattern, path) in [
            ("/users/{id}", "/users/alice"),
            ("/users/{id}", "/users/alice/"),
            ("/users/{id}/orders", "/users/7/orders"),
            ("/files/{path...}", "/files/a/b/c"),
            ("/files/{path...}", "/files"),
            ("/img/{name}.png", "/img/a.b.png"),
            ("/jobs/{id}:cancel", "/jobs/7:cancel"),
            ("/{all...}", "/"),
            ("/", "/"),
        ] {
            assert!(matches(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("/users/{id}", "/users"),
            ("/users/{id}", "/users/7/orders"),
            ("/users/{id}", "/user/7"),
            ("/img/{name}.png", "/img/.png"),
            ("/img/{name}.png", "/img/a.jpg"),
            ("/", "/a"),
        ] {
            assert!(!matches(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        let error = |text: &str| text.parse::<Pattern>().expect_err("no pattern");
        assert_eq!(error("users"), PatternError::Relative);
        assert_eq!(error("/a/{rest...}/b"), PatternError::RestInside);
        for braces in ["/{a", "/a}", "/{a}{b}", "/{{a}}", "/a}{b"] {
            assert_eq!(error(braces), PatternError::Braces, "{braces}");
        }
    }
}
