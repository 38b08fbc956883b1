//! Captures of real programs, joined at every place: what is told of an exchange then is what is told of it when the
//! whole connection was seen, or is not told.

use crate::flow::{Flow, Limits};
use crate::model::semconv as s;
use crate::model::{CallKey, Exchange, Key, Role, Value};
use crate::pcap::replay;
use crate::proto::Options;
use crate::testkit::{Outcome, Talk};
use std::collections::HashMap;

macro_rules! captures {
    ($($place:literal: $($name:literal)*;)*) => { &[$($((
        concat!($place, "/", $name),
        include_bytes!(concat!("../../", $place, "/", $name, ".pcap")).as_slice(),
    )),*),*] };
}

static CAPTURES: &[(&str, &[u8])] = captures! {
    "fixtures/mysql": "client" "connector" "pymysql";
    "fixtures/postgres": "asyncpg" "bench_extended" "pg8000" "pipeline" "psql" "psycopg";
    "../../tests/fixtures/http1": "aiohttp" "curl-nginx" "go" "java" "node" "uvicorn";
    "../../tests/fixtures/http2": "curl-nginx" "go" "grpcio" "h2load-nginx";
    "../../tests/fixtures/kafka": "java" "kafka-python" "librdkafka";
    "../../tests/fixtures/memcached": "memcached";
    "../../tests/fixtures/mongodb": "java-server" "snappy" "zlib" "zstd";
    "../../tests/fixtures/redis": "python-resp2" "python-resp3";
    "../../tests/fixtures/dns": "dnsmasq";
};

/// Places at which each file is joined.
const PLACES: usize = 24;

/// Length of a file's header and of a packet's (pcap).
const FILE_HEAD: usize = 24;
const PACKET_HEAD: usize = 16;

/// A capture file without its first `n` packets.
fn from(file: &[u8], n: usize) -> Vec<u8> {
    let len = |at: usize| u32::from_le_bytes(file[at + 8..at + 12].try_into().expect("four bytes")) as usize;
    let start = (0..n).fold(FILE_HEAD, |at, _| at + PACKET_HEAD + len(at));
    [&file[..FILE_HEAD], &file[start..]].concat()
}

fn packets(file: &[u8]) -> usize {
    let mut rest = &file[FILE_HEAD..];
    let mut n = 0;
    while rest.len() > PACKET_HEAD {
        let len = u32::from_le_bytes(rest[8..12].try_into().expect("four bytes")) as usize;
        (rest, n) = (&rest[PACKET_HEAD + len..], n + 1);
    }
    n
}

fn exchanges(file: &[u8], role: Role) -> Vec<Exchange> {
    let mut outcome = Outcome::default();
    replay(file, role, &mut Flow::new(Limits::default(), Options::default()), &mut outcome).expect("the file is whole");
    outcome.exchanges
}

/// What is less exact where earlier bytes are missing: a statement that was prepared before has no text, and what it is
/// called instead differs; what is redacted of a text is more where the server's settings are not known.
const VAGUE: &[Key] = &[s::DB_OPERATION_NAME, s::DB_QUERY_SUMMARY, s::DB_QUERY_TEXT, s::DB_SYSTEM_NAME, s::DB_COLLECTION_NAME];

fn differs(joined: &Exchange, whole: &Exchange) -> Option<String> {
    if joined.kind != whole.kind && joined.family == whole.family {
        return Some(format!("kind {:?}", joined.kind));
    }
    for (key, value) in joined.attrs.iter().filter(|(key, _)| !VAGUE.contains(key)) {
        let other: Option<Value<'_>> = whole.attrs.get(key);
        if other.is_some_and(|other| other != value) {
            return Some(format!("{key:?} is {value:?}"));
        }
    }
    let is_complete = joined.completeness.is_complete();
    if is_complete && (joined.error != whole.error || joined.response.map(|r| r.last) != whole.response.map(|r| r.last)) {
        return Some(format!("error {:?}, response {:?}", joined.error, joined.response));
    }
    None
}

#[test]
fn exchanges_after_the_join_are_right_or_absent() {
    for (name, file) in CAPTURES {
        let count = packets(file);
        for role in [Role::Client, Role::Server] {
            let whole: HashMap<CallKey, Exchange> =
                exchanges(file, role).into_iter().filter_map(|exchange| Some((exchange.call?, exchange))).collect();
            let mut told = 0;
            for place in (1..PLACES).map(|i| i * count / PLACES) {
                for joined in exchanges(&from(file, place), role) {
                    let Some(other) = joined.call.and_then(|call| whole.get(&call)) else {
                        assert!(!joined.completeness.is_complete() || joined.call.is_none(), "{name} from {place}: {joined:?}");
                        continue;
                    };
                    told += 1;
                    assert_eq!(differs(&joined, other), None, "{name} from {place}: {joined:?}\n{other:?}");
                }
            }
            assert!(told > 0, "{name}: nothing is seen of a connection that was joined");
        }
    }
}

/// Requests of one burst, joined between them: what the first answers belong to was not seen.
#[test]
fn answers_to_requests_before_the_join_are_not_those_of_requests_after_it() {
    let query = |text: &str| [b"Q".as_slice(), &(text.len() as u32 + 5).to_be_bytes(), text.as_bytes(), b"\0"].concat();
    let names = ["a", "b", "c", "d"];
    /// Requests, an answer that is an error, and one that is none.
    type Conversation = ([Vec<u8>; 4], &'static [u8], &'static [u8]);
    let conversations: [Conversation; 4] = [
        (names.map(|key| format!("*2\r\n$3\r\nGET\r\n$1\r\n{key}\r\n").into_bytes()), b"-ERR no\r\n", b"$1\r\nx\r\n"),
        (
            names.map(|path| format!("GET /{path} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes()),
            b"HTTP/1.1 500 x\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 x\r\nContent-Length: 0\r\n\r\n",
        ),
        (names.map(|key| format!("get {key}\r\n").into_bytes()), b"SERVER_ERROR no\r\n", b"END\r\n"),
        (names.map(|name| query(&format!("select {name}"))), b"E\0\0\0\x0cC22012\0\0Z\0\0\0\x05I", b"C\0\0\0\rSELECT 1\0Z\0\0\0\x05I"),
    ];
    for (requests, error, fine) in conversations {
        let name = String::from_utf8_lossy(&requests[0]).into_owned();
        let (burst, last_answer) = ([error, fine, error].concat(), fine);
        let talk = Talk::new().client(&requests[0]).client(&requests[1]).client(&requests[2]).server(burst);
        let talk = talk.client(&requests[3]).server(last_answer);
        for place in 1..3 {
            let outcome = talk.clone().joined_at(place).run();
            let errors: Vec<_> = outcome.exchanges.iter().map(|exchange| exchange.error.clone()).collect();
            assert_eq!(errors, [None], "{name} from {place}: {:?}", outcome.brief(&[]));
        }
        assert_eq!(talk.joined_at(0).run().exchanges.len(), 4, "{name}");
    }
}
