use super::*;
use crate::flow::{Flow, Limits};
use crate::model::semconv as s;
use crate::model::{Key, Role, TraceContext};
use crate::pcap::replay;
use crate::proto::Options;
use crate::proto::sql::subset;
use crate::testkit::{Outcome, Talk, parts};
use End::{Client, Server};
use proptest::prelude::*;
use std::time::Duration;

const SHORT: &[Key] = &[s::DB_RESPONSE_STATUS_CODE];
const ROWS: &[Key] = &[s::DB_RESPONSE_RETURNED_ROWS, s::REMORA_DB_AFFECTED_ROWS];

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../../fixtures/mysql/", $name, ".pcap")).as_slice()
    };
}

fn decode(file: &[u8], role: Role) -> Outcome {
    let mut flow = Flow::new(Limits::default(), Options::default());
    let mut outcome = Outcome::default();
    replay(file, role, &mut flow, &mut outcome).expect("the file is whole");
    outcome
}

fn packet(seq: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    [&(payload.len() as u32).to_le_bytes()[..3], &[seq], payload].concat()
}

fn packets(from: u8, payloads: &[&[u8]]) -> Vec<u8> {
    payloads.iter().enumerate().flat_map(|(i, payload)| packet(from.wrapping_add(i as u8), payload)).collect()
}

fn greeting(version: &str) -> Vec<u8> {
    offering(u32::MAX, version)
}

fn offering(capabilities: u32, version: &str) -> Vec<u8> {
    let [low, high] = [capabilities as u16, (capabilities >> 16) as u16].map(u16::to_le_bytes);
    let parts = [b"\x0a", version.as_bytes(), b"\0\x0b\0\0\x0012345678\0", &low, b"\x08\x02\0", &high];
    packet(0, [&parts.concat()[..], b"\x15\0\0\0\0\0\0\0\0\0\0abcdefghijkl\0"].concat())
}

fn login(capabilities: u32) -> Vec<u8> {
    let capabilities = capabilities | packet::PROTOCOL_41 | packet::CONNECT_WITH_DB | 1 << 15;
    packet(1, [&capabilities.to_le_bytes()[..], b"\0\0\0\x01\x2d", &[0; 23], b"app\0\x02xxshop\0"].concat())
}

const OK: &[u8] = b"\0\0\0\x02\0\0\0";
const EOF: &[u8] = b"\xfe\0\0\x02\0";
const END: &[u8] = b"\xfe\0\0\x02\0\0\0";

fn query(text: &str) -> Vec<u8> {
    packet(0, [b"\x03", text.as_bytes()].concat())
}

fn column() -> Vec<u8> {
    b"\x03def\x04shop\x01t\x01t\x01a\x01a\x0c\x2d\0\x0b\0\0\0\xfd\0\0\0\0\0".to_vec()
}

/// A result of `n` rows, in the form that has no `EOF`, or in the one that does.
fn rows(n: usize, deprecates_eof: bool) -> Vec<u8> {
    let column = column();
    let mut all: Vec<&[u8]> = vec![b"\x01", &column];
    if !deprecates_eof {
        all.push(EOF);
    }
    all.extend(vec![&b"\x05value"[..]; n]);
    all.push(if deprecates_eof { END } else { EOF });
    packets(1, &all)
}

fn error(code: u16) -> Vec<u8> {
    packet(1, [b"\xff", &code.to_le_bytes()[..], b"#42S02no such table"].concat())
}

fn execute(id: u32) -> Vec<u8> {
    packet(0, [b"\x17", &id.to_le_bytes()[..], b"\0\x01\0\0\0\0\x01\x08\0\x2a\0\0\0\0\0\0\0"].concat())
}

fn prepare(text: &str) -> Vec<u8> {
    packet(0, [b"\x16", text.as_bytes()].concat())
}

/// Statement `id` with one parameter and one column.
fn prepared(id: u32, deprecates_eof: bool) -> Vec<u8> {
    let head = [b"\0", &id.to_le_bytes()[..], b"\x01\0\x01\0\0\0\0"].concat();
    let column = column();
    match deprecates_eof {
        true => packets(1, &[&head, &column, &column]),
        false => packets(1, &[&head, &column, EOF, &column, EOF]),
    }
}

/// A connection that is ready for commands.
fn talk(capabilities: u32) -> Talk {
    Talk::new().server(greeting("8.0.36")).client(login(capabilities)).server(packet(2, OK))
}

fn both(check: impl Fn(Talk, bool)) {
    check(talk(0), false);
    check(talk(packet::DEPRECATE_EOF), true);
}

fn run(talk: &Talk, keys: &[Key]) -> Vec<String> {
    talk.run().brief(keys)
}

#[test]
fn real_clients_are_read_as_they_spoke() {
    let pymysql = decode(fixture!("pymysql"), Role::Client);
    let expected = [
        "SET - -",
        "SET - -",
        "DROP TABLE users - -",
        "CREATE TABLE users - -",
        "INSERT users - 5",
        "COMMIT - -",
        "SELECT users 3 -",
        "SELECT nothere - - error=1146",
        "BATCH 6 5",
        "LOAD users - 300",
        "COMMIT - -",
        "INSERT users - 1 incomplete=request_cut",
        "SELECT users 306 -",
        "PING - -",
        "USE - -",
        "SELECT user 5 -",
    ];
    assert_eq!(pymysql.brief(ROWS), expected);
    assert!(pymysql.losses.is_empty() && pymysql.exchanges.iter().all(|exchange| exchange.call.is_some()));
    let facts = |at: usize, key| pymysql.exchanges[at].attrs.str(key).unwrap_or_default().to_owned();
    assert_eq!((facts(14, s::DB_NAMESPACE), facts(15, s::DB_NAMESPACE)), ("shop".to_owned(), "mysql".to_owned()));
    assert_eq!(
        (facts(0, s::DB_SYSTEM_NAME), facts(6, s::DB_QUERY_TEXT)),
        ("mariadb".to_owned(), "select * from users where id > ?".to_owned())
    );
    let client = decode(fixture!("client"), Role::Server).brief(ROWS);
    assert_eq!(client, ["SELECT users 1 -", "SHOW 1 -", "CALL nothere - - error=1305"]);
}

#[test]
fn prepared_statements_of_a_real_client_are_named_by_their_text() {
    let lines = decode(fixture!("connector"), Role::Client).brief(ROWS);
    assert_eq!(lines[3..6], ["PREPARE SELECT users - -", "RESET STATEMENT - -", "SELECT users 1 -"]);
    assert_eq!(lines.iter().filter(|line| *line == "SELECT users 1 -").count(), 4);
    assert_eq!(lines[12..15], ["PREPARE SELECT nothere - - error=1146", "COMMIT - -", "CHANGE USER - -"]);
}

#[test]
fn an_encrypted_connection_is_left_alone() {
    let request = packet(1, [&(packet::PROTOCOL_41 | packet::SSL).to_le_bytes()[..], b"\0\0\0\x01\x2d", &[0; 23]].concat());
    let tls = Talk::new().server(greeting("8.0.36")).client(request).client(b"\x16\x03\x01\x02\0").server(b"\x16\x03\x03\0").run();
    assert_eq!((tls.protocol, tls.exchanges.len(), tls.losses.len()), (Some("mysql"), 0, 0));
}

/// A compressed packet with these plain ones, by zlib, by zstd or stored.
fn compressed(how: u8, seq: u8, plain: &[u8]) -> Vec<u8> {
    let zlib = |plain: &[u8]| {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, plain).expect("memory");
        encoder.finish().expect("memory")
    };
    let (payload, len) = match how {
        0 => (zlib(plain), plain.len()),
        1 => (zstd::bulk::compress(plain, 1).expect("memory"), plain.len()),
        _ => (plain.to_vec(), 0),
    };
    [&(payload.len() as u32).to_le_bytes()[..3], &[seq], &(len as u32).to_le_bytes()[..3], &payload].concat()
}

#[test]
fn packets_in_compressed_ones_are_read_as_plain_ones_are() {
    for how in 0..3 {
        let start = || Talk::new().server(greeting("8.0.36")).client(login(packet::COMPRESS)).server(packet(2, OK));
        let long = query(&format!("SELECT a FROM t WHERE b = '{}'", "x".repeat(3000)));
        let (rows, more) = (rows(200, false), query("SELECT a FROM u"));
        let (head, tail) = rows.split_at(rows.len() / 2);
        let talk = start()
            .client(compressed(how, 0, &long))
            .server([compressed(how, 1, head), compressed(how, 2, tail)].concat())
            .client(compressed(how, 0, &more))
            .server(compressed(how, 1, &packets(1, &[b"\xff\x7a\x04#42S02no"])));
        let expected = ["SELECT t 200 -", "SELECT u - - error=1146"];
        for split in [usize::MAX, 100, 3] {
            let outcome = talk.clone().split(split).run();
            assert_eq!(outcome.brief(ROWS), expected, "{how} {split}");
            assert!(outcome.losses.is_empty(), "{:?}", outcome.losses);
        }
        assert_eq!(talk.clone().at_server().run().brief(ROWS), expected);
        // The start of a packet is read although its end is missing, and the next exchange is right.
        let lost = start()
            .client(compressed(how, 0, &query("SELECT a FROM s")))
            .server(compressed(how, 1, &packets(1, &[b"\x01", &column()])))
            .hole(Server, 5000)
            .client(compressed(how, 0, &more))
            .server(compressed(how, 1, &packets(1, &[OK])));
        assert_eq!(lost.run().brief(ROWS), ["SELECT s - - incomplete=response_lost", "SELECT u - -"], "{how}");
    }
}

#[test]
fn a_real_compressed_connection_is_read() {
    for role in [Role::Client, Role::Server] {
        let outcome = decode(fixture!("compress"), role);
        let expected =
            ["SET - -", "SET - -", "PING - -", "PING - -", "SELECT 1 -", "SELECT users 1 -", "SELECT users 1 -", "SELECT users 1 -"];
        assert_eq!(outcome.brief(ROWS), expected);
        assert!(outcome.losses.is_empty(), "{:?}", outcome.losses);
    }
}

#[test]
fn results_are_read_with_and_without_eof() {
    both(|talk, deprecates| {
        let talk =
            talk.client(query("SELECT a FROM t")).server(rows(3, deprecates)).client(query("SELECT a FROM u")).server(rows(0, deprecates));
        assert_eq!(run(&talk, ROWS), ["SELECT t 3 -", "SELECT u 0 -"]);
        assert_eq!(run(&talk.at_server().split(4), ROWS), ["SELECT t 3 -", "SELECT u 0 -"]);
    });
}

#[test]
fn prepared_statements_are_read_with_and_without_eof() {
    both(|talk, deprecates| {
        let talk = talk.client(prepare("SELECT a FROM t WHERE b = ?")).server(prepared(7, deprecates));
        let talk =
            talk.client(execute(7)).server(rows(2, deprecates)).client(b"\x05\0\0\0\x19\x07\0\0\0").client(execute(7)).server(error(1243));
        assert_eq!(run(&talk, SHORT), ["PREPARE SELECT t -", "SELECT t -", "EXECUTE 1243 error=1243"]);
    });
}

#[test]
fn statements_prepared_before_the_agent_started_are_executions() {
    for deprecates in [false, true] {
        let talk = Talk::new().midway().client(execute(7)).server(rows(2, deprecates));
        let talk =
            talk.client(prepare("DELETE FROM t WHERE b = ?")).server(prepared(8, deprecates)).client(execute(8)).server(packet(1, OK));
        assert_eq!(run(&talk, ROWS), ["EXECUTE 2 -", "PREPARE DELETE t - -", "DELETE t - -"]);
        assert_eq!(run(&talk.role_unknown(), ROWS), ["EXECUTE 2 -", "PREPARE DELETE t - -", "DELETE t - -"]);
    }
}

#[test]
fn several_results_are_one_exchange() {
    let more = |payload: &[u8]| payload.iter().enumerate().map(|(i, byte)| if i == 3 { byte | 8 } else { *byte }).collect::<Vec<u8>>();
    let column = column();
    let reply = packets(1, &[b"\x01", &column, EOF, b"\x011", &more(EOF), &more(OK), b"\x01", &column, EOF, b"\x012", b"\x013", EOF]);
    let talk = talk(0).client(query("CALL p(1)")).server(reply).client(query("SELECT a FROM t")).server(rows(1, false));
    assert_eq!(run(&talk, ROWS), ["CALL p 3 -", "SELECT t 1 -"]);
}

#[test]
fn packets_of_16_mb_go_on_in_the_next() {
    let talk = talk(0).client([b"\xff\xff\xff\0\x03INSERT INTO t VALUES ('".as_slice(), &[b'v'; 100]].concat());
    let talk = talk.hole(Client, FULL as u64 - 124).client(b"\x04\0\0\x01vvv)").server(packet(2, b"\0\x01\0\x02\0\0\0"));
    let row = [b"\xff\xff\xff\x04\xfd\xff\xff\xff".as_slice(), &[b'v'; 1000]].concat();
    let head = packets(1, &[b"\x01", &column(), EOF]);
    let tail = [packet(5, b"rest"), packet(6, EOF)].concat();
    let talk = talk.client(query("SELECT a FROM t")).server(head).server(row).hole(Server, FULL as u64 - 1004).server(tail);
    let outcome = talk.client(query("SELECT a FROM u")).server(rows(1, false)).run();
    assert_eq!(outcome.brief(ROWS), ["INSERT t - 1 incomplete=request_cut", "SELECT t 1 -", "SELECT u 1 -"]);
    assert!(outcome.held < 200 * 1024);
}

#[test]
fn a_query_above_the_capture_is_one_exchange() {
    let long = format!("INSERT INTO t VALUES ('{}')", "v".repeat(100_000));
    let all = talk(0).client(query(&long)).server(packet(1, OK)).client(query("SELECT a FROM u")).server(rows(1, false));
    let start = login(0).len() as u64;
    for talk in [all.clone(), all.clone().split(1448), all.lose(Client, start + 1000..start + long.len() as u64 + 5)] {
        assert_eq!(run(&talk, ROWS), ["INSERT t - - incomplete=request_cut", "SELECT u 1 -"]);
    }
}

#[test]
fn a_result_above_the_capture_ends_with_its_last_bytes_or_the_next_command() {
    let all = talk(0).client(query("SELECT a FROM t")).server(rows(1000, false)).client(query("SELECT a FROM u")).server(rows(1, false));
    let end = all.sent(Server) - rows(1, false).len() as u64;
    let start = end - rows(1000, false).len() as u64;
    let tail = all.clone().lose(Server, start + 300..end - 16).run();
    assert_eq!(tail.brief(ROWS), ["SELECT t - - incomplete=response_lost", "SELECT u 1 -"]);
    assert_eq!(run(&all.lose(Server, start + 300..end), ROWS), ["SELECT t - - incomplete=response_lost", "SELECT u 1 -"]);
}

#[test]
fn a_local_file_is_part_of_its_request() {
    let talk = talk(0).client(query("LOAD DATA LOCAL INFILE 'x' INTO TABLE t")).server(packet(1, b"\xfbx"));
    let talk = talk.client(packet(2, "1\n2\n")).client(packet(3, "3\n")).client(packet(4, "")).server(packet(5, b"\0\x03\0\x02\0\0\0"));
    let outcome = talk.client(query("SELECT a FROM t")).server(rows(3, false)).run();
    assert_eq!(outcome.brief(ROWS), ["LOAD t - 3", "SELECT t 3 -"]);
}

#[test]
fn the_database_follows_use() {
    let select = |talk: Talk| talk.client(query("SELECT a FROM t")).server(rows(1, false));
    let talk = select(select(talk(0)).client(query("USE `other`;")).server(packet(1, OK)));
    let talk = select(talk.client(packet(0, b"\x02third")).server(packet(1, OK)).client(query("use nothere")).server(error(1049)));
    let names: Vec<_> = talk.run().brief(&[s::DB_NAMESPACE]);
    assert_eq!(names, ["SELECT t shop", "USE shop", "SELECT t other", "USE other", "USE third error=1049", "SELECT t third"]);
}

#[test]
fn query_attributes_are_skipped_and_their_trace_context_read() {
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let attributes =
        [b"\x03\x02\x01\0\x01\x08\0\x01n\xfe\0\x0btraceparent\x2a\0\0\0\0\0\0\0\x37".as_slice(), parent.as_bytes(), b"SELECT a FROM t"]
            .concat();
    let talk = talk(packet::QUERY_ATTRIBUTES).client(packet(0, attributes)).server(rows(1, false));
    let talk = talk.client(packet(0, b"\x03\0\x01SELECT b FROM u")).server(rows(1, false)).run();
    assert_eq!(talk.brief(&[s::DB_QUERY_TEXT]), ["SELECT t SELECT a FROM t", "SELECT u SELECT b FROM u"]);
    assert_eq!(talk.exchanges[0].context, TraceContext::parse(parent.as_bytes()));
}

#[test]
fn what_the_server_does_not_offer_is_not_used() {
    let refused = packet::QUERY_ATTRIBUTES | packet::DEPRECATE_EOF;
    let talk = Talk::new().server(offering(!refused, "5.5.5-10.11.6-MariaDB")).client(login(refused)).server(packet(2, OK));
    let talk = talk.client(query("SELECT a FROM t")).server(rows(2, false)).client(query("SELECT b FROM u")).server(rows(1, false));
    assert_eq!(run(&talk, ROWS), ["SELECT t 2 -", "SELECT u 1 -"]);
}

#[test]
fn requests_without_an_answer_say_why() {
    let open = || talk(0).client(query("SELECT a FROM t"));
    let end = |talk: Talk| run(&talk, SHORT);
    assert_eq!(end(open().fin(Server).close(Close::Fin)), ["SELECT t - error=connection_closed"]);
    assert_eq!(end(open().close(Close::ResetByRemote)), ["SELECT t - error=connection_reset"]);
    assert_eq!(end(open().wait(Duration::from_secs(400)).tick()), ["SELECT t - error=timeout"]);
    assert_eq!(end(open()), ["SELECT t - incomplete=response_lost"]);
}

#[test]
fn cursors_and_other_commands_are_exchanges_of_their_own() {
    let cursor = b"\xfe\0\0\x42\0";
    let talk = talk(0).client(prepare("SELECT a FROM t")).server(packets(1, &[b"\0\x09\0\0\0\x01\0\0\0\0\0\0", &column(), EOF]));
    let talk = talk.client(execute(9)).server(packets(1, &[b"\x01", &column(), cursor]));
    let talk = talk.client(packet(0, b"\x1c\x09\0\0\0\x02\0\0\0")).server(packets(1, &[b"\0\0\x011", b"\0\0\x012", EOF]));
    let talk = talk.client(packet(0, b"\x0e")).server(packet(1, OK)).client(packet(0, b"\x09")).server(packet(1, "Uptime: 1"));
    assert_eq!(
        run(&talk.client(packet(0, b"\x01")), ROWS),
        ["PREPARE SELECT t - -", "SELECT t 0 -", "SELECT t 2 -", "PING - -", "STATISTICS - -"]
    );
}

#[derive(Clone, Debug)]
enum Turn {
    Query(usize, usize),
    Failed(usize),
    Update(usize, usize),
    Prepare(u32),
    Run(u32),
    Ping,
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        (0usize..9, 0usize..40).prop_map(|(t, n)| Turn::Query(t, n)),
        (0usize..9).prop_map(Turn::Failed),
        (0usize..9, 0usize..300).prop_map(|(t, n)| Turn::Update(t, n)),
        (1u32..9).prop_map(Turn::Prepare),
        (1u32..9).prop_map(Turn::Run),
        Just(Turn::Ping),
    ]
}

fn speak(talk: Talk, turns: &[Turn], deprecates: bool) -> Talk {
    turns.iter().fold(talk, |talk, turn| match turn {
        Turn::Query(t, n) => talk.client(query(&format!("SELECT a FROM query_{t} WHERE x = 'it''s'"))).server(rows(*n, deprecates)),
        Turn::Failed(t) => talk.client(query(&format!("SELECT a FROM failed_{t}"))).server(error(1146)),
        Turn::Update(t, n) => talk.client(query(&format!("UPDATE update_{t} SET a = '{}'", "v".repeat(*n)))).server(packet(1, OK)),
        Turn::Prepare(t) => talk.client(prepare(&format!("SELECT a FROM prepared_{t}"))).server(prepared(*t, deprecates)),
        Turn::Run(t) => talk.client(execute(*t)).server(rows(2, deprecates)),
        Turn::Ping => talk.client(packet(0, b"\x0e")).server(packet(1, OK)),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_split_gives_the_same_exchanges(turns in proptest::collection::vec(turn(), 1..8), split in 1usize..200, deprecates in any::<bool>()) {
        let whole = speak(talk(if deprecates { packet::DEPRECATE_EOF } else { 0 }), &turns, deprecates);
        prop_assert_eq!(whole.run().exchanges.len(), turns.len());
        prop_assert_eq!(whole.clone().split(split).run().full(), whole.run().full());
    }

    #[test]
    fn any_holes_give_a_subset_of_the_exchanges(
        turns in proptest::collection::vec(turn(), 2..10),
        split in 20usize..600,
        holes in parts(400),
        deprecates in any::<bool>(),
        midway in any::<bool>(),
    ) {
        let all = speak(talk(if deprecates { packet::DEPRECATE_EOF } else { 0 }), &turns, deprecates).at_server();
        let whole = all.run();
        let mut holed = all.split(split);
        if midway {
            holed = holed.midway().lose(Client, 0..10).lose(Server, 0..10);
        }
        let holed = holed.lose_parts(holes);
        subset::check(&whole, &holed.run())?;
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(
        pieces in proptest::collection::vec((any::<bool>(), prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..60),
            (0u8..6, proptest::collection::vec(any::<u8>(), 0..40)).prop_map(|(seq, payload)| packet(seq, payload)),
            (proptest::sample::select(vec![0u8, 0xff, 0xfe, 0xfb, 1, 2]), 0u8..4, proptest::collection::vec(any::<u8>(), 0..14))
                .prop_map(|(first, seq, rest)| packet(seq, [&[first][..], &rest].concat())),
            Just(query("SELECT 1")), Just(prepare("SELECT ?")), Just(execute(1)), Just(rows(2, true)), Just(rows(2, false)), Just(error(1)), Just(prepared(1, true)),
        ], 0u64..20), 0..40),
        midway in any::<bool>(),
    ) {
        let start = if midway { Talk::new().midway().client(query("SELECT 1")) } else { talk(packet::QUERY_ATTRIBUTES) };
        let talk = pieces.into_iter().fold(start, |talk, (client, bytes, hole)| {
            let end = if client { Client } else { Server };
            let talk = talk.piece(end, bytes);
            if hole > 15 { talk.hole(end, hole) } else { talk }
        });
        let outcome = talk.run();
        prop_assert!(outcome.held < 512 * 1024);
    }
}
