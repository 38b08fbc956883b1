//! The agent as a program: what it leaves alone, what it says, how it ends.

mod root {
    use crate::curl;
    use remora_tests::{Agent, Collector, Nginx, Process, Scene, calls, free_port, is_root, part, wait_until};
    use rustix::process::Signal;
    use std::fs;
    use std::net::TcpListener;
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Output};
    use tempfile::TempDir;

    fn run(command: &mut Command) -> Output {
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    fn text(bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }

    #[test]
    fn its_own_export_and_view_are_never_reported() {
        let (Some(_), Some(nginx), Some(scene)) = (part("curl"), Nginx::start(), Scene::start()) else { return };
        assert!(curl(&[&nginx.url("/[1-20]")]));
        wait_until("spans", || (!scene.collector.spans().is_empty()).then_some(()));
        for _ in 0..5 {
            scene.agent.get("/api/v1/services").expect("the view");
        }
        let (view, otlp) = (scene.agent.port(), scene.collector.grpc_port());

        let telemetry = scene.end();
        assert_eq!(calls(telemetry.spans_of_port(nginx.port())).0.len(), 20);
        let own = |span: &&remora_tests::Item| {
            let ports = [span.attribute("server.port"), span.attribute("network.peer.port")];
            ports.iter().any(|port| *port == view || *port == otlp) || span.text("name").contains("opentelemetry.proto")
        };
        let own: Vec<_> = telemetry.spans.iter().filter(own).collect();
        assert!(own.is_empty(), "{own:#?}");
    }

    #[test]
    fn a_killed_agent_leaves_nothing_in_the_kernel() {
        let (Some(bpftool), Some(_), Some(mut scene)) = (part("bpftool"), part("curl"), Scene::start()) else { return };
        let fdinfo = format!("/proc/{}/fdinfo", scene.agent.process().pid());
        let ids = |kind: &str| -> Vec<String> {
            let files = fs::read_dir(&fdinfo).expect("a running agent").filter_map(|file| fs::read_to_string(file.ok()?.path()).ok());
            let id = |file: String| file.lines().find_map(|line| Some(line.strip_prefix(kind)?.trim().to_owned()));
            files.filter_map(id).collect()
        };
        let exists = |object: &str, id: &str| run(Command::new(&bpftool).args([object, "show", "id", id])).status.success();
        let (programs, maps) = (ids("prog_id:"), ids("map_id:"));
        assert!(programs.len() >= 2 && !maps.is_empty(), "{programs:?} {maps:?}");
        assert!(programs.iter().all(|id| exists("prog", id)));

        scene.agent.process().signal(Signal::KILL);
        scene.agent.process().wait();
        // The kernel frees them in its own time.
        wait_until("no programs", || (!programs.iter().any(|id| exists("prog", id))).then_some(()));
        wait_until("no maps", || (!maps.iter().any(|id| exists("map", id))).then_some(()));
    }

    #[test]
    fn a_second_agent_is_refused_in_one_line() {
        if !is_root() {
            return;
        }
        let agent = Agent::start([("OTEL_TRACES_EXPORTER", "none".into()), ("OTEL_METRICS_EXPORTER", "none".into())]);
        let second = run(Agent::command().arg("run").env("REMORA_STATE_DIR", agent.state_dir()));
        assert!(!second.status.success());
        assert_eq!(text(&second.stdout), "");
        let said = text(&second.stderr);
        assert!(said.lines().count() == 1 && said.contains("another agent runs on this node"), "{said}");
    }

    #[test]
    fn without_privileges_it_says_what_is_missing_and_fails() {
        if !is_root() {
            return;
        }
        let directory = TempDir::new().expect("a scratch directory");
        let program = directory.path().join("remora");
        fs::copy(Agent::command().get_program(), &program).expect("a copy");
        run(Command::new("chmod").arg("777").arg(directory.path()));
        let nobody = run(Command::new(&program).arg("run").env("REMORA_STATE_DIR", directory.path().join("state")).uid(65_534).gid(65_534));
        assert!(!nobody.status.success());
        let said = text(&nobody.stderr);
        assert!(said.lines().count() == 1 && said.contains("root"), "{said}");
    }

    #[test]
    fn it_goes_on_where_the_port_of_the_view_is_taken() {
        if !is_root() {
            return;
        }
        let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = taken.local_addr().expect("an address").to_string();
        let (Some(_), Some(nginx), Some(mut collector)) = (part("curl"), Nginx::start(), Collector::start()) else { return };
        let state = TempDir::new().expect("a scratch directory");
        let mut command = Agent::command();
        let variables = [("REMORA_VIEW_LISTEN", address.clone()), ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.http_endpoint())];
        command.arg("run").env("REMORA_STATE_DIR", state.path()).env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf").envs(variables);
        let mut agent = Process::start("remora", &mut command);
        agent.wait_for_log("capture attached");
        agent.wait_for_log(&address);
        assert!(curl(&[&nginx.url("/")]));
        assert!(agent.stop().success());
        collector.process().stop();
        let spans = collector.spans().into_iter().filter(|span| span.attribute("server.port") == nginx.port()).collect();
        assert_eq!(calls(spans).0.len(), 1);
        let complaints = agent.log().lines().filter(|line| line.contains(&address)).count();
        assert_eq!(complaints, 1, "{}", agent.log());
    }

    #[test]
    fn an_unreachable_endpoint_is_said_once_and_the_view_goes_on() {
        let (Some(_), Some(nginx), true) = (part("curl"), Nginx::start(), is_root()) else { return };
        let endpoint = format!("http://127.0.0.1:{}", free_port());
        let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint), ("OTEL_METRICS_EXPORTER", "none".into())];
        let mut agent = Agent::start(variables);
        for _ in 0..3 {
            assert!(curl(&[&nginx.url("/")]));
        }
        let asked = format!("/api/v1/requests?limit=100&q={}", nginx.port());
        wait_until("requests in the view", || agent.get("/api/v1/services").ok().filter(|answer| answer.body.contains("nginx")));
        wait_until("the failing exporter in the view", || {
            agent.get("/api/v1/status").ok().filter(|answer| answer.body.contains("failing"))
        });
        assert!(agent.get(&asked).is_ok());
        let log = agent.process().log();
        assert!(agent.process().stop().success());
        let complaints: Vec<&str> = log.lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).collect();
        assert_eq!(complaints.len(), 1, "{log}");
    }
}
