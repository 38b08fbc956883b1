//! Real containers of a real Docker engine, which each test starts for itself in directories, socket and bridge of its own.

mod root {
    use std::net::{IpAddr, SocketAddr};
    use std::path::{Path, PathBuf};
    use std::process::{Child, Command, Stdio};
    use std::time::Duration;

    use remora_core::model::{Pid, Value, semconv};

    use super::super::cgroup::{ContainerId, Runtime};
    use super::super::counters::Reason;
    use super::super::engine::EngineSocket;
    use super::super::resolver::{self, Settings};
    use super::super::resolver_tests::{eventually, host, known, who};
    use super::super::table::{EntityKind, Lookup};

    /// An engine that ends with this value.
    struct Dockerd {
        dir: PathBuf,
        bridge: String,
        net: u8,
        daemon: Option<Child>,
    }

    fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(format!("{program} {arguments:?}: {}", text(&output.stderr))) }
    }

    impl Dockerd {
        fn start() -> Result<Self, String> {
            run("dockerd", &["--version"])?;
            let pid = std::process::id();
            let net = 1 + u8::try_from(pid % 250).map_err(|error| error.to_string())?;
            let mut dockerd = Self { dir: PathBuf::from(format!("/tmp/rmd{pid}")), bridge: format!("rmd{pid}"), net, daemon: None };
            std::fs::create_dir_all(dockerd.dir.join("rootfs/usr")).map_err(|error| error.to_string())?;
            run("ip", &["link", "add", "name", &dockerd.bridge, "type", "bridge"])?;
            run("ip", &["addr", "add", &format!("10.217.{net}.1/24"), "dev", &dockerd.bridge])?;
            run("ip", &["link", "set", &dockerd.bridge, "up"])?;
            dockerd.serve()?;
            dockerd.import("shop/web:1.2")?;
            Ok(dockerd)
        }

        fn path(&self, name: &str) -> String {
            self.dir.join(name).to_string_lossy().into_owned()
        }

        fn serve(&mut self) -> Result<(), String> {
            let log = std::fs::File::create(self.path("log")).map_err(|error| error.to_string())?;
            let mut daemon = Command::new("dockerd")
                .args(["--data-root", &self.path("data"), "--exec-root", &self.path("exec"), "--pidfile", &self.path("pid")])
                .args(["-H", &format!("unix://{}", self.path("sock")), "--bridge", &self.bridge, "--storage-driver", "vfs"])
                .args(["--iptables=false", "--ip6tables=false", "--ip-masq=false", "--live-restore"])
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .map_err(|error| error.to_string())?;
            loop {
                if self.docker(&["version"]).is_ok() {
                    self.daemon = Some(daemon);
                    return Ok(());
                }
                if let Ok(Some(status)) = daemon.try_wait() {
                    let log = std::fs::read_to_string(self.path("log")).unwrap_or_default();
                    return Err(format!("dockerd ended with {status}: {}", log.lines().last().unwrap_or_default()));
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        }

        fn docker(&self, arguments: &[&str]) -> Result<String, String> {
            let socket = format!("unix://{}", self.path("sock"));
            run("docker", &[&["-H", &socket], arguments].concat())
        }

        /// An image of empty directories, in which the machine's own `/usr` is mounted.
        fn import(&self, image: &str) -> Result<(), String> {
            let root = self.dir.join("rootfs");
            for name in ["bin", "lib", "lib64", "sbin"] {
                std::os::unix::fs::symlink(format!("usr/{name}"), root.join(name)).map_err(|error| error.to_string())?;
            }
            let tar = self.path("image.tar");
            run("tar", &["-C", &root.to_string_lossy(), "-cf", &tar, "."])?;
            self.docker(&["import", &tar, image]).map(|_| ())
        }

        fn run(&self, options: &[&str], command: &[&str]) -> String {
            let base = ["run", "-d", "-v", "/usr:/usr:ro"];
            self.docker(&[&base, options, &["shop/web:1.2"], command].concat()).expect("docker run")
        }

        fn pid(&self, container: &str) -> u32 {
            self.docker(&["inspect", "-f", "{{.State.Pid}}", container]).expect("inspect").parse().expect("a pid")
        }

        fn stop_daemon(&mut self) {
            if let Some(mut daemon) = self.daemon.take() {
                let _ = run("kill", &[&daemon.id().to_string()]);
                let _ = daemon.wait();
            }
        }
    }

    impl Drop for Dockerd {
        fn drop(&mut self) {
            if self.daemon.is_none() {
                // Containers outlive their daemon here, so one is needed to end them.
                let _ = self.serve();
            }
            let all = self.docker(&["ps", "-aq"]).unwrap_or_default();
            all.lines().for_each(|id| drop(self.docker(&["rm", "-f", id])));
            self.stop_daemon();
            let _ = run("ip", &["link", "del", &self.bridge]);
            // dockerd leaves its data directory mounted on itself.
            let _ = run("umount", &[&self.path("data")]);
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn docker_containers_have_name_image_labels_and_addresses_and_outlive_their_engine() {
        let mut dockerd = match Dockerd::start() {
            Ok(dockerd) => dockerd,
            Err(reason) => {
                eprintln!("SKIPPED docker_containers_have_name_image_labels_and_addresses: no Docker engine: {reason}");
                return;
            }
        };
        let labels = ["--label", "com.docker.compose.project=shop", "--label", "com.docker.compose.service=cart"];
        let serve = ["python3", "-m", "http.server", "8000"];
        let cart = dockerd.run(&[&["--name", "shop-cart-1", "-p", "127.0.0.1:0:8000"], &labels[..]].concat(), &serve);
        let socket = dockerd.dir.join("sock");
        let engines = vec![EngineSocket { runtime: Runtime::Docker, path: socket }];
        let cgroup2 = Some(Path::new("/sys/fs/cgroup/unified").to_owned()).filter(|path| path.exists());
        let settings = Settings { engines, cgroup2, sweep: Duration::from_millis(200), ..Settings::default() };
        let entities = resolver::start(settings, host());

        // A container that ran before the agent: by pid, by id, by address and by its published port.
        let entity = known(&entities, &who(dockerd.pid(&cart))).await;
        let text = |key| entity.resource.str(key);
        assert_eq!((entity.kind, entity.container_name()), (EntityKind::Container, Some("shop-cart-1")));
        assert_eq!(
            (text(semconv::SERVICE_NAME), text(semconv::SERVICE_NAMESPACE), text(semconv::SERVICE_VERSION)),
            (Some("cart"), Some("shop"), Some("1.2"))
        );
        assert_eq!((text(semconv::CONTAINER_ID), text(semconv::SERVICE_INSTANCE_ID)), (Some(cart.as_str()), Some(cart.as_str())));
        assert_eq!((text(semconv::CONTAINER_IMAGE_NAME), text(semconv::CONTAINER_RUNTIME_NAME)), (Some("shop/web"), Some("docker")));
        assert_eq!(entity.resource.get(semconv::CONTAINER_IMAGE_TAGS), Some(Value::List(vec!["1.2"])));
        let container = entity.container.clone().expect("described");
        assert_eq!(container.log.driver.as_deref(), Some("json-file"));
        assert!(container.log.path.as_ref().is_some_and(|path| path.exists()), "{:?}", container.log);
        assert!(container.started_at.as_ref().is_some_and(|time| time.contains('T')));
        let ip: IpAddr = container.addresses.first().expect("an address").address;
        assert_eq!(ip.to_string().rsplit_once('.').map(|(net, _)| net.to_owned()), Some(format!("10.217.{}", dockerd.net)));
        assert_eq!(entities.by_container(&ContainerId::new(&cart)).map(|found| found.id), Some(entity.id));
        assert_eq!(eventually(|| entities.by_ip(ip)).await.id, entity.id);
        assert_eq!(entities.by_endpoint(SocketAddr::new(ip, 8000)).map(|found| found.id), Some(entity.id));
        let published = container.published.first().expect("a published port");
        assert_eq!((published.container_port, entities.by_published_port(published.host).map(|found| found.id)), (8000, Some(entity.id)));

        // One that starts later and is gone at once is known from its events, by id.
        let brief = dockerd.run(&["--name", "brief", "--label", "com.docker.compose.service=once"], &["true"]);
        let entity = eventually(|| entities.by_container(&ContainerId::new(&brief)).filter(|entity| entity.container.is_some())).await;
        assert_eq!((entity.container_name(), entity.service.name.as_str()), (Some("brief"), "once"));

        // What the process declares comes first.
        let own = dockerd.run(&["--name", "own", "-e", "OTEL_SERVICE_NAME=payments"], &serve);
        let entity = known(&entities, &who(dockerd.pid(&own))).await;
        assert_eq!((entity.container_name(), entity.service.name.as_str()), (Some("own"), "payments"));
        let own_pid = dockerd.pid(&own);

        // Without its engine, nobody waits and what was known stays known.
        dockerd.stop_daemon();
        eventually(|| (entities.counters().get(Reason::EngineLost) > 0).then_some(())).await;
        assert!(matches!(entities.lookup(&who(own_pid)), Lookup::Known(entity) if entity.service.name == "payments"));
        assert_eq!(known(&entities, &who(std::process::id())).await.kind, EntityKind::Program);

        // And when it is back, new containers are seen again.
        dockerd.serve().expect("dockerd again");
        let late = dockerd.run(&["--name", "late"], &serve);
        let entity = known(&entities, &who(dockerd.pid(&late))).await;
        assert_eq!((entity.container_name(), entity.service.name.as_str()), (Some("late"), "late"));
        let _ = dockerd.docker(&["rm", "-f", &cart]).expect("remove");
        eventually(|| entities.by_ip(ip).is_none().then_some(())).await;
        assert!(entities.known(Pid(own_pid)).is_some());
    }
}
