//! Calls that a server makes while it serves: they belong to the request that they are made for, or to none.

mod root {
    use crate::curl;
    use remora_tests::{Call, Nginx, Process, Scene, Server, calls, free_port, part, repository};
    use std::collections::HashMap;
    use std::process::Command;

    fn python(script: &str, port: u16, arguments: &[String]) -> Option<Process> {
        let mut command = Command::new(part("python3")?);
        command.arg(repository().join("tests/servers").join(script)).arg(port.to_string()).args(arguments);
        let mut process = Process::start(script, &mut command);
        process.wait_for_port(port);
        Some(process)
    }

    fn path(call: &Call) -> String {
        call.server.attribute("url.path").as_str().unwrap_or_default().to_owned()
    }

    #[test]
    fn a_call_of_a_serving_thread_hangs_below_the_request_that_it_serves() {
        let (Some(nginx), port) = (Nginx::start(), free_port()) else { return };
        let Some(_front) = python("threaded.py", port, &[nginx.url("")]) else { return };
        let Some(scene) = Scene::start() else { return };
        let many = format!("http://127.0.0.1:{port}/work/[1-100]");
        if !curl(&["-Z", "--parallel-max", "8", "-o", "/dev/null", &many]) {
            return;
        }

        let telemetry = scene.end();
        let (incoming, alone) = calls(telemetry.spans_of_port(port));
        assert!(alone.is_empty(), "{alone:#?}");
        let (outgoing, alone) = calls(telemetry.spans_of_port(nginx.port()));
        assert!(alone.is_empty(), "{alone:#?}");
        assert_eq!((incoming.len(), outgoing.len()), (100, 100), "lost: {}", telemetry.losses);
        let incoming: HashMap<String, Call> = incoming.into_iter().map(|call| (path(&call), call)).collect();
        for call in &outgoing {
            let serving = &incoming[&path(call)];
            assert_eq!(call.client.text("parentSpanId"), serving.server.text("spanId"), "{}", path(call));
            assert_eq!(call.client.text("traceId"), serving.client.text("traceId"));
            assert_eq!(call.client.service(), serving.server.service());
        }
    }

    #[test]
    fn a_request_that_completes_the_handshake_is_a_parent_like_any_other() {
        let (Some(nginx), port) = (Nginx::start(), free_port()) else { return };
        let Some(_front) = python("threaded.py", port, &[nginx.url(""), "deferred".into()]) else { return };
        let Some(scene) = Scene::start() else { return };
        let urls: Vec<String> = (0..5).map(|n| format!("http://127.0.0.1:{port}/work/{n}")).collect();
        assert!(urls.iter().all(|url| curl(&[url])), "a connection each");

        let telemetry = scene.end();
        let (incoming, _) = calls(telemetry.spans_of_port(port));
        let (outgoing, _) = calls(telemetry.spans_of_port(nginx.port()));
        let parents: Vec<&str> = outgoing.iter().map(|call| call.client.text("parentSpanId")).collect();
        let served: Vec<&str> = incoming.iter().map(|call| call.server.text("spanId")).collect();
        assert_eq!(served.len(), 5);
        assert_eq!(parents, served, "both in the order of their starts");
    }

    #[test]
    fn an_unwanted_request_leaves_no_span_and_is_nobodys_parent() {
        let (Some(nginx), port) = (Nginx::start(), free_port()) else { return };
        let Some(_front) = python("threaded.py", port, &[nginx.url("")]) else { return };
        let rules = format!("[{{port: {port}, path: /work/*}}]");
        let file = tempfile::NamedTempFile::with_suffix(".yaml").expect("a scratch file");
        std::fs::write(file.path(), format!("selection: {{ exclude: {rules} }}")).expect("a writable file");
        let config = file.path().display().to_string();
        let Some(scene) = Scene::start_with([("REMORA_CONFIG", config)]) else { return };
        if !curl(&[&format!("http://127.0.0.1:{port}/work/[1-3]")]) {
            return;
        }

        let telemetry = scene.end();
        assert_eq!(telemetry.spans_of_port(port).len(), 0, "neither end of what is not wanted");
        let (outgoing, alone) = calls(telemetry.spans_of_port(nginx.port()));
        assert!(alone.is_empty(), "{alone:#?}");
        let parents: Vec<&str> = outgoing.iter().map(|call| call.client.text("parentSpanId")).collect();
        assert_eq!(parents, ["", "", ""], "nobody exports the spans above them");
        assert!(outgoing.iter().all(|call| call.server.text("parentSpanId") == call.client.text("spanId")));
    }

    #[test]
    fn a_call_of_an_event_loop_has_a_parent_only_where_one_request_is_in_flight() {
        let (Some(nginx), port) = (Nginx::start(), free_port()) else { return };
        let arguments = ["127.0.0.1".to_owned(), nginx.port().to_string()];
        let Some(_front) = python("event_loop.py", port, &arguments) else { return };
        let Some(scene) = Scene::start() else { return };
        let url = |paths: &str| format!("http://127.0.0.1:{port}{paths}");
        if !curl(&[&url("/single/[1-10]")]) || !curl(&["-Z", "--parallel-immediate", &url("/pair/[1-20]")]) {
            return;
        }

        let telemetry = scene.end();
        let (incoming, alone) = calls(telemetry.spans_of_port(port));
        assert!(alone.is_empty(), "{alone:#?}");
        let (outgoing, alone) = calls(telemetry.spans_of_port(nginx.port()));
        assert!(alone.is_empty(), "{alone:#?}");
        assert_eq!((incoming.len(), outgoing.len()), (30, 30), "lost: {}", telemetry.losses);
        let incoming: HashMap<String, Call> = incoming.into_iter().map(|call| (path(&call), call)).collect();
        for call in &outgoing {
            let (parent, serving) = (call.client.text("parentSpanId"), incoming[&path(call)].server.text("spanId"));
            let single = path(call).starts_with("/single/");
            assert!(parent == serving || (!single && parent.is_empty()), "{}: {parent} is not {serving}", path(call));
        }
    }

    #[test]
    fn what_a_request_asks_of_a_cache_and_a_database_hangs_below_it() {
        let (Some(cache), Some(database)) = (Server::redis(), Server::postgres()) else { return };
        let Some(shop) = Server::script("shop.py", &[cache.port(), database.port()]) else { return };
        let Some(scene) = Scene::start() else { return };
        let many = format!("http://127.0.0.1:{}/visits/[1-60]", shop.port());
        if !curl(&["-Z", "--parallel-max", "6", "-o", "/dev/null", &many]) {
            return;
        }

        let telemetry = scene.end();
        let (incoming, alone) = calls(telemetry.spans_of_port(shop.port()));
        assert!(alone.is_empty(), "{alone:#?}");
        let of = |port: u16, name: &str| -> Vec<Call> {
            let (calls, alone) = calls(telemetry.spans_of_port(port));
            assert!(alone.is_empty(), "{alone:#?}");
            calls.into_iter().filter(|call| call.client.text("name") == name).collect()
        };
        let (commands, statements) = (of(cache.port(), "INCRBY"), of(database.port(), "SELECT"));
        assert_eq!((incoming.len(), commands.len(), statements.len()), (60, 60, 60), "lost: {}", telemetry.losses);
        let mut visits: HashMap<String, Call> =
            incoming.into_iter().map(|call| (path(&call).replace("/visits/", "visit_"), call)).collect();
        for statement in &statements {
            let text = statement.client.attribute("db.query.text");
            let visit = text.as_str().and_then(|text| text.rsplit(' ').next()).expect("a statement with a number");
            let serving = visits.remove(visit).unwrap_or_else(|| panic!("{text}"));
            let own: Vec<&Call> =
                commands.iter().filter(|call| call.client.text("parentSpanId") == serving.server.text("spanId")).collect();
            assert_eq!(own.len(), 1, "one command for each request");
            for query in [statement, own[0]] {
                assert_eq!(query.client.text("parentSpanId"), serving.server.text("spanId"), "{text}");
                assert_eq!(query.client.text("traceId"), serving.client.text("traceId"));
                assert_eq!(query.server.text("traceId"), serving.client.text("traceId"));
            }
        }
    }
}
