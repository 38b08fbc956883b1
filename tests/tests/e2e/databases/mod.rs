//! Databases and caches: each operation of each client is a CLIENT and a SERVER span of one trace and is counted once at
//! either end, whatever library it came from and whether its connection is older than the agent. `hush` stands for every
//! value that no telemetry may show.

mod mariadb;
mod memcached;
mod mongodb;
mod postgresql;
mod redis;

use remora_tests::{Call, Item, Tally, Telemetry, by_attributes, calls, tally};

/// What spans and series of metrics have in common.
const SERIES: [&str; 9] = [
    "db.system.name",
    "db.operation.name",
    "db.collection.name",
    "db.namespace",
    "db.query.summary",
    "db.response.status_code",
    "error.type",
    "server.address",
    "server.port",
];
const SQL: [&str; 3] = ["db.query.text", "db.response.returned_rows", "remora.incomplete"];
const KEY_VALUE: [&str; 3] = ["db.query.text", "db.namespace", "db.response.status_code"];

/// The calls of a server, after what holds for all of them was checked: both ends are there and say the same, the metrics
/// of both counted them, and nothing shows a value.
fn checked(telemetry: &Telemetry, port: u16, server: &str, systems: &[&str]) -> Vec<Call> {
    let shown = format!("{:?} {:?} {}", telemetry.spans, telemetry.metrics, telemetry.agent_log);
    assert!(!shown.contains("hush"), "{}", &shown[shown.find("hush").unwrap_or(0).saturating_sub(300)..][..600]);
    let (calls, alone) = calls(telemetry.spans_of_port(port));
    assert!(alone.is_empty(), "lost: {}\n{alone:#?}", telemetry.losses);
    for call in &calls {
        assert_eq!((call.server.service(), call.client.attribute("service.peer.name")), (server, server.into()));
        assert_eq!(call.server.attribute("service.peer.name"), call.client.service());
        assert!(systems.iter().any(|system| call.client.attribute("db.system.name") == *system), "{call:#?}");
        assert_eq!(call.client.line(&SERIES), call.server.line(&SERIES));
    }
    let mut services: Vec<&str> = calls.iter().map(|call| call.client.service()).collect();
    services.sort_unstable();
    services.dedup();
    for service in services {
        let spans: Vec<Item> = calls.iter().filter(|call| call.client.service() == service).map(|call| call.client.clone()).collect();
        assert_eq!(telemetry.counted("db.client.operation.duration", service, port, &SERIES), by_attributes(&spans, &SERIES));
    }
    let spans: Vec<Item> = calls.iter().map(|call| call.server.clone()).collect();
    assert_eq!(telemetry.counted("db.server.operation.duration", server, port, &SERIES), by_attributes(&spans, &SERIES));
    calls
}

fn lines(calls: &[Call], service: &str, keys: &[&str]) -> Vec<String> {
    calls.iter().filter(|call| call.client.service() == service).map(|call| call.line(keys)).collect()
}

fn expected<const N: usize>(lines: [(u64, &str); N]) -> Tally {
    tally(lines.into_iter().map(|(n, line)| (line.to_owned(), n)))
}
