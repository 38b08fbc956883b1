//! What the requests of a connection say, which mostly is what the one before has said: it is not written anew.
//!
//! Nothing is taken for the same but what the same bytes have said on the same connection.

use crate::model::{Attrs, ConnId};
use crate::proto::http::Request;

/// Longest request line that is remembered.
const LONGEST: usize = 1024;

/// What the latest requests of a connection have said.
#[derive(Debug, Default)]
pub(super) struct Said {
    conn: Option<ConnId>,
    authority: Vec<u8>,
    user_agent: Vec<u8>,
    /// What these say of the ends of the connection.
    pub(super) ends: Attrs,
    line: Vec<u8>,
    /// All that a request with this line and these fields says; nothing before a second one has come.
    all: Attrs,
}

impl Said {
    /// Becomes that of `request` on `conn`, without what it says.
    pub(super) fn of(&mut self, conn: ConnId, request: &Request<'_>) {
        self.conn = Some(conn);
        set(&mut self.authority, request.authority.unwrap_or_default());
        set(&mut self.user_agent, request.user_agent.unwrap_or_default());
        self.ends.clear();
        self.line.clear();
        self.all.clear();
    }

    /// Is of no request: what was said is not all that there is to say.
    pub(super) fn forget(&mut self) {
        self.conn = None;
    }

    /// Whether `request` on `conn` says the same of the ends.
    pub(super) fn is_of(&self, conn: ConnId, request: &Request<'_>) -> bool {
        self.conn == Some(conn)
            && *self.authority == *request.authority.unwrap_or_default()
            && *self.user_agent == *request.user_agent.unwrap_or_default()
    }

    /// All that such a request says, if its request line is the one before.
    pub(super) fn by(&self, line: &[u8]) -> Option<&Attrs> {
        (!self.all.is_empty() && *self.line == *line).then_some(&self.all)
    }

    /// Such a request with this line has said `all`.
    pub(super) fn keep(&mut self, line: &[u8], all: &Attrs) {
        if *self.line == *line {
            return self.all.clone_from(all);
        }
        self.all.clear();
        set(&mut self.line, if line.len() <= LONGEST { line } else { b"" });
    }
}

fn set(own: &mut Vec<u8>, bytes: &[u8]) {
    own.clear();
    own.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::semconv as s;

    const REQUEST: Request<'_> =
        Request { method: b"GET", scheme: "http", authority: None, target: b"/", version: "1.1", user_agent: Some(b"ua") };

    #[test]
    fn what_was_said_belongs_to_the_fields_of_one_connection() {
        let mut said = Said::default();
        let to = |authority: &'static [u8], target: &'static [u8]| Request { authority: Some(authority), target, ..REQUEST };
        said.of(ConnId(1), &to(b"a.example", b"/"));
        // The rest of the request does not matter.
        let same = to(b"a.example", b"/b");
        assert!(said.is_of(ConnId(1), &same) && !said.is_of(ConnId(2), &same));
        assert!(!said.is_of(ConnId(1), &to(b"b.example", b"/")));
        assert!(!said.is_of(ConnId(1), &Request { user_agent: None, ..same }));
    }

    #[test]
    fn all_that_was_said_belongs_to_a_line_that_came_twice() {
        let (mut said, mut all) = (Said::default(), Attrs::default());
        said.of(ConnId(1), &REQUEST);
        all.set_str(s::URL_PATH, "/");
        said.keep(b"GET /", &all);
        assert_eq!(said.by(b"GET /"), None);
        said.keep(b"GET /", &all);
        assert_eq!((said.by(b"GET /"), said.by(b"GET /a")), (Some(&all), None));
        said.keep(b"GET /a", &all);
        assert_eq!((said.by(b"GET /"), said.by(b"GET /a")), (None, None));
        let long = vec![b'a'; LONGEST + 1];
        (0..3).for_each(|_| said.keep(&long, &all));
        assert_eq!(said.by(&long), None);
    }
}
