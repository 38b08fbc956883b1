//! Captures of real key-value stores and document stores with real clients: what we read is what the servers counted,
//! or what tshark reads.

use crate::flow::{Flow, Limits};
use crate::model::semconv as s;
use crate::model::{Key, Role};
use crate::pcap::replay;
use crate::proto::Options;
use crate::testkit::Outcome;
use std::collections::BTreeMap;

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../../../tests/fixtures/", $name)).as_slice()
    };
    ($name:literal, $counts:literal) => {
        (fixture!($name), include_str!(concat!("../../../../tests/fixtures/", $name, $counts)))
    };
}

fn run(file: &[u8], end: Role) -> Outcome {
    let mut flow = Flow::new(Limits::default(), Options::default());
    let mut outcome = Outcome::default();
    replay(file, end, &mut flow, &mut outcome).expect("the file is whole");
    assert!(outcome.losses.is_empty(), "{:?}", outcome.losses);
    outcome
}

/// How often each value of `key` is there.
fn counts(outcome: &Outcome, key: Key) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for exchange in &outcome.exchanges {
        assert!(exchange.completeness.is_complete() || exchange.response.is_none(), "{exchange:?}");
        *counts.entry(exchange.attrs.str(key).unwrap_or("-").to_owned()).or_insert(0) += 1;
    }
    counts
}

#[test]
fn redis_counted_the_same_commands_as_we() {
    for (file, stats) in [
        fixture!("redis/python-resp2.pcap", ".commandstats"),
        fixture!("redis/python-resp3.pcap", ".commandstats"),
        fixture!("redis/benchmark-cli.pcap", ".commandstats"),
    ] {
        let theirs: BTreeMap<String, usize> = stats
            .lines()
            .map(|line| {
                let (name, n) = line.split_once(' ').expect("name and number");
                (name.replace('|', " ").to_ascii_uppercase(), n.parse().expect("number"))
            })
            .collect();
        for end in [Role::Client, Role::Server] {
            let outcome = run(file, end);
            let mut ours = counts(&outcome, s::DB_OPERATION_NAME);
            // The server counts no command that it does not know.
            ours.retain(|name, _| !["NOSUCH", "CLIENT SETINFO", "CLIENT MAINT_NOTIFICATIONS"].contains(&name.as_str()));
            assert_eq!(ours, theirs, "{end:?}");
        }
    }
}

#[test]
fn memcached_clients_sent_what_we_read() {
    // `pymemcache` (text), a socket (meta) and `bmemcached` (binary): the calls of the script that made the capture.
    let theirs = [
        ("add", 1),
        ("append", 1),
        ("cas", 1),
        ("delete", 3),
        ("get", 25),
        ("gets", 1),
        ("incr", 3),
        ("md", 1),
        ("mg", 5),
        ("mn", 2),
        ("ms", 2),
        ("noop", 1),
        ("quit", 1),
        ("set", 38),
        ("stats", 2),
        ("touch", 1),
        ("version", 1),
    ];
    for end in [Role::Client, Role::Server] {
        let outcome = run(fixture!("memcached/memcached.pcap"), end);
        assert_eq!(counts(&outcome, s::DB_OPERATION_NAME), theirs.map(|(name, n)| (name.to_owned(), n)).into(), "{end:?}");
        let failed = outcome.exchanges.iter().filter(|exchange| exchange.error.is_some()).count();
        assert_eq!(failed, 1, "incr of a word");
    }
}

#[test]
fn tshark_reads_the_same_mongodb_commands_as_we() {
    for (file, tshark) in [
        fixture!("mongodb/java-server.pcap", ".tshark"),
        fixture!("mongodb/zlib.pcap", ".tshark"),
        fixture!("mongodb/snappy.pcap", ".tshark"),
    ] {
        let mut theirs = BTreeMap::new();
        for line in tshark.lines() {
            let (_, name) = line.split_once('|').expect("opcode and name");
            *theirs.entry(name.to_owned()).or_insert(0usize) += 1;
        }
        for end in [Role::Client, Role::Server] {
            assert_eq!(counts(&run(file, end), s::DB_OPERATION_NAME), theirs, "{end:?}");
        }
    }
}
