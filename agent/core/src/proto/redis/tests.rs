//! Conversations of Redis clients and servers.

use crate::flow::Loss;
use crate::model::semconv as s;
use crate::model::{Close, Key};
use crate::proto::End::{Client, Server};
use crate::proto::Options;
use crate::testkit::{Outcome, Talk, parts};
use proptest::prelude::*;
use std::time::Duration;

const STATUS: &[Key] = &[s::DB_RESPONSE_STATUS_CODE];
const TEXT: &[Key] = &[s::DB_QUERY_TEXT];
const NAMESPACE: &[Key] = &[s::DB_NAMESPACE];

/// A command as clients write it.
fn cmd(words: &str) -> Vec<u8> {
    args(&words.split(' ').map(str::as_bytes).collect::<Vec<_>>())
}

fn args(words: &[&[u8]]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend(format!("${}\r\n", word.len()).bytes());
        out.extend(*word);
        out.extend(b"\r\n");
    }
    out
}

fn names(talk: &Talk) -> Vec<String> {
    talk.run().brief(&[])
}

#[test]
fn a_command_has_the_attributes_of_the_conventions() {
    let talk = Talk::new().client(cmd("SET user:17 secret EX 60")).server("+OK\r\n");
    assert_eq!(
        talk.run().full(),
        ["redis Client SET db.system.name=redis db.operation.name=SET db.namespace=0 db.query.text=SET user:? ? ? ? \
          call=1000/5000/\"*5\\r\\n$3\\r\\nSET\\r\\n$7\\r\" request=0-0ms,?B response=1-1ms,?B"]
    );
    assert_eq!(talk.at_server().run().full()[0].split(' ').nth(1), Some("Server"));
}

#[test]
fn ten_pipelined_gets_are_ten_spans_in_one_write_or_in_ten() {
    let value = "$1\r\nx\r\n";
    let one = Talk::new().client(cmd("GET k").repeat(10)).server(value.repeat(10));
    assert_eq!(names(&one), ["GET"; 10]);
    let ten = (0..10).fold(Talk::new(), |talk, _| talk.client(cmd("GET k")));
    assert_eq!(names(&(0..10).fold(ten, |talk, _| talk.server(value))), ["GET"; 10]);
}

#[test]
fn a_pipeline_of_thousands_is_as_many_spans() {
    let talk = Talk::new().client(cmd("SET key:000000000001 xxx").repeat(10_000)).server("+OK\r\n".repeat(10_000)).split(1448);
    let outcome = talk.run();
    assert_eq!(outcome.exchanges.len(), 10_000);
    assert!(outcome.losses.is_empty(), "{:?}", outcome.losses);
    assert!(outcome.exchanges.iter().all(|exchange| exchange.response.is_some()));
}

#[test]
fn errors_are_named_by_their_first_word() {
    let talk = |reply: &str| Talk::new().client(cmd("INCR k")).server(reply).run().brief(STATUS);
    assert_eq!(talk("-WRONGTYPE Operation against a key\r\n"), ["INCR WRONGTYPE error=WRONGTYPE"]);
    assert_eq!(talk("!21\r\nSYNTAX invalid syntax\r\n"), ["INCR SYNTAX error=SYNTAX"]);
    assert_eq!(talk("-what is this\r\n"), ["INCR - error=_OTHER"]);
    assert_eq!(talk(":1\r\n"), ["INCR -"]);
}

#[test]
fn cluster_redirects_are_attributes_and_no_errors() {
    let keys = &[s::DB_RESPONSE_STATUS_CODE, s::REMORA_REDIS_REDIRECT];
    let talk = Talk::new().client(cmd("GET k")).server("-MOVED 3999 127.0.0.1:6381\r\n").client(cmd("GET k")).server("-ASK 1 h:1\r\n");
    assert_eq!(talk.run().brief(keys), ["GET MOVED MOVED 3999 127.0.0.1:6381", "GET ASK ASK 1 h:1"]);
}

#[test]
fn the_database_is_the_one_selected() {
    let talk = Talk::new().client(cmd("GET a")).server("_\r\n").client([cmd("SELECT 3"), cmd("GET b")].concat()).server("+OK\r\n$-1\r\n");
    let talk = talk.client(cmd("SELECT 99")).server("-ERR DB index is out of range\r\n").client(cmd("GET c")).server("$-1\r\n");
    let talk = talk.client(cmd("RESET")).server("+RESET\r\n").client(cmd("GET d")).server("$-1\r\n");
    let expected = ["GET 0", "SELECT 3", "GET 3", "SELECT 99 error=ERR", "GET 3", "RESET 0", "GET 0"];
    assert_eq!(talk.run().brief(NAMESPACE), expected);
    assert_eq!(Talk::new().midway().client(cmd("GET a")).server("$-1\r\n").run().brief(NAMESPACE), ["GET -"]);
}

#[test]
fn a_transaction_is_its_commands_and_an_exec_with_their_number_and_first_error() {
    let talk = Talk::new().client([cmd("MULTI"), cmd("SET a 1"), cmd("INCR b"), cmd("EXEC")].concat());
    let talk = talk.server("+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n-ERR value is not an integer\r\n");
    let keys = &[s::DB_OPERATION_BATCH_SIZE, s::DB_RESPONSE_STATUS_CODE];
    assert_eq!(talk.run().brief(keys), ["MULTI - -", "SET - -", "INCR - -", "EXEC 2 ERR error=ERR"]);
    let aborted = Talk::new().client([cmd("MULTI"), cmd("EXEC")].concat()).server("+OK\r\n*-1\r\n");
    assert_eq!(aborted.run().brief(keys), ["MULTI - -", "EXEC - -"]);
}

#[test]
fn subscriptions_are_one_span_and_messages_none() {
    let message = "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$5\r\nhello\r\n";
    let talk = Talk::new().client(cmd("SUBSCRIBE a b")).server("*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
    let talk = talk.server(message).server("*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n").server(message.repeat(3));
    let talk = talk.client(cmd("PING")).server(message).server("*2\r\n$4\r\npong\r\n$0\r\n\r\n").client(cmd("UNSUBSCRIBE"));
    let talk = talk.server("*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:0\r\n");
    let outcome = talk.client(cmd("GET k")).server("$1\r\nv\r\n").run();
    assert_eq!(outcome.brief(&[]), ["SUBSCRIBE", "PING", "UNSUBSCRIBE", "GET"]);
    assert!(outcome.losses.is_empty(), "{:?}", outcome.losses);
    assert!(outcome.full()[0].ends_with("request=0-0ms,?B response=1-3ms,?B"), "{}", outcome.full()[0]);
}

#[test]
fn pushes_and_attributes_of_resp3_are_no_answers() {
    let push = ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n";
    let talk = Talk::new().client(cmd("HELLO 3")).server("%1\r\n$6\r\nserver\r\n$5\r\nredis\r\n").client(cmd("GET k"));
    let talk = talk.server(push).server("|1\r\n+ttl\r\n:3600\r\n-ERR no\r\n").server(push);
    let talk = talk.client(cmd("SSUBSCRIBE c")).server(">3\r\n$10\r\nssubscribe\r\n$1\r\nc\r\n:1\r\n").client(cmd("GET k"));
    let talk = talk.server(">3\r\n$8\r\nsmessage\r\n$1\r\nc\r\n$1\r\nm\r\n#t\r\n");
    assert_eq!(talk.run().brief(STATUS), ["HELLO -", "GET ERR error=ERR", "SSUBSCRIBE -", "GET -"]);
}

#[test]
fn all_types_of_replies_end_where_they_end() {
    let replies = [
        "$-1\r\n",
        "*-1\r\n",
        "_\r\n",
        "#f\r\n",
        ",1.5\r\n",
        ",inf\r\n",
        "(3492890328409238509324850943850943825024385\r\n",
        "=7\r\ntxt:abc\r\n",
        "~2\r\n:1\r\n:2\r\n",
        "%2\r\n+a\r\n:1\r\n+b\r\n*2\r\n$2\r\n\r\n\r\n*0\r\n",
        "*3\r\n*1\r\n*1\r\n:1\r\n$0\r\n\r\n*0\r\n",
        "$6\r\n+OK\r\n!\r\n",
    ];
    let talk = replies.iter().fold(Talk::new(), |talk, reply| talk.client(cmd("GET k")).server(reply));
    assert_eq!(talk.run().brief(STATUS), vec!["GET -"; replies.len()]);
    let all = Talk::new().client(cmd("GET k").repeat(replies.len())).server(replies.concat());
    assert_eq!(all.split(1).run().brief(STATUS), vec!["GET -"; replies.len()]);
}

#[test]
fn inline_commands_are_read() {
    let talk = Talk::new().client("ping\r\n\r\nset  k:1 v\n").server("+PONG\r\n+OK\r\n");
    assert_eq!(talk.run().brief(TEXT), ["PING PING", "SET SET k:? ?"]);
}

#[test]
fn values_of_any_size_need_not_be_captured() {
    let talk =
        Talk::new().client("*3\r\n$3\r\nSET\r\n$5\r\nk:abc\r\n$5000000\r\n").hole(Client, 5_000_000).client("\r\n").server("+OK\r\n");
    let talk =
        talk.client(cmd("MGET k j")).server("*2\r\n$3000000\r\n").hole(Server, 3_000_000).server("\r\n$1\r\nx\r\n").client(cmd("PING"));
    let outcome = talk.server("+PONG\r\n").run();
    assert_eq!(outcome.brief(TEXT), ["SET SET k:abc ...", "MGET MGET k j", "PING PING"]);
    assert!(outcome.losses.is_empty(), "{:?}", outcome.losses);
    assert!(outcome.full()[0].ends_with("request=0-2ms,?B response=3-3ms,?B"), "{}", outcome.full()[0]);
}

#[test]
fn long_commands_show_their_first_arguments() {
    let words: Vec<String> = (0..5000).map(|i| format!("key:{i}")).collect();
    let talk = Talk::new().client(cmd(&format!("DEL {}", words.join(" ")))).server(":5000\r\n").client(cmd("PING")).server("+PONG\r\n");
    let texts = talk.split(700).run().brief(TEXT);
    assert_eq!(texts, [format!("DEL DEL{} ...", " key:?".repeat(15)), "PING PING".to_owned()]);
}

#[test]
fn secrets_do_not_leave_the_parser() {
    let text = |words: &str, raw: bool| {
        let options = Options { raw_text: raw, ..Options::default() };
        Talk::new().options(options).client(cmd(words)).server("+OK\r\n").run().brief(TEXT).join("")
    };
    assert_eq!(text("AUTH user pw", false), "AUTH AUTH ? ?");
    assert_eq!(text("AUTH user pw", true), "AUTH AUTH ? ?");
    assert_eq!(text("HELLO 3 AUTH u pw", true), "HELLO HELLO ? ? ? ?");
    assert_eq!(text("CONFIG SET requirepass pw", true), "CONFIG SET CONFIG SET ? ?");
    assert_eq!(text("EVAL return(1) 0", false), "EVAL EVAL ? ?");
    assert_eq!(text("FT.SEARCH idx @name:ann", false), "FT.SEARCH FT.SEARCH ? ?");
    assert_eq!(text("HSET h:1 field value", true), "HSET HSET h:1 field value");
}

#[test]
fn long_texts_are_cut_and_say_so() {
    let options = Options { text_limit: 10, ..Options::default() };
    let outcome = Talk::new().options(options).client(cmd("GET some:long:key")).server("$-1\r\n").run();
    assert_eq!(outcome.brief(TEXT), ["GET GET some:l incomplete=request_cut"]);
    assert_eq!(outcome.lost(Loss::Text), 1);
}

#[test]
fn scripts_and_functions_are_named() {
    let talk = Talk::new().client(cmd("EVALSHA a9b1 1 k")).server(":1\r\n").client(cmd("FCALL myfunc 0")).server("$-1\r\n");
    assert_eq!(talk.run().brief(&[s::DB_STORED_PROCEDURE_NAME]), ["EVALSHA a9b1", "FCALL myfunc"]);
}

#[test]
fn client_reply_decides_what_is_answered() {
    let talk = Talk::new().client([cmd("CLIENT REPLY OFF"), cmd("SET a 1"), cmd("SET b 1"), cmd("CLIENT REPLY ON")].concat());
    let talk = talk.server("+OK\r\n").client([cmd("CLIENT REPLY SKIP"), cmd("SET c 1"), cmd("GET d")].concat()).server("$1\r\nx\r\n");
    let outcome = talk.run();
    assert_eq!(outcome.brief(&[]), ["CLIENT REPLY", "SET", "SET", "CLIENT REPLY", "CLIENT REPLY", "SET", "GET"]);
    let answered: Vec<bool> = outcome.exchanges.iter().map(|exchange| exchange.response.is_some()).collect();
    assert_eq!(answered, [false, false, false, true, false, false, true]);
    assert!(outcome.losses.is_empty(), "{:?}", outcome.losses);
}

#[test]
fn replication_and_monitor_are_no_conversations() {
    let talk = Talk::new().client(cmd("PSYNC ? -1")).server("+FULLRESYNC abc 0\r\n").server("$100\r\nREDIS0011").server(cmd("SET a 1"));
    assert_eq!(names(&talk), ["PSYNC"]);
    let talk = Talk::new().client(cmd("MONITOR")).server("+OK\r\n").server("+1.0 [0 h:1] \"GET\" \"k\"\r\n");
    assert_eq!(names(&talk), ["MONITOR"]);
}

#[test]
fn blocking_commands_may_take_any_time_and_others_may_not() {
    let slow = |words: &str| Talk::new().client(cmd(words)).wait(Duration::from_secs(4000)).tick().server("*-1\r\n").run().brief(&[]);
    assert_eq!(slow("BLPOP q 0"), ["BLPOP"]);
    assert_eq!(slow("GET q"), ["GET error=timeout"]);
    let later =
        Talk::new().client(cmd("GET a")).wait(Duration::from_secs(4000)).tick().server("$-1\r\n").client(cmd("PING")).server("+PONG\r\n");
    assert_eq!(names(&later), ["GET error=timeout", "PING"]);
}

#[test]
fn requests_without_an_answer_say_why() {
    let end = |how| Talk::new().client(cmd("GET k")).close(how).run().brief(&[]);
    assert_eq!(end(Close::ResetByRemote), ["GET error=connection_reset"]);
    assert_eq!(end(Close::TimedOut), ["GET error=timeout"]);
    assert_eq!(end(Close::Unobserved), ["GET incomplete=response_lost"]);
    assert_eq!(names(&Talk::new().client(cmd("GET k")).fin(Server).close(Close::Fin)), ["GET error=connection_closed"]);
}

#[test]
fn a_lost_exchange_does_not_shift_the_answers() {
    let one = |i: u8| (cmd(&format!("GET k{i}")), format!("-E{i} x\r\n"));
    let talk = (1..=4).map(one).fold(Talk::new(), |talk, (request, response)| talk.client(request).server(response));
    let (request, response) = (cmd("GET k1").len() as u64, 7);
    let all = ["GET E1 error=E1", "GET E2 error=E2", "GET E3 error=E3", "GET E4 error=E4"];
    assert_eq!(talk.run().brief(STATUS), all);
    assert_eq!(talk.clone().lose(Client, request..2 * request).run().brief(STATUS), [all[0], all[2], all[3]]);
    let unanswered = "GET - incomplete=response_lost";
    assert_eq!(talk.clone().lose(Server, response..2 * response).run().brief(STATUS), [all[0], unanswered, all[2], all[3]]);
}

#[test]
fn a_batch_that_lost_bytes_is_given_up_and_the_next_one_is_not() {
    let batch = |i: u8| (cmd(&format!("GET k{i}")).repeat(3), format!("-E{i} x\r\n").repeat(3));
    let talk = (1..=3).map(batch).fold(Talk::new(), |talk, (request, response)| talk.client(request).server(response));
    let lost = talk.lose(Server, 22..23).run();
    let e = |i| format!("GET E{i} error=E{i}");
    let unanswered = || "GET - incomplete=response_lost".to_owned();
    assert_eq!(lost.brief(STATUS), [e(1), e(1), e(1), unanswered(), unanswered(), unanswered(), e(3), e(3), e(3)]);
}

#[test]
fn a_connection_joined_midway_is_understood_from_the_next_command_on() {
    let talk = Talk::new().midway().role_unknown().port(6379).server("tail of a value\r\n").client(cmd("GET k")).server("$1\r\nx\r\n");
    assert_eq!(names(&talk), ["GET"]);
    let reply_first =
        Talk::new().midway().role_unknown().port(6379).server("*2\r\n$3\r\nfoo\r\n$3\r\nbar\r\n").client(cmd("GET k")).server("+x\r\n");
    assert_eq!(names(&reply_first), ["GET"]);
}

#[test]
fn malformed_bytes_are_counted_and_never_believed() {
    let talk =
        Talk::new().client(cmd("GET a")).server("$1\r\nx\r\n").client("*2\r\n$3\r\nGETxx").client(cmd("GET b")).server("nonsense\r\n");
    let outcome = talk.client(cmd("PING")).server("+PONG\r\n").run();
    assert_eq!(outcome.brief(&[]), ["GET", "PING"]);
    assert_eq!(outcome.lost(Loss::Malformed), 2);
}

#[derive(Clone, Debug)]
struct Turn {
    value: Vec<u8>,
    reply: u8,
}

impl Turn {
    fn request(&self, i: usize) -> Vec<u8> {
        args(&[b"SET", format!("name:{}", word(i)).as_bytes(), &self.value])
    }

    fn reply(&self, i: usize) -> Vec<u8> {
        match self.reply {
            0 => b"+OK\r\n".to_vec(),
            1 => [format!("${}\r\n", self.value.len()).as_bytes(), &self.value, b"\r\n"].concat(),
            2 => [b"*2\r\n:1\r\n".to_vec(), args(&[&self.value, b"*1\r\n$4\r\nPING\r\n"])].concat(),
            _ => format!("-E{i} x\r\n").into_bytes(),
        }
    }
}

fn word(i: usize) -> String {
    "x".repeat(i + 1)
}

fn turn() -> impl Strategy<Value = Turn> {
    let value = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..200),
        proptest::collection::vec(any::<u8>(), 1000..3000),
        Just(cmd("GET fake")),
    ];
    (value, 0u8..4).prop_map(|(value, reply)| Turn { value, reply })
}

fn talk(turns: &[Turn], depth: usize) -> Talk {
    let numbered: Vec<(usize, &Turn)> = turns.iter().enumerate().collect();
    numbered.chunks(depth).fold(Talk::new(), |talk, group| {
        let talk = talk.client(group.iter().flat_map(|(i, turn)| turn.request(*i)).collect::<Vec<u8>>());
        talk.server(group.iter().flat_map(|(i, turn)| turn.reply(*i)).collect::<Vec<u8>>())
    })
}

/// Call, text and error: what may be missing in part, and must never be another.
fn facts(outcome: &Outcome) -> Vec<(Option<u32>, String, Option<String>)> {
    let fact = |exchange: &crate::model::Exchange| {
        let text = exchange.attrs.str(s::DB_QUERY_TEXT).unwrap_or_default().to_owned();
        (exchange.call.map(|call| call.seq), text, exchange.error.clone())
    };
    outcome.exchanges.iter().map(fact).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn any_split_gives_the_same_exchanges(turns in proptest::collection::vec(turn(), 1..8), depth in 1usize..5, split in 1usize..200) {
        let whole = talk(&turns, depth).run();
        prop_assert_eq!(whole.exchanges.len(), turns.len());
        prop_assert_eq!(talk(&turns, depth).split(split).run().full(), whole.full());
    }

    #[test]
    fn any_holes_give_a_subset_of_the_exchanges(
        turns in proptest::collection::vec(turn(), 2..10),
        depth in 1usize..4,
        split in 20usize..400,
        holes in parts(400),
    ) {
        let whole = facts(&talk(&turns, depth).run());
        let holed = talk(&turns, depth).split(split).lose_parts(holes);
        for (seq, text, error) in facts(&holed.run()) {
            let same = whole.iter().find(|(other, ..)| *other == seq);
            let (_, whole_text, whole_error) = same.ok_or_else(|| TestCaseError::fail(format!("{text} is no exchange of the whole")))?;
            prop_assert_eq!(&text, whole_text);
            prop_assert!(error.is_none() || error == *whole_error, "{:?} for {:?} of {}", error, whole_error, text);
        }
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(
        pieces in proptest::collection::vec((any::<bool>(), prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..60),
            "[*$+:%>|!=~,#_-][0-9-]{0,21}\r\n".prop_map(String::into_bytes),
            "(GET|SUBSCRIBE|EXEC|MULTI|CLIENT REPLY SKIP|SELECT) ?[a-z0-9]{0,3}".prop_map(|words| cmd(&words)),
            "[*>]3\r\n\\$(9|7|11)\r\n(subscribe|message|unsubscribe)\r\n\\$1\r\na\r\n:[01]\r\n".prop_map(String::into_bytes),
        ], 0u64..20), 0..40),
        midway in any::<bool>(),
    ) {
        let start = Talk::new().client(cmd("GET k"));
        let talk = pieces.into_iter().fold(if midway { start.midway() } else { start }, |talk, (client, bytes, hole)| {
            let end = if client { Client } else { Server };
            let talk = talk.piece(end, bytes);
            if hole > 15 { talk.hole(end, hole) } else { talk }
        });
        prop_assert!(talk.run().held < 512 * 1024);
    }
}
