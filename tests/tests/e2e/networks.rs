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
