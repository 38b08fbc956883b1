//! Log lines that name no span carry the ids of the request during which they were written, where that is certain.
//!
//! The servers answer only when the test says so, which it does when a line has arrived: no clock decides what is seen.

mod root {
    use crate::curl;
    use remora_tests::{Docker, Item, Process, Scene, free_port, part, repository, wait_until};
    use std::collections::HashMap;
    use std::fs::File;
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::path::Path;
    use std::process::Command;
    use tempfile::TempDir;

    /// A request that waits for its answer.
    struct Asked {
        stream: TcpStream,
        name: &'static str,
    }

    impl Asked {
        fn send(address: &str, name: &'static str) -> Self {
            let mut stream = TcpStream::connect(address).expect("a server");
            write!(stream, "GET /{name} HTTP/1.1\r\nHost: shop\r\n\r\n").expect("a server that reads");
            Self { stream, name }
        }

        /// Lets the server write its second line.
        fn again(&self, directory: &Path) {
            File::create(directory.join(format!("{}.again", self.name))).expect("a scratch file");
        }

        /// Lets the server answer, and waits until its span has arrived: what is written next is written clearly later.
        fn answered(mut self, directory: &Path, scene: &Scene) {
            File::create(directory.join(self.name)).expect("a scratch file");
            self.stream.read_to_end(&mut Vec::new()).expect("a server that answers");
            let path = format!("/{}", self.name);
            wait_until(&path, || scene.collector.spans().iter().any(|span| span.attribute("url.path") == path).then_some(()));
        }
    }

    fn line<'a>(logs: &'a [Item], body: &str) -> Option<&'a Item> {
        logs.iter().find(|record| record.text("eventName").is_empty() && record.value["body"]["stringValue"] == body)
    }

    fn wait_for_line(scene: &Scene, body: &str) {
        wait_until(body, || line(&scene.collector.log_records(), body).map(|_| ()));
    }

    fn server_span<'a>(spans: &'a [Item], name: &str) -> &'a Item {
        spans
            .iter()
            .find(|span| span.attribute("url.path") == format!("/{name}"))
            .unwrap_or_else(|| panic!("no span of {name}: {spans:#?}"))
    }

    fn ids(item: &Item) -> [&str; 2] {
        ["traceId", "spanId"].map(|field| item.text(field))
    }

    #[test]
    fn each_line_of_a_single_threaded_server_in_a_container_has_the_span_of_its_request_before_that_ends() {
        let Some(docker) = Docker::start() else { return };
        let Some(scene) = Scene::start_with([("REMORA_ENTITY_DOCKER_SOCKET", docker.socket().display().to_string())]) else { return };
        let directory = TempDir::new().expect("a scratch directory");
        let mounts =
            [format!("{}:/srv:ro", repository().join("tests/servers").display()), format!("{}:/told:ro", directory.path().display())];
        let container = docker.run(
            &["-v", &mounts[0], "-v", &mounts[1], "--name", "cart"],
            &["python3", "/srv/logging_server.py", "0.0.0.0", "8000", "/told", "single"],
        );
        let address = format!("{}:8000", docker.address(&container));
        wait_until("a server", || TcpStream::connect(&address).ok());
        // The agent tells nothing of the time around its own start.
        for name in ["warm", "one", "two", "three"] {
            let asked = Asked::send(&address, name);
            wait_for_line(&scene, &format!("serving {name} first"));
            asked.again(directory.path());
            wait_for_line(&scene, &format!("serving {name} again"));
            asked.answered(directory.path(), &scene);
        }

        let telemetry = scene.end();
        for name in ["one", "two", "three"] {
            let span = server_span(&telemetry.spans, name);
            for which in ["first", "again"] {
                let record = line(&telemetry.logs, &format!("serving {name} {which}")).expect("a line that was seen before");
                assert_eq!(ids(record), ids(span), "{name} {which}");
                assert_eq!(record.value["flags"], 1, "the span is exported");
                assert_eq!(record.resource, span.resource);
            }
        }
    }

    #[test]
    fn lines_of_a_followed_file_have_the_only_request_in_flight_and_none_where_two_are() {
        let (Some(python), port) = (part("python3"), free_port()) else { return };
        let directory = TempDir::new().expect("a scratch directory");
        let Some(scene) = Scene::start_with([("REMORA_LOGS_FILES_INCLUDE", directory.path().join("*.log").display().to_string())]) else {
            return;
        };
        let script = repository().join("tests/servers/logging_server.py");
        let run = format!(
            "exec {} {} 127.0.0.1 {port} {} threads >>{}",
            python.display(),
            script.display(),
            directory.path().display(),
            directory.path().join("cart.log").display()
        );
        let mut server = Process::start("logging_server.py", Command::new("sh").args(["-c", &run]));
        server.wait_for_port(port);
        let address = format!("127.0.0.1:{port}");
        let warm = Asked::send(&address, "warm");
        wait_for_line(&scene, "serving warm first");
        warm.again(directory.path());
        wait_for_line(&scene, "serving warm again");
        warm.answered(directory.path(), &scene);

        let alone = Asked::send(&address, "alone");
        wait_for_line(&scene, "serving alone first");
        let second = Asked::send(&address, "second");
        wait_for_line(&scene, "serving second first");
        alone.again(directory.path());
        wait_for_line(&scene, "serving alone again");
        alone.answered(directory.path(), &scene);
        second.again(directory.path());
        wait_for_line(&scene, "serving second again");
        second.answered(directory.path(), &scene);

        let telemetry = scene.end();
        let of = |body: &str| ids(line(&telemetry.logs, body).expect("a line that was seen before")).map(str::to_owned);
        let span = |name: &str| ids(server_span(&telemetry.spans, name)).map(str::to_owned);
        assert_eq!(of("serving alone first"), span("alone"));
        assert_eq!(of("serving second first"), ["", ""], "two are in flight");
        assert_eq!(of("serving alone again"), ["", ""], "two are in flight");
        assert_eq!(of("serving second again"), span("second"), "it is the only one left");
    }

    /// Requests of each of the two rounds below.
    const ROUND: usize = 150;

    #[test]
    fn no_line_of_a_busy_server_has_the_span_of_another_request() {
        let Some(docker) = Docker::start() else { return };
        let Some(scene) = Scene::start_with([("REMORA_ENTITY_DOCKER_SOCKET", docker.socket().display().to_string())]) else { return };
        let directory = TempDir::new().expect("a scratch directory");
        // All may be answered at once.
        for number in 0..2 * ROUND {
            for name in [format!("{number}"), format!("{number}.again")] {
                File::create(directory.path().join(name)).expect("a scratch file");
            }
        }
        let mounts =
            [format!("{}:/srv:ro", repository().join("tests/servers").display()), format!("{}:/told:ro", directory.path().display())];
        let container = docker.run(
            &["-v", &mounts[0], "-v", &mounts[1], "--name", "cart"],
            &["python3", "/srv/logging_server.py", "0.0.0.0", "8000", "/told", "threads"],
        );
        let address = format!("{}:8000", docker.address(&container));
        wait_until("a server", || TcpStream::connect(&address).ok());
        // One after the other without a pause, then eight at a time.
        let (one, many) = (format!("http://{address}/[0-{}]", ROUND - 1), format!("http://{address}/[{ROUND}-{}]", 2 * ROUND - 1));
        if !curl(&["-o", "/dev/null", &one]) || !curl(&["-Z", "--parallel-max", "8", "-o", "/dev/null", &many]) {
            return;
        }
        let last = |logs: &[Item]| (0..2 * ROUND).all(|number| line(logs, &format!("serving {number} again")).is_some());
        wait_until("all lines", || last(&scene.collector.log_records()).then_some(()));

        let telemetry = scene.end();
        let paths: HashMap<[&str; 2], String> =
            telemetry.spans.iter().map(|span| (ids(span), span.attribute("url.path").as_str().unwrap_or_default().to_owned())).collect();
        let own = telemetry.logs.iter().filter(|record| record.text("eventName").is_empty() && record.service() == "cart");
        let mut joined = 0;
        for record in own.filter(|record| !record.text("spanId").is_empty()) {
            let body = record.value["body"]["stringValue"].as_str().unwrap_or_default();
            let path = paths.get(&ids(record)).unwrap_or_else(|| panic!("no span of {record:#?}"));
            assert_eq!(body.split(' ').nth(1), path.strip_prefix('/'), "{body} is not of {path}");
            joined += 1;
        }
        println!("{joined} of {} lines have a span", 4 * ROUND);
    }
}
