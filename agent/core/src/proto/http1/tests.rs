//! Conversations as real programs hold them, and as hostile ones would.

use crate::flow::{Amount, Loss};
use crate::model::semconv as s;
use crate::model::{Close, Key};
use crate::proto::End::{Client, Server};
use crate::testkit::{Outcome, Talk, parts};
use proptest::prelude::*;
use std::time::Duration;

const GET: &str = "GET /a?b=1 HTTP/1.1\r\nHost: h.example:4000\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Length: 5\r\n\r\nhello";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

const SHORT: &[Key] = &[s::HTTP_RESPONSE_STATUS_CODE];
const PATHS: &[Key] = &[s::URL_PATH, s::HTTP_RESPONSE_STATUS_CODE];

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
}

fn paths(talk: Talk) -> Vec<String> {
    talk.at_server().run().brief(PATHS)
}

/// Request and response times and sizes of the only exchange.
fn times(outcome: &Outcome) -> String {
    let lines = outcome.full();
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines[0][lines[0].find(" request=").unwrap() + 1..].to_owned()
}

#[test]
fn a_client_has_the_attributes_of_the_conventions() {
    let outcome = Talk::new().client(GET).server(OK).close(Close::Fin).run();
    assert_eq!(
        outcome.full(),
        ["http/1.1 Client GET server.address=h.example server.port=4000 http.request.method=GET url.full=http://h.example:4000/a?b=1 \
          network.protocol.version=1.1 http.response.status_code=200 call=1000/5000/\"GET /a?b=1 HTTP/\" \
          request=0-0ms,0B response=1-1ms,5B"]
    );
    assert_eq!(outcome.protocol, Some("http/1.1"));
    assert!(outcome.losses.is_empty(), "{:?}", outcome.losses);
}

#[test]
fn a_server_has_the_attributes_of_the_conventions() {
    let outcome = Talk::new().at_server().client(GET).server(OK).run();
    assert_eq!(
        outcome.full(),
        ["http/1.1 Server GET url.scheme=http client.address=10.0.0.1 user_agent.original=curl/8.5.0 server.address=h.example \
          server.port=4000 http.request.method=GET url.path=/a url.query=b=1 network.protocol.version=1.1 \
          http.response.status_code=200 call=1000/5000/\"GET /a?b=1 HTTP/\" request=0-0ms,0B response=1-1ms,5B"]
    );
}

#[test]
fn what_requests_before_have_said_changes_nothing() {
    let said = |requests: &[&str]| {
        let talk = requests.iter().fold(Talk::new().at_server(), |talk, request| talk.client(request).server(OK));
        talk.run().exchanges.into_iter().map(|exchange| exchange.attrs).collect::<Vec<_>>()
    };
    let request = |line: &str, host: &str| format!("{line} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let (secret, path, head) = (request("GET /a?token=x", "h"), request("GET /b", "h"), request("HEAD /b", "h"));
    let (other, absolute) = (request("GET /b", "other:81"), request("GET http://h/b", "h"));
    for requests in [[&secret; 6], [&secret, &secret, &secret, &path, &path, &path], [&path, &path, &path, &head, &head, &path]]
        .into_iter()
        .chain([[&path, &path, &other, &other, &other, &path], [&path, &path, &path, &absolute, &absolute, &path]])
    {
        let requests = requests.map(String::as_str);
        let alone: Vec<_> = requests.iter().flat_map(|request| said(&[request])).collect();
        assert_eq!(said(&requests), alone, "{requests:?}");
    }
}

#[test]
fn a_stream_of_events_is_one_request_until_it_ends() {
    const KEYS: &[Key] = &[s::HTTP_RESPONSE_STATUS_CODE, s::REMORA_HTTP_STREAM];
    let head = "HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\n";
    // Events that look like messages of HTTP.
    let event = "data: GET / HTTP/1.1\n\nHTTP/1.1 500 no\r\n\r\n";
    let chunk = format!("{:x}\r\n{event}\r\n", event.len());
    let lasts = |outcome: &Outcome| {
        let response = outcome.exchanges[0].response.expect("it was answered");
        (response.first.0 / 1_000_000, response.last.0 / 1_000_000, response.body_bytes)
    };
    let chunked =
        Talk::new().client(GET).server(format!("{head}Transfer-Encoding: chunked\r\n\r\n")).server(&chunk).wait(Duration::from_secs(9));
    let chunked = chunked.server(&chunk).server("0\r\n\r\n").client(GET).server(OK);
    for split in [usize::MAX, 7, 1] {
        let outcome = chunked.clone().split(split).run();
        assert_eq!(outcome.brief(KEYS), ["GET 200 event-stream", "GET 200 -"], "{split}");
        assert_eq!((outcome.streams, outcome.messages[1]), (1, (2, 2 * 14)));
        assert_eq!((lasts(&outcome), outcome.losses.len()), ((1, 9004, Some(2 * event.len() as u64)), 0), "{split}");
    }
    // The end of the connection ends it, whoever brings that about: it is no error, and it is the response's end.
    for first in [Client, Server] {
        let talk = Talk::new().client(GET).server(format!("{head}\r\n")).server(event).wait(Duration::from_secs(5)).server(event);
        let outcome = talk.fin(first).fin(first.other()).close(Close::Fin).run();
        assert_eq!(outcome.brief(KEYS), ["GET 200 event-stream"], "{first:?}");
        assert!(lasts(&outcome).1 >= 5003 && outcome.losses.is_empty());
        assert_eq!(outcome.messages[1], (2, 2 * 14));
    }
    // Most of a long stream is not captured.
    let talk = Talk::new().client(GET).server(format!("{head}Transfer-Encoding: chunked\r\n\r\n")).server(&chunk).hole(Server, 90_000);
    let outcome = talk.server("2\r\n\n\n\r\n0\r\n\r\n").client(GET).server(OK).run();
    assert_eq!(outcome.brief(KEYS)[1], "GET 200 -");
    assert!(outcome.exchanges.len() == 2 && outcome.brief(KEYS)[0].starts_with("GET 200 event-stream"));
    assert_eq!((outcome.messages[1], outcome.lost(Loss::Hole)), ((1, 14), 1), "what was missed is said");
    let talk = Talk::new().client(GET).server(format!("{head}Transfer-Encoding: chunked\r\n\r\n")).server(&chunk).hole(Server, 90_000);
    let outcome = talk.server(&chunk[3..]).server(&chunk).server(&chunk).server("0\r\n\r\n").client(GET).server(OK).run();
    assert_eq!((outcome.brief(KEYS)[1].as_str(), outcome.messages[1].0), ("GET 200 -", 2), "where chunks begin again");
    let talk = Talk::new().client(GET).server(format!("{head}Transfer-Encoding: chunked\r\n\r\n1")).hole(Server, 9);
    assert_eq!(talk.run().lost(Loss::Hole), 1, "once, also where a chunk's size was being read");
    // A chunk of which a part was lost still ends where it said, and so does a body of known length.
    let talk = Talk::new().client(GET).server(format!("{head}Transfer-Encoding: chunked\r\n\r\n1e\r\ndata: 1\n\ndata:")).hole(Server, 5);
    let outcome = talk.server("\n\ndata: 3\n\n").server("\r\n0\r\n\r\n").client(GET).server(OK).run();
    assert_eq!((outcome.brief(KEYS), outcome.messages[1]), (vec!["GET 200 event-stream".to_owned(), "GET 200 -".to_owned()], (2, 2)));
    let talk = Talk::new().client(GET).server(format!("{head}Content-Length: 18\r\n\r\ndata: 1\n\n")).server("data: 2\n\n");
    let outcome = talk.client(GET).server(OK).run();
    assert_eq!((outcome.brief(KEYS), outcome.messages[1]), (vec!["GET 200 event-stream".to_owned(), "GET 200 -".to_owned()], (2, 2)));
    // What capture takes is what the stream needs, until it is over.
    let wanted: Vec<Amount> = outcome.captures.iter().map(|(_, ingress)| *ingress).collect();
    assert_eq!(wanted, [Amount::Burst(2048), Amount::Segment(u32::MAX), Amount::Burst(2048)]);
}

#[test]
fn secrets_do_not_leave_the_parser() {
    let request = "GET http://u:p@h/x?token=abc&q=1 HTTP/1.1\r\nHost: h\r\n\r\n";
    let client = Talk::new().client(request).server(OK).run();
    assert_eq!(client.brief(&[s::URL_FULL]), ["GET http://REDACTED:REDACTED@h/x?token=REDACTED&q=1"]);
    let server = Talk::new().at_server().client(request).server(OK).run();
    assert_eq!(server.brief(&[s::URL_PATH, s::URL_QUERY]), ["GET /x token=REDACTED&q=1"]);
}

#[test]
fn all_forms_of_targets_are_read() {
    let of = |request: &str, keys: &[Key]| Talk::new().client(request).server("HTTP/1.1 204 x\r\n\r\n").run().brief(keys);
    let keys = &[s::URL_FULL, s::SERVER_ADDRESS, s::SERVER_PORT];
    assert_eq!(of("GET / HTTP/1.0\r\n\r\n", keys), ["GET http://10.0.0.2:4000/ 10.0.0.2 4000"]);
    assert_eq!(of("GET HTTPS://o.example/p HTTP/1.1\r\nHost: x\r\n\r\n", keys), ["GET https://o.example/p o.example 443"]);
    assert_eq!(of("OPTIONS * HTTP/1.1\r\nHost: [::1]:81\r\n\r\n", keys), ["OPTIONS http://[::1]:81 ::1 81"]);
    assert_eq!(of("CONNECT o.example:443 HTTP/1.1\r\nHost: p\r\n\r\n", keys), ["CONNECT - o.example 443"]);
    assert_eq!(
        of("BREW /pot HTTP/1.1\r\nHost: h\r\n\r\n", &[s::HTTP_REQUEST_METHOD, s::HTTP_REQUEST_METHOD_ORIGINAL]),
        ["HTTP _OTHER BREW"]
    );
    assert_eq!(of("get / HTTP/1.1\r\nHost: h\r\n\r\n", &[s::HTTP_REQUEST_METHOD_ORIGINAL]), ["HTTP get"]);
}

#[test]
fn client_and_server_differ_in_what_is_an_error() {
    let talk = |status: &str| Talk::new().client(GET).server(format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n"));
    assert_eq!(talk("404").run().brief(SHORT), ["GET 404 error=404"]);
    assert_eq!(talk("404").at_server().run().brief(SHORT), ["GET 404"]);
    assert_eq!(talk("503").at_server().run().brief(SHORT), ["GET 503 error=503"]);
}

#[test]
fn trace_context_is_read() {
    let request = "GET / HTTP/1.1\r\nHost: h\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\
                   tracestate: a=1\r\nTraceState: b=2\r\n\r\n";
    let outcome = Talk::new().client(request).server(OK).run();
    assert_eq!(outcome.exchanges[0].context.unwrap().parent.to_string(), "00f067aa0ba902b7");
    assert_eq!(outcome.exchanges[0].trace_state, "a=1,b=2");
}

#[test]
fn keep_alive_and_pipelined_requests_are_paired_in_order() {
    let talk = Talk::new().client(get("/1")).server(OK).client(get("/2") + &get("/3")).client(get("/4"));
    let talk =
        talk.server(OK.to_owned() + "HTTP/1.1 404 x\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 500 x\r\nContent-Le").server("ngth: 0\r\n\r\n");
    assert_eq!(paths(talk), ["GET /1 200", "GET /2 200", "GET /3 404", "GET /4 500 error=500"]);
}

#[test]
fn responses_without_a_body_end_with_their_head() {
    let head = "HEAD /h HTTP/1.1\r\nHost: h\r\n\r\n";
    let large = "Content-Length: 1000\r\n\r\n";
    let talk = Talk::new().client(head).server(format!("HTTP/1.1 200 OK\r\n{large}"));
    let talk = talk.client(get("/2")).server(format!("HTTP/1.1 304 x\r\n{large}")).client(get("/3")).server("HTTP/1.1 204\r\n\r\n");
    assert_eq!(paths(talk), ["HEAD /h 200", "GET /2 304", "GET /3 204"]);
}

#[test]
fn interim_responses_are_not_the_answer() {
    let post = "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";
    let talk = Talk::new().client(post).server("HTTP/1.1 100 Continue\r\n\r\n").client("body");
    let outcome = talk.server("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n").server(OK).run();
    assert_eq!(times(&outcome), "request=0-2ms,4B response=4-4ms,5B");
    assert_eq!(outcome.brief(SHORT), ["POST 200"]);
}

#[test]
fn a_server_may_answer_before_the_body_is_sent() {
    let post = "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\n\r\nhalf";
    let talk = Talk::new().client(post).server("HTTP/1.1 413 x\r\nContent-Length: 0\r\n\r\n").client("rest").client(get("/2")).server(OK);
    assert_eq!(paths(talk), ["POST /p 413", "GET /2 200"]);
}

#[test]
fn chunked_bodies_end_with_the_last_chunk_and_its_trailers() {
    let post = "POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\n\r\n";
    let talk = Talk::new().client(post).server(CHUNKED).server("5\r\nhello\r\n").server("0\r\nDigest: x\r\n").server("\r\n");
    let talk = talk.wait(Duration::from_millis(10));
    let outcome = talk.clone().run();
    assert_eq!(times(&outcome), "request=0-0ms,3B response=1-4ms,5B");
    assert_eq!(paths(talk.client(get("/2")).server(OK)), ["POST /p 200", "GET /2 200"]);
}

#[test]
fn a_body_without_length_ends_with_the_connection() {
    let talk = Talk::new().client(GET).server("HTTP/1.0 200 OK\r\n\r\nhello").hole(Server, 1000).server("!");
    let outcome = talk.clone().fin(Server).close(Close::Fin).run();
    assert_eq!(times(&outcome), "request=0-0ms,0B response=1-4ms,1006B");
    let reset = talk.close(Close::ResetByRemote).run();
    assert_eq!(reset.brief(SHORT), ["GET 200 error=connection_reset incomplete=end_inferred"]);
}

#[test]
fn large_bodies_need_not_be_captured() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n";
    let talk = Talk::new().client(GET).server(head).hole(Server, 2_000_000).wait(Duration::from_millis(500)).hole(Server, 3_000_000);
    let outcome = talk.run();
    assert_eq!(times(&outcome), "request=0-0ms,0B response=1-503ms,5000000B");
    assert_eq!(outcome.losses.len(), 0);
}

#[test]
fn the_end_of_a_chunked_body_is_seen_in_the_last_bytes_of_a_segment() {
    let tail = "x\r\n0\r\n\r\n";
    let body = "y".repeat(3000) + tail;
    let sent = CHUNKED.len() as u64;
    let talk = Talk::new().client(get("/1")).server(CHUNKED).server(&body).lose(Server, sent..sent + 3000);
    assert_eq!(times(&talk.clone().run()), "request=0-0ms,0B response=1-2ms,?B");
    assert_eq!(paths(talk.client(get("/2")).server(OK)), ["GET /1 200", "GET /2 200"]);
}

#[test]
fn the_end_of_a_chunked_body_that_was_not_seen_is_inferred_from_the_next_request() {
    let talk = Talk::new().client(get("/1")).server(CHUNKED).hole(Server, 3000).wait(Duration::from_secs(1)).client(get("/2")).server(OK);
    let outcome = talk.at_server().run();
    assert_eq!(outcome.brief(PATHS), ["GET /1 200 incomplete=end_inferred", "GET /2 200"]);
    assert!(outcome.full()[0].contains("response=1-2ms,?B"), "{:?}", outcome.full());
}

#[test]
fn requests_without_an_answer_say_why() {
    let talk = || Talk::new().client(GET);
    let end = |talk: Talk| talk.run().brief(SHORT);
    assert_eq!(end(talk().fin(Server).close(Close::Fin)), ["GET - error=connection_closed"]);
    assert_eq!(end(talk().fin(Client).close(Close::Fin)), ["GET - error=request_cancelled"]);
    assert_eq!(end(talk().close(Close::ResetByRemote)), ["GET - error=connection_reset"]);
    assert_eq!(end(talk().close(Close::ResetByLocal)), ["GET - error=request_cancelled"]);
    assert_eq!(end(talk().at_server().close(Close::ResetByLocal)), ["GET - error=connection_reset"]);
    assert_eq!(end(talk().close(Close::TimedOut)), ["GET - error=timeout"]);
    assert_eq!(end(talk()), ["GET - incomplete=response_lost"]);
}

#[test]
fn an_answer_that_comes_too_late_is_a_timeout_and_disturbs_nothing() {
    let talk = Talk::new().client(get("/1")).wait(Duration::from_secs(400)).tick().server(OK).client(get("/2")).server(OK);
    assert_eq!(paths(talk), ["GET /1 - error=timeout", "GET /2 200"]);
}

#[test]
fn an_upgrade_or_tunnel_ends_http() {
    let request = "GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: chat\r\nConnection: upgrade\r\n\r\n";
    let talk = Talk::new().client(request).server("HTTP/1.1 101 x\r\nUpgrade: chat\r\n\r\n").client(GET).server(OK);
    assert_eq!(talk.run().brief(&[s::HTTP_RESPONSE_STATUS_CODE, s::REMORA_HTTP_UPGRADE]), ["GET 101 chat"]);
    let connect = "CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n";
    let talk = Talk::new().client(connect).server("HTTP/1.1 200 x\r\nContent-Length: 9\r\n\r\n").client(GET).server(OK);
    assert_eq!(talk.run().brief(SHORT), ["CONNECT 200"]);
    let refused = Talk::new().client(connect).server("HTTP/1.1 407 x\r\nContent-Length: 1\r\n\r\nx").client(GET).server(OK);
    assert_eq!(refused.run().brief(SHORT), ["CONNECT 407 error=407", "GET 200"]);
}

#[test]
fn a_request_head_that_was_cut_keeps_what_was_seen() {
    let request = "GET /long HTTP/1.1\r\nHost: h\r\nCookie: ".to_owned() + &"c".repeat(9000) + "\r\n\r\n";
    let first = get("/1").len() as u64;
    let talk = Talk::new().client(get("/1")).server(OK).client(&request).server(OK).client(get("/3")).server(OK);
    let cut = |at: u64| talk.clone().lose(Client, first + at..first + request.len() as u64);
    assert_eq!(paths(cut(5000)), ["GET /1 200", "GET /long 200 incomplete=request_lost", "GET /3 200"]);
    assert_eq!(paths(cut(7)), ["GET /1 200", "GET /lo 200 incomplete=request_cut,request_lost", "GET /3 200"]);
    assert_eq!(cut(5000).run().captures.len(), 2);
}

#[test]
fn a_response_head_that_was_cut_keeps_its_status() {
    let response = "HTTP/1.1 404 x\r\nSet-Cookie: ".to_owned() + &"c".repeat(9000) + "\r\nContent-Length: 2\r\n\r\nno";
    let cut =
        |from: u64| Talk::new().client(get("/1")).server(&response).client(get("/2")).server(OK).lose(Server, from..response.len() as u64);
    assert_eq!(paths(cut(5000)), ["GET /1 404 incomplete=response_lost,end_inferred", "GET /2 200"]);
    assert_eq!(paths(cut(7)), ["GET /1 - incomplete=response_lost", "GET /2 200"]);
}

#[test]
fn a_lost_exchange_does_not_shift_the_answers() {
    let one = |i: u8| (get(&format!("/{i}")), format!("HTTP/1.1 20{i} x\r\nContent-Length: 0\r\n\r\n"));
    let talk = (1..=4).map(one).fold(Talk::new(), |talk, (request, response)| talk.client(request).server(response));
    let (request, response) = one(1);
    let (request, response) = (request.len() as u64, response.len() as u64);
    let all = ["GET /1 201", "GET /2 202", "GET /3 203", "GET /4 204"];
    assert_eq!(paths(talk.clone()), all);
    assert_eq!(paths(talk.clone().lose(Client, request..2 * request)), [all[0], all[2], all[3]]);
    assert_eq!(paths(talk.clone().lose(Server, response..2 * response)), [all[0], "GET /2 - incomplete=response_lost", all[2], all[3]]);
    assert_eq!(paths(talk.lose(Server, response..2 * response).lose(Client, request..2 * request)), [all[0], all[2], all[3]]);
}

#[test]
fn a_pipelining_connection_that_loses_bytes_is_given_up() {
    let talk = Talk::new().client(get("/1") + &get("/2") + &get("/3")).server(OK).server(OK).server(OK).client(get("/4")).server(OK);
    let len = OK.len() as u64;
    let talk = talk.lose(Server, len..len + 10);
    assert_eq!(paths(talk), ["GET /1 200", "GET /2 - incomplete=response_lost", "GET /3 - incomplete=response_lost"]);
}

#[test]
fn a_connection_joined_midway_is_understood_from_the_next_request_on() {
    let talk = Talk::new().midway().server("rest of a body").client(get("/2")).server(OK);
    assert_eq!(paths(talk), ["GET /2 200"]);
    let response_first = Talk::new().midway().role_unknown().server(OK).client(get("/2")).server(OK).run();
    assert_eq!(response_first.brief(SHORT), ["GET 200"]);
    assert_eq!(response_first.lost(Loss::Orphan), 0);
}

#[test]
fn the_rest_of_a_lost_message_is_not_the_start_of_the_next_one() {
    let post = "POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n0123456789";
    let body_at = post.len() as u64 - 10;
    let head_lost = Talk::new().client(post).server(OK).client(get("/2")).server(OK).split(usize::try_from(body_at).unwrap());
    assert_eq!(paths(head_lost.lose(Client, 0..1)), ["GET /2 200"]);
    let token_lost = Talk::new().client("P").client("OST /1 HTTP/1.1\r\nHost: h\r\n\r\n").server(OK).client(get("/2")).server(OK);
    assert_eq!(paths(token_lost.lose(Client, 0..1)), ["GET /2 200"]);
}

#[test]
fn malformed_messages_are_counted_and_never_believed() {
    let two = "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello";
    let outcome =
        Talk::new().at_server().client(two).server("HTTP/1.1 400 x\r\nContent-Length: 0\r\n\r\n").client(get("/2")).server(OK).run();
    assert_eq!(outcome.brief(PATHS), ["POST /p 400", "GET /2 200"]);
    assert_eq!(outcome.lost(Loss::Malformed), 1);
    let chunk = "POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";
    assert_eq!(paths(Talk::new().client(chunk).server("HTTP/1.1 400 x\r\nContent-Length: 0\r\n\r\n")), ["POST /p 400"]);
    let binary = "GET /b HTTP/1.1\r\nH\0st\x01: \u{7f}\r\n\x02\r\nHost: h\r\n\r\n";
    assert_eq!(paths(Talk::new().client(binary).server(OK)), ["GET /b 200"]);
    let garbage = Talk::new().client(get("/1")).server("-ERR what\r\n").client(get("/2")).server(OK);
    assert_eq!(paths(garbage), ["GET /1 - incomplete=response_lost", "GET /2 200"]);
}

#[test]
fn an_endless_head_is_cut_and_its_memory_freed() {
    let mut talk = Talk::new().client("GET /endless HTTP/1.1\r\nHost: h\r\n");
    for _ in 0..200 {
        talk = talk.client("X-Header: ".to_owned() + &"y".repeat(1000) + "\r\n");
    }
    let outcome = talk.server(OK).at_server().run();
    assert_eq!(outcome.brief(PATHS), ["GET /endless 200 incomplete=request_lost"]);
    assert_eq!(outcome.lost(Loss::Oversized), 1);
    assert!(outcome.held < 256 * 1024, "{}", outcome.held);
}

#[test]
fn heads_of_64_kib_are_read() {
    let request = get(&format!("/{}", "p".repeat(60_000)));
    let outcome = Talk::new().client(&request).server(OK).split(1448).run();
    assert_eq!(outcome.brief(SHORT), ["GET 200 incomplete=request_cut"]);
    assert_eq!(outcome.lost(Loss::Text), 1);
}

#[test]
fn other_text_protocols_are_left_alone() {
    for (client, server) in [
        ("*1\r\n$4\r\nPING\r\n", "+PONG\r\n"),
        ("PING\r\n", "+PONG\r\n"),
        ("get key\r\n", "END\r\n"),
        ("CONNECT {\"verbose\":false}\r\nPUB x 5\r\nhello\r\n", "+OK\r\n"),
        ("EHLO me\r\n", "250 hi\r\n"),
        ("USER a\r\n", "331 x\r\n"),
        ("NICK a\r\nUSER a b c :d\r\n", ":srv 001 a\r\n"),
        ("OPTIONS sip:a@b SIP/2.0\r\nVia: x\r\n\r\n", "SIP/2.0 200 OK\r\n\r\n"),
        ("DESCRIBE rtsp://h/x RTSP/1.0\r\nCSeq: 1\r\n\r\n", "RTSP/1.0 200 OK\r\n\r\n"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\0\0\0\x04\0\0\0\0\0"),
    ] {
        for talk in [Talk::new(), Talk::new().role_unknown(), Talk::new().midway().role_unknown()] {
            let outcome = talk.port(80).client(client).server(server).client(client).server(server).run();
            assert_ne!(outcome.protocol, Some("http/1.1"), "{client}");
            assert!(outcome.exchanges.iter().all(|exchange| exchange.protocol != "http/1.1"), "{client}");
        }
    }
}

#[test]
fn a_call_of_grpc_web_has_its_status_from_head_or_body() {
    let call =
        "POST /pkg.Svc/Get HTTP/1.1\r\nHost: h\r\nContent-Type: application/grpc-web+proto\r\nContent-Length: 7\r\n\r\n\0\0\0\0\x02hi";
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/grpc-web+proto\r\n";
    let message = b"\0\0\0\0\x02yo".as_slice();
    let trailers = b"\x80\0\0\0\x0fgrpc-status: 5\r".as_slice();
    let both = [message, trailers].concat();
    let chunk = |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    let text = "AAAAAAJ5bw==gAAAAA9ncnBjLXN0YXR1czogNQ0=";
    let answers = [
        [head.as_bytes(), b"grpc-status: 5\r\nContent-Length: 0\r\n\r\n"].concat(),
        [head.as_bytes(), format!("Content-Length: {}\r\n\r\n", both.len()).as_bytes(), &both].concat(),
        [head.as_bytes(), b"Transfer-Encoding: chunked\r\n\r\n", &chunk(message), &chunk(trailers), b"0\r\n\r\n"].concat(),
        [head.as_bytes(), format!("Content-Length: {}\r\n\r\n{text}", text.len()).as_bytes()].concat(),
    ];
    for answer in answers {
        for split in [usize::MAX, 5, 1] {
            let talk = Talk::new().client(call).server(&answer).client(GET).server(OK).split(split);
            let brief = talk.run().brief(&[s::RPC_RESPONSE_STATUS_CODE]);
            assert_eq!(brief, ["pkg.Svc/Get NOT_FOUND error=NOT_FOUND", "GET -"], "{}", String::from_utf8_lossy(&answer));
        }
    }
    let long = [head.as_bytes(), b"Content-Length: 5000\r\n\r\n", &vec![0; 5000]].concat();
    let outcome = Talk::new().client(call).server(long).client(GET).server(OK).run();
    assert_eq!(outcome.brief(&[s::RPC_RESPONSE_STATUS_CODE]), ["pkg.Svc/Get - incomplete=response_lost", "GET -"]);
}

#[derive(Clone, Debug)]
enum Body {
    Length(usize),
    Chunks(Vec<usize>),
}

impl Body {
    fn bytes(&self, head: &str) -> String {
        let text = |n: usize| "0123456789\r\n".chars().cycle().take(n).collect::<String>();
        match self {
            Body::Length(n) => format!("{head}Content-Length: {n}\r\n\r\n{}", text(*n)),
            Body::Chunks(sizes) => {
                let chunks: String = sizes.iter().map(|n| format!("{n:x};e=1\r\n{}\r\n", text(*n))).collect();
                format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\nTrailer: x\r\n\r\n")
            }
        }
    }
}

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![(0usize..300).prop_map(Body::Length), proptest::collection::vec(1usize..100, 0..4).prop_map(Body::Chunks)]
}

#[derive(Clone, Debug)]
struct Turn {
    request: Body,
    response: Body,
    status: u16,
    interim: bool,
    pads: (usize, usize),
}

fn turn() -> impl Strategy<Value = Turn> {
    (body(), body(), 200u16..600, any::<bool>(), (0usize..80, 0usize..80)).prop_map(|(request, response, status, interim, pads)| Turn {
        request,
        response,
        status,
        interim,
        pads,
    })
}

impl Turn {
    fn request(&self, i: usize) -> String {
        self.request.bytes(&format!("POST /{i} HTTP/1.1\r\nHost: h\r\nX-Pad: {}\r\n", "x".repeat(self.pads.0)))
    }

    fn response(&self) -> String {
        let interim = if self.interim { "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" } else { "" };
        let status = if matches!(self.status, 204 | 304) { 200 } else { self.status };
        interim.to_owned() + &self.response.bytes(&format!("HTTP/1.1 {status} Some Reason\r\nX-Pad: {}\r\n", "x".repeat(self.pads.1)))
    }
}

/// Ends that take turns, or a client that sends `depth` requests at a time.
fn talk(turns: &[Turn], depth: usize) -> Talk {
    let numbered: Vec<(usize, &Turn)> = turns.iter().enumerate().collect();
    numbered.chunks(depth).fold(Talk::new(), |talk, group| {
        let talk = talk.client(group.iter().map(|(i, turn)| turn.request(*i)).collect::<String>());
        talk.server(group.iter().map(|(_, turn)| turn.response()).collect::<String>())
    })
}

/// Call key, path and status: what may be missing in part, and must never be another.
fn facts(outcome: &Outcome) -> Vec<(Option<u32>, String, Option<i64>, bool)> {
    let fact = |exchange: &crate::model::Exchange| {
        let path = exchange.attrs.str(s::URL_PATH).unwrap_or_default().to_owned();
        let status = exchange.attrs.int(s::HTTP_RESPONSE_STATUS_CODE);
        (exchange.call.map(|call| call.seq), path, status, exchange.completeness.request_cut)
    };
    outcome.exchanges.iter().map(fact).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_split_gives_the_same_exchanges(turns in proptest::collection::vec(turn(), 1..6), depth in 1usize..4, split in 1usize..200) {
        let whole = talk(&turns, depth).run();
        prop_assert_eq!(whole.exchanges.len(), turns.len());
        prop_assert_eq!(talk(&turns, depth).split(split).run().full(), whole.full());
    }

    #[test]
    fn any_holes_give_a_subset_of_the_exchanges(
        turns in proptest::collection::vec(turn(), 2..8),
        split in 20usize..400,
        holes in parts(400),
    ) {
        let whole = facts(&talk(&turns, 1).at_server().run());
        let holed = talk(&turns, 1).at_server().split(split).lose_parts(holes);
        for (seq, path, status, cut) in facts(&holed.run()) {
            let same = whole.iter().find(|(other, ..)| *other == seq);
            let (_, whole_path, whole_status, _) = same.ok_or_else(|| TestCaseError::fail(format!("{path} is no exchange of the whole")))?;
            prop_assert!(path == *whole_path || cut && whole_path.starts_with(&path), "{} for {}", path, whole_path);
            prop_assert!(status.is_none() || status == *whole_status, "{:?} for {:?} of {}", status, whole_status, path);
        }
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(
        pieces in proptest::collection::vec((any::<bool>(), prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..60),
            "(GET|POST) /[a-z]{0,5} HTTP/1.1\r\n(Content-Length: [0-9-]{0,25}\r\n|Transfer-Encoding: (chunked|x)\r\n)?\r\n".prop_map(String::into_bytes),
            "HTTP/1.[01] [0-9]{3} ?\r\n(Content-Length: [0-9]{0,20}\r\n|Transfer-Encoding: chunked\r\n)?\r\n".prop_map(String::into_bytes),
            "[0-9a-f]{1,17}(;x)?\r\n".prop_map(String::into_bytes),
        ], 0u64..20), 0..40),
        midway in any::<bool>(),
    ) {
        let start = Talk::new().client(GET);
        let talk = pieces.into_iter().fold(if midway { start.midway() } else { start }, |talk, (client, bytes, hole)| {
            let end = if client { Client } else { Server };
            let talk = talk.piece(end, bytes);
            if hole > 15 { talk.hole(end, hole) } else { talk }
        });
        let outcome = talk.run();
        prop_assert!(outcome.held < 512 * 1024);
    }
}
