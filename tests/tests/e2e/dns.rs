//! DNS over UDP and TCP: each lookup is seen at both ends and counted; what was looked up names whom a program talks to.

mod root {
    use remora_tests::{Call, Client, DNS_ADDRESS, Item, Scene, Server, Tally, Telemetry, by_attributes, calls, count, run, tally};

    const RECORDS: [&str; 6] = [
        "address=/a.test/10.1.2.3",
        "address=/a.test/fd00::1",
        "address=/cache.test/127.0.0.1",
        "mx-host=node.mail.test,a.test,10",
        "txt-record=dig.t.test,\"hello\"",
        // Larger than a datagram of the time before EDNS.
        concat!(
            "txt-record=node.big.test,",
            "\"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\",",
            "\"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\",",
            "\"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\",",
            "\"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\",",
            "\"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\""
        ),
    ];
    const KEYS: [&str; 4] = ["dns.question.name", "remora.dns.response_code", "dns.answers", "network.transport"];

    /// Others on this machine may look names up too.
    fn spans(telemetry: &Telemetry) -> Vec<Item> {
        telemetry.spans_of_port(53).into_iter().filter(|span| span.attribute("server.address") == DNS_ADDRESS).collect()
    }

    /// Lookups of names below `zone`. Their programs end at once, so it is the names that tell them apart.
    fn lines(calls: &[Call], zone: &str) -> Vec<String> {
        let of = calls.iter().filter(|call| call.client.attribute("dns.question.name").as_str().is_some_and(|name| name.starts_with(zone)));
        of.map(|call| {
            // A name that is not known is no failure of the server.
            let lines = [&call.client, &call.server].map(|span| span.line(&KEYS));
            assert!(lines[0].starts_with(&lines[1]), "{lines:?}");
            lines[0].clone()
        })
        .collect()
    }

    #[test]
    fn each_lookup_is_seen_at_both_ends() {
        let Some(_server) = Server::dns(&RECORDS) else { return };
        let Some(scene) = Scene::start() else { return };
        let to = [&format!("@{DNS_ADDRESS}"), "+tries=1"];
        for query in [
            vec!["dig.a.test", "A"],
            vec!["dig.none.test", "A"],
            vec!["+tcp", "dig.a.test", "AAAA"],
            vec!["+tcp", "+keepopen", "dig.t.test", "TXT", "dig.a.test", "A"],
        ] {
            assert_eq!(run("dig", &[&to[..], &query].concat()), Some(true));
        }
        let Some(node) = Client::start("dns_client.js", &[]) else { return };
        node.finish();

        let telemetry = scene.end();
        let (calls, alone) = calls(spans(&telemetry));
        assert!(alone.is_empty(), "lost: {}\n{alone:#?}", telemetry.losses);
        assert_eq!(
            lines(&calls, "dig."),
            [
                "DNS A | dig.a.test | NOERROR | [\"10.1.2.3\"] | udp",
                "DNS A | dig.none.test | NXDOMAIN | - | udp | error=NXDOMAIN",
                "DNS AAAA | dig.a.test | NOERROR | [\"fd00::1\"] | tcp",
                "DNS TXT | dig.t.test | NOERROR | - | tcp",
                "DNS A | dig.a.test | NOERROR | [\"10.1.2.3\"] | tcp",
            ]
        );
        let node = count(lines(&calls, "node."));
        let expected = [
            (21, "DNS A | node.a.test | NOERROR | [\"10.1.2.3\"] | udp"),
            (1, "DNS AAAA | node.a.test | NOERROR | [\"fd00::1\"] | udp"),
            (1, "DNS A | node.none.test | NXDOMAIN | - | udp | error=NXDOMAIN"),
            (1, "DNS MX | node.mail.test | NOERROR | - | udp"),
            (1, "DNS TXT | node.big.test | NOERROR | - | udp"),
            (1, "DNS TXT | node.big.test | NOERROR | - | tcp"),
        ];
        assert_eq!(node, tally(expected.map(|(n, line)| (line.to_owned(), n))));
        let series = ["dns.question.name", "error.type"];
        let own = |mut counts: Tally| {
            counts.retain(|line, _| line.starts_with("dig.") || line.starts_with("node."));
            counts
        };
        for (metric, end) in [("dns.lookup.duration", 0), ("remora.dns.server.duration", 1)] {
            let spans: Vec<Item> = calls.iter().map(|call| [&call.client, &call.server][end].clone()).collect();
            assert_eq!(own(telemetry.counted_by(metric, |_| true, 53, &series)), own(by_attributes(&spans, &series)), "{metric}");
        }
        assert!(calls.iter().all(|call| call.server.service() == "dnsmasq"), "also where a process serves one connection");
    }

    #[test]
    fn a_server_is_called_by_the_name_that_its_client_looked_up() {
        let (Some(_dns), Some(redis)) = (Server::dns(&RECORDS), Server::redis()) else { return };
        let Some(scene) = Scene::start() else { return };
        let Some(client) = Client::start("named_peer.py", &[redis.port()]) else { return };
        client.finish();

        let telemetry = scene.end();
        let (calls, alone) = calls(telemetry.spans_of_port(redis.port()));
        assert!(alone.is_empty(), "{alone:#?}");
        let get: Vec<&Call> = calls.iter().filter(|call| call.client.text("name") == "GET").collect();
        assert_eq!(get.len(), 1);
        assert_eq!(get[0].client.attribute("server.address"), "cache.test");
        assert_eq!(get[0].client.attribute("network.peer.address"), "127.0.0.1");
        assert_eq!(get[0].server.attribute("server.address"), "127.0.0.1");
        let counted =
            telemetry.counted("db.client.operation.duration", "named_peer", redis.port(), &["db.operation.name", "server.address"]);
        assert_eq!(counted.get("GET | cache.test"), Some(&1), "{counted:#?}");
    }
}
