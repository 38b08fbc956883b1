//! What the user wants reported, asked as early as the facts allow: of a process, of a request, of a finished exchange.

use super::identity::{Identity, process};
use super::parties::{Parties, owner};
use crate::entity::table::Entity;
use crate::selection::{Fact, Facts, Selection, Verdict};
use crate::trace::Reported;
use remora_core::model::{ConnInfo, Exchange, Pid, semconv};

/// The user's rules.
pub(super) struct Wanted(pub(super) Selection);

impl Wanted {
    /// Whether nothing of a process is wanted, whatever it serves. A port or a path that is not wanted is captured all the
    /// same: calls that are made on its behalf must not be taken for those of another request.
    pub(super) fn excludes(&self, parties: &Parties, pid: Option<Pid>, entity: &Entity) -> bool {
        self.port(parties, pid, entity, Fact::Unknown) == Reported::No
    }

    /// Whether what `entity` has at a port is counted: connections there, and that it listens. A rule that needs the path of
    /// a request does not decide that.
    pub(super) fn port(&self, parties: &Parties, pid: Option<Pid>, entity: &Entity, port: Fact<u16>) -> Reported {
        if self.0.is_empty() || self.verdict(parties, pid, entity, port, Fact::Unknown) != Verdict::No {
            return Reported::Yes;
        }
        Reported::No
    }

    /// Whether a connection of `entity` is counted.
    pub(super) fn connection(&self, parties: &Parties, conn: &ConnInfo, entity: &Entity) -> Reported {
        self.port(parties, owner(conn), entity, port_of(conn))
    }

    /// Whether an exchange of `entity` is wanted.
    pub(super) fn exchange(&self, parties: &Parties, conn: &ConnInfo, exchange: &Exchange, entity: &Entity) -> Reported {
        if self.0.is_empty() {
            return Reported::Yes;
        }
        match self.verdict(parties, process(conn, exchange), entity, port_of(conn), path_of(exchange).into()) {
            Verdict::Yes => Reported::Yes,
            Verdict::No | Verdict::Undecided => Reported::No,
        }
    }

    /// The same for a request that has just begun; what nobody knows yet counts as wanted.
    pub(super) fn request(&self, parties: &Parties, conn: &ConnInfo, exchange: &Exchange) -> Reported {
        if self.0.is_empty() {
            return Reported::Yes;
        }
        if let Identity::Known(entity) = parties.whose(conn, process(conn, exchange)) {
            return self.exchange(parties, conn, exchange, &entity);
        }
        match self.0.evaluate(&Facts { port: port_of(conn), path: path_of(exchange).into(), ..Facts::default() }) {
            Verdict::No => Reported::No,
            Verdict::Yes | Verdict::Undecided => Reported::Yes,
        }
    }

    fn verdict(&self, parties: &Parties, pid: Option<Pid>, entity: &Entity, port: Fact<u16>, path: Fact<&str>) -> Verdict {
        let facts = pid.and_then(|pid| parties.entities.selection_facts(pid));
        let executable = facts.as_ref().and_then(|facts| facts.executable.as_deref());
        self.0.evaluate(&Facts {
            container: entity.container_name().into(),
            service: Fact::Known(&entity.service.name),
            executable: executable.into(),
            port,
            path,
        })
    }
}

fn port_of(conn: &ConnInfo) -> Fact<u16> {
    conn.server().map(|server| server.port()).into()
}

/// Path of a request, at either end: the asking one has the whole URL.
fn path_of(exchange: &Exchange) -> Option<&str> {
    exchange.attrs.str(semconv::URL_PATH).or_else(|| {
        let (_, rest) = exchange.attrs.str(semconv::URL_FULL)?.split_once("://")?;
        let path = &rest[rest.find('/')?..];
        Some(&path[..path.find(['?', '#']).unwrap_or(path.len())])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_found_at_both_ends() {
        let path = |key, text: &str| {
            let mut exchange = Exchange::default();
            exchange.attrs.set_str(key, text);
            path_of(&exchange).map(str::to_owned)
        };
        assert_eq!(path(semconv::URL_PATH, "/a/b").as_deref(), Some("/a/b"));
        for (url, expected) in [("http://h:80/a/b?c=/d", Some("/a/b")), ("https://h/#x", Some("/")), ("http://h", None), ("h/a", None)] {
            assert_eq!(path(semconv::URL_FULL, url).as_deref(), expected, "{url}");
        }
    }
}
