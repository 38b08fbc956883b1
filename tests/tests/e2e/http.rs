//! Plain HTTP/1.1 between curl or wrk and nginx: one CLIENT and one SERVER span for each request, with all that the
//! semantic conventions ask for.

mod root {
    use crate::curl;
    use remora_tests::{Call, Item, Nginx, Process, Scene, Telemetry, attributes, calls, part};
    use serde_json::{Value, json};
    use std::collections::BTreeMap;
    use std::process::Command;
    use std::time::Instant;

    /// Attributes whose values are not the same in each run.
    const VARYING: [&str; 2] = ["network.peer.port", "user_agent.original"];

    fn stable(span: &Item) -> Value {
        let mut attributes = span.attributes();
        VARYING.iter().for_each(|key| drop(attributes.remove(*key)));
        Value::Object(attributes)
    }

    #[test]
    fn each_request_of_curl_to_nginx_is_one_trace_with_both_ends() {
        let (Some(curl), Some(nginx), Some(scene)) = (part("curl"), Nginx::start(), Scene::start()) else { return };
        let port = nginx.port();
        let urls = ["/shop/cart?item=7&token=hush", "/missing", "/broken"].map(|path| nginx.url(path));
        assert!(Process::start("curl", Command::new(curl).arg("-s").args(urls)).wait().success());

        let telemetry = scene.end();
        let (calls, alone) = calls(telemetry.spans_of_port(port));
        assert!(alone.is_empty(), "{alone:#?}");
        let statuses: Vec<Value> = calls.iter().map(|call| call.server.attribute("http.response.status_code")).collect();
        assert_eq!(statuses, [200, 404, 500], "in the order of their starts");
        // A path that the server does not know is no route.
        let names = ["GET /shop/cart", "GET", "GET /broken"];
        for (Call { client, server }, name) in calls.iter().zip(names) {
            assert_eq!((client.service(), server.service()), ("curl", "nginx"));
            assert_eq!((client.text("name"), server.text("name")), (name, name));
            assert_eq!(client.text("parentSpanId"), "", "curl serves nobody");
            assert_eq!((client.text("traceId").len(), client.text("spanId").len()), (32, 16));
            assert!(client.nanos("startTimeUnixNano") <= server.nanos("startTimeUnixNano"));
            assert!(server.nanos("startTimeUnixNano") <= server.nanos("endTimeUnixNano"));
            assert!(server.nanos("endTimeUnixNano") <= client.nanos("endTimeUnixNano"));
        }
        let errors: Vec<(bool, bool)> = calls.iter().map(|call| (call.client.is_error(), call.server.is_error())).collect();
        assert_eq!(errors, [(false, false), (true, false), (true, true)], "404 is an error of the client only");

        let peers: Vec<(Value, Value)> =
            calls.iter().map(|call| (call.client.attribute("service.peer.name"), call.server.attribute("service.peer.name"))).collect();
        assert_eq!(peers, vec![(json!("nginx"), json!("curl")); 3]);

        let Call { client, server } = &calls[0];
        let query = "item=7&token=REDACTED";
        let expected = json!({
            "http.request.method": "GET", "http.request.body.size": 0, "http.response.status_code": 200, "http.response.body.size": 6,
            "server.address": "127.0.0.1", "server.port": port, "network.peer.address": "127.0.0.1",
            "network.protocol.version": "1.1", "url.full": format!("{}?{query}", nginx.url("/shop/cart")),
            "service.peer.name": "nginx", "url.template": "/shop/cart",
        });
        assert_eq!(stable(client), expected);
        let expected = json!({
            "http.request.method": "GET", "http.request.body.size": 0, "http.response.status_code": 200, "http.response.body.size": 6,
            "server.address": "127.0.0.1", "server.port": port, "network.peer.address": "127.0.0.1",
            "client.address": "127.0.0.1", "network.protocol.version": "1.1", "url.path": "/shop/cart",
            "url.query": query, "url.scheme": "http", "service.peer.name": "curl", "http.route": "/shop/cart",
        });
        assert_eq!(stable(server), expected);
        assert_eq!(client.attribute("network.peer.port"), port);
        assert!(server.attribute("user_agent.original").as_str().is_some_and(|agent| agent.starts_with("curl/")));
        let error = |span: &Item| span.attribute("error.type");
        assert_eq!((error(&calls[1].client), error(&calls[1].server)), (json!("404"), Value::Null));
        assert_eq!((error(&calls[2].client), error(&calls[2].server)), (json!("500"), json!("500")));
    }

    #[test]
    fn a_request_that_completes_the_handshake_is_seen_by_the_server_too() {
        let (Some(nginx), Some(scene)) = (Nginx::start_deferred(), Scene::start()) else { return };
        let urls: Vec<String> = (0..20).map(|n| nginx.url(&format!("/first/{n}"))).collect();
        assert!(urls.iter().all(|url| curl(&[url])), "a connection each");
        let by_ipv6 = format!("http://[::1]:{}/sixth", nginx.port());
        assert!(curl(&[&by_ipv6, &by_ipv6]));

        let telemetry = scene.end();
        let (calls, alone) = calls(telemetry.spans_of_port(nginx.port()));
        assert!(alone.is_empty(), "{alone:#?}");
        assert_eq!(calls.len(), 22);
        assert!(!telemetry.losses.contains("data_on_listener"), "{}", telemetry.losses);
        let paths: Vec<Value> = calls.iter().skip(20).map(|call| call.server.attribute("url.path")).collect();
        assert_eq!(paths, [json!("/sixth"), json!("/sixth")]);
    }

    #[test]
    fn every_request_of_wrk_is_counted_at_both_ends() {
        let (Some(wrk), Some(nginx), Some(scene)) = (part("wrk"), Nginx::start(), Scene::start()) else { return };
        let directory = tempfile::TempDir::new().expect("a scratch directory");
        let script = directory.path().join("paced.lua");
        std::fs::write(&script, "function delay() return 4 end").expect("a writable file");
        let mut command = Command::new(wrk);
        command.args(["-t1", "-c8", "-d2s", "-s"]).arg(&script).arg(nginx.url("/"));
        assert!(Process::start("wrk", &mut command).wait().success());

        let telemetry = scene.end();
        let (calls, alone) = calls(telemetry.spans_of_port(nginx.port()));
        assert!(alone.is_empty(), "{} spans without their other end, the first {:#?}", alone.len(), alone.first());
        let answered = calls.iter().filter(|call| call.server.attribute("http.response.status_code") == 200).count();
        assert_eq!(answered, nginx.answered().len(), "lost: {}\n{}", telemetry.losses, telemetry.agent_log);
        assert!(answered > 100, "{answered}");
        let unanswered: Vec<&Call> = calls.iter().filter(|call| call.client.attribute("http.response.status_code") != 200).collect();
        assert!(unanswered.len() <= 8, "only what was in flight when wrk ended: {}", unanswered.len());
        assert!(unanswered.iter().all(|call| call.client.is_error()), "{unanswered:#?}");
    }

    /// Count and sum of a histogram by status: the last point of each series of one server.
    fn histogram(telemetry: &Telemetry, name: &str, service: &str, port: u16) -> BTreeMap<i64, (u64, f64)> {
        let mut series = BTreeMap::new();
        for metric in telemetry.metrics.iter().filter(|metric| metric.text("name") == name && metric.service() == service) {
            for point in metric.value["histogram"]["dataPoints"].as_array().expect("points") {
                let attributes = attributes(&point["attributes"]);
                if attributes.get("server.port").is_none_or(|of| *of == port) {
                    let count = point["count"].as_str().and_then(|count| count.parse().ok()).expect("a count");
                    let status = attributes["http.response.status_code"].as_i64().expect("a status");
                    series.insert(status, (count, point["sum"].as_f64().expect("a sum")));
                }
            }
        }
        series
    }

    #[test]
    fn metrics_count_every_request_also_those_whose_spans_are_not_kept() {
        let unsampled = [("OTEL_TRACES_SAMPLER", "always_off".to_owned())];
        let (Some(_), Some(nginx), Some(scene)) = (part("curl"), Nginx::start(), Scene::start_with(unsampled)) else { return };
        let start = Instant::now();
        assert!(curl(&[&nginx.url("/[1-40]"), &nginx.url("/missing"), &nginx.url("/missing"), &nginx.url("/broken")]));
        let took = start.elapsed().as_secs_f64();

        let telemetry = scene.end();
        let spans = telemetry.spans_of_port(nginx.port());
        assert!(spans.iter().all(Item::is_error), "only failures are kept: {spans:#?}");
        let client = histogram(&telemetry, "http.client.request.duration", "curl", nginx.port());
        let counts: Vec<(i64, u64)> = client.iter().map(|(status, (count, _))| (*status, *count)).collect();
        assert_eq!(counts, [(200, 40), (404, 2), (500, 1)]);
        assert!(client.values().map(|(_, sum)| sum).sum::<f64>() <= took);
        let server = histogram(&telemetry, "http.server.request.duration", "nginx", nginx.port());
        let counts: Vec<(i64, u64)> = server.iter().map(|(status, (count, _))| (*status, *count)).collect();
        assert_eq!(counts, [(200, 40), (404, 2), (500, 1)]);
    }
}
