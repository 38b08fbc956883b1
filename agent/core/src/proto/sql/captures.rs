//! Captures of real clients of PostgreSQL and MariaDB: requests, rows and error codes as tshark (4.0) dissects them.
//!
//! `tshark -r FILE -Y pgsql -T fields -E separator='|' -e tcp.stream -e pgsql.type -e pgsql.tag -e pgsql.code`, and
//! `-Y mysql … -e tcp.stream -e mysql.command -e mysql.error_code`.

use crate::flow::{Flow, Limits};
use crate::model::semconv as s;
use crate::model::{Exchange, Key, Role};
use crate::pcap::replay;
use crate::proto::Options;
use crate::testkit::Outcome;

macro_rules! capture {
    ($name:literal) => {
        (
            $name,
            include_bytes!(concat!("../../../fixtures/", $name, ".pcap")).as_slice(),
            include_str!(concat!("../../../fixtures/", $name, ".pcap.tshark")),
        )
    };
}

/// What both have to say the same of.
#[derive(Debug, Default, PartialEq, Eq)]
struct Facts {
    /// Statements that were run, and other requests.
    requests: usize,
    /// Statements that were only prepared.
    prepared: usize,
    errors: Vec<String>,
    returned_rows: i64,
    affected_rows: i64,
}

fn ours(file: &[u8], role: Role) -> Facts {
    let mut outcome = Outcome::default();
    replay(file, role, &mut Flow::new(Limits::default(), Options::default()), &mut outcome).expect("the file is whole");
    let is_prepare = |exchange: &&Exchange| exchange.attrs.str(s::DB_OPERATION_NAME) == Some("PREPARE");
    let sum = |key: Key| outcome.exchanges.iter().filter_map(|exchange| exchange.attrs.int(key)).sum();
    let code = |exchange: &Exchange| exchange.attrs.str(s::DB_RESPONSE_STATUS_CODE).map(str::to_owned);
    let prepared = outcome.exchanges.iter().filter(is_prepare).count();
    let mut errors: Vec<_> = outcome.exchanges.iter().filter_map(code).collect();
    errors.sort();
    Facts {
        requests: outcome.exchanges.len() - prepared,
        prepared,
        errors,
        returned_rows: sum(s::DB_RESPONSE_RETURNED_ROWS),
        affected_rows: sum(s::REMORA_DB_AFFECTED_ROWS),
    }
}

/// Values of field `at` of all lines.
fn field(lines: &str, at: usize) -> impl Iterator<Item = &str> {
    lines.lines().filter_map(move |line| line.split('|').nth(at)).flat_map(|values| values.split(',')).filter(|value| !value.is_empty())
}

#[test]
fn postgresql_agrees_with_tshark() {
    for (name, file, tshark) in [
        capture!("postgres/asyncpg"),
        capture!("postgres/bench_extended"),
        capture!("postgres/cancel"),
        capture!("postgres/pg8000"),
        capture!("postgres/pipeline"),
        capture!("postgres/psql"),
        capture!("postgres/psycopg"),
    ] {
        let count = |kind: &str| field(tshark, 1).filter(|value| *value == kind).count();
        let requests = count("Simple query") + count("Execute") + count("Function call") + count("Cancel request");
        // A success is no error, and neither is a notice.
        let mut errors: Vec<_> = field(tshark, 3).filter(|code| *code != "00000").map(str::to_owned).collect();
        errors.sort();
        let affected = |tag: &str| match tag.split(' ').collect::<Vec<_>>()[..] {
            ["INSERT", _, rows] | ["UPDATE" | "DELETE" | "COPY" | "MERGE", rows] => rows.parse::<i64>().expect("a number"),
            _ => 0,
        };
        let theirs = (requests, errors, i64::try_from(count("Data row")).expect("few"), field(tshark, 2).map(affected).sum::<i64>());
        for role in [Role::Client, Role::Server] {
            let Facts { requests, errors, returned_rows, affected_rows, .. } = ours(file, role);
            assert_eq!((requests, errors, returned_rows, affected_rows), theirs, "{name} {role:?}");
        }
    }
}

#[test]
fn mysql_agrees_with_tshark() {
    for (name, file, tshark) in [capture!("mysql/client"), capture!("mysql/connector"), capture!("mysql/pymysql")] {
        // Quit, long data and the end of a statement have no answer; 49 is a byte of the file that LOAD DATA sends.
        let is_request = |command: &&str| !matches!(*command, "1" | "22" | "24" | "25" | "49");
        let requests = field(tshark, 1).filter(is_request).count();
        let prepared = field(tshark, 1).filter(|command| *command == "22").count();
        let mut errors: Vec<_> = field(tshark, 2).map(str::to_owned).collect();
        errors.sort();
        for role in [Role::Client, Role::Server] {
            let facts = ours(file, role);
            assert_eq!((facts.requests, facts.prepared, facts.errors), (requests, prepared, errors.clone()), "{name} {role:?}");
        }
    }
}
