//! Log files as kubelets and programs write and rotate them, under agents that are killed and on a state disk that is full.

mod root {
    use crate::curl;
    use remora_tests::{Agent, Collector, Item, Process, Scene, Server, free_port, is_root, part, wait_until};
    use rustix::process::Signal;
    use std::fs::{self, File, OpenOptions};
    use std::io::Write;
    use std::path::{Path, PathBuf};
    use std::process::Command;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;
    use tempfile::TempDir;

    fn start<'a>(collector: &Collector, variables: impl IntoIterator<Item = (&'a str, String)>) -> Agent {
        let own = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc_endpoint()), ("OTEL_METRIC_EXPORT_INTERVAL", "1000".to_owned())];
        Agent::start(own.into_iter().chain(variables))
    }

    /// How often each of the messages `BEFORE NUMBER AFTER` arrived.
    fn arrived(collector: &Collector, before: &str, after: &str, count: usize) -> Vec<usize> {
        let mut times = vec![0; count];
        let text = collector.log_text();
        // Events carry templates, which have no number.
        for (at, _) in text.match_indices(before) {
            let rest = &text[at + before.len()..];
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            if rest[digits..].starts_with(after)
                && let Some(times) = rest[..digits].parse::<usize>().ok().and_then(|number| times.get_mut(number))
            {
                *times += 1;
            }
        }
        times
    }

    fn wait_for_all(collector: &Collector, before: &str, after: &str, count: usize) -> Vec<usize> {
        wait_until("all lines", || {
            std::thread::sleep(Duration::from_millis(500));
            Some(arrived(collector, before, after, count)).filter(|times| times.iter().all(|times| *times > 0))
        })
    }

    /// Lines that agents said they may have sent before.
    fn counted_repeats(collector: &Collector) -> u64 {
        let of_logs = |point: &serde_json::Value| {
            let attributes = remora_tests::attributes(&point["attributes"]);
            (attributes.get("remora.kind").is_some_and(|kind| kind == "repeated_lines"))
                .then(|| point["asInt"].as_str().and_then(|count| count.parse::<u64>().ok()).unwrap_or_default())
        };
        let metrics = collector.metrics();
        let counted = metrics.iter().filter(|metric| metric.text("name") == "remora.processed");
        counted
            .flat_map(|metric| metric.value["sum"]["dataPoints"].as_array().cloned().unwrap_or_default())
            .filter_map(|point| of_logs(&point))
            .max()
            .unwrap_or(0)
    }

    /// A container's log as containerd writes and a kubelet rotates it.
    struct PodLog {
        path: PathBuf,
        file: File,
        rotated: Vec<PathBuf>,
    }

    impl PodLog {
        fn new(root: &Path) -> Self {
            let directory = root.join("var/log/pods/shop_web-0_6a1c0d2e-0000-4000-8000-000000000002/app");
            fs::create_dir_all(&directory).expect("a scratch directory");
            let path = directory.join("0.log");
            let file = Self::open(&path);
            Self { path, file, rotated: Vec::new() }
        }

        fn open(path: &Path) -> File {
            OpenOptions::new().create(true).append(true).open(path).expect("a log")
        }

        /// The kubelet compresses what was rotated before (to `.tmp`, then renamed), renames the log and has it reopened.
        fn rotate(&mut self) {
            if let Some(last) = self.rotated.last() {
                let (packed, done) = (last.with_extension("gz.tmp"), PathBuf::from(format!("{}.gz", last.display())));
                let output = File::create(&packed).expect("a scratch file");
                let status = Command::new("gzip").arg("-c").arg(last).stdout(output).status();
                assert!(status.is_ok_and(|status| status.success()), "gzip");
                fs::rename(&packed, &done).expect("a rename");
                fs::remove_file(last).expect("a removal");
            }
            let name = PathBuf::from(format!("{}.20261125-1504{:02}", self.path.display(), self.rotated.len()));
            fs::rename(&self.path, &name).expect("a rename");
            self.rotated.push(name);
            self.file = Self::open(&self.path);
        }
    }

    #[test]
    fn records_of_a_container_that_is_excluded_are_neither_sent_nor_counted_by_pattern() {
        if !is_root() {
            return;
        }
        let root = TempDir::new().expect("a scratch directory");
        let config = root.path().join("remora.yaml");
        fs::write(&config, "selection: { exclude: [{container: proxy}] }").expect("a writable file");
        let path = |path: &Path| path.display().to_string();
        let variables = [("REMORA_HOST_ROOT", path(root.path())), ("REMORA_CONFIG", path(&config))];
        let Some(scene) = Scene::start_with(variables) else { return };
        for container in ["proxy", "app"] {
            let directory = root.path().join("var/log/pods/shop_web-0_6a1c0d2e-0000-4000-8000-000000000003").join(container);
            fs::create_dir_all(&directory).expect("a scratch directory");
            let line = format!("2026-11-25T15:04:05.000000000Z stdout F {container} is ready for the test\n");
            fs::write(directory.join("0.log"), line.repeat(3)).expect("a log");
        }
        wait_until("the other's records", || scene.collector.log_text().contains("app is ready").then_some(()));

        let telemetry = scene.end();
        let told = |item: &&Item| item.value.to_string().contains("is ready for the test");
        let services: Vec<_> =
            telemetry.logs.iter().filter(told).map(|record| record.resource.get("k8s.container.name").cloned()).collect();
        assert!(services.len() >= 3 && services.iter().all(|name| *name == Some("app".into())), "{services:?}");
        let counting = telemetry.metrics.iter().filter(|item| item.text("name") == "remora.log.records");
        let proxies: Vec<_> = counting.filter(|item| item.resource.get("k8s.container.name").is_some_and(|name| name == "proxy")).collect();
        assert!(proxies.is_empty(), "{proxies:#?}");
    }

    /// Lines that a writer of 50,000 lines a second writes in the tests below.
    const LINES: usize = 120_000;

    #[test]
    fn a_pods_log_that_is_rotated_and_compressed_under_load_arrives_whole_after_a_kill_and_repeats_are_counted() {
        if !is_root() {
            return;
        }
        let Some(mut collector) = Collector::start() else { return };
        let (root, state) = (TempDir::new().expect("a scratch directory"), TempDir::new().expect("a scratch directory"));
        let variables = || {
            let directory = |path: &Path| path.display().to_string();
            [("REMORA_HOST_ROOT", directory(root.path())), ("REMORA_STATE_DIR", directory(state.path()))]
        };
        let mut log = PodLog::new(root.path());
        let written = AtomicUsize::new(0);
        let write = || {
            for number in (0..LINES).step_by(500) {
                let line = |number| format!("2026-11-25T15:04:05.{number:09}Z stdout F request {number} served\n");
                let lines: String = (number..number + 500).map(line).collect();
                log.file.write_all(lines.as_bytes()).expect("a log");
                written.store(number + 500, Ordering::Relaxed);
                if number % 20_000 == 19_500 {
                    log.rotate();
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        };
        let wait_for_writer = |lines| wait_until("the writer", || (written.load(Ordering::Relaxed) >= lines).then_some(()));
        let mut agent = start(&collector, variables());
        let mut agent = std::thread::scope(|scope| {
            scope.spawn(write);
            wait_until("first records", || collector.log_text().contains("request").then_some(()));
            wait_for_writer(LINES / 4);
            agent.process().signal(Signal::KILL);
            agent.process().wait();
            // Agents take turns.
            drop(agent);
            // Meanwhile files are rotated and compressed that no agent has read to their ends.
            wait_for_writer(LINES * 3 / 4);
            start(&collector, variables())
        });
        wait_for_all(&collector, "request ", " served", LINES);
        let losses = agent.get("/api/v1/losses").expect("losses").body;
        assert!(!losses.contains("source_gone"), "{losses}");
        assert!(agent.process().stop().success());
        collector.process().stop();
        let times = arrived(&collector, "request ", " served", LINES);
        let (repeats, counted) = (times.iter().map(|times| *times as u64 - 1).sum::<u64>(), counted_repeats(&collector));
        println!("{LINES} lines, {repeats} repeated, {counted} counted as repeats");
        assert!(repeats <= counted, "{repeats} lines came twice, {counted} were told");
    }

    /// Writes numbered messages through a handler that rotates its file, and one exception.
    const PYTHON: &str = "
import logging, logging.handlers, sys
handler = logging.handlers.RotatingFileHandler(sys.argv[1], maxBytes=40000, backupCount=50)
handler.setFormatter(logging.Formatter('%(asctime)s %(levelname)s %(name)s: %(message)s'))
log = logging.getLogger('shop')
log.addHandler(handler)
log.setLevel(logging.INFO)
for number in range(5000):
    log.info('order %d paid', number)
try:
    {}['cart']
except KeyError:
    log.exception('no cart')
sys.stdin.read()
";

    fn nginx(directory: &Path, port: u16) -> Option<Process> {
        let root = directory.display();
        let configuration = format!(
            "daemon off; worker_processes 1; user root; pid {root}/pid; error_log {root}/nginx-error.log;
            events {{ worker_connections 64; }}
            http {{
                access_log {root}/nginx-access.log;
                client_body_temp_path {root}/body; proxy_temp_path {root}/proxy; fastcgi_temp_path {root}/fastcgi;
                uwsgi_temp_path {root}/uwsgi; scgi_temp_path {root}/scgi;
                server {{ listen 127.0.0.1:{port}; location / {{ root {root}/none; }} }}
            }}"
        );
        let file = directory.join("nginx.conf");
        fs::write(&file, configuration).expect("a scratch file");
        let mut process = Process::start("nginx", Command::new(part("nginx")?).arg("-c").arg(&file).arg("-p").arg(directory));
        process.wait_for_port(port);
        Some(process)
    }

    fn record(logs: &[Item], what: impl Fn(&str) -> bool) -> &Item {
        let own = logs.iter().filter(|record| record.text("eventName").is_empty());
        let mut found = own.filter(|record| record.value["body"]["stringValue"].as_str().is_some_and(&what));
        found.next().expect("a record")
    }

    #[test]
    fn files_of_nginx_postgresql_and_python_arrive_with_their_severities_and_services() {
        let directory = TempDir::new().expect("a scratch directory");
        let include = format!("{0}/*.log,{0}/**/*.log", directory.path().display());
        let (Some(python), Some(psql), Some(scene)) =
            (part("python3"), part("psql"), Scene::start_with([("REMORA_LOGS_FILES_INCLUDE", include)]))
        else {
            return;
        };
        let port = free_port();
        let Some(_nginx) = nginx(directory.path(), port) else { return };
        for number in 0..50 {
            if !curl(&["-o", "/dev/null", &format!("http://127.0.0.1:{port}/goods/{number}")]) {
                return;
            }
        }
        let Some(postgres) = Server::postgres_logging_to(&directory.path().join("postgres")) else { return };
        let query = ["-X", "-h", "127.0.0.1", "-U", "postgres", "-c", "SELECT 1\n  / 0"];
        let _ = Command::new(psql).args(query).arg("-p").arg(postgres.port().to_string()).status();
        let rotating = directory.path().join("orders.log");
        let mut child =
            Command::new(python).args(["-c", PYTHON]).arg(&rotating).stdin(std::process::Stdio::piped()).spawn().expect("python");
        wait_for_all(&scene.collector, "order ", " paid", 5_000);
        wait_until("the exception", || scene.collector.log_text().contains("KeyError").then_some(()));
        // What copytruncate does: a copy, then the same file from its start.
        let copied = directory.path().join("copied.log");
        let mut log = OpenOptions::new().create(true).append(true).open(&copied).expect("a log");
        (0..1_000).for_each(|number| writeln!(log, "INFO parcel {number} sent").expect("a log"));
        fs::copy(&copied, directory.path().join("copied.log.1")).expect("a copy");
        log.set_len(0).expect("a truncation");
        (1_000..1_500).for_each(|number| writeln!(log, "INFO parcel {number} sent").expect("a log"));
        wait_for_all(&scene.collector, "parcel ", " sent", 1_500);
        drop(child.stdin.take());
        let _ = child.wait();

        let (orders, parcels) = (arrived(&scene.collector, "order ", " paid", 5_000), arrived(&scene.collector, "parcel ", " sent", 1_500));
        assert!(orders.iter().all(|times| *times == 1), "each once: {orders:?}");
        assert!(parcels.iter().all(|times| *times == 1), "each once: {parcels:?}");
        let telemetry = scene.end();
        let of = |what: &str| record(&telemetry.logs, |body| body.contains(what));
        let (severity, service) = (|record: &Item| record.value["severityNumber"].clone(), |record: &Item| record.service().to_owned());
        let access = of("GET /goods/7 HTTP/1.1");
        assert_eq!(access.resource.get("service.name").and_then(serde_json::Value::as_str), Some("nginx"));
        let failed = record(&telemetry.logs, |body| body.contains("open()") && body.contains("/goods/7\""));
        assert_eq!((severity(failed), service(failed).as_str()), (serde_json::json!(17), "nginx"));
        let division = of("division by zero");
        assert_eq!((severity(division), service(division).as_str()), (serde_json::json!(17), "postgres"));
        let exception = of("no cart");
        assert_eq!(severity(exception), 17);
        assert_eq!(exception.attribute("exception.type"), "KeyError");
    }

    /// A file system of 64 KiB; unmounted when dropped.
    struct SmallDisk {
        directory: TempDir,
    }

    impl SmallDisk {
        fn new() -> Option<Self> {
            let directory = TempDir::new().expect("a scratch directory");
            let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(directory.path()).status();
            mount.is_ok_and(|status| status.success()).then_some(Self { directory })
        }

        /// Leaves no room.
        fn fill(&self) {
            let mut filler = File::create(self.directory.path().join("filler")).expect("an empty file");
            while filler.write_all(&[0; 512]).is_ok() {}
        }

        fn clear(&self) {
            fs::remove_file(self.directory.path().join("filler")).expect("a removal");
        }
    }

    impl Drop for SmallDisk {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg(self.directory.path()).status();
        }
    }

    #[test]
    fn a_full_state_disk_is_counted_and_costs_no_line() {
        if !is_root() {
            return;
        }
        let (Some(collector), Some(disk)) = (Collector::start(), SmallDisk::new()) else { return };
        let logs = TempDir::new().expect("a scratch directory");
        let path = logs.path().join("app.log");
        let mut log = OpenOptions::new().create(true).append(true).open(&path).expect("a log");
        let mut next = 0;
        let mut write = |count: usize| {
            (next..next + count).for_each(|number| writeln!(log, "request {number} served").expect("a log"));
            next += count;
        };
        let variables = || {
            [
                ("REMORA_STATE_DIR", disk.directory.path().display().to_string()),
                ("REMORA_LOGS_FILES_INCLUDE", logs.path().join("*.log").display().to_string()),
            ]
        };
        let wait = |count| wait_for_all(&collector, "request ", " served", count);
        let mut agent = start(&collector, variables());
        write(100);
        wait(100);
        disk.fill();
        write(1_000);
        wait(1_100);
        wait_until("a count of failed writes", || agent.get("/api/v1/losses").ok().filter(|losses| losses.body.contains("write_failed")));
        write(100);
        wait(1_200);
        disk.clear();
        write(100);
        wait(1_300);
        assert!(agent.process().stop().success());
        drop(agent);
        // An agent also starts on a full disk.
        disk.fill();
        let mut agent = start(&collector, variables());
        write(100);
        let times = wait(1_400);
        assert!(times.iter().all(|times| *times == 1), "the positions were written when there was room: {times:?}");
        assert!(agent.process().stop().success());
    }
}
