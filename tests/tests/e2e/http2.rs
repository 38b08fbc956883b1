//! HTTP/2 and gRPC: each stream is a request of its own, however many share a connection.

mod root {
    use remora_tests::{Call, Client, Item, Scene, Server, Telemetry, by_attributes, calls, count, run};

    const HTTP: [&str; 4] = ["http.request.method", "http.response.status_code", "http.response.body.size", "network.protocol.version"];
    const RPC: [&str; 3] = ["rpc.method", "rpc.response.status_code", "error.type"];

    fn both_ends(telemetry: &Telemetry, port: u16) -> Vec<Call> {
        let (calls, alone) = calls(telemetry.spans_of_port(port));
        assert!(alone.is_empty(), "lost: {}\n{alone:#?}", telemetry.losses);
        calls
    }

    /// Name and status of a call, and of what kind of error it is for either end.
    fn line(call: &Call) -> String {
        let name = call.client.line(&["rpc.response.status_code"]);
        let name = name.split(" | error=").next().unwrap_or_default();
        let server = call.server.line(&["rpc.response.status_code"]);
        assert_eq!(Some(name), server.split(" | error=").next(), "{call:#?}");
        let [client, server] = [&call.client, &call.server].map(|span| span.attribute("error.type"));
        match (client.as_str(), server.as_str()) {
            (None, None) => name.to_owned(),
            (client, server) => format!("{name} | {} {}", client.unwrap_or("-"), server.unwrap_or("-")),
        }
    }

    fn of(calls: &[Call], service: &str) -> Vec<Call> {
        calls.iter().filter(|call| call.client.service() == service).cloned().collect()
    }

    #[test]
    fn each_stream_of_a_connection_is_a_request() {
        let Some(server) = Server::nghttpd() else { return };
        let port = server.port();
        let Some(scene) = Scene::start() else { return };
        let url = |path: &str| format!("http://127.0.0.1:{port}/{path}");
        assert_eq!(run("nghttp", &["-n", &url("page"), &url("missing"), &url("page?a=1")]), Some(true));
        assert_eq!(run("h2load", &["-n", "2000", "-c", "4", "-m", "25", &url("page")]), Some(true));
        assert_eq!(run("curl", &["-s", "--http2-prior-knowledge", "-o", "/dev/null", &url("page")]), Some(true));

        let telemetry = scene.end();
        let calls = both_ends(&telemetry, port);
        let line = |call: &Call| {
            let [client, server] = [&call.client, &call.server].map(|span| HTTP.map(|key| span.attribute(key).to_string()).join(" "));
            assert_eq!(client, server);
            client
        };
        let lines = |service: &str| -> Vec<String> { of(&calls, service).iter().map(line).collect() };
        assert_eq!(lines("nghttp"), ["\"GET\" 200 5 \"2\"", "\"GET\" 404 148 \"2\"", "\"GET\" 200 5 \"2\""]);
        assert_eq!(count(lines("h2load")).into_iter().collect::<Vec<_>>(), [("\"GET\" 200 5 \"2\"".to_owned(), 2000)]);
        assert_eq!(lines("curl"), ["\"GET\" 200 5 \"2\""]);
    }

    #[test]
    fn a_request_that_is_upgraded_is_answered_by_http2() {
        let Some(server) = Server::apache() else { return };
        let port = server.port();
        let Some(scene) = Scene::start() else { return };
        let url = |path: &str| format!("http://127.0.0.1:{port}/{path}");
        for path in ["page", "missing"] {
            assert_eq!(run("curl", &["-s", "--http2", "-o", "/dev/null", &url(path)]), Some(true));
            assert_eq!(run("nghttp", &["-n", "-u", &url(path)]), Some(true));
        }

        let telemetry = scene.end();
        let calls = both_ends(&telemetry, port);
        let line = |call: &Call| {
            let keys = ["http.request.method", "url.path", "http.response.status_code", "network.protocol.version"];
            keys.map(|key| call.server.attribute(key).to_string()).join(" ")
        };
        for client in ["curl", "nghttp"] {
            let lines: Vec<String> = of(&calls, client).iter().map(line).collect();
            assert_eq!(lines, ["\"GET\" \"/page\" 200 \"1.1\"", "\"GET\" \"/missing\" 404 \"1.1\""], "{client}");
        }
    }

    #[test]
    fn each_call_of_grpc_is_seen_with_its_status() {
        let Some(server) = Server::script("grpc_server.py", &[]) else { return };
        let port = server.port();
        let Some(python) = Client::connected("grpc_client.py", &[port]) else { return };
        let Some(go) = Client::connected("gogrpc_client.go", &[port]) else { return };
        let Some(scene) = Scene::start() else { return };
        python.talk();
        go.talk();
        let Some(node) = Client::start("grpcjs_client.js", &[port]) else { return };
        node.finish();

        let telemetry = scene.end();
        let calls = both_ends(&telemetry, port);
        let lines = |service: &str| -> Vec<String> { of(&calls, service).iter().map(line).collect() };
        let python = lines("grpc_client");
        let (one, many) = python.split_at(14.min(python.len()));
        assert_eq!(
            one,
            [
                // Calls on the connection that is older than the agent, in fields that were sent before it.
                "grpc | -",
                "grpc | -",
                "shop.Cart/Get | OK",
                "shop.Cart/Get | OK",
                "shop.Cart/Get | OK",
                "shop.Cart/Get | OK",
                "shop.Cart/Get | OK",
                "shop.Cart/Missing | NOT_FOUND | NOT_FOUND -",
                "shop.Cart/Broken | UNKNOWN | UNKNOWN UNKNOWN",
                "shop.Cart/Nowhere | UNIMPLEMENTED | UNIMPLEMENTED UNIMPLEMENTED",
                "shop.Cart/Slow | DEADLINE_EXCEEDED | DEADLINE_EXCEEDED DEADLINE_EXCEEDED",
                "shop.Cart/List | OK",
                "shop.Cart/Add | OK",
                "shop.Cart/Talk | OK",
            ]
        );
        assert_eq!(many, ["shop.Cart/Get | OK"; 3 * 6], "calls of up to 300 KB at once");
        assert_eq!(
            lines("grpcjs_client"),
            [
                "shop.Cart/Get | OK",
                "shop.Cart/Get | OK",
                "shop.Cart/Missing | NOT_FOUND | NOT_FOUND -",
                "shop.Cart/Broken | UNKNOWN | UNKNOWN UNKNOWN",
                "shop.Cart/Slow | DEADLINE_EXCEEDED | DEADLINE_EXCEEDED DEADLINE_EXCEEDED",
                "shop.Cart/List | OK",
                "shop.Cart/Get | OK",
                "shop.Cart/Get | OK",
                "shop.Cart/Get | OK",
                "shop.Cart/Get | OK",
            ]
        );
        let go = lines("gogrpc_client");
        let (one, many) = go.split_at(6.min(go.len()));
        assert_eq!(
            one,
            [
                "grpc | -",
                "shop.Cart/Get | OK",
                "shop.Cart/Missing | NOT_FOUND | NOT_FOUND -",
                "shop.Cart/Broken | UNKNOWN | UNKNOWN UNKNOWN",
                "shop.Cart/Slow | DEADLINE_EXCEEDED | DEADLINE_EXCEEDED DEADLINE_EXCEEDED",
                "shop.Cart/List | OK",
            ]
        );
        assert_eq!(many, ["shop.Cart/Get | OK"; 20], "calls at once");
        let known = calls.iter().filter(|call| call.client.text("name") == "shop.Cart/Get");
        let torn = known.flat_map(|call| [&call.client, &call.server]).filter(|span| !span.attribute("remora.incomplete").is_null());
        assert_eq!(torn.collect::<Vec<_>>(), Vec::<&Item>::new(), "lost: {}", telemetry.losses);
        for service in ["grpc_client", "grpcjs_client", "gogrpc_client"] {
            let spans: Vec<Item> = of(&calls, service).into_iter().map(|call| call.client).collect();
            assert_eq!(telemetry.counted("rpc.client.call.duration", service, port, &RPC), by_attributes(&spans, &RPC));
        }
        let spans: Vec<Item> = calls.iter().map(|call| call.server.clone()).collect();
        assert_eq!(telemetry.counted("rpc.server.call.duration", "grpc_server", port, &RPC), by_attributes(&spans, &RPC));
    }
}
