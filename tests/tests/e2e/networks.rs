//! Calls between network namespaces, through address translation, and between containers: still one trace each.

mod root {
    use crate::curl_in;
    use remora_tests::{Nginx, Scene, calls, is_root, part, wait_until};
    use std::process::Command;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// `ip`, `iptables` and the like, each line of which must work.
    fn run(line: &str) {
        let mut words = line.split(' ');
        let program = words.next().unwrap_or_default();
        let output = Command::new(program).args(words).output().unwrap_or_else(|error| panic!("{line}: {error}"));
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A client's, a router's and a server's network namespace in a row; gone with this value.
    struct Networks {
        tag: String,
    }

    /// How many were started, for names of their own.
    static STARTED: AtomicU32 = AtomicU32::new(0);

    const CLIENT: &str = "10.218.1";
    const SERVER: &str = "10.218.2";

    impl Networks {
        fn start() -> Option<Self> {
            let (Some(_), Some(_), true) = (part("ip"), part("iptables"), is_root()) else { return None };
            let number = STARTED.fetch_add(1, Ordering::Relaxed);
            let networks = Self { tag: format!("{}n{number}", std::process::id()) };
            let [client, router, server] = ["c", "r", "s"].map(|role| networks.name(role));
            for name in [&client, &router, &server] {
                run(&format!("ip netns add {name}"));
                run(&format!("ip -n {name} link set lo up"));
            }
            for (end, network) in [(&client, CLIENT), (&server, SERVER)] {
                let link = format!("t{end}");
                run(&format!("ip -n {router} link add {link} type veth peer name eth0 netns {end}"));
                run(&format!("ip -n {router} addr add {network}.1/24 dev {link}"));
                run(&format!("ip -n {router} link set {link} up"));
                run(&format!("ip -n {end} addr add {network}.2/24 dev eth0"));
                run(&format!("ip -n {end} link set eth0 up"));
            }
            run(&format!("ip -n {client} route add default via {CLIENT}.1"));
            run(&format!("ip netns exec {router} sysctl -qw net.ipv4.ip_forward=1"));
            Some(networks)
        }

        /// Calls to port 8080 of the router go to port 80 of the server, which sees the router as its client.
        fn translate(&self) {
            let router = format!("ip netns exec {} iptables -t nat -A", self.name("r"));
            run(&format!("{router} PREROUTING -p tcp --dport 8080 -j DNAT --to-destination {SERVER}.2:80"));
            run(&format!("{router} POSTROUTING -d {SERVER}.2 -j MASQUERADE"));
        }

        fn name(&self, role: &str) -> String {
            format!("re{}{role}", self.tag)
        }
    }

    impl Drop for Networks {
        fn drop(&mut self) {
            for role in ["c", "r", "s"] {
                let _ = Command::new("ip").args(["netns", "del", &self.name(role)]).status();
            }
        }
    }

    #[test]
    fn a_call_through_two_kinds_of_address_translation_is_one_trace() {
        let (Some(_), Some(networks)) = (part("curl"), Networks::start()) else { return };
        networks.translate();
        let (client, server) = (networks.name("c"), networks.name("s"));
        let Some(_nginx) = Nginx::start_in(&["ip", "netns", "exec", &server], &["80".to_owned()], 80) else { return };
        let Some(scene) = Scene::start() else { return };
        let prefix = ["ip", "netns", "exec", &client];
        let url = format!("http://{CLIENT}.1:8080");
        let big = format!("X-Big: {}", "x".repeat(40_000));
        wait_until("nginx behind the router", || curl_in(&prefix, &[&format!("{url}/up")]).then_some(()));
        assert!(curl_in(&prefix, &[&format!("{url}/small"), "--next", "-s", "-H", &big, &format!("{url}/big")]));

        let telemetry = scene.end();
        let (calls, alone) = calls(
            telemetry
                .spans
                .iter()
                .filter(|span| {
                    [80, 8080].iter().any(|port| span.attribute("server.port") == *port)
                        && span.attribute("server.address") == format!("{CLIENT}.1")
                })
                .cloned()
                .collect(),
        );
        assert!(alone.iter().all(|span| span.attribute("error.type") == "connection_refused"), "{alone:#?}");
        let paths: Vec<_> = calls.iter().map(|call| call.server.attribute("url.path")).collect();
        assert_eq!(paths, ["/up", "/small", "/big"]);
        for call in &calls {
            assert_eq!((call.client.service(), call.server.service()), ("curl", "nginx"));
            assert_eq!(call.client.attribute("network.peer.address"), format!("{CLIENT}.1"));
            assert_eq!(call.server.attribute("network.peer.address"), format!("{SERVER}.1"), "the router's address");
        }
    }

    #[test]
    fn what_connections_carry_is_counted_once_also_where_the_network_loses_packets() {
        const DOWNLOADS: u64 = 40;
        const SIZE: u64 = 1_000_000;
        let (Some(_), Some(networks)) = (part("curl"), Networks::start()) else { return };
        networks.translate();
        let (client, router, server) = (networks.name("c"), networks.name("r"), networks.name("s"));
        let losses = "-p tcp --sport 81 -m length --length 1000: -m statistic --mode nth --every 40 --packet 7 -j DROP";
        run(&format!("ip netns exec {router} iptables -A FORWARD {losses}"));
        let Some(nginx) = Nginx::start_in(&["ip", "netns", "exec", &server], &["80".to_owned(), "81".to_owned()], 80) else { return };
        std::fs::write(nginx.files().join("large"), vec![b'x'; SIZE as usize]).expect("a writable file");
        let prefix = ["ip", "netns", "exec", &client];
        wait_until("nginx behind the router", || curl_in(&prefix, &[&format!("http://{CLIENT}.1:8080/up")]).then_some(()));
        let Some(scene) = Scene::start() else { return };
        for end in [format!("{CLIENT}.1:8080"), format!("{SERVER}.2:81")] {
            for _ in 0..DOWNLOADS {
                assert!(curl_in(&prefix, &["-o", "/dev/null", &format!("http://{end}/files/large")]));
            }
        }
        assert!(!curl_in(&prefix, &[&format!("http://{CLIENT}.1:8081/")]));

        let telemetry = scene.end();
        let counted = |metric: &str, service: &str, port: u16, key: &str| -> Vec<(String, u64)> {
            telemetry.counted(&format!("remora.{metric}"), service, port, &[key]).into_iter().collect()
        };
        let one = |line: &str, n: u64| vec![(line.to_owned(), n)];
        let role = "remora.connection.role";
        assert_eq!(counted("tcp.connect.duration", "curl", 8080, role), one("client", DOWNLOADS));
        let failures = telemetry.counted_by("remora.tcp.connect.failures", |_| true, 8081, &["error.type"]);
        assert_eq!(failures.into_iter().collect::<Vec<_>>(), one("connection_refused", 1));
        assert_eq!(counted("tcp.connections", "curl", 8080, role), one("client", 0));
        assert_eq!(counted("tcp.connections", "nginx", 80, role), one("server", 0));
        // The machine may have an nginx of its own, at port 80.
        let listened = telemetry.counted("remora.net.listen", "nginx", 81, &["network.local.port"]);
        assert_eq!(listened.get("81"), Some(&1), "{listened:?}");
        assert!(counted("tcp.rtt", "nginx", 80, role)[0].1 >= DOWNLOADS);
        for (at_client, at_server) in [(8080, 80), (81, 81)] {
            let [client, server] = [("curl", at_client), ("nginx", at_server)].map(|(service, port)| {
                counted("tcp.io", service, port, "network.io.direction").into_iter().map(|(_, n)| n).collect::<Vec<_>>()
            });
            assert_eq!((client[0], client[1]), (server[1], server[0]), "received and sent, sent and received");
            assert!((DOWNLOADS * SIZE..DOWNLOADS * (SIZE + 1000)).contains(&client[0]), "{client:?}");
        }
        assert!(counted("tcp.retransmits", "nginx", 81, role)[0].1 > 0, "what was lost was sent again");
    }

    #[test]
    fn who_listens_is_counted_in_each_network_namespace() {
        let (Some(python), Some(networks)) = (part("python3"), Networks::start()) else { return };
        let [client, server] = ["c", "s"].map(|role| networks.name(role));
        let address = "127.0.0.1:7080";
        let Some(_nginx) = Nginx::start_in(&["ip", "netns", "exec", &server], &[address.to_owned()], 7080) else { return };
        let script = remora_tests::repository().join("tests/servers/threaded.py").display().to_string();
        let line = ["netns", "exec", &client, &python.to_string_lossy(), &script, "7080", "http://127.0.0.1"];
        let _other = remora_tests::Process::start("threaded.py", Command::new("ip").args(line));
        // The agent looks again and again; the last of these may start after it did so first.
        let Some(scene) = Scene::start_with([("OTEL_METRIC_EXPORT_INTERVAL", "1000".to_owned())]) else { return };
        let at_port = |item: &remora_tests::Item| item.text("name") == "remora.net.listen" && item.value.to_string().contains("\"7080\"");
        let listens = |service: &str| scene.collector.metrics().iter().any(|item| at_port(item) && item.service() == service);
        wait_until("both to be counted", || (listens("nginx") && listens("threaded")).then_some(()));

        let telemetry = scene.end();
        for service in ["nginx", "threaded"] {
            let listened = telemetry.counted("remora.net.listen", service, 7080, &["network.local.address", "network.local.port"]);
            assert_eq!(listened.get("127.0.0.1 | 7080"), Some(&1), "{service}: {listened:?}");
        }
    }

    #[test]
    fn packets_of_every_kind_pass_while_the_agent_is_attached() {
        let (Some(python), Some(_), Some(networks)) = (part("python3"), part("curl"), Networks::start()) else { return };
        let Some(_scene) = Scene::start() else { return };
        let script = remora_tests::repository().join("tests/servers/odd_packets.py");
        run(&format!("ip -n {} route add default via {SERVER}.1", networks.name("s")));
        let inside = |role: &str| ["ip".to_owned(), "netns".into(), "exec".into(), networks.name(role)];
        let start = |role: &str, arguments: &[&str]| {
            let prefix = inside(role);
            let mut command = Command::new(&prefix[0]);
            command.args(&prefix[1..]).arg(&python).arg(&script).args(arguments);
            remora_tests::Process::start(arguments[0], &mut command)
        };
        let mut server = start("s", &["serve"]);
        server.wait_for_log("ready");
        let mut client = start("c", &["send", &format!("{SERVER}.2")]);
        let status = client.wait();
        assert!(status.success(), "{}", client.log());
        let passed: Vec<String> = client.log().lines().map(str::to_owned).collect();
        assert_eq!(
            passed,
            ["icmp", "fragmented icmp", "udp", "fragmented udp", "empty udp", "tcp options", "urgent data", "reset", "broken tcp"]
        );
    }
}
