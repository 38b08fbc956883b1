//! Connections that fail, break, speak IPv6 or are older than the agent.

mod root {
    use crate::{answer_once, curl, exchange, read_response};
    use remora_tests::{Nginx, Scene, SpanKind, calls, free_port, part};
    use rustix::net::sockopt::set_socket_linger;
    use rustix::process::Signal;
    use serde_json::Value;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    #[test]
    fn a_refused_connect_is_one_error_span() {
        let (Some(_), Some(scene)) = (part("curl"), Scene::start()) else { return };
        let port = free_port();
        assert!(!curl(&[&format!("http://127.0.0.1:{port}/")]));

        let telemetry = scene.end();
        let failures = telemetry.counted("remora.tcp.connect.failures", "curl", port, &["error.type"]);
        assert_eq!(failures.into_iter().collect::<Vec<_>>(), [("connection_refused".to_owned(), 1)]);
        let spans = telemetry.spans_of_port(port);
        assert_eq!(spans.len(), 1, "{spans:#?}");
        assert_eq!((spans[0].kind(), spans[0].is_error(), spans[0].service()), (SpanKind::Client, true, "curl"));
        assert_eq!(
            (spans[0].attribute("error.type"), spans[0].attribute("server.address")),
            ("connection_refused".into(), "127.0.0.1".into())
        );
    }

    #[test]
    fn of_what_is_excluded_nothing_is_told() {
        let (Some(_), Some(nginx), refusing) = (part("curl"), Nginx::start(), free_port()) else { return };
        let file = tempfile::NamedTempFile::with_suffix(".yaml").expect("a scratch file");
        std::fs::write(file.path(), format!("selection: {{ exclude: [{{service: nginx}}, {{port: {refusing}}}] }}")).expect("writable");
        let Some(scene) = Scene::start_with([("REMORA_CONFIG", file.path().display().to_string())]) else { return };
        assert!(curl(&[&nginx.url("/[1-3]")]));
        assert!(!curl(&[&format!("http://127.0.0.1:{refusing}/")]));

        let telemetry = scene.end();
        let services: Vec<_> = telemetry.spans_of_port(nginx.port()).iter().map(|span| span.service().to_owned()).collect();
        assert_eq!(services, ["curl", "curl", "curl"]);
        let of_nginx: Vec<_> = telemetry.metrics.iter().filter(|item| item.service() == "nginx").collect();
        assert!(of_nginx.is_empty(), "{of_nginx:#?}");
        let asked = telemetry.counted("remora.tcp.io", "curl", nginx.port(), &["network.io.direction"]);
        assert_eq!(asked.len(), 2, "{asked:?}");
        assert_eq!(telemetry.spans_of_port(refusing).len(), 0);
        let failures = telemetry.counted_by("remora.tcp.connect.failures", |_| true, refusing, &["error.type"]);
        assert!(failures.is_empty(), "{failures:?}");
    }

    #[test]
    fn a_reset_in_the_middle_of_a_response_is_an_error_at_both_ends() {
        let (Some(_), Some(scene)) = (part("curl"), Scene::start()) else { return };
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let server = answer_once(listener, |mut stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this").expect("a client that reads");
            set_socket_linger(&stream, Some(Duration::ZERO)).expect("a socket option");
        });
        assert!(!curl(&[&format!("http://127.0.0.1:{port}/cut")]));
        server.join().expect("a server");

        let telemetry = scene.end();
        let (calls, alone) = calls(telemetry.spans_of_port(port));
        assert!(alone.is_empty() && calls.len() == 1, "{calls:#?} {alone:#?}");
        for span in [&calls[0].client, &calls[0].server] {
            assert!(span.is_error());
            assert_eq!(
                (span.attribute("error.type"), span.attribute("http.response.status_code")),
                ("connection_reset".into(), 200.into())
            );
        }
    }

    #[test]
    fn addresses_of_both_families_are_shown_as_they_are_spoken() {
        let port = free_port();
        let listen = [format!("[::]:{port} ipv6only=off")];
        let (Some(_), Some(mut nginx)) = (part("curl"), Nginx::start_in(&[], &listen, port)) else { return };
        nginx.process().wait_for_port(port);
        let Some(scene) = Scene::start() else { return };
        for host in ["[::1]", "127.0.0.1", "[::ffff:127.0.0.1]"] {
            assert!(curl(&[&format!("http://{host}:{port}/")]), "{host}");
        }

        let telemetry = scene.end();
        let (calls, alone) = calls(telemetry.spans_of_port(port));
        assert!(alone.is_empty(), "{alone:#?}");
        for end in [|call: &remora_tests::Call| call.client.clone(), |call: &remora_tests::Call| call.server.clone()] {
            let peers: Vec<Value> = calls.iter().map(|call| end(call).attribute("network.peer.address")).collect();
            assert_eq!(peers, ["::1", "127.0.0.1", "127.0.0.1"]);
        }
    }

    #[test]
    fn a_connection_that_is_older_than_the_agent_is_seen_from_its_next_request_on() {
        let Some(nginx) = Nginx::start() else { return };
        let mut stream = TcpStream::connect(("127.0.0.1", nginx.port())).expect("nginx");
        let host = format!("127.0.0.1:{}", nginx.port());
        let mut ask = |path: &str| {
            write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").expect("nginx");
            read_response(&mut stream)
        };
        ask("/before");
        let Some(scene) = Scene::start() else { return };
        ask("/first");
        ask("/second");

        let telemetry = scene.end();
        let (calls, alone) = calls(telemetry.spans_of_port(nginx.port()));
        assert!(alone.is_empty(), "{alone:#?}");
        let paths: Vec<Value> = calls.iter().map(|call| call.server.attribute("url.path")).collect();
        assert_eq!(paths, ["/first", "/second"]);
        assert!(calls.iter().all(|call| call.server.service() == "nginx" && call.client.service().starts_with("e2e")), "{calls:#?}");
    }

    #[test]
    fn an_agent_that_is_held_up_misses_nothing_of_a_new_connection() {
        let (Some(nginx), Some(mut scene)) = (Nginx::start(), Scene::start()) else { return };
        let host = format!("127.0.0.1:{}", nginx.port());
        scene.agent.process().signal(Signal::STOP);
        let requests: Vec<String> = (0..500).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: {host}\r\n\r\n")).collect();
        let requests: Vec<&str> = requests.iter().map(String::as_str).collect();
        exchange(nginx.port(), &requests);
        scene.agent.process().signal(Signal::CONT);

        let telemetry = scene.end();
        let (calls, alone) = calls(telemetry.spans_of_port(nginx.port()));
        assert_eq!((calls.len(), alone.len()), (500, 0), "lost: {}", telemetry.losses);
    }
}
