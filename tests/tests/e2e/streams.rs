//! Connections that stay: WebSocket and server-sent events. The request that opened them is a span, what passes afterwards
//! is counted and never taken for a request.

mod root {
    use remora_tests::{Client, Scene, Server, Telemetry, calls, run, wait_until};
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpStream;

    /// Events in a row that are more than is copied of other responses.
    const EVENTS: u64 = 500;

    /// The value of a metric by direction, as it was counted last.
    fn value(telemetry: &Telemetry, metric: &str, service: &str, port: u16, direction: &str) -> u64 {
        let values = telemetry.counted(metric, service, port, &["network.io.direction"]);
        values.get(direction).copied().unwrap_or_else(|| panic!("{metric} of {service}: {values:?}"))
    }

    #[test]
    fn messages_of_websockets_are_counted_at_both_ends() {
        let Some(server) = Server::script("websocket_server.py", &[]) else { return };
        let port = server.port();
        let Some(mut python) = Client::connected("websocket_client.py", &[port]) else { return };
        let interval = [("OTEL_METRIC_EXPORT_INTERVAL", "200".to_owned())];
        let Some(scene) = Scene::start_with(interval) else { return };
        python.go_on();
        python.wait_for("talked");
        let Some(node) = Client::start("ws_client.js", &[port]) else { return };
        node.finish();
        let open = |now: u64| {
            let telemetry = Telemetry { metrics: scene.collector.metrics(), ..Telemetry::default() };
            let ends = [("websocket_client", "client"), ("websocket_server", "server")];
            let counts = ends.map(|(service, role)| {
                telemetry.counted("remora.websocket.connections", service, port, &["remora.connection.role"]).get(role).copied()
            });
            (counts == [Some(now); 2]).then_some(())
        };
        // That of the first client is older than the agent, which cannot know what it is.
        wait_until("one open connection at both ends", || open(1));
        python.talk();
        wait_until("no open connection", || open(0));

        let telemetry = scene.end();
        let (calls, alone) = calls(telemetry.spans_of_port(port));
        assert!(alone.is_empty(), "{alone:#?}");
        let upgrades: Vec<String> =
            calls.iter().map(|call| call.client.line(&["http.response.status_code", "remora.http.upgrade"])).collect();
        assert_eq!(upgrades, ["GET /chat | 101 | websocket"; 2], "no message is a request");
        let sizes = 1 + 100 + 70_000 + 14;
        for (service, role, n, bytes) in
            [("websocket_client", "client", 4, sizes), ("ws_client", "client", 10, 40), ("websocket_server", "server", 14, sizes + 40)]
        {
            for direction in ["transmit", "receive"] {
                assert_eq!(value(&telemetry, "remora.websocket.messages", service, port, direction), n, "{role}");
                assert_eq!(value(&telemetry, "remora.websocket.io", service, port, direction), bytes, "{role}");
            }
        }
    }

    #[test]
    fn a_stream_of_events_is_one_request_that_ends_with_its_last_event() {
        let Some(server) = Server::script("event_stream.py", &[]) else { return };
        let port = server.port();
        let Some(scene) = Scene::start_with([("OTEL_METRIC_EXPORT_INTERVAL", "200".to_owned())]) else { return };
        let url = |path: &str| format!("http://127.0.0.1:{port}/{path}");
        assert_eq!(run("curl", &["-s", "-N", "-o", "/dev/null", &url("events/20"), "-o", "/dev/null", &url("events/3")]), Some(true));
        let counts = |metric: &str, key: &str, value: &str, n: u64| {
            let telemetry = Telemetry { metrics: scene.collector.metrics(), ..Telemetry::default() };
            (telemetry.counted(metric, "event_stream", port, &[key]).get(value) == Some(&n)).then_some(())
        };
        let open = |now: u64| counts("remora.sse.streams", "remora.connection.role", "server", now);
        let answered = |empty: u64| counts("http.server.request.duration", "http.response.status_code", "204", empty);
        let ask = |events: u64, empty: u64| {
            let mut reader = TcpStream::connect(("127.0.0.1", port)).expect("a server");
            let mut send = |path: &str| {
                write!(reader, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n").expect("a server that reads");
            };
            // Its capture is decided by then: the stream has to change it while nobody but the server speaks.
            send("/empty");
            wait_until("the first answer", || answered(empty));
            send(&format!("/forever/{events}"));
            wait_until("an open stream", || open(1));
            reader
        };
        let reader = ask(EVENTS, 1);
        assert_eq!(run("curl", &["-s", &url("go")]), Some(true));
        let lines = BufReader::new(&reader).lines().map_while(Result::ok);
        let events = lines.filter(|line| line.starts_with("data: ")).take(EVENTS as usize + 1);
        assert_eq!(events.count() as u64, EVENTS + 1);
        drop(reader);
        wait_until("no open stream", || open(0));
        // One whose reader has not read what has come: its end is a reset.
        drop(ask(0, 3));
        wait_until("no open stream", || open(0));

        let telemetry = scene.end();
        let (calls, alone) = calls(telemetry.spans_of_port(port));
        assert!(alone.is_empty(), "{alone:#?}");
        let ends: Vec<String> = calls
            .iter()
            .map(|call| {
                let [client, server] = [&call.client, &call.server]
                    .map(|span| format!("{} {}", span.attribute("http.response.status_code"), span.attribute("error.type")));
                assert_eq!(client, server);
                client
            })
            .collect();
        assert_eq!(ends, ["200 null", "200 null", "204 null", "200 null", "204 null", "204 null", "200 \"request_cancelled\""]);
        let counted =
            telemetry.counted("http.server.request.duration", "event_stream", port, &["http.response.status_code", "remora.http.stream"]);
        assert_eq!(counted.into_iter().collect::<Vec<_>>(), [("200 | event-stream".to_owned(), 4), ("204 | -".to_owned(), 3)]);
        let events = 20 + 3 + EVENTS + 2;
        assert_eq!(value(&telemetry, "remora.sse.messages", "event_stream", port, "transmit"), events);
        assert_eq!(value(&telemetry, "remora.sse.io", "event_stream", port, "transmit"), 4 * events);
        assert_eq!(value(&telemetry, "remora.sse.messages", "curl", port, "receive"), 20 + 3);
    }
}
