//! Routes: from the endless paths of a service to the few templates that span names and metrics may carry.
//!
//! In this order: the user's [`Pattern`]s; what a segment tells by itself (`segment`: numbers, UUIDs, hashes, dates,
//! addresses become `{id}` at once); what the paths of the service tell together ([`Learner`]: a position with a long
//! tail of values becomes `{name}`). No route is ever made of an id, and a service never has more routes than its limit.

mod learner;
mod pattern;
mod segment;

pub use learner::{Learner, Lesson, OVERFLOW};
pub use pattern::{Pattern, PatternError};

/// Path of an absolute `http` URL, as in `url.full`, with its authority: `(authority, path)`.
///
/// `None` if there is no path, as in a URL without one.
#[must_use]
pub fn split_url(url: &str) -> Option<(&str, &str)> {
    let (_, rest) = url.split_once("://")?;
    let rest = &rest[..rest.find(['?', '#']).unwrap_or(rest.len())];
    let slash = rest.find('/')?;
    Some(rest.split_at(slash))
}

/// Segments of a path; empty ones, as behind a final `/`, are none.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_split_without_query_and_fragment() {
        assert_eq!(split_url("http://a.example:80/x/y?q=/z#f"), Some(("a.example:80", "/x/y")));
        assert_eq!(split_url("http://a.example/"), Some(("a.example", "/")));
        assert_eq!(split_url("http://a.example?q=/z"), None);
        assert_eq!(split_url("/x"), None);
    }
}
