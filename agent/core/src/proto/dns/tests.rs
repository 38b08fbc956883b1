//! Lookups as real resolvers make them, and as hostile ones would.

use super::message::{kind_name, rcode_name};
use crate::flow::{Flow, Limits, Loss};
use crate::model::semconv as s;
use crate::model::{Close, Key, Mono, Role};
use crate::pcap::replay;
use crate::proto::End::{Client, Server};
use crate::proto::{NameCache, Options};
use crate::testkit::{Outcome, Talk, parts};
use proptest::prelude::*;
use std::time::Duration;

const SHORT: &[Key] = &[s::DNS_QUESTION_NAME, s::REMORA_DNS_RESPONSE_CODE, s::DNS_ANSWERS];
const A: u16 = 1;
const AAAA: u16 = 28;
const OPT: &[u8] = b"\0\0\x29\x04\xd0\0\0\0\0\0\0";

fn name(name: &str) -> Vec<u8> {
    let labels = name.split('.').filter(|label| !label.is_empty());
    labels.flat_map(|label| std::iter::once(label.len() as u8).chain(label.bytes())).chain([0]).collect()
}

fn message(id: u16, flags: u16, host: &str, kind: u16, answers: &[Vec<u8>], additional: &[u8]) -> Vec<u8> {
    let words = [id, flags, 1, answers.len() as u16, 0, u16::from(!additional.is_empty())];
    let mut message: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    message.extend(name(host));
    message.extend([kind, 1].iter().flat_map(|word| word.to_be_bytes()));
    answers.iter().for_each(|answer| message.extend(answer));
    message.extend(additional);
    message
}

fn query(id: u16, host: &str, kind: u16) -> Vec<u8> {
    message(id, 0x0100, host, kind, &[], &[])
}

/// An address record of the question's name.
fn record(kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut record = vec![0xc0, 12];
    record.extend([kind, 1].iter().flat_map(|word| word.to_be_bytes()));
    record.extend(ttl.to_be_bytes());
    record.extend((data.len() as u16).to_be_bytes());
    record.extend(data);
    record
}

fn answer(id: u16, host: &str, last: u8) -> Vec<u8> {
    message(id, 0x8180, host, A, &[record(A, 60, &[10, 0, 0, last])], &[])
}

fn refusal(id: u16, host: &str, rcode: u16) -> Vec<u8> {
    message(id, 0x8180 | rcode, host, A, &[], &[])
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes(), message].concat()
}

fn udp() -> Talk {
    Talk::new().udp().port(53)
}

#[test]
fn a_lookup_has_the_attributes_of_the_conventions() {
    let cname = record(5, 300, b"\x01b\xc0\x0c");
    let reply = message(7, 0x8180, "Www.Shop", AAAA, &[cname, record(A, 20, &[10, 1, 2, 3]), record(AAAA, 60, &[0; 16])], OPT);
    let outcome = udp().client(query(7, "wWW.shop", AAAA)).server(reply).run();
    assert_eq!(
        outcome.full()[0].split(" call=").next().unwrap(),
        "dns Client DNS AAAA dns.question.name=www.shop remora.dns.question.type=AAAA dns.answers=[\"10.1.2.3\", \"::\"] \
         remora.dns.ttl=20 remora.dns.response_code=NOERROR"
    );
    assert!(outcome.full()[0].ends_with(" request=0-0ms,26B response=1-1ms,97B"), "{:?}", outcome.full());
    assert!(outcome.losses.is_empty());
}

#[test]
fn both_ends_and_both_transports_see_the_same() {
    let (ask, reply) = (query(1, "a.b", A), answer(1, "a.b", 9));
    let expected = ["DNS A a.b NOERROR [\"10.0.0.9\"]"];
    for talk in [udp(), udp().at_server(), udp().role_unknown(), udp().at_server().role_unknown()] {
        assert_eq!(talk.port(4000).client(&ask).server(&reply).run().brief(SHORT), expected);
    }
    for talk in [Talk::new(), Talk::new().at_server(), Talk::new().role_unknown(), Talk::new().midway()] {
        assert_eq!(talk.client(framed(&ask)).server(framed(&reply)).run().brief(SHORT), expected);
    }
}

#[test]
fn a_client_fails_with_every_code_and_a_server_with_its_own_faults() {
    let of = |talk: Talk, code| talk.client(query(1, "x", A)).server(refusal(1, "x", code)).run().brief(SHORT).remove(0);
    assert_eq!(of(udp(), 3), "DNS A x NXDOMAIN - error=NXDOMAIN");
    assert_eq!(of(udp().at_server(), 3), "DNS A x NXDOMAIN -");
    assert_eq!(of(udp().at_server(), 2), "DNS A x SERVFAIL - error=SERVFAIL");
    assert_eq!(of(udp(), 13), "DNS A x RCODE13 - error=RCODE13");
    let badvers = message(1, 0x8180, "x", A, &[], b"\0\0\x29\x04\xd0\x01\0\0\0\0\0");
    assert_eq!(udp().client(query(1, "x", A)).server(badvers).run().brief(SHORT), ["DNS A x BADVERS - error=BADVERS"]);
}

#[test]
fn lookups_of_one_socket_are_answered_in_any_order() {
    let talk = udp().client(query(1, "a", A)).client(query(2, "a", A)).client(query(1, "b", A));
    let outcome = talk.server(answer(1, "b", 3)).server(answer(2, "A", 2)).server(answer(1, "a", 1)).run();
    let expected = ["DNS A b NOERROR [\"10.0.0.3\"]", "DNS A a NOERROR [\"10.0.0.2\"]", "DNS A a NOERROR [\"10.0.0.1\"]"];
    assert_eq!(outcome.brief(SHORT), expected);
}

#[test]
fn a_question_sent_again_is_the_same_lookup_and_its_second_answer_is_none() {
    let talk = udp().client(query(1, "a", A)).client(query(1, "a", A)).server(answer(1, "a", 1)).server(answer(1, "a", 1));
    let outcome = talk.run();
    assert_eq!(outcome.brief(&[]), ["DNS A"]);
    assert_eq!(outcome.lost(Loss::Orphan), 1);
}

#[test]
fn an_answer_to_another_question_is_not_taken() {
    let outcome = udp().client(query(1, "a", A)).server(answer(1, "b", 1)).run();
    assert_eq!(outcome.brief(SHORT), ["DNS A a - - incomplete=response_lost"]);
    assert_eq!(outcome.lost(Loss::Orphan), 1);
}

#[test]
fn an_answer_without_a_question_goes_to_the_only_lookup_of_its_number() {
    let bare = b"\0\x01\x81\x81\0\0\0\0\0\0\0\0";
    assert_eq!(udp().client(query(1, "a", A)).server(bare).run().brief(SHORT), ["DNS A a FORMERR - error=FORMERR"]);
    let two = udp().client(query(1, "a", A)).client(query(1, "b", A)).server(bare).run();
    assert_eq!(two.lost(Loss::Orphan), 1);
}

#[test]
fn what_is_never_answered_times_out() {
    let ask = udp().client(query(1, "a", A));
    let waited = ask.clone().wait(Duration::from_secs(31)).tick().run();
    assert_eq!(waited.brief(SHORT), ["DNS A a - - error=timeout"]);
    let gave_up = ask.clone().wait(Duration::from_secs(5)).close(Close::Fin).run();
    assert_eq!(gave_up.brief(SHORT), ["DNS A a - - error=timeout"]);
    let cancelled = ask.clone().close(Close::Fin).run();
    assert_eq!(cancelled.brief(SHORT), ["DNS A a - - error=request_cancelled"]);
    let tcp = Talk::new().client(framed(&query(1, "a", A)));
    assert_eq!(tcp.clone().fin(Server).close(Close::Fin).run().brief(SHORT), ["DNS A a - - error=connection_closed"]);
    assert_eq!(tcp.wait(Duration::from_secs(301)).tick().run().brief(SHORT), ["DNS A a - - error=timeout"]);
}

#[test]
fn what_capture_cut_from_an_answer_is_said() {
    let reply = message(1, 0x8180, "a", A, &[record(A, 60, &[10, 0, 0, 1]), record(A, 60, &[10, 0, 0, 2])], OPT);
    let ask = udp().client(query(1, "a", A));
    let cut = ask.server(&reply[..reply.len() - 20]).run();
    assert_eq!(cut.brief(SHORT), ["DNS A a - [\"10.0.0.1\"] incomplete=response_lost"]);
    let talk = Talk::new().client(framed(&query(1, "a", A))).server(framed(&reply));
    let talk = talk.client(framed(&query(2, "b", A))).server(framed(&answer(2, "b", 2)));
    let holed = talk.lose(Server, 40..50).run();
    let expected = ["DNS A a - [\"10.0.0.1\"] incomplete=response_lost", "DNS A b NOERROR [\"10.0.0.2\"]"];
    assert_eq!(holed.brief(SHORT), expected);
}

#[test]
fn after_a_loss_of_framing_the_next_certain_message_is_taken() {
    let turn = |i: u16| (framed(&query(i, "host.example", A)), framed(&answer(i, "host.example", i as u8)));
    let talk = (1..5).map(turn).fold(Talk::new(), |talk, (ask, reply)| talk.client(ask).server(reply));
    let outcome = talk.lose(Client, 33..40).run();
    let expected = ["[\"10.0.0.1\"]", "[\"10.0.0.3\"]", "[\"10.0.0.4\"]"].map(|address| format!("DNS A {address}"));
    assert_eq!(outcome.brief(&[s::DNS_ANSWERS]), expected);
}

#[test]
fn truncated_answers_and_unknown_types_are_named() {
    let reply = message(1, 0x8380, "a", 4711, &[], &[]);
    let outcome = udp().client(query(1, "a", 4711)).server(reply).run();
    assert_eq!(outcome.brief(&[s::REMORA_DNS_TRUNCATED]), ["DNS TYPE4711 true"]);
}

#[test]
fn other_datagrams_are_left_alone() {
    // NTP, QUIC, STUN, RTP, NetBIOS names, zeros.
    let others: &[&[u8]] = &[
        &[&[0x23, 2, 6, 0xec][..], &[0; 44]].concat(),
        &[0xc3; 1200],
        b"\0\x01\0\0\x21\x12\xa4\x42abcdefghijkl",
        &[&[0x80, 0x60, 0, 1][..], &[7; 160]].concat(),
        &[0; 64],
        b"",
    ];
    for other in others {
        for talk in [udp(), udp().role_unknown(), udp().midway().role_unknown()] {
            let outcome = talk.port(4000).client(other).server(other).client(other).run();
            assert!(outcome.exchanges.is_empty() && outcome.protocol.is_none(), "{other:?}");
        }
    }
}

#[test]
fn lookups_in_flight_are_bounded() {
    let options = Options { in_flight_limit: 10, ..Options::default() };
    let talk = (0..50).fold(udp().options(options), |talk, id| talk.client(query(id, "a", A)));
    let outcome = talk.run();
    assert_eq!((outcome.exchanges.len(), outcome.lost(Loss::InFlight)), (10, 40));
}

#[test]
fn answers_name_the_addresses_that_a_program_connects_to() {
    let outcome = udp().client(query(1, "db.shop", A)).server(answer(1, "db.shop", 5)).run();
    let mut names = NameCache::new(10, Duration::ZERO);
    names.learn((), &outcome.exchanges[0]);
    let at = |second: u64| names.name((), [10, 0, 0, 5].into(), Mono(second * 1_000_000_000));
    assert_eq!((at(1), at(59), at(61)), (Some("db.shop"), Some("db.shop"), None));
}

#[test]
fn dnsmasq_dig_and_pipelining_clients_agree_with_tshark() {
    let file = include_bytes!("../../../../../tests/fixtures/dns/dnsmasq.pcap").as_slice();
    let tshark = include_str!("../../../../../tests/fixtures/dns/dnsmasq.pcap.tshark");
    let theirs = tshark.lines().map(|line| {
        let fields: Vec<&str> = line.split('|').collect();
        let [name, kind, rcode, v4, v6] = fields[..] else { panic!("{line}") };
        let (kind, rcode) = (kind_name(kind.parse().unwrap()).unwrap(), rcode_name(rcode.parse().unwrap()).unwrap());
        let answers: Vec<&str> = v4.split(',').chain(v6.split(',')).filter(|address| !address.is_empty()).collect();
        format!("DNS {kind} {name} {rcode} {answers:?}")
    });
    for end in [Role::Client, Role::Server] {
        let mut flow = Flow::new(Limits::default(), Options::default());
        let mut outcome = Outcome::default();
        replay(file, end, &mut flow, &mut outcome).expect("the file is whole");
        let ours = outcome.brief(SHORT).into_iter();
        // tshark takes addresses of the additional section too; we take only answers to the question.
        let is_address = |line: &String| line.contains("DNS A");
        let ours: Vec<String> = ours.map(|line| line.split(" error=").next().unwrap().replace(" -", " []")).collect();
        let theirs: Vec<String> = theirs.clone().collect();
        let sorted = |lines: &[String]| {
            let mut lines: Vec<String> = lines.iter().filter(|line| is_address(line)).cloned().collect();
            lines.sort();
            lines
        };
        assert_eq!(ours.len(), theirs.len());
        assert_eq!(sorted(&ours), sorted(&theirs));
    }
}

fn conversation(turns: &[(u16, u8, bool)], depth: usize) -> Talk {
    let names = ["a.example", "much.longer.name.of.a.service.example", "b"];
    turns.chunks(depth).fold(Talk::new(), |talk, turns| {
        let asked: Vec<u8> = turns.iter().flat_map(|(id, n, _)| framed(&query(*id, names[usize::from(*n) % 3], A))).collect();
        let replies = turns.iter().rev().flat_map(|(id, n, good)| {
            let host = names[usize::from(*n) % 3];
            framed(&if *good { answer(*id, host, *n) } else { refusal(*id, host, 3) })
        });
        talk.client(asked).server(replies.collect::<Vec<u8>>())
    })
}

fn turns() -> impl Strategy<Value = Vec<(u16, u8, bool)>> {
    proptest::collection::btree_map(any::<u16>(), (any::<u8>(), any::<bool>()), 1..12)
        .prop_map(|turns| turns.into_iter().map(|(id, (n, good))| (id, n, good)).collect())
}

proptest! {
    #[test]
    fn any_split_gives_the_same_lookups(turns in turns(), depth in 1usize..5, split in 1usize..60) {
        let whole = conversation(&turns, depth).run();
        prop_assert_eq!(whole.exchanges.len(), turns.len());
        prop_assert_eq!(conversation(&turns, depth).split(split).run().full(), whole.full());
    }

    #[test]
    fn any_holes_give_a_subset_of_the_lookups(
        turns in turns(), depth in 1usize..5, split in 10usize..200,
        holes in parts(100),
    ) {
        let fact = |exchange: &crate::model::Exchange| {
            let attrs = &exchange.attrs;
            let code = attrs.str(s::REMORA_DNS_RESPONSE_CODE).map(str::to_owned);
            (exchange.call.map(|call| call.seq), attrs.str(s::DNS_QUESTION_NAME).map(str::to_owned), code, exchange.error.clone())
        };
        let whole: Vec<_> = conversation(&turns, depth).run().exchanges.iter().map(fact).collect();
        let holed = conversation(&turns, depth).split(split).lose_parts(holes);
        for (seq, name, code, error) in holed.run().exchanges.iter().map(fact) {
            let same = whole.iter().find(|(other, ..)| *other == seq);
            let Some((_, whole_name, whole_code, whole_error)) = same else { return Err(TestCaseError::fail("no lookup of the whole")) };
            prop_assert_eq!(&name, whole_name);
            prop_assert!(code.is_none() || (&code, &error) == (whole_code, whole_error));
        }
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(
        pieces in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..80), 0usize..60, any::<u8>()), 0..30),
        is_udp in any::<bool>(),
    ) {
        let start = if is_udp { udp().client(query(1, "a", A)) } else { Talk::new().client(framed(&query(1, "a", A))) };
        let talk = pieces.into_iter().fold(start, |talk, (client, noise, at, byte)| {
            // Half of them are messages with one byte changed.
            let mut message = if noise.len() % 2 == 0 { noise } else { answer(1, "a", 1) };
            if let Some(place) = message.get_mut(at) { *place = byte; }
            let end = if client { Client } else { Server };
            talk.piece(end, if is_udp { message } else { framed(&message) })
        });
        prop_assert!(talk.run().held < 512 * 1024);
    }
}
