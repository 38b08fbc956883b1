use super::*;
use crate::flow::{Flow, Limits, Loss};
use crate::model::{Key, Role};
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
        include_bytes!(concat!("../../../fixtures/postgres/", $name, ".pcap")).as_slice()
    };
}

fn decode(file: &[u8], role: Role) -> Outcome {
    let mut flow = Flow::new(Limits::default(), Options::default());
    let mut outcome = Outcome::default();
    replay(file, role, &mut flow, &mut outcome).expect("the file is whole");
    outcome
}

fn msg(kind: u8, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    [&[kind][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat()
}

fn startup() -> Vec<u8> {
    let body = b"\0\x03\0\0user\0app\0database\0shop\0\0";
    [&(body.len() as u32 + 4).to_be_bytes()[..], body].concat()
}

fn query(text: &str) -> Vec<u8> {
    msg(b'Q', text.to_owned() + "\0")
}

fn parse(name: &str, text: &str) -> Vec<u8> {
    msg(b'P', format!("{name}\0{text}\0\0\0"))
}

fn bind(name: &str, value: &[u8]) -> Vec<u8> {
    let head = format!("\0{name}\0\0\0\0\x01");
    msg(b'B', [head.as_bytes(), &(value.len() as u32).to_be_bytes(), value, b"\0\0"].concat())
}

fn execute() -> Vec<u8> {
    msg(b'E', b"\0\0\0\0\0")
}

fn sync() -> Vec<u8> {
    msg(b'S', b"")
}

fn done(tag: &str) -> Vec<u8> {
    msg(b'C', tag.to_owned() + "\0")
}

fn ready() -> Vec<u8> {
    msg(b'Z', b"I")
}

fn row(text: &str) -> Vec<u8> {
    msg(b'D', [b"\0\x01", &(text.len() as u32).to_be_bytes()[..], text.as_bytes()].concat())
}

fn columns() -> Vec<u8> {
    msg(b'T', b"\0\x01name\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0")
}

fn error(code: &str) -> Vec<u8> {
    msg(b'E', format!("SERROR\0VERROR\0C{code}\0Mno\0\0"))
}

fn rows(n: usize) -> Vec<u8> {
    [columns(), (0..n).flat_map(|_| row("value")).collect(), done(&format!("SELECT {n}")), ready()].concat()
}

/// A connection that is ready for queries.
fn talk() -> Talk {
    Talk::new().client(startup()).server([msg(b'R', b"\0\0\0\0"), msg(b'S', b"TimeZone\0UTC\0"), ready()].concat())
}

fn run(talk: &Talk, keys: &[Key]) -> Vec<String> {
    talk.run().brief(keys)
}

#[test]
fn real_clients_are_read_as_they_spoke() {
    let psql = decode(fixture!("psql"), Role::Client);
    assert_eq!(psql.brief(ROWS), ["SELECT users 1 -", "SELECT users 0 -"]);
    let text = psql.exchanges[1].attrs.str(s::DB_QUERY_TEXT);
    assert_eq!(text, Some("select * from users where name = ?"));
    assert_eq!(psql.exchanges[1].attrs.str(s::DB_NAMESPACE), Some("postgres"));
    let psycopg = decode(fixture!("psycopg"), Role::Server);
    let expected = [
        "DROP TABLE users - -",
        "CREATE TABLE users - -",
        "INSERT users - 1",
        "INSERT users - 1",
        "INSERT users - 1",
        "SELECT users 2 -",
        "SELECT nothere - - error=42P01",
        "SELECT users 1 -",
        "SELECT users 1 -",
        "SELECT users 1 -",
        "SELECT users 0 -",
        "SELECT users 0 -",
        "PREPARE SELECT users - -",
        "SELECT users 0 -",
        "SELECT users 0 -",
        "COPY users - 190",
        "COPY users - 193",
        "LISTEN ch - -",
        "NOTIFY ch - -",
        "BATCH SELECT 2 -",
        "INSERT users - 1",
        "SELECT users 194 -",
    ];
    assert_eq!(psycopg.brief(ROWS), expected);
    assert!(psycopg.losses.is_empty() && psycopg.exchanges.iter().all(|exchange| exchange.call.is_some()));
    let pg8000 = decode(fixture!("pg8000"), Role::Client);
    assert_eq!(pg8000.brief(ROWS), ["BEGIN - -", "PREPARE SELECT users - -", "SELECT users 1 -", "PREPARE COMMIT - -", "COMMIT - -"]);
}

#[test]
fn a_pipeline_of_groups_is_paired_in_order() {
    let lines = decode(fixture!("pipeline"), Role::Client).brief(ROWS);
    assert_eq!(lines[..4], ["SELECT users 1 -", "SELECT users 1 -", "SELECT users 1 -", "SELECT users 0 -"]);
    assert_eq!(lines[5..8], ["UPDATE users - 1", "UPDATE users - 1", "UPDATE users - 1"]);
    assert_eq!(lines[10..], ["SELECT - - error=22012", "SELECT users - - error=pipeline_aborted"]);
}

#[test]
fn cursors_and_batches_of_one_statement_are_counted_each() {
    let outcome = decode(fixture!("asyncpg"), Role::Client);
    let lines = outcome.brief(ROWS);
    assert_eq!(lines.iter().filter(|line| *line == "INSERT users - 1").count(), 10);
    let fetches: i64 = outcome.exchanges[17..].iter().filter_map(|exchange| exchange.attrs.int(s::DB_RESPONSE_RETURNED_ROWS)).sum();
    assert_eq!((fetches, outcome.exchanges.len()), (204, 23));
    let bench = decode(fixture!("bench_extended"), Role::Client);
    let count = |name: &str| bench.brief(&[]).iter().filter(|line| *line == name).count();
    let all = ["BEGIN", "UPDATE pgbench_accounts", "SELECT pgbench_accounts", "UPDATE pgbench_tellers", "INSERT pgbench_history", "END"];
    assert_eq!(all.map(count), [20; 6]);
}

#[test]
fn a_cancelled_query_fails_and_its_cancel_request_does_not() {
    assert_eq!(decode(fixture!("cancel"), Role::Client).brief(SHORT), ["CANCEL -", "SELECT 57014 error=57014"]);
}

#[test]
fn the_extended_protocol_in_one_batch_is_one_exchange() {
    let batch = [parse("", "SELECT a FROM t WHERE b = $1"), bind("", b"x"), msg(b'D', b"P\0"), execute(), sync()].concat();
    let reply = [msg(b'1', b""), msg(b'2', b""), rows(2)].concat();
    assert_eq!(run(&talk().client(&batch).server(&reply), ROWS), ["SELECT t 2 -"]);
    assert_eq!(run(&talk().at_server().client(&batch).server(&reply).split(4), ROWS), ["SELECT t 2 -"]);
}

#[test]
fn a_prepared_insert_with_describe_is_one_exchange() {
    let prepare = talk().client([parse("s", "INSERT INTO t VALUES ($1)"), sync()].concat()).server([msg(b'1', b""), ready()].concat());
    let insert = [bind("s", b"x"), msg(b'D', b"P\0"), execute(), sync()].concat();
    let reply = [msg(b'2', b""), msg(b'n', b""), done("INSERT 0 1"), ready()].concat();
    assert_eq!(run(&prepare.client(insert).server(reply), ROWS), ["PREPARE INSERT t - -", "INSERT t - 1"]);
}

#[test]
fn a_bind_above_the_capture_is_one_exchange() {
    let batch = |n: usize| [parse("", "INSERT INTO t VALUES ($1)"), bind("", &vec![b'v'; n]), execute(), sync()].concat();
    let reply = || [msg(b'1', b""), msg(b'2', b""), done("INSERT 0 1"), ready()].concat();
    for n in [1100, 5000, 200_000] {
        let all = talk().client(batch(n)).server(reply()).client(query("SELECT 1 FROM u")).server(rows(1));
        assert_eq!(run(&all, ROWS), ["INSERT t - 1", "SELECT u 1 -"]);
        let captured = startup().len() as u64 + 900;
        let end = startup().len() as u64 + batch(n).len() as u64;
        let cut = all.lose(Client, captured..end);
        assert_eq!(run(&cut, ROWS), ["INSERT t - 1 incomplete=request_lost", "SELECT u 1 -"], "{n}");
    }
}

#[test]
fn a_statement_above_the_capture_keeps_what_was_captured() {
    let long = format!("INSERT INTO t VALUES ('{}')", "v".repeat(100_000));
    let talk = talk().client(query(&long)).server([done("INSERT 0 1"), ready()].concat()).client(query("SELECT 2 FROM u")).server(rows(1));
    let captured = startup().len() as u64 + 500;
    for talk in [talk.clone(), talk.lose(Client, captured..startup().len() as u64 + long.len() as u64 + 6)] {
        let outcome = talk.run();
        assert_eq!(outcome.brief(ROWS), ["INSERT t - 1 incomplete=request_cut", "SELECT u 1 -"]);
        assert_eq!(outcome.exchanges[0].attrs.str(s::DB_QUERY_TEXT), Some("INSERT INTO t VALUES (?"));
        assert!(outcome.held < 200 * 1024);
    }
}

#[test]
fn a_result_above_the_capture_ends_with_its_ready() {
    let all = talk().client(query("SELECT a FROM t")).server(rows(1000)).client(query("SELECT a FROM u")).server(rows(1));
    let greeting = all.sent(Server) - rows(1000).len() as u64 - rows(1).len() as u64;
    let end = greeting + rows(1000).len() as u64;
    let tail = all.clone().lose(Server, greeting + 300..end - 16);
    assert_eq!(run(&tail, ROWS), ["SELECT t - - incomplete=response_lost", "SELECT u 1 -"]);
    let nothing = all.lose(Server, greeting + 300..end);
    assert_eq!(run(&nothing, ROWS), ["SELECT t - - incomplete=response_lost,end_inferred", "SELECT u 1 -"]);
}

#[test]
fn statements_prepared_before_the_agent_started_are_named_by_their_completion() {
    let call = || [bind("s1", b"x"), msg(b'D', b"P\0"), execute(), sync()].concat();
    let reply = |tag: &str| [msg(b'2', b""), msg(b'n', b""), done(tag), ready()].concat();
    let talk = Talk::new().midway().client(call()).server(reply("UPDATE 3")).client(call()).server(reply("UPDATE 1"));
    assert_eq!(run(&talk, ROWS), ["UPDATE - 3", "UPDATE - 1"]);
    assert_eq!(run(&talk.role_unknown(), ROWS), ["UPDATE - 3", "UPDATE - 1"]);
}

#[test]
fn a_connection_joined_midway_is_understood_from_the_next_request_on() {
    let talk = Talk::new().midway().server(&rows(3)[20..]).client(query("SELECT a FROM t")).server(rows(1));
    assert_eq!(run(&talk.clone().role_unknown(), ROWS), ["SELECT t 1 -"]);
    assert_eq!(talk.run().protocol, Some("postgresql"));
}

#[test]
fn encryption_is_asked_for_and_refused_or_granted() {
    let ssl = [0, 0, 0, 8, 4, 210, 22, 47];
    let gss = [0, 0, 0, 8, 4, 210, 22, 48];
    let plain = Talk::new().client(gss).server("N").client(ssl).server("N").client(startup()).server(ready());
    assert_eq!(run(&plain.client(query("SELECT a FROM t")).server(rows(1)), ROWS), ["SELECT t 1 -"]);
    let tls = Talk::new().client(ssl).server("S").client(b"\x16\x03\x01\x02\0\x01").server(b"\x16\x03\x03").run();
    assert_eq!((tls.exchanges.len(), tls.protocol, tls.losses.len()), (0, Some("postgresql"), 0));
}

#[test]
fn notifications_and_notices_between_answers_change_nothing() {
    let notify = msg(b'A', b"\0\0\0\x07ch\0payload\0");
    let notice = msg(b'N', b"SNOTICE\0C00000\0Mhi\0\0");
    let talk = talk().server(&notify).client(query("SELECT a FROM t")).server([notice, notify.clone(), rows(1)].concat()).server(&notify);
    assert_eq!(run(&talk, ROWS), ["SELECT t 1 -"]);
}

#[test]
fn an_error_in_a_group_aborts_the_rest_of_it() {
    let one = |text: &str| [parse("", text), bind("", b"x"), execute()].concat();
    let batch = [one("SELECT a FROM t"), one("SELECT b FROM u"), one("SELECT c FROM v"), sync()].concat();
    let reply = [msg(b'1', b""), msg(b'2', b""), done("SELECT 0"), msg(b'1', b""), error("22P02"), ready()].concat();
    let expected = ["SELECT t -", "SELECT u 22P02 error=22P02", "SELECT v - error=pipeline_aborted"];
    assert_eq!(run(&talk().client(batch).server(reply), SHORT), expected);
}

#[test]
fn requests_without_an_answer_say_why() {
    let open = || talk().client(query("SELECT a FROM t"));
    let end = |talk: Talk| run(&talk, SHORT);
    assert_eq!(end(open().fin(Server).close(Close::Fin)), ["SELECT t - error=connection_closed"]);
    assert_eq!(end(open().close(Close::ResetByRemote)), ["SELECT t - error=connection_reset"]);
    assert_eq!(end(open().wait(Duration::from_secs(400)).tick()), ["SELECT t - error=timeout"]);
    assert_eq!(end(open()), ["SELECT t - incomplete=response_lost"]);
    let fatal = open().server(error("57P01")).fin(Server).close(Close::Fin);
    assert_eq!(end(fatal), ["SELECT t 57P01 error=57P01"]);
}

#[test]
fn trace_context_of_a_comment_is_the_requests() {
    let text = "SELECT 1 /*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'*/";
    let outcome = talk().client(query(text)).server(rows(1)).client(query("SELECT 1")).server(rows(1)).run();
    let traces: Vec<_> = outcome.exchanges.iter().map(|exchange| exchange.context.map(|context| context.trace.to_string())).collect();
    assert_eq!(traces, [Some("4bf92f3577b34da6a3ce929d0e0e4736".to_owned()), None]);
}

#[test]
fn many_statements_and_requests_are_bounded() {
    let mut all = talk();
    for i in 0..3000 {
        all = all.client([parse(&format!("s{i}"), &format!("SELECT {} FROM t{i}", "x, ".repeat(1000))), sync()].concat());
        all = all.server([msg(b'1', b""), ready()].concat());
    }
    let outcome =
        all.client([bind("s0", b""), execute(), sync()].concat()).server([msg(b'2', b""), done("SELECT 0"), ready()].concat()).run();
    assert_eq!(outcome.brief(ROWS).last().map(String::as_str), Some("SELECT 0 -"));
    let flood: Vec<u8> = (0..2000).flat_map(|_| query("SELECT 1")).collect();
    let outcome = talk().client(flood).server((0..2000).flat_map(|_| rows(1)).collect::<Vec<u8>>()).run();
    assert_eq!((outcome.exchanges.len(), outcome.lost(Loss::InFlight)), (1024, 976));
}

#[derive(Clone, Debug)]
enum Turn {
    Simple(usize, usize),
    Failed(usize),
    Batch(usize, usize),
    Prepare(usize),
    Run(usize),
    Copy(usize),
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        (0usize..9, 0usize..40).prop_map(|(t, n)| Turn::Simple(t, n)),
        (0usize..9).prop_map(Turn::Failed),
        (0usize..9, 0usize..300).prop_map(|(t, n)| Turn::Batch(t, n)),
        (0usize..3).prop_map(Turn::Prepare),
        (0usize..3).prop_map(Turn::Run),
        (0usize..200).prop_map(Turn::Copy),
    ]
}

fn speak(talk: Talk, turns: &[Turn]) -> Talk {
    turns.iter().fold(talk, |talk, turn| match turn {
        Turn::Simple(t, n) => talk.client(query(&format!("SELECT a FROM simple_{t} WHERE x = 'it''s'"))).server(rows(*n)),
        Turn::Failed(t) => talk.client(query(&format!("SELECT a FROM failed_{t}"))).server([error("42P01"), ready()].concat()),
        Turn::Batch(t, n) => {
            let request = [parse("", &format!("UPDATE batch_{t} SET a = $1")), bind("", &vec![b'Q'; *n]), execute(), sync()].concat();
            talk.client(request).server([msg(b'1', b""), msg(b'2', b""), done("UPDATE 1"), ready()].concat())
        }
        Turn::Prepare(t) => {
            let request = [parse(&format!("s{t}"), &format!("DELETE FROM prepared_{t}")), msg(b'D', format!("Ss{t}\0")), sync()].concat();
            talk.client(request).server([msg(b'1', b""), msg(b't', b"\0\0"), msg(b'n', b""), ready()].concat())
        }
        Turn::Run(t) => {
            let request = [bind(&format!("s{t}"), b"v"), execute(), sync()].concat();
            talk.client(request).server([msg(b'2', b""), done("DELETE 5"), ready()].concat())
        }
        Turn::Copy(n) => {
            let talk = talk.client(query("COPY copied FROM STDIN")).server(msg(b'G', b"\0\0\x01\0\0"));
            talk.client([msg(b'd', "x".repeat(*n)), msg(b'c', b"")].concat()).server([done("COPY 1"), ready()].concat())
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_split_gives_the_same_exchanges(turns in proptest::collection::vec(turn(), 1..8), split in 1usize..200) {
        let whole = speak(talk(), &turns);
        prop_assert_eq!(whole.run().exchanges.len(), turns.len());
        prop_assert_eq!(whole.clone().split(split).run().full(), whole.run().full());
    }

    #[test]
    fn any_holes_give_a_subset_of_the_exchanges(
        turns in proptest::collection::vec(turn(), 2..10),
        split in 20usize..600,
        holes in parts(400),
        midway in any::<bool>(),
    ) {
        let whole = speak(talk(), &turns).at_server().run();
        let mut holed = speak(talk(), &turns).at_server().split(split);
        if midway {
            holed = holed.midway().lose(Client, 0..10);
        }
        let holed = holed.lose_parts(holes);
        subset::check(&whole, &holed.run())?;
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(
        pieces in proptest::collection::vec((any::<bool>(), prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..60),
            (proptest::sample::select(b"QPBEDCSHXFdcfp123nsITDtGHWZENAKRVv".to_vec()), proptest::collection::vec(any::<u8>(), 0..30)).prop_map(|(kind, body)| msg(kind, body)),
            Just(query("SELECT 1")), Just(parse("", "SELECT 2")), Just(bind("", b"x")), Just(execute()), Just(sync()), Just(rows(2)), Just(error("XX000")),
        ], 0u64..20), 0..40),
        midway in any::<bool>(),
    ) {
        let start = if midway { Talk::new().midway().client(query("SELECT 1")) } else { talk() };
        let talk = pieces.into_iter().fold(start, |talk, (client, bytes, hole)| {
            let end = if client { Client } else { Server };
            let talk = talk.piece(end, bytes);
            if hole > 15 { talk.hole(end, hole) } else { talk }
        });
        let outcome = talk.run();
        prop_assert!(outcome.held < 512 * 1024);
    }
}
