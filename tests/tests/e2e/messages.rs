//! Every shape that an HTTP/1.1 message has: bodies of all framings and sizes, pipelining, interim responses, long heads.

mod root {
    use crate::{answer_once, curl, exchange};
    use remora_tests::{Call, Item, Nginx, Scene, Telemetry, calls, part};
    use serde_json::Value;
    use std::fs::{self, File};
    use std::io::Write;
    use std::net::TcpListener;
    use std::thread::sleep;
    use std::time::{Duration, Instant};

    fn both_ends(telemetry: &Telemetry, port: u16) -> Vec<Call> {
        let (calls, alone) = calls(telemetry.spans_of_port(port));
        assert!(alone.is_empty(), "{alone:#?}");
        calls
    }

    fn duration(span: &Item) -> Duration {
        Duration::from_nanos(span.nanos("endTimeUnixNano") - span.nanos("startTimeUnixNano"))
    }

    /// Method, path, status, and the sizes of both bodies, which must be the same at both ends.
    fn row(call: &Call) -> (Value, Value, Value, Value, Value) {
        let [method, status, sent, received] =
            ["http.request.method", "http.response.status_code", "http.request.body.size", "http.response.body.size"].map(|key| {
                assert_eq!(call.client.attribute(key), call.server.attribute(key), "{key}");
                call.server.attribute(key)
            });
        (method, call.server.attribute("url.path"), status, sent, received)
    }

    fn expected(rows: &[(&str, &str, u16, u64, u64)]) -> Vec<(Value, Value, Value, Value, Value)> {
        rows.iter()
            .map(|(method, path, status, sent, received)| {
                ((*method).into(), (*path).into(), (*status).into(), (*sent).into(), (*received).into())
            })
            .collect()
    }

    #[test]
    fn a_file_sent_slowly_ends_with_its_last_byte_and_has_its_size() {
        const SIZE: u64 = 24 << 20;
        let (Some(_), Some(nginx), Some(scene)) = (part("curl"), Nginx::start(), Scene::start()) else { return };
        File::create(nginx.files().join("big")).and_then(|file| file.set_len(SIZE)).expect("a sparse file");
        let start = Instant::now();
        assert!(curl(&["-o", "/dev/null", "--limit-rate", "16M", &nginx.url("/files/big"), "-o", "/dev/null", &nginx.url("/after")]));
        let took = start.elapsed();

        let telemetry = scene.end();
        let calls = both_ends(&telemetry, nginx.port());
        let rows: Vec<_> = calls.iter().map(row).collect();
        assert_eq!(rows, expected(&[("GET", "/files/big", 200, 0, SIZE), ("GET", "/after", 200, 0, 6)]));
        // curl reads evenly over the whole time; what fits into the buffers of the sockets may have arrived earlier.
        for span in [&calls[0].client, &calls[0].server] {
            assert!(duration(span) > took / 3 && duration(span) <= took, "{:?} of {took:?}", duration(span));
        }
    }

    #[test]
    fn a_chunked_body_with_extensions_and_trailers_ends_with_its_trailers() {
        let (Some(_), Some(scene)) = (part("curl"), Scene::start()) else { return };
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let server = answer_once(listener, |mut stream| {
            let start = Instant::now();
            let pieces = [
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Sum\r\n\r\n",
                "6;part=1\r\nhello ",
                "\r\n5\r",
                "\nworld\r\n0\r\nSum: 11\r\n\r\n",
            ];
            for piece in pieces {
                sleep(Duration::from_millis(60));
                stream.write_all(piece.as_bytes()).expect("a client that reads");
            }
            start.elapsed()
        });
        assert!(curl(&[&format!("http://127.0.0.1:{port}/chunks")]));
        let took = server.join().expect("a server");

        let telemetry = scene.end();
        let calls = both_ends(&telemetry, port);
        assert_eq!(calls.iter().map(row).collect::<Vec<_>>(), expected(&[("GET", "/chunks", 200, 0, 11)]));
        assert!(duration(&calls[0].server) >= took - Duration::from_millis(20), "{:?} of {took:?}", duration(&calls[0].server));
    }

    #[test]
    fn pipelined_requests_are_answered_in_their_order_and_what_stays_open_fails() {
        let (Some(nginx), Some(scene)) = (Nginx::start(), Scene::start()) else { return };
        // nginx closes the connection after an answer of 500.
        let expected = [("/a", 200), ("/missing", 404), ("/b", 200), ("/empty", 204), ("/broken", 500)];
        let paths = expected.iter().map(|(path, _)| *path).chain(["/unanswered"]);
        let requests: String = paths.map(|path| format!("GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n")).collect();
        exchange(nginx.port(), &[&format!("{requests}GET /late HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")]);

        let telemetry = scene.end();
        let spans: Vec<Item> = telemetry.spans.iter().filter(|span| span.attribute("server.address") == "shop").cloned().collect();
        let (calls, alone) = calls(spans);
        assert!(alone.is_empty(), "{alone:#?}");
        let field = |call: &Call, key| (call.client.attribute(key), call.server.attribute(key));
        let found: Vec<(Value, Value)> = calls.iter().map(|call| field(call, "http.response.status_code")).collect();
        let statuses = expected.map(|(_, status)| Value::from(status)).into_iter().chain([Value::Null, Value::Null]);
        assert_eq!(found, statuses.map(|status| (status.clone(), status)).collect::<Vec<_>>());
        let found: Vec<Value> = calls.iter().map(|call| call.server.attribute("url.path")).collect();
        assert_eq!(found, ["/a", "/missing", "/b", "/empty", "/broken", "/unanswered", "/late"]);
        for call in &calls[5..] {
            assert_eq!(field(call, "error.type"), ("connection_closed".into(), "connection_closed".into()));
        }
    }

    #[test]
    fn heads_of_60_kilobytes_and_bodies_of_megabytes_do_not_hide_the_next_request() {
        let (Some(_), Some(nginx), Some(scene)) = (part("curl"), Nginx::start(), Scene::start()) else { return };
        let directory = tempfile::TempDir::new().expect("a scratch directory");
        let (head, body) = (directory.path().join("head"), directory.path().join("body"));
        fs::write(&head, format!("X-Big: {}\n", "x".repeat(60_000))).expect("a writable file");
        fs::write(&body, vec![b'y'; 3_000_000]).expect("a writable file");
        let (head, body) = (format!("@{}", head.display()), format!("@{}", body.display()));
        let url = nginx.url("/upload");
        assert!(curl(&["-H", &head, "-d", "small", &url, "--next", "-s", "-H", "Expect: 100-continue", "--data-binary", &body, &url]));
        assert!(curl(&["-I", &nginx.url("/files/none"), "--next", "-s", &nginx.url("/empty"), &nginx.url("/end")]));

        let telemetry = scene.end();
        let rows: Vec<_> = both_ends(&telemetry, nginx.port()).iter().map(row).collect();
        let expected = expected(&[
            ("POST", "/upload", 200, 5, 6),
            ("POST", "/upload", 200, 3_000_000, 6),
            ("HEAD", "/files/none", 404, 0, 0),
            ("GET", "/empty", 204, 0, 0),
            ("GET", "/end", 200, 0, 6),
        ]);
        assert_eq!(rows, expected);
    }
}
