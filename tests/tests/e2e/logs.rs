//! Log lines of real containers and files, compared to the line with what the Collector received; and the commands that
//! read standard input.

use remora_tests::Agent;
use std::io::Write;
use std::process::Stdio;

/// What a command prints for `input`.
fn filter(command: &str, input: &str) -> Vec<String> {
    let mut child = Agent::command().arg(command).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the agent's program");
    child.stdin.take().expect("a piped input").write_all(input.as_bytes()).expect("a command that reads");
    let output = child.wait_with_output().expect("an output");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8").lines().map(str::to_owned).collect()
}

#[test]
fn patterns_has_a_line_for_each_line() {
    let lines = filter("patterns", "2026-11-25 15:04:05 WARN disk 5 is full\n{\"level\":\"error\",\"msg\":\"disk 7 is full\"}\n\n");
    assert_eq!(lines.len(), 3);
    let (id, rest) = lines[0].split_once('\t').expect("columns");
    assert_eq!((id.len(), rest), (16, "13\tdisk <*> is full"));
    assert_eq!(lines[1], format!("{id}\t17\tdisk <*> is full"));
}

#[test]
fn join_lines_has_a_line_for_each_message() {
    let lines = filter("join-lines", "java.lang.Error: x\n\tat a.B.c(B.java:1)\n2026-11-25 15:04:05 INFO next\n");
    assert_eq!(lines, ["\"java.lang.Error: x\\n\\tat a.B.c(B.java:1)\"", "\"2026-11-25 15:04:05 INFO next\""]);
}

mod root {
    use remora_tests::{Agent, Collector, Docker, Item, Journald, Scene, is_root, wait_until};
    use rustix::process::Signal;
    use serde_json::{Value, json};
    use std::fs::{self, File, OpenOptions};
    use std::io::Write;
    use std::path::Path;

    fn body(record: &Item) -> &str {
        record.value["body"]["stringValue"].as_str().unwrap_or_default()
    }

    fn records(logs: &[Item], starts: &str) -> Vec<Item> {
        logs.iter().filter(|record| record.text("eventName").is_empty() && body(record).starts_with(starts)).cloned().collect()
    }

    #[test]
    fn each_line_of_a_container_is_a_record_whatever_its_driver() {
        let Some(docker) = Docker::start() else { return };
        let Some(scene) = Scene::start_with([("REMORA_ENTITY_DOCKER_SOCKET", docker.socket().display().to_string())]) else { return };
        let script = "for i in $(seq 300); do echo \"INFO order $i paid\"; done; echo 'ERROR no stock' >&2; sleep 86400";
        for driver in ["json-file", "local"] {
            let service = format!("com.docker.compose.service={driver}");
            let options =
                ["--log-driver", driver, "--log-opt", "max-size=8k", "--log-opt", "max-file=9", "--name", driver, "--label", &service];
            let _ = docker.run(&options, &["sh", "-c", script]);
        }
        wait_until("both ends", || (records(&scene.collector.log_records(), "ERROR no stock").len() == 2).then_some(()));
        wait_until("all orders", || (records(&scene.collector.log_records(), "INFO order").len() >= 600).then_some(()));

        let telemetry = scene.end();
        for driver in ["json-file", "local"] {
            let own: Vec<Item> =
                telemetry.logs.iter().filter(|record| record.resource.get("service.name") == Some(&json!(driver))).cloned().collect();
            let orders: Vec<String> = records(&own, "INFO order").iter().map(|record| body(record).to_owned()).collect();
            let expected: Vec<String> = (1..=300).map(|i| format!("INFO order {i} paid")).collect();
            assert_eq!(orders, expected, "{driver}");
            let error = &records(&own, "ERROR")[0];
            assert_eq!((error.attribute("log.iostream"), &error.value["severityNumber"]), (json!("stderr"), &json!(17)));
            assert_eq!(error.attribute("log.record.template"), "no stock");
            assert_eq!(error.resource.get("container.name"), Some(&json!(driver)));
            assert!(error.text("timeUnixNano") <= error.text("observedTimeUnixNano") && error.text("timeUnixNano").len() == 19);
        }
    }

    #[test]
    fn each_line_of_dockers_journald_driver_is_a_record_of_its_container_however_long() {
        let Some(journald) = Journald::start() else { return };
        let Some(docker) = Docker::start_with(&journald) else { return };
        let settings = [
            ("REMORA_ENTITY_DOCKER_SOCKET", docker.socket().display().to_string()),
            ("REMORA_HOST_ROOT", journald.root().display().to_string()),
        ];
        let Some(scene) = Scene::start_with(settings) else { return };
        let script = "for i in $(seq 300); do echo \"INFO order $i paid\"; done; echo 'ERROR no stock' >&2; \
                      printf 'INFO long '; head -c 40000 /dev/zero | tr '\\0' x; echo; sleep 86400";
        let id = docker.run(&["--log-driver", "journald", "--name", "till"], &["sh", "-c", script]);
        let all = ["INFO order 300 paid", "ERROR no stock", "INFO long "];
        wait_until("all lines", || {
            let logs = scene.collector.log_records();
            all.iter().all(|start| !records(&logs, start).is_empty()).then_some(())
        });

        let telemetry = scene.end();
        let orders = records(&telemetry.logs, "INFO order");
        let expected: Vec<String> = (1..=300).map(|i| format!("INFO order {i} paid")).collect();
        assert_eq!(orders.iter().map(body).collect::<Vec<_>>(), expected);
        let (error, long) = (&records(&telemetry.logs, "ERROR")[0], &records(&telemetry.logs, "INFO long ")[0]);
        assert_eq!((error.attribute("log.iostream"), &error.value["severityNumber"]), (json!("stderr"), &json!(17)));
        assert_eq!((body(long).len(), long.attribute("log.iostream")), (40_010, json!("stdout")), "the engine cuts lines at 16 KiB");
        for record in orders.iter().chain([error, long]) {
            assert_eq!((record.service(), record.resource.get("container.id")), ("till", Some(&json!(id))));
        }
    }

    fn start(collector: &Collector, directory: &Path) -> Agent {
        Agent::start([
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc_endpoint()),
            ("REMORA_STATE_DIR", directory.join("state").display().to_string()),
            ("REMORA_LOGS_FILES_INCLUDE", directory.join("*.log").display().to_string()),
        ])
    }

    #[test]
    fn an_agent_that_is_killed_under_load_loses_no_line() {
        if !is_root() {
            return;
        }
        let Some(collector) = Collector::start() else { return };
        let directory = tempfile::TempDir::new().expect("a scratch directory");
        let path = directory.path().join("app.log");
        let open = || OpenOptions::new().create(true).append(true).open(&path).expect("a log");
        let mut log: File = open();
        let mut next = 0;
        let mut write = |log: &mut File, count: usize| {
            let lines: String = (next..next + count).map(|n| format!("request {n} served\n")).collect();
            next += count;
            log.write_all(lines.as_bytes()).expect("a log");
        };
        let mut agent = start(&collector, directory.path());
        write(&mut log, 5_000);
        wait_until("first lines", || (!records(&collector.log_records(), "request").is_empty()).then_some(()));
        write(&mut log, 20_000);
        agent.process().signal(Signal::KILL);
        agent.process().wait();
        // Agents take turns.
        drop(agent);
        write(&mut log, 2_000);
        fs::rename(&path, directory.path().join("app.log.1")).expect("a rotation");
        log = open();
        write(&mut log, 3_000);
        let mut agent = start(&collector, directory.path());
        let seen = |collector: &Collector| {
            let mut seen: Vec<usize> = records(&collector.log_records(), "request")
                .iter()
                .filter_map(|record| body(record).split(' ').nth(1)?.parse().ok())
                .collect();
            seen.sort_unstable();
            seen
        };
        wait_until("all lines", || {
            let mut seen = seen(&collector);
            seen.dedup();
            (seen.len() == 30_000).then_some(())
        });
        let losses: Value = serde_json::from_str(&agent.get("/api/v1/losses").expect("losses").body).expect("JSON");
        assert!(!losses.to_string().contains("source_gone"), "{losses}");
        assert!(agent.process().stop().success());
        let repeats = seen(&collector).len() - 30_000;
        assert!(repeats <= 20_000, "only what was on its way when the agent was killed: {repeats}");
    }
}
