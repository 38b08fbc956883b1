//! Brokers and clients as real programs are, and as hostile ones would be.

use crate::flow::{Flow, Limits, Loss};
use crate::model::semconv as s;
use crate::model::{Close, Exchange, Key, Kind, Role};
use crate::pcap::replay;
use crate::proto::End::{Client, Server};
use crate::proto::Options;
use crate::testkit::{Outcome, Talk, parts};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

const PRODUCE: i16 = 0;
const FETCH: i16 = 1;
const METADATA: i16 = 3;
const JOIN: i16 = 11;
const HEARTBEAT: i16 = 12;
const API_VERSIONS: i16 = 18;

const MESSAGES: &[Key] = &[s::MESSAGING_DESTINATION_PARTITION_ID, s::MESSAGING_BATCH_MESSAGE_COUNT];
const TRACEPARENT: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const OTHER_TRACE: &[u8] = b"00-11111111111111111111111111111111-00f067aa0ba902b7-01";

fn join<const N: usize>(parts: [&[u8]; N]) -> Vec<u8> {
    parts.concat()
}

fn framed(body: &[u8]) -> Vec<u8> {
    join([&(body.len() as i32).to_be_bytes(), body])
}

fn text(text: &str) -> Vec<u8> {
    join([&(text.len() as i16).to_be_bytes(), text.as_bytes()])
}

fn list(items: &[Vec<u8>]) -> Vec<u8> {
    join([&(items.len() as i32).to_be_bytes(), &items.concat()])
}

fn request(key: i16, version: i16, correlation: i32, body: &[u8]) -> Vec<u8> {
    framed(&join([&key.to_be_bytes(), &version.to_be_bytes(), &correlation.to_be_bytes(), &text("c-1"), body]))
}

fn response(correlation: i32, body: &[u8]) -> Vec<u8> {
    framed(&join([&correlation.to_be_bytes(), body]))
}

fn varint(value: usize) -> Vec<u8> {
    let mut zigzag = value * 2;
    let mut bytes = Vec::new();
    while zigzag >= 0x80 {
        bytes.push(zigzag as u8 | 0x80);
        zigzag >>= 7;
    }
    bytes.push(zigzag as u8);
    bytes
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    join([&varint(bytes.len()), bytes])
}

fn record(value: &[u8], trace: Option<&[u8]>) -> Vec<u8> {
    let headers = match trace {
        Some(trace) => join([&varint(2), &sized(b"tracestate"), &sized(b"a=1"), &sized(b"traceparent"), &sized(trace)]),
        None => varint(0),
    };
    sized(&join([b"\0\0\0", &sized(b"key"), &sized(value), &headers]))
}

/// A batch of format 2.
fn batch(attributes: i16, offset: i64, records: &[Vec<u8>]) -> Vec<u8> {
    let body =
        join([&[0, 0, 0, 0, 2, 9, 9, 9, 9], &attributes.to_be_bytes(), &[0; 34], &(records.len() as i32).to_be_bytes(), &records.concat()]);
    join([&offset.to_be_bytes(), &framed(&body)])
}

/// A message of format 1.
fn old_message(attributes: u8, value: &[u8]) -> Vec<u8> {
    let body = join([&[9, 9, 9, 9, 1, attributes], &[0; 8], &framed(b"k"), &framed(value)]);
    join([&7i64.to_be_bytes(), &framed(&body)])
}

fn partition(index: i32, records: &[u8]) -> Vec<u8> {
    join([&index.to_be_bytes(), &framed(records)])
}

fn produce(correlation: i32, acks: i16, topics: &[(&str, Vec<Vec<u8>>)]) -> Vec<u8> {
    let topics: Vec<Vec<u8>> = topics.iter().map(|(name, partitions)| join([&text(name), &list(partitions)])).collect();
    request(PRODUCE, 3, correlation, &join([&[0xff, 0xff], &acks.to_be_bytes(), &[0, 0, 7, 0], &list(&topics)]))
}

fn send(correlation: i32, records: &[u8]) -> Vec<u8> {
    produce(correlation, 1, &[("orders", vec![partition(3, records)])])
}

fn one(value: &[u8]) -> Vec<u8> {
    batch(0, 0, &[record(value, None)])
}

fn produced(correlation: i32, error: i16) -> Vec<u8> {
    let place = join([&3i32.to_be_bytes(), &error.to_be_bytes(), &[0; 16]]);
    response(correlation, &join([&list(&[join([&text("orders"), &list(&[place])])]), &[0; 4]]))
}

fn fetch(correlation: i32, replica: i32) -> Vec<u8> {
    let place = join([&3i32.to_be_bytes(), &[0; 12]]);
    let topics = list(&[join([&text("orders"), &list(&[place])])]);
    request(FETCH, 4, correlation, &join([&replica.to_be_bytes(), &[0; 13], &topics]))
}

fn fetched(correlation: i32, places: &[(i32, i16, Vec<u8>)]) -> Vec<u8> {
    let place = |(index, error, records): &(i32, i16, Vec<u8>)| {
        join([&index.to_be_bytes(), &error.to_be_bytes(), &[0; 16], &(-1i32).to_be_bytes(), &framed(records)])
    };
    let places: Vec<Vec<u8>> = places.iter().map(place).collect();
    response(correlation, &join([&[0; 4], &list(&[join([&text("orders"), &list(&places)])])]))
}

fn nothing(correlation: i32) -> Vec<u8> {
    fetched(correlation, &[(3, 0, vec![])])
}

fn versions(correlation: i32) -> (Vec<u8>, Vec<u8>) {
    (request(API_VERSIONS, 0, correlation, b""), response(correlation, b"\0\0\0\0\0\x01\0\0\0\0\0\x0b"))
}

fn heartbeat(correlation: i32, error: i16) -> (Vec<u8>, Vec<u8>) {
    let ask = request(HEARTBEAT, 0, correlation, &join([&text("shop"), &[0, 0, 0, 1], &text("member")]));
    (ask, response(correlation, &error.to_be_bytes()))
}

fn brief(talk: Talk) -> Vec<String> {
    talk.run().brief(MESSAGES)
}

#[test]
fn a_producer_has_the_attributes_of_the_conventions() {
    let records = batch(0, 0, &[record(b"hello", None), record(b"you", None)]);
    let outcome = Talk::new().client(send(1, &records)).server(produced(1, 0)).run();
    let line = outcome.full().remove(0);
    assert_eq!(
        line.split(" call=").next().unwrap(),
        "kafka Producer send orders messaging.system=kafka messaging.operation.name=send messaging.operation.type=send \
         remora.kafka.api.name=Produce remora.kafka.api.version=3 messaging.client.id=c-1 messaging.destination.name=orders \
         messaging.destination.partition.id=3 messaging.batch.message_count=2"
    );
    assert!(line.ends_with(&format!(" request=0-0ms,{}B response=1-1ms,?B", records.len())), "{line}");
    assert!(outcome.losses.is_empty(), "{:?}", outcome.losses);
}

#[test]
fn a_consumer_is_told_by_what_came() {
    let records = join([&batch(0, 40, &[record(b"a", None)]), &batch(1, 41, &[record(b"zipped", None), record(b"", None)])]);
    let talk = Talk::new().client(fetch(1, -1)).server(fetched(1, &[(3, 0, vec![]), (4, 0, records)]));
    let outcome = talk.run();
    assert_eq!(outcome.exchanges[0].kind, Kind::Consumer);
    assert_eq!(outcome.brief(MESSAGES), ["poll orders 4 3"]);
    assert_eq!(outcome.brief(&[s::MESSAGING_KAFKA_OFFSET, s::MESSAGING_OPERATION_TYPE]), ["poll orders 40 receive"]);
}

#[test]
fn a_broker_serves() {
    let talk = Talk::new().at_server().client(send(1, &one(b"x"))).server(produced(1, 0)).client(fetch(2, -1));
    let outcome = talk.server(fetched(2, &[(3, 0, one(b"x"))])).run();
    assert_eq!(outcome.brief(&[]), ["send orders", "poll orders"]);
    assert!(outcome.exchanges.iter().all(|exchange| exchange.kind == Kind::Server));
}

#[test]
fn forty_correlation_ids_are_forty_requests_however_they_are_read() {
    let talk = (1..=40).fold(Talk::new(), |talk, id| {
        let (ask, reply) = heartbeat(id, 0);
        talk.client(ask).server(reply)
    });
    for talk in [talk.clone(), talk.clone().at_server(), talk.clone().split(4), talk.role_unknown().split(1)] {
        let outcome = talk.run();
        assert_eq!((outcome.exchanges.len(), outcome.protocol), (40, Some("kafka")));
        assert!(outcome.losses.is_empty(), "{:?}", outcome.losses);
    }
}

#[test]
fn the_length_may_be_read_alone() {
    let (ask, reply) = heartbeat(1, 0);
    let talk = Talk::new().client(&ask[..4]).client(&ask[4..]).server(&reply[..4]).server(&reply[4..]);
    assert_eq!(talk.run().brief(&[s::MESSAGING_CONSUMER_GROUP_NAME]), ["Heartbeat shop"]);
}

#[test]
fn polls_that_bring_nothing_are_neither_work_nor_errors() {
    let talk = (1..9).fold(Talk::new(), |talk, id| talk.client(fetch(id, -1)).wait(Duration::from_millis(500)).server(nothing(id)));
    let outcome = talk.clone().client(fetch(9, -1)).fin(Client).close(Close::Fin).run();
    assert_eq!((outcome.exchanges.len(), outcome.voided), (0, 9));
    let worked = talk.client(fetch(9, -1)).server(fetched(9, &[(3, 0, one(b"x"))]));
    assert_eq!(brief(worked), ["poll orders 3 1"]);
    let failed = Talk::new().client(fetch(1, -1)).server(fetched(1, &[(3, 1, vec![])]));
    assert_eq!(brief(failed), ["poll orders 3 0 error=OFFSET_OUT_OF_RANGE"]);
}

#[test]
fn brokers_that_copy_are_no_consumers() {
    let outcome = Talk::new().client(fetch(1, 2)).server(fetched(1, &[(3, 0, one(b"x"))])).run();
    assert_eq!(outcome.brief(&[s::MESSAGING_OPERATION_TYPE]), ["replicate orders -"]);
    assert_eq!(outcome.exchanges[0].kind, Kind::Client);
}

#[test]
fn answers_belong_to_correlation_ids() {
    let talk = Talk::new().client(join([&send(7, &one(b"a")), &heartbeat(8, 0).0, &fetch(9, -1)]));
    let talk = talk.server(fetched(9, &[(3, 0, one(b"x"))])).server(join([&heartbeat(8, 25).1, &produced(7, 6)]));
    let expected = ["poll orders 3 1", "Heartbeat - - error=UNKNOWN_MEMBER_ID", "send orders 3 1 error=NOT_LEADER_OR_FOLLOWER"];
    assert_eq!(brief(talk), expected);
}

#[test]
fn nobody_answers_a_producer_without_acknowledgements() {
    let silent = produce(1, 0, &[("orders", vec![partition(3, &one(b"x"))])]);
    let outcome = Talk::new().client(silent).client(send(2, &one(b"x"))).server(produced(2, 0)).close(Close::Fin).run();
    assert_eq!(outcome.brief(MESSAGES), ["send orders 3 1", "send orders 3 1"]);
    assert!(outcome.exchanges[0].response.is_none() && outcome.exchanges[1].response.is_some());
}

#[test]
fn several_topics_have_no_destination_and_one_count() {
    let topics = [("a", vec![partition(0, &one(b"x"))]), ("b", vec![partition(1, &one(b"x")), partition(2, &one(b"y"))])];
    assert_eq!(brief(Talk::new().client(produce(1, 1, &topics)).server(produced(1, 0))), ["send - 3"]);
}

#[test]
fn messages_of_all_formats_are_counted_where_that_is_possible() {
    let of = |records: &[u8]| brief(Talk::new().client(send(1, records)).server(produced(1, 0))).remove(0);
    assert_eq!(of(&join([&old_message(0, b"a"), &old_message(0, b"b")])), "send orders 3 2");
    assert_eq!(of(&old_message(1, b"zipped")), "send orders 3 -");
    assert_eq!(of(&batch(4, 0, &[record(b"zstd", None), record(b"", None)])), "send orders 3 2");
    let control = join([&one(b"x"), &batch(0x30, 1, &[record(b"commit", None)])]);
    let cut = join([&one(b"x"), &one(b"never whole")[..40]]);
    for records in [control, cut] {
        let outcome = Talk::new().client(fetch(1, -1)).server(fetched(1, &[(3, 0, records)])).run();
        assert_eq!(outcome.brief(MESSAGES), ["poll orders 3 1"]);
    }
}

#[test]
fn a_trace_is_taken_from_records_that_agree_on_it() {
    let of = |records: &[Vec<u8>], attributes| {
        let outcome = Talk::new().client(send(1, &batch(attributes, 0, records))).server(produced(1, 0)).run();
        let exchange = &outcome.exchanges[0];
        exchange.context.map(|context| format!("{} {}", context.parent, exchange.trace_state))
    };
    let traced = || record(b"x", Some(TRACEPARENT));
    let expected = Some("00f067aa0ba902b7 a=1".to_owned());
    assert_eq!(of(&[traced()], 0), expected);
    assert_eq!(of(&[traced(), traced()], 0), expected);
    assert_eq!(of(&[traced(), record(b"y", Some(OTHER_TRACE))], 0), None);
    assert_eq!(of(&[traced(), record(b"y", None)], 0), None);
    assert_eq!(of(&[traced()], 2), None, "compressed");
    assert_eq!(of(&[record(&[b'x'; 9000], Some(TRACEPARENT))], 0), None, "too far");
}

#[test]
fn payloads_larger_than_capture_are_stepped_over() {
    let records = batch(0, 0, &[record(&vec![b'x'; 300_000], None)]);
    let (ask, reply) = (send(1, &records), fetched(2, &[(3, 0, records.clone())]));
    let end = ask.len() as u64;
    let talk = Talk::new().client(&ask).server(produced(1, 0)).client(fetch(2, -1)).server(&reply);
    let talk = talk.lose(Client, 200..end).lose(Server, 300..300_000).client(send(3, &one(b"x"))).server(produced(3, 0));
    let outcome = talk.split(1400).run();
    assert_eq!(outcome.brief(MESSAGES), ["send orders 3 1", "poll orders 3 1", "send orders 3 1"]);
    assert!(outcome.held < 64 * 1024, "{}", outcome.held);
}

#[test]
fn what_was_lost_within_a_message_is_said_and_the_next_one_is_read() {
    let (ask, reply) = versions(0);
    let (asked, replied) = (ask.len() as u64, reply.len() as u64);
    let talk = Talk::new().client(ask).server(reply).client(send(1, &one(b"x"))).server(produced(1, 0));
    let talk = talk.client(send(2, &one(b"y"))).server(produced(2, 0));
    let of = |end, from, to| brief(talk.clone().lose(end, from..to)).split_off(1);
    assert_eq!(of(Client, asked + 30, asked + 40), ["send - - incomplete=request_lost", "send orders 3 1"]);
    // Nothing of a batch behind its head is needed.
    assert_eq!(of(Client, asked + 112, asked + 118), ["send orders 3 1", "send orders 3 1"]);
    let expected = ["send orders 3 1 incomplete=response_lost", "send orders 3 1"];
    assert_eq!(of(Server, replied + 12, replied + 16), expected);
    // The answer's number is gone: the next answer shows that it passed.
    assert_eq!(of(Server, replied + 5, replied + 16), expected);
}

#[test]
fn records_that_were_lost_take_neither_topic_nor_partition_along() {
    let records = join([&one(&[b'x'; 9000]), &one(b"y"), &one(b"z")]);
    let place = fetched(1, &[(3, 0, records.clone()), (4, 0, vec![])]);
    let two = fetched(1, &[(3, 0, records.clone()), (4, 0, one(b"a"))]);
    let (start, end) = (place.len() - 30 - records.len(), place.len() - 30);
    let run = |reply: &[u8], from: usize, to: usize| {
        let lost = Talk::new().client(fetch(1, -1)).server(&reply[..from]).hole(Server, (to - from) as u64).server(&reply[to..]);
        brief(lost.client(fetch(2, -1)).server(fetched(2, &[(3, 0, one(b"b"))])))
    };
    // From within a batch over the next one's head, over all of them, and from within a head.
    for (from, to) in [(start + 4000, end - 20), (start + 4000, end), (start + 9100, end - 10), (end - 100, end)] {
        assert_eq!(run(&place, from, to), ["poll orders 3 - incomplete=response_lost", "poll orders 3 1"], "{from}..{to}");
        assert_eq!(run(&two, from, to), ["poll orders - - incomplete=response_lost", "poll orders 3 1"], "{from}..{to}");
    }
    assert_eq!(run(&place, start + 4000, end + 1), ["poll - - incomplete=response_lost", "poll orders 3 1"]);
}

#[test]
fn after_a_loss_of_framing_the_next_certain_message_is_taken() {
    let talk = (1..=5).fold(Talk::new(), |talk, id| talk.client(send(id, &one(b"x"))).server(produced(id, 0)));
    let one_ask = send(1, &one(b"x")).len() as u64;
    let one_reply = produced(1, 0).len() as u64;
    let lost = talk.clone().lose(Client, one_ask..one_ask + 2);
    assert_eq!(lost.run().exchanges.len(), 4);
    let outcome = talk.lose(Server, one_reply..one_reply + 2).run();
    assert_eq!(outcome.brief(&[]), ["send orders", "send orders incomplete=response_lost", "send orders", "send orders", "send orders"]);
}

#[test]
fn a_conversation_joined_midway_is_read_from_its_next_request_on() {
    let talk = (1..=3).fold(Talk::new(), |talk, id| talk.client(send(id, &one(b"x"))).server(produced(id, 0)));
    let late = Talk::new().midway().client(&send(9, &one(b"x"))[30..]).server(produced(9, 0));
    let late = late.client(send(10, &one(b"x"))).server(produced(10, 0)).client(send(11, &one(b"x"))).server(produced(11, 0));
    assert_eq!(talk.midway().run().exchanges.len(), 3);
    assert_eq!(late.run().brief(&[]), ["send orders", "send orders"]);
}

#[test]
fn errors_have_names_and_steps_of_the_protocol_are_none() {
    let of = |code| {
        let (ask, reply) = heartbeat(1, code);
        Talk::new().client(ask).server(reply).run().brief(&[s::REMORA_KAFKA_ERROR_CODE]).remove(0)
    };
    assert_eq!(of(0), "Heartbeat -");
    assert_eq!(of(27), "Heartbeat 27");
    assert_eq!(of(16), "Heartbeat 16 error=NOT_COORDINATOR");
    assert_eq!(of(999), "Heartbeat 999 error=KAFKA_999");
}

#[test]
fn versions_and_requests_that_are_not_known_keep_their_names() {
    let newer = request(METADATA, 99, 2, b"whatever this is");
    let other = request(92, 0, 3, b"\0what");
    let talk = Talk::new().client(versions(1).0).server(versions(1).1).client(newer).server(response(2, b"?")).client(other);
    assert_eq!(
        talk.server(response(3, b"?")).run().brief(&[s::REMORA_KAFKA_API_VERSION]),
        ["ApiVersions 0", "Metadata 99", "DeleteShareGroupOffsets 0"]
    );
}

#[test]
fn tokens_of_the_first_sasl_handshake_are_stepped_over() {
    let shake = request(17, 0, 1, &text("PLAIN"));
    let talk = Talk::new().client(shake).server(response(1, b"\0\0\0\0\0\x01\0\x05PLAIN"));
    let talk = talk.client(framed(b"\0user\0secret")).server(framed(b"")).client(heartbeat(2, 0).0).server(heartbeat(2, 0).1);
    assert_eq!(talk.run().brief(&[]), ["SaslHandshake", "Heartbeat"]);
}

#[test]
fn a_consumers_group_is_known_from_its_other_requests() {
    let talk = Talk::new().client(heartbeat(1, 0).0).server(heartbeat(1, 0).1).client(fetch(2, -1));
    let talk = talk.server(fetched(2, &[(3, 0, one(b"x"))]));
    assert_eq!(talk.run().brief(&[s::MESSAGING_CONSUMER_GROUP_NAME]), ["Heartbeat shop", "poll orders shop"]);
}

#[test]
fn a_tool_that_asks_for_groups_is_in_none() {
    let describe = |id, groups: &[&str]| request(15, 0, id, &list(&groups.iter().map(|group| text(group)).collect::<Vec<_>>()));
    let talk = Talk::new().client(describe(1, &["a"])).server(response(1, &list(&[]))).client(describe(2, &["a", "b"]));
    let talk = talk.server(response(2, &list(&[]))).client(fetch(3, -1)).server(fetched(3, &[(3, 0, one(b"x"))]));
    let expected = ["DescribeGroups a", "DescribeGroups -", "poll orders -"];
    assert_eq!(talk.run().brief(&[s::MESSAGING_CONSUMER_GROUP_NAME]), expected);
}

#[test]
fn a_member_that_joins_is_told_its_id_without_an_error() {
    let ask = request(JOIN, 0, 1, &join([&text("shop"), &[0; 4], &text(""), &text("consumer"), &list(&[])]));
    let talk = Talk::new().client(ask).server(response(1, b"\0\x4f\0\0\0\0\0\0\0\0\0\0\0\0\0\0"));
    assert_eq!(talk.run().brief(&[s::MESSAGING_CONSUMER_GROUP_NAME]), ["JoinGroup shop"]);
}

#[test]
fn what_is_never_answered_says_why() {
    let talk = Talk::new().client(send(1, &one(b"x")));
    assert_eq!(brief(talk.clone().wait(Duration::from_secs(400)).tick()), ["send orders 3 1 error=timeout"]);
    assert_eq!(brief(talk.clone().close(Close::ResetByRemote)), ["send orders 3 1 error=connection_reset"]);
    assert_eq!(brief(talk.clone().fin(Server).close(Close::Fin)), ["send orders 3 1 error=connection_closed"]);
    assert_eq!(brief(talk.clone().fin(Client).close(Close::Fin)), ["send orders 3 1 error=request_cancelled"]);
    assert_eq!(brief(talk), ["send orders 3 1 incomplete=response_lost"]);
}

#[test]
fn requests_in_flight_are_bounded() {
    let options = Options { in_flight_limit: 5, ..Options::default() };
    let outcome = (0..20).fold(Talk::new().options(options), |talk, id| talk.client(heartbeat(id, 0).0)).run();
    assert_eq!((outcome.exchanges.len(), outcome.lost(Loss::InFlight)), (5, 15));
}

#[test]
fn protocols_that_begin_with_a_length_are_left_alone() {
    let zookeeper: &[(&[u8], &[u8])] = &[
        (
            b"\0\0\0\x2d\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x75\x30\0\0\0\0\0\0\0\0\0\0\0\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            b"\0\0\0\x25\0\0\0\0\0\0\x75\x30\x01\0\0\0\0\0\0\x01\0\0\0\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        ),
        (b"\0\0\0\x0e\0\0\0\x01\0\0\0\x04\0\0\0\x01/\0", b"\0\0\0\x10\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0"),
        (b"\0\0\0\x08\xff\xff\xff\xfe\0\0\0\x0b", b"\0\0\0\x10\xff\xff\xff\xfe\0\0\0\0\0\0\0\x02\0\0\0\0"),
    ];
    let postgres: &[(&[u8], &[u8])] =
        &[(b"\0\0\0\x08\x04\xd2\x16\x2f", b"S"), (b"\0\0\0\x14\0\x03\0\0user\0me\0\0\0\0\0", b"R\0\0\0\x08\0\0\0\0")];
    for pieces in [zookeeper, postgres] {
        for talk in [Talk::new(), Talk::new().role_unknown(), Talk::new().midway().role_unknown()] {
            let talk = pieces.iter().fold(talk.port(9092), |talk, (ask, reply)| talk.client(ask).server(reply));
            assert_ne!(talk.run().protocol, Some("kafka"));
        }
    }
}

fn capture(file: &[u8], end: Role) -> Outcome {
    let mut flow = Flow::new(Limits::default(), Options::default());
    let mut outcome = Outcome::default();
    replay(file, end, &mut flow, &mut outcome).expect("the file is whole");
    outcome
}

macro_rules! fixture {
    ($name:literal) => {
        (
            include_bytes!(concat!("../../../../../tests/fixtures/kafka/", $name, ".pcap")).as_slice(),
            include_str!(concat!("../../../../../tests/fixtures/kafka/", $name, ".pcap.tshark")),
        )
    };
}

/// Captures of real clients with a real broker (Kafka 3.9): what tshark sees, and the messages that the client itself
/// said it sent and read.
#[test]
fn java_python_and_c_clients_agree_with_tshark_and_with_their_own_counts() {
    for ((file, tshark), sent, read) in [(fixture!("java"), 15, 15), (fixture!("kafka-python"), 29, 29), (fixture!("librdkafka"), 14, 14)] {
        for end in [Role::Client, Role::Server] {
            let outcome = capture(file, end);
            assert!(outcome.losses.is_empty(), "{:?}", outcome.losses);
            let mut theirs = BTreeMap::<i16, u64>::new();
            let requests = tshark.lines().map(|line| line.split('|').collect::<Vec<_>>()).filter(|fields| !fields[2].is_empty());
            requests.for_each(|fields| *theirs.entry(fields[1].parse().unwrap()).or_default() += 1);
            let mut ours = BTreeMap::<i16, u64>::from([(FETCH, outcome.voided)]);
            for exchange in &outcome.exchanges {
                let name = exchange.attrs.str(s::REMORA_KAFKA_API_NAME).unwrap();
                let key = (0..93).find(|&key| super::Api::of(key).unwrap().name == name).unwrap();
                *ours.entry(key).or_default() += 1;
            }
            assert_eq!(ours, theirs);
            let moved = |operation: &str| -> i64 {
                let of = |exchange: &&Exchange| exchange.attrs.str(s::MESSAGING_OPERATION_NAME) == Some(operation);
                let count = |exchange: &Exchange| exchange.attrs.int(s::MESSAGING_BATCH_MESSAGE_COUNT).unwrap();
                outcome.exchanges.iter().filter(of).map(count).sum()
            };
            assert_eq!((moved("send"), moved("poll")), (sent, read));
            // Names of topic ids and of groups come from other connections.
            for poll in outcome.exchanges.iter().filter(|exchange| exchange.attrs.str(s::MESSAGING_OPERATION_NAME) == Some("poll")) {
                assert!(poll.attrs.str(s::MESSAGING_DESTINATION_NAME).is_some());
                assert!(poll.attrs.str(s::MESSAGING_CONSUMER_GROUP_NAME).is_some());
            }
        }
    }
}

/// Every version of every message whose layout is described, as kafka-python 3.0 encodes it: `side key version hex`.
#[test]
fn all_described_versions_are_read_as_another_implementation_writes_them() {
    let lines = include_str!("../../../../../tests/fixtures/kafka/encoded-by-kafka-python.txt").lines();
    let mut seen = 0;
    for line in lines {
        let fields: Vec<&str> = line.split(' ').collect();
        let [side, key, version, hex] = fields[..] else { panic!("{line}") };
        let bytes: Vec<u8> = (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect();
        let (key, version): (i16, i16) = (key.parse().unwrap(), version.parse().unwrap());
        let api = super::Api::of(key).unwrap();
        let name = format!("{side} {} {version}", api.name);
        let mut found = super::Found::default();
        if side == "request" {
            assert_eq!(super::fit_request(&bytes), super::Fit::Whole, "{name}");
        } else {
            let mut walk = super::response_walk(api, key, version).unwrap();
            let left = bytes.len() as u64 - 8;
            assert!(matches!(super::probe(&mut walk, &bytes[8..], left, &mut found), super::Probe::Done(_)), "{name}");
            assert_eq!(found.error, Some(6), "{name}");
        }
        seen += 1;
    }
    assert!(seen > 300);
}

#[derive(Clone, Debug)]
enum Turn {
    Send { sizes: Vec<usize>, acks: i16, error: i16 },
    Poll { sizes: Vec<usize> },
    Beat { error: i16 },
}

fn turn() -> impl Strategy<Value = Turn> {
    let sizes = || proptest::collection::vec(1usize..400, 0..4);
    prop_oneof![
        (sizes(), 0i16..2, 0i16..3).prop_map(|(sizes, acks, error)| Turn::Send { sizes, acks, error }),
        sizes().prop_map(|sizes| Turn::Poll { sizes }),
        (0i16..30).prop_map(|error| Turn::Beat { error }),
    ]
}

impl Turn {
    fn records(sizes: &[usize]) -> Vec<u8> {
        sizes.iter().flat_map(|&size| one(&vec![b'x'; size])).collect()
    }

    fn ask(&self, id: i32) -> Vec<u8> {
        match self {
            Turn::Send { sizes, acks, .. } => produce(id, *acks, &[("orders", vec![partition(3, &Self::records(sizes))])]),
            Turn::Poll { .. } => fetch(id, -1),
            Turn::Beat { error } => heartbeat(id, *error).0,
        }
    }

    fn reply(&self, id: i32) -> Vec<u8> {
        match self {
            Turn::Send { acks: 0, .. } => vec![],
            Turn::Send { error, .. } => produced(id, *error),
            Turn::Poll { sizes } => fetched(id, &[(3, 0, Self::records(sizes)), (4, 0, Self::records(&sizes[sizes.len() / 2..]))]),
            Turn::Beat { error } => heartbeat(id, *error).1,
        }
    }
}

fn talk(turns: &[Turn], depth: usize) -> Talk {
    let (ask, reply) = versions(0);
    let numbered: Vec<(i32, &Turn)> = (1..).zip(turns).collect();
    numbered.chunks(depth).fold(Talk::new().client(ask).server(reply), |talk, group| {
        let talk = talk.client(group.iter().flat_map(|(id, turn)| turn.ask(*id)).collect::<Vec<u8>>());
        let replies: Vec<u8> = group.iter().flat_map(|(id, turn)| turn.reply(*id)).collect();
        if replies.is_empty() { talk } else { talk.server(replies) }
    })
}

/// What may be missing in part, and must never be another.
type Fact = (Option<u32>, Option<String>, Option<String>, Option<i64>, Option<String>);

fn facts(outcome: &Outcome) -> Vec<Fact> {
    let fact = |exchange: &Exchange| {
        let text = |key| exchange.attrs.str(key).map(str::to_owned);
        let count = exchange.attrs.int(s::MESSAGING_BATCH_MESSAGE_COUNT);
        let call = exchange.call.map(|call| call.seq);
        (call, text(s::MESSAGING_OPERATION_NAME), text(s::MESSAGING_DESTINATION_NAME), count, exchange.error.clone())
    };
    outcome.exchanges.iter().map(fact).collect()
}

#[test]
fn the_middle_of_a_message_is_not_taken_for_a_response_that_was_waited_for() {
    let turns = [Turn::Poll { sizes: vec![231] }, Turn::Send { sizes: vec![], acks: 0, error: 0 }];
    let outcome = talk(&turns, 1).split(40).lose(Server, 0..21).run();
    assert!(outcome.exchanges.iter().all(|exchange| exchange.error.is_none()), "{:?}", facts(&outcome));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_split_gives_the_same_exchanges(turns in proptest::collection::vec(turn(), 1..8), depth in 1usize..4, split in 1usize..300) {
        let whole = talk(&turns, depth).run();
        prop_assert!(whole.losses.is_empty());
        prop_assert_eq!(whole.exchanges.len() as u64 + whole.voided, turns.len() as u64 + 1);
        prop_assert_eq!(talk(&turns, depth).split(split).run().full(), whole.full());
    }

    #[test]
    fn any_holes_give_a_subset_of_the_exchanges(
        turns in proptest::collection::vec(turn(), 2..10), depth in 1usize..4, split in 20usize..400,
        holes in parts(400),
    ) {
        let whole = facts(&talk(&turns, depth).run());
        let holed = talk(&turns, depth).split(split).lose_parts(holes);
        for (seq, name, topic, count, error) in facts(&holed.run()) {
            let same = whole.iter().find(|(other, ..)| *other == seq);
            let Some((_, whole_name, whole_topic, whole_count, whole_error)) = same else {
                return Err(TestCaseError::fail(format!("{name:?} is no exchange of the whole")));
            };
            prop_assert_eq!(&name, whole_name);
            prop_assert!(topic.is_none() || &topic == whole_topic);
            prop_assert!(count.is_none() || &count == whole_count, "{:?} for {:?}", count, whole_count);
            prop_assert!(error.is_none() || &error == whole_error, "{:?} for {:?}", error, whole_error);
        }
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(
        pieces in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..60), turn(), any::<u8>(), 0usize..80), 0..30),
        midway in any::<bool>(),
    ) {
        let (ask, reply) = versions(0);
        let start = Talk::new().client(ask).server(reply);
        let talk = (1..).zip(pieces).fold(if midway { start.midway() } else { start }, |talk, (id, (client, noise, turn, byte, at))| {
            // Most of them are messages with one byte changed.
            let mut bytes = if client { turn.ask(id) } else { turn.reply(id - 1) };
            if noise.len() % 4 == 0 { bytes = noise; }
            if let Some(place) = bytes.get_mut(at) { *place = byte; }
            let talk = talk.piece(if client { Client } else { Server }, bytes);
            if byte > 250 { talk.hole(Client, u64::from(byte)) } else { talk }
        });
        prop_assert!(talk.run().held < 512 * 1024);
    }
}
