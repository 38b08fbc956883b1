//! Entries that a real systemd-journald wrote, and the kernel's own log.

mod root {
    use remora_tests::{Agent, Collector, Item, Journald, Process, is_root, part, wait_until};
    use rustix::process::Signal;
    use serde_json::json;
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::symlink;
    use std::path::{Path, PathBuf};
    use std::process::Command;
    use tempfile::TempDir;

    fn start(collector: &Collector, root: &Path, state: &Path) -> Agent {
        Agent::start([
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc_endpoint()),
            ("REMORA_STATE_DIR", state.display().to_string()),
            ("REMORA_HOST_ROOT", root.display().to_string()),
        ])
    }

    fn body(record: &Item) -> &str {
        record.value["body"]["stringValue"].as_str().unwrap_or_default()
    }

    fn records(collector: &Collector, start: &str) -> Vec<Item> {
        let logs = collector.log_records().into_iter();
        logs.filter(|record| record.text("eventName").is_empty() && body(record).starts_with(start)).collect()
    }

    fn wait_for(collector: &Collector, start: &str) -> Item {
        wait_until(start, || records(collector, start).pop())
    }

    /// A cgroup as systemd makes it for a unit; removed when dropped.
    struct Unit {
        directories: Vec<PathBuf>,
    }

    impl Unit {
        fn new(name: &str) -> Self {
            let mounts = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd"].map(Path::new);
            let roots = mounts.into_iter().filter(|mount| mount.join("cgroup.procs").exists());
            let directories: Vec<PathBuf> = roots.map(|root| root.join("system.slice").join(name)).collect();
            directories.iter().for_each(|directory| fs::create_dir_all(directory).expect("a cgroup"));
            Self { directories }
        }

        /// Runs [`PROGRAM`] in it.
        fn program(&self, python: &Path, journald: &Journald) -> Process {
            let enter = |directory: &PathBuf| format!("echo $$ >{}/cgroup.procs; ", directory.display());
            let run: String = self.directories.iter().map(enter).collect::<String>() + "exec \"$@\"";
            let sockets = journald.root().join("run/systemd/journal");
            let mut command = Command::new("sh");
            command.args(["-c", &run, "sh"]).arg(python).args(["-c", PROGRAM]).arg(sockets);
            Process::start("shop", &mut command)
        }
    }

    impl Drop for Unit {
        fn drop(&mut self) {
            for directory in &self.directories {
                let _ = fs::remove_dir(directory);
            }
        }
    }

    /// Sends to both of journald's sockets and stays until it is killed: journald asks who a sender is after it sent.
    const PROGRAM: &str = "
import socket, sys, time
native = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
native.connect(sys.argv[1] + '/socket')
native.send(b'MESSAGE=card 17 refused\\nPRIORITY=3\\nSYSLOG_IDENTIFIER=shop\\nORDER=5\\n')
stdout = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
stdout.connect(sys.argv[1] + '/stdout')
stdout.send(b'shop\\n\\n5\\n1\\n0\\n0\\n0\\ncart 4 opened\\n<4>cart 4 is old\\n')
time.sleep(86400)
";

    #[test]
    fn where_the_image_has_no_journalctl_the_machines_own_is_used() {
        let (Some(journald), Some(collector)) = (Journald::start(), Collector::start()) else { return };
        for directory in ["usr", "lib", "lib64"] {
            symlink(Path::new("/").join(directory), journald.root().join(directory)).expect("a link");
        }
        let state = TempDir::new().expect("a scratch directory");
        let root = journald.root().display().to_string();
        let _agent = Agent::start([
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc_endpoint()),
            ("REMORA_STATE_DIR", state.path().display().to_string()),
            ("REMORA_HOST_ROOT", root),
            ("PATH", state.path().display().to_string()),
        ]);
        journald.connect().send(b"MESSAGE=from the machine\nPRIORITY=4\n").expect("a journal that reads");
        assert_eq!(wait_for(&collector, "from the machine").value["severityNumber"], 13);
    }

    #[test]
    fn entries_have_the_priority_the_time_and_the_unit_that_journald_recorded() {
        let (Some(journald), Some(collector), Some(python)) = (Journald::start(), Collector::start(), part("python3")) else { return };
        let state = TempDir::new().expect("a scratch directory");
        let mut agent = start(&collector, journald.root(), state.path());
        let unit = Unit::new("remora-shop.service");
        let sender = unit.program(&python, &journald);
        let refused = wait_for(&collector, "card 17 refused");
        let opened = wait_for(&collector, "cart 4 opened");
        let old = wait_for(&collector, "cart 4 is old");
        let multiline = b"MESSAGE\n\x0d\0\0\0\0\0\0\0first\nsecond\n\nPRIORITY=6\n";
        journald.connect().send(multiline).expect("a journal that reads");
        let second = wait_for(&collector, "first");
        drop(sender);

        let severities = [&refused, &opened, &old, &second].map(|record| record.value["severityNumber"].clone());
        assert_eq!(severities, [json!(17), json!(10), json!(13), json!(9)]);
        for record in [&refused, &opened, &old] {
            assert_eq!(record.resource.get("service.name"), Some(&json!("remora-shop")), "{:#?}", record.resource);
            assert_eq!(record.resource.get("remora.unit.name"), Some(&json!("remora-shop")));
            let (written, read) = (record.text("timeUnixNano"), record.text("observedTimeUnixNano"));
            assert!(written.len() == 19 && written <= read, "{written} {read}");
        }
        assert_eq!(refused.attribute("log.record.template"), "card <*> refused");
        assert_eq!(body(&second).lines().count(), 2, "{second:#?}");
        assert!(agent.process().stop().success());
    }

    #[test]
    fn entries_of_a_unit_that_is_excluded_are_not_sent() {
        let (Some(journald), Some(collector), Some(python)) = (Journald::start(), Collector::start(), part("python3")) else { return };
        let state = TempDir::new().expect("a scratch directory");
        let config = state.path().join("remora.yaml");
        fs::write(&config, "selection: { exclude: [{service: remora-hidden}] }").expect("a writable file");
        let _agent = Agent::start([
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc_endpoint()),
            ("REMORA_STATE_DIR", state.path().display().to_string()),
            ("REMORA_HOST_ROOT", journald.root().display().to_string()),
            ("REMORA_CONFIG", config.display().to_string()),
        ]);
        let unit = Unit::new("remora-hidden.service");
        let _sender = unit.program(&python, &journald);
        wait_until("its entries in the journal", || {
            let output = journald.command(&part("journalctl")?).arg("--quiet").output().ok()?;
            String::from_utf8_lossy(&output.stdout).contains("cart 4 is old").then_some(())
        });
        journald.connect().send(b"MESSAGE=after all these\nPRIORITY=4\n").expect("a journal that reads");
        wait_for(&collector, "after all these");
        assert_eq!(records(&collector, "card 17 refused").len() + records(&collector, "cart 4").len(), 0);
    }

    #[test]
    fn rotation_and_a_restart_repeat_no_entry_and_a_kill_loses_none() {
        let (Some(journald), Some(mut collector)) = (Journald::start(), Collector::start()) else { return };
        let state = TempDir::new().expect("a scratch directory");
        let socket = journald.connect();
        let mut next = 0;
        let mut write = |count: usize| {
            for number in next..next + count {
                let entry = format!("MESSAGE=request {number} served\nPRIORITY=6\nSYSLOG_IDENTIFIER=shop\n");
                socket.send(entry.as_bytes()).expect("a journal that reads");
                if number % 1_500 == 0 {
                    journald.rotate();
                }
            }
            next += count;
        };
        let seen = |collector: &Collector| {
            let logs = records(collector, "request");
            let mut seen: Vec<usize> = logs.iter().filter_map(|record| body(record).split(' ').nth(1)?.parse().ok()).collect();
            seen.sort_unstable();
            seen
        };
        let wait_for_all = |collector: &Collector, count: usize| {
            wait_until("all entries", || {
                let mut seen = seen(collector);
                seen.dedup();
                (seen.len() == count).then_some(())
            });
        };
        let mut agent = start(&collector, journald.root(), state.path());
        write(4_000);
        wait_for_all(&collector, 4_000);
        assert!(agent.process().stop().success());
        // Agents take turns.
        drop(agent);
        write(2_000);
        let mut agent = start(&collector, journald.root(), state.path());
        write(2_000);
        wait_for_all(&collector, 8_000);
        assert_eq!(seen(&collector), (0..8_000).collect::<Vec<usize>>(), "rotation and restart repeat nothing");
        assert!(journald.files() > 4, "it did rotate");

        write(4_000);
        agent.process().signal(Signal::KILL);
        agent.process().wait();
        drop(agent);
        write(2_000);
        let mut agent = start(&collector, journald.root(), state.path());
        wait_for_all(&collector, 14_000);
        assert!(agent.process().stop().success());
        collector.process().stop();
        let repeats = seen(&collector).len() - 14_000;
        assert!(repeats <= 4_000, "only what was on its way when the agent was killed: {repeats}");
    }

    #[test]
    fn lines_of_the_kernels_log_arrive_once_with_their_severity() {
        let (Some(collector), true) = (Collector::start(), is_root()) else { return };
        let root = TempDir::new().expect("a scratch directory");
        fs::create_dir(root.path().join("dev")).expect("a scratch directory");
        symlink("/dev/kmsg", root.path().join("dev/kmsg")).expect("a link");
        let state = TempDir::new().expect("a scratch directory");
        let Ok(mut log) = fs::OpenOptions::new().write(true).open("/dev/kmsg") else {
            eprintln!("SKIP: the kernel's log cannot be written here");
            return;
        };
        let name = format!("remora-test-{}", std::process::id());
        let mut say = |level: u8, text: &str| {
            // The kernel gives what others write the facility "user".
            log.write_all(format!("<{level}>{name}: {text}\n").as_bytes()).expect("a log");
        };
        let mut agent = start(&collector, root.path(), state.path());
        say(3, "disk 1 failed");
        let failed = wait_for(&collector, &format!("{name}: disk 1 failed"));
        assert!(agent.process().stop().success());
        drop(agent);
        say(4, "disk 2 is slow");
        let mut agent = start(&collector, root.path(), state.path());
        say(6, "disk 3 is back");
        let back = wait_for(&collector, &format!("{name}: disk 3 is back"));
        let slow = wait_for(&collector, &format!("{name}: disk 2 is slow"));
        // The kernel itself says something harmless: which keys it knows.
        let asked = fs::write("/proc/sysrq-trigger", "?").is_ok();
        let kernel = asked.then(|| {
            wait_until("the kernel's answer", || records(&collector, "").into_iter().find(|record| body(record).contains("sysrq: HELP")))
        });
        assert!(agent.process().stop().success());
        assert_eq!([&failed, &slow, &back].map(|record| record.value["severityNumber"].clone()), [json!(17), json!(13), json!(9)]);
        assert_eq!(records(&collector, &format!("{name}:")).len(), 3, "each once");
        if let Some(kernel) = kernel {
            assert_eq!(kernel.resource.get("service.name"), Some(&json!("kernel")));
        }
    }
}
