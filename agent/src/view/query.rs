//! Which listed requests a reader asked for, and how requests of one trace hang together. Pure functions over rows.

use std::time::Duration;

use remora_core::model::{Kind, SpanId};

use super::{Direction, Listed, RequestRow};

/// Condition on the outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusFilter {
    /// Without `error.type`.
    Ok,
    /// With `error.type`.
    Error,
    /// Numeric status in the hundred that begins here, e.g. 400.
    Hundred(u16),
    /// Exactly this numeric status.
    Code(u16),
}

impl StatusFilter {
    /// Reads `ok`, `error`, `4xx` or `404`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.as_bytes() {
            b"ok" => Some(Self::Ok),
            b"error" => Some(Self::Error),
            [digit @ b'1'..=b'9', b'x', b'x'] => Some(Self::Hundred(u16::from(digit - b'0') * 100)),
            _ => text.parse().ok().map(Self::Code),
        }
    }

    fn matches(self, row: &RequestRow) -> bool {
        let code = || row.status.as_ref().and_then(|status| status.parse::<u16>().ok());
        match self {
            Self::Ok => row.error.is_none(),
            Self::Error => row.error.is_some(),
            Self::Hundred(hundred) => code().is_some_and(|code| code / 100 * 100 == hundred),
            Self::Code(wanted) => code() == Some(wanted),
        }
    }
}

/// Conditions that a request must all meet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Either end is this service.
    pub service: Option<String>,
    /// Lower-case text that occurs in any of the shown fields.
    pub text: Option<String>,
    /// Outcome.
    pub status: Option<StatusFilter>,
    /// Shortest duration.
    pub min: Duration,
}

impl Filter {
    /// Whether `row` meets all conditions.
    #[must_use]
    pub fn matches(&self, row: &RequestRow) -> bool {
        row.duration >= self.min
            && self.status.is_none_or(|status| status.matches(row))
            && self.service.as_deref().is_none_or(|service| *row.service == *service || row.peer.service.as_deref() == Some(service))
            && self.text.as_ref().is_none_or(|text| contains(row, text))
    }
}

fn contains(row: &RequestRow, lower: &str) -> bool {
    let shown = [&*row.service, row.protocol, &row.name, &row.label];
    let optional = [row.instance.as_deref(), row.peer.service.as_deref(), row.status.as_deref(), row.error.as_deref()];
    let holds = |text: &str| text.to_lowercase().contains(lower);
    shown.into_iter().chain(optional.into_iter().flatten()).any(holds)
        || row.peer.address.is_some_and(|address| holds(&address.to_string()))
        || row.trace.to_string() == lower
}

/// A request with all that is known around it.
#[derive(Clone, Debug, PartialEq)]
pub struct Related {
    /// The request.
    pub request: Listed,
    /// The other end of the same call.
    pub other_end: Option<Listed>,
    /// All known requests of its trace (itself among them), by time.
    pub trace: Vec<Listed>,
}

/// What `all` (any order) says about the request numbered like `request`.
#[must_use]
pub fn related(request: &Listed, all: &[Listed]) -> Related {
    let row = &request.row;
    let mut trace: Vec<_> = all.iter().filter(|other| other.row.trace == row.trace).cloned().collect();
    trace.sort_by_key(|listed| (listed.row.time, Direction::from(listed.row.kind) == Direction::Served, listed.seq));
    let other_end = trace.iter().find(|other| is_other_end(row, &other.row)).cloned();
    Related { request: request.clone(), other_end, trace }
}

/// Both ends of one call: one trace, and the server's span hangs below the client's.
fn is_other_end(one: &RequestRow, other: &RequestRow) -> bool {
    let below = |client: &RequestRow, server: &RequestRow| server.parent == Some(client.span) && opposite(client.kind) == Some(server.kind);
    below(one, other) || below(other, one)
}

fn opposite(client: Kind) -> Option<Kind> {
    match client {
        Kind::Client => Some(Kind::Server),
        Kind::Producer => Some(Kind::Consumer),
        Kind::Server | Kind::Consumer => None,
    }
}

/// Spans in the order of a waterfall, each with its depth below the first of its known ancestors.
///
/// Parents that are not known, or that lead in a circle, make a span a root.
#[must_use]
pub fn waterfall(trace: &[Listed]) -> Vec<(usize, Listed)> {
    let known = |span: SpanId| trace.iter().any(|other| other.row.span == span);
    let mut order = Vec::with_capacity(trace.len());
    let mut placed = vec![false; trace.len()];
    let roots = trace.iter().enumerate().filter(|(_, listed)| !listed.row.parent.is_some_and(known)).map(|(index, _)| index);
    // Roots first; then whatever only a circle of parents reaches.
    for start in roots.chain(0..trace.len()).collect::<Vec<_>>() {
        let mut stack = vec![(0, start)];
        while let Some((depth, index)) = stack.pop() {
            if std::mem::replace(&mut placed[index], true) {
                continue;
            }
            order.push((depth, trace[index].clone()));
            let span = trace[index].row.span;
            let children = trace.iter().enumerate().filter(|(_, other)| other.row.parent == Some(span));
            stack.extend(children.map(|(child, _)| (depth + 1, child)).collect::<Vec<_>>().into_iter().rev());
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::sample::{request, span, trace};
    use crate::view::{Peer, Seq};

    #[test]
    fn filters_match_what_is_shown() {
        let mut row = request("shop");
        row.peer = Peer { service: Some("cart".into()), address: Some(([10, 0, 0, 7], 80).into()) };
        (row.status, row.error, row.duration) = (Some("404".into()), Some("404".into()), Duration::from_millis(7));
        let yes = |filter: Filter| filter.matches(&row);
        let text = |text: &str| Filter { text: Some(text.to_owned()), ..Filter::default() };
        let status = |text: &str| Filter { status: Some(StatusFilter::parse(text).expect(text)), ..Filter::default() };
        assert!(yes(Filter::default()));
        assert!(yes(text("/index")) && yes(text("cart")) && yes(text("10.0.0.7:80")) && !yes(text("nothing")));
        assert!(yes(status("404")) && yes(status("4xx")) && yes(status("error")) && !yes(status("ok")) && !yes(status("5xx")));
        assert!(yes(Filter { service: Some("cart".into()), ..Filter::default() }));
        assert!(!yes(Filter { service: Some("car".into()), ..Filter::default() }));
        assert!(yes(Filter { min: Duration::from_millis(7), ..Filter::default() }));
        assert!(!yes(Filter { min: Duration::from_millis(8), ..Filter::default() }));
        assert_eq!(StatusFilter::parse("bad"), None);
    }

    fn listed(seq: u64, kind: Kind, own: u8, parent: Option<u8>) -> Listed {
        let row = RequestRow { kind, span: span(own), parent: parent.map(span), ..request("a") };
        Listed { seq: Seq(seq), row: std::sync::Arc::new(row) }
    }

    #[test]
    fn both_ends_and_the_calls_below_are_found_by_their_spans() {
        let all = [
            listed(4, Kind::Client, 3, Some(2)),
            listed(3, Kind::Server, 2, Some(1)),
            listed(2, Kind::Client, 1, None),
            Listed { seq: Seq(1), row: std::sync::Arc::new(RequestRow { trace: trace(9), ..request("other") }) },
        ];
        let end = |index: usize| related(&all[index], &all).other_end.map(|listed| listed.seq.0);
        assert_eq!([end(0), end(1), end(2), end(3)], [None, Some(2), Some(3), None]);
        let fall = waterfall(&related(&all[0], &all).trace);
        assert_eq!(fall.iter().map(|(depth, listed)| (*depth, listed.seq.0)).collect::<Vec<_>>(), [(0, 2), (1, 3), (2, 4)]);
    }

    #[test]
    fn a_circle_of_parents_ends() {
        let all = [listed(1, Kind::Client, 1, Some(2)), listed(2, Kind::Client, 2, Some(1)), listed(3, Kind::Client, 3, Some(3))];
        assert_eq!(waterfall(&all).len(), 3);
    }
}
