//! The client against a receiver that misbehaves in all the ways receivers do.
//!
//! Nothing here depends on how fast the machine is: each test waits until everything that was
//! submitted is settled, then looks at what arrived and what was counted.
#![expect(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/sink.rs"]
mod sink;

use std::io::Read;
use std::time::Duration;

use bytes::Bytes;
use certificates::{Authority, acceptor};
use remora_otlp::client::{ClientConfig, DropReason, ExportCounters, Exporter, ExporterConfig, Health, RetryPolicy};
use remora_otlp::{EncodedBatch, Signal};
use sink::{Reply, Sink};
use tokio::runtime::Handle;

/// `google.rpc.Status` with a `RetryInfo` of 10 ms: code 8, type URL, `retry_delay { nanos: 10000000 }`.
const RETRY_INFO: &str = "CAgaMwoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIHCgUQgK3iBA";
/// `partial_success { rejected: 2, error_message: "too old" }`.
const PARTIAL: [u8; 13] = *b"\x0a\x0b\x08\x02\x12\x07too old";
const PAYLOAD: &[u8] = b"\x0a\x00";

fn accepted() -> Reply {
    Reply::Grpc(Vec::new())
}

fn http_accepted() -> Reply {
    Reply::Http(200, vec![("content-type", "application/x-protobuf")], b"")
}

/// A client of `address` with more variables `set`, without the common part of their names.
fn client(scheme: &str, sink: &Sink, set: &[(&str, &str)]) -> ClientConfig {
    let endpoint = format!("{scheme}://localhost:{}", sink.address.port());
    ClientConfig::from_lookup(Signal::Traces, |name| {
        let short = name.strip_prefix("OTEL_EXPORTER_OTLP_")?;
        let found = set.iter().find(|(variable, _)| *variable == short).map(|(_, value)| (*value).to_owned());
        found.or_else(|| (short == "ENDPOINT").then(|| endpoint.clone()))
    })
    .unwrap()
}

const HTTP: (&str, &str) = ("PROTOCOL", "http/protobuf");

fn exporter(client: ClientConfig) -> Exporter {
    let retry =
        RetryPolicy { first: Duration::from_millis(10), longest: Duration::from_millis(100), give_up_after: Duration::from_secs(600) };
    Exporter::start(ExporterConfig { retry, ..ExporterConfig::new(vec![client]) }, &Handle::current()).unwrap()
}

fn batch(items: u64) -> EncodedBatch {
    EncodedBatch { signal: Signal::Traces, payload: Bytes::from_static(PAYLOAD), items }
}

/// Sends one batch of 5 items and waits until it is settled.
async fn export(client: ClientConfig) -> ExportCounters {
    let exporter = exporter(client);
    exporter.submit(batch(5)).unwrap();
    while exporter.counters(Signal::Traces).unwrap().held_bytes > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    exporter.counters(Signal::Traces).unwrap()
}

/// Sends one batch that no receiver will ever take and waits for the first failure.
async fn first_failure(client: ClientConfig) -> String {
    let exporter = exporter(client);
    exporter.submit(batch(5)).unwrap();
    loop {
        if let Health::Failing { error, .. } = exporter.counters(Signal::Traces).unwrap().health {
            exporter.shutdown(Duration::ZERO).await;
            let counters = exporter.counters(Signal::Traces).unwrap();
            assert_eq!((counters.dropped(DropReason::Shutdown), counters.held_bytes), (5, 0));
            return error;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn error_of(counters: &ExportCounters, sink: &Sink) -> String {
    match &counters.health {
        Health::Failing { error, .. } => error.replace(&sink.address.port().to_string(), "PORT"),
        other => panic!("not failing: {other:?}"),
    }
}

#[tokio::test]
async fn grpc_requests_have_the_form_of_the_protocol() {
    let sink = Sink::start(vec![], accepted(), None).await;
    let counters = export(client("http", &sink, &[("HEADERS", "api-key=s%20t")])).await;
    assert_eq!((counters.sent_items, counters.sent_requests, counters.retries), (5, 1, 0));
    let request = &sink.received()[0];
    assert_eq!(request.path, "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
    for (name, value) in [("content-type", "application/grpc"), ("te", "trailers"), ("api-key", "s t")] {
        assert_eq!(request.headers[name], value);
    }
    assert!(request.headers["user-agent"].to_str().unwrap().contains("OTel-OTLP-Exporter-Rust/"));
    assert_eq!(&request.body[..], [&[0, 0, 0, 0, 2], PAYLOAD].concat());
}

#[tokio::test]
async fn http_requests_have_the_form_of_the_protocol() {
    let sink = Sink::start(vec![], http_accepted(), None).await;
    assert_eq!(export(client("http", &sink, &[HTTP])).await.sent_items, 5);
    let request = &sink.received()[0];
    assert_eq!(request.path, "/v1/traces");
    assert_eq!(request.headers["content-type"], "application/x-protobuf");
    assert_eq!(&request.body[..], PAYLOAD);
}

#[tokio::test]
async fn bodies_are_compressed_as_announced() {
    let gzip = |body: &[u8]| {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(body).read_to_end(&mut plain).unwrap();
        plain
    };
    for compression in ["gzip", "zstd"] {
        let plain = |body: &[u8]| if compression == "gzip" { gzip(body) } else { zstd::decode_all(body).unwrap() };
        let sink = Sink::start(vec![], accepted(), None).await;
        export(client("http", &sink, &[("COMPRESSION", compression)])).await;
        let request = &sink.received()[0];
        assert_eq!(request.headers["grpc-encoding"], compression);
        assert_eq!(request.body[0], 1);
        assert_eq!(u32::from_be_bytes(request.body[1..5].try_into().unwrap()) as usize, request.body.len() - 5);
        assert_eq!(plain(&request.body[5..]), PAYLOAD);

        let sink = Sink::start(vec![], http_accepted(), None).await;
        export(client("http", &sink, &[HTTP, ("COMPRESSION", compression)])).await;
        let request = &sink.received()[0];
        assert_eq!(request.headers["content-encoding"], compression);
        assert_eq!(plain(&request.body), PAYLOAD);
    }
}

#[tokio::test]
async fn grpc_unavailable_is_repeated_with_the_same_bytes() {
    let sink = Sink::start(vec![Reply::GrpcStatus(14, None), Reply::GrpcStatus(14, None)], accepted(), None).await;
    let counters = export(client("http", &sink, &[("COMPRESSION", "gzip")])).await;
    assert_eq!((counters.sent_items, counters.retries), (5, 2));
    let received = sink.received();
    assert_eq!(received.len(), 3);
    assert!(received.iter().all(|request| request.body == received[0].body));
}

#[tokio::test]
async fn resource_exhausted_is_repeated_only_with_retry_info() {
    let sink = Sink::start(vec![Reply::GrpcStatus(8, Some(RETRY_INFO))], accepted(), None).await;
    let counters = export(client("http", &sink, &[])).await;
    assert_eq!((counters.sent_items, counters.retries), (5, 1));

    let sink = Sink::start(vec![Reply::GrpcStatus(8, None)], accepted(), None).await;
    let counters = export(client("http", &sink, &[])).await;
    assert_eq!((counters.dropped(DropReason::Refused), counters.retries, sink.received().len()), (5, 0, 1));
    assert_eq!(error_of(&counters, &sink), "http://localhost:PORT answered ResourceExhausted: no room");
}

#[tokio::test]
async fn partial_success_is_counted_with_its_message() {
    let http = Reply::Http(200, vec![("content-type", "application/x-protobuf")], &PARTIAL);
    for (set, reply) in [(vec![], Reply::Grpc(PARTIAL.to_vec())), (vec![HTTP], http)] {
        let sink = Sink::start(vec![], reply, None).await;
        let counters = export(client("http", &sink, &set)).await;
        assert_eq!((counters.sent_items, counters.rejected_items, sink.received().len()), (3, 2, 1));
        assert_eq!(counters.last_warning.as_deref(), Some("too old"));
    }
}

#[tokio::test]
async fn a_receiver_that_stalls_or_resets_gets_the_request_again() {
    for (set, last) in [(vec![("TIMEOUT", "300")], accepted()), (vec![("TIMEOUT", "300"), HTTP], http_accepted())] {
        let sink = Sink::start(vec![Reply::Stall, Reply::Reset], last, None).await;
        let counters = export(client("http", &sink, &set)).await;
        assert_eq!(counters.sent_items, 5);
        assert!(counters.retries >= 2, "{}", counters.retries);
    }
}

#[tokio::test]
async fn http_throttling_is_honoured_in_both_forms() {
    let seconds = Reply::Http(429, vec![("retry-after", "0")], b"");
    let date = Reply::Http(503, vec![("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT")], b"");
    let sink = Sink::start(vec![seconds, date, Reply::Http(502, vec![], b""), Reply::Http(504, vec![], b"")], http_accepted(), None).await;
    let counters = export(client("http", &sink, &[HTTP])).await;
    assert_eq!((counters.sent_items, counters.retries), (5, 4));
}

#[tokio::test]
async fn what_is_no_otlp_receiver_is_named() {
    let html = || Reply::Http(200, vec![("content-type", "text/html")], b"<html>");
    for (set, reply, expected) in [
        (vec![HTTP], html(), "http://localhost:PORT does not speak OTLP over HTTP: it answered 200 OK with content type \"text/html\""),
        (
            vec![HTTP],
            Reply::Http(404, vec![("content-type", "text/plain")], b"404 page\nnot found"),
            "http://localhost:PORT answered 404 Not Found: 404 page not found (is the path of the endpoint right?)",
        ),
        (
            vec![HTTP],
            Reply::Http(400, vec![("content-type", "application/x-protobuf")], b"\x08\x03\x12\x03bad"),
            "http://localhost:PORT answered 400 Bad Request: bad",
        ),
        (
            vec![HTTP],
            Reply::Http(301, vec![("location", "https://other/")], b""),
            "http://localhost:PORT answered 301 Moved Permanently: it points to https://other/; set the endpoint to that",
        ),
        (
            vec![],
            html(),
            "http://localhost:PORT does not speak OTLP over gRPC: it answered 200 OK with text/html; \
             for OTLP over HTTP set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
        ),
        (vec![], Reply::GrpcStatus(12, None), "http://localhost:PORT answered Unimplemented: no room; the receiver has no such service"),
    ] {
        let sink = Sink::start(vec![], reply, None).await;
        let counters = export(client("http", &sink, &set)).await;
        assert_eq!(error_of(&counters, &sink), expected);
        assert_eq!((counters.dropped(DropReason::Refused), sink.received().len()), (5, 1));
    }
}

#[tokio::test]
async fn an_answer_above_the_limit_is_not_read() {
    static LARGE: [u8; 5 * 1024 * 1024] = [0; 5 * 1024 * 1024];
    let sink = Sink::start(vec![], Reply::Http(200, vec![("content-type", "application/x-protobuf")], &LARGE), None).await;
    let counters = export(client("http", &sink, &[HTTP])).await;
    assert_eq!(error_of(&counters, &sink), "the answer of http://localhost:PORT is larger than 4194304 bytes");
    assert_eq!(counters.dropped(DropReason::Refused), 5);
}

#[tokio::test]
async fn nothing_that_listens_is_one_clear_line() {
    let sink = Sink::start(vec![], accepted(), None).await;
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = format!("http://{free}");
    let error = first_failure(client("http", &sink, &[("ENDPOINT", &endpoint)])).await;
    assert_eq!(error, format!("cannot connect to {endpoint}: Connection refused (os error 111)"));
}

#[tokio::test]
async fn tls_works_with_the_right_authority_and_names_a_wrong_one() {
    let (right, wrong) = (Authority::new("right"), Authority::new("wrong"));
    for protocol in ["grpc", "http/protobuf"] {
        let reply = if protocol == "grpc" { accepted() } else { http_accepted() };
        let sink = Sink::start(vec![], reply, Some(acceptor(right.sign("server", "localhost"), None))).await;
        let with =
            |authority: &Authority| client("https", &sink, &[("PROTOCOL", protocol), ("CERTIFICATE", authority.pem.to_str().unwrap())]);
        assert_eq!(export(with(&right)).await.sent_items, 5);
        let error = first_failure(with(&wrong)).await;
        assert!(error.contains("invalid peer certificate: UnknownIssuer; set OTEL_EXPORTER_OTLP_CERTIFICATE"), "{error}");
    }
}

#[tokio::test]
async fn a_receiver_that_wants_a_client_certificate_gets_it() {
    let authority = Authority::new("mutual");
    let sink = Sink::start(vec![], accepted(), Some(acceptor(authority.sign("mutual-server", "localhost"), Some(&authority)))).await;
    let shown = authority.sign("mutual-client", "agent");
    let ca = ("CERTIFICATE", authority.pem.to_str().unwrap());
    let certificate = ("CLIENT_CERTIFICATE", shown.certificate_pem.to_str().unwrap());
    let key = ("CLIENT_KEY", shown.key_pem.to_str().unwrap());
    assert_eq!(export(client("https", &sink, &[ca, certificate, key])).await.sent_items, 5);
    let error = first_failure(client("https", &sink, &[ca])).await;
    assert!(error.contains("set OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"), "{error}");
}

#[tokio::test]
async fn tls_towards_a_receiver_without_it_is_named() {
    let authority = Authority::new("unused");
    let sink = Sink::start(vec![], accepted(), None).await;
    let error = first_failure(client("https", &sink, &[("CERTIFICATE", authority.pem.to_str().unwrap())])).await;
    assert!(error.contains("without TLS the endpoint begins with http://"), "{error}");
}

#[tokio::test]
async fn certificates_that_cannot_be_read_stop_the_start() {
    let sink = Sink::start(vec![], accepted(), None).await;
    let config = client("https", &sink, &[("CERTIFICATE", "/nonexistent/ca.pem")]);
    let error = Exporter::start(ExporterConfig::new(vec![config]), &Handle::current()).err().unwrap().to_string();
    assert!(error.starts_with("/nonexistent/ca.pem: "), "{error}");
}

#[tokio::test]
async fn a_signal_without_a_client_is_refused_and_submitting_needs_no_runtime() {
    let sink = Sink::start(vec![], accepted(), None).await;
    let exporter = std::sync::Arc::new(exporter(client("http", &sink, &[])));
    let from_thread = std::sync::Arc::clone(&exporter);
    std::thread::spawn(move || {
        from_thread.submit(batch(1)).unwrap();
        from_thread.submit(EncodedBatch { signal: Signal::Logs, ..batch(1) }).unwrap_err();
    })
    .join()
    .unwrap();
    exporter.shutdown(Duration::from_secs(600)).await;
    assert_eq!(exporter.counters(Signal::Traces).unwrap().sent_items, 1);
    assert_eq!(exporter.counters(Signal::Logs), None);
}
