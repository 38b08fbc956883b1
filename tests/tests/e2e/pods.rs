//! Containers of pods: traffic and logs carry the names that containerd, or else the kubelet's directories, tell.

mod root {
    use crate::curl;
    use remora_tests::{Containerd, Item, Scene, free_port, wait_until};
    use serde_json::{Value, json};
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::{Path, PathBuf};
    use tempfile::TempDir;

    const POD: &str = "web-7d4b9c8f6d-x2x7k";
    const UID: &str = "6a1c0d2e-0000-4000-8000-000000000001";

    /// A container id of 64 digits that no other test uses.
    fn id(salt: u16) -> String {
        format!("{salt:04x}").repeat(16)
    }

    /// Serves HTTP and says so.
    fn server(port: u16) -> String {
        format!("echo serving {port}; exec python3 -u -m http.server {port} 2>&1")
    }

    /// The log of a pod's container below a root directory.
    fn pod_log(root: &Path) -> PathBuf {
        let directory = root.join(format!("var/log/pods/shop_{POD}_{UID}/app"));
        fs::create_dir_all(&directory).expect("a scratch directory");
        directory.join("0.log")
    }

    fn wait_for_server(port: u16) {
        wait_until("a server", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
    }

    fn named(item: &Item, names: &[(&str, Value)]) {
        for (key, value) in names {
            assert_eq!(item.resource.get(*key), Some(value), "{key} of {:#?}", item.resource);
        }
    }

    fn is_log_of(record: &Item, start: &str) -> bool {
        record.text("eventName").is_empty() && record.value["body"]["stringValue"].as_str().is_some_and(|body| body.starts_with(start))
    }

    /// The span of a request to a port, and the record of a line.
    fn observed(scene: Scene, port: u16) -> (Item, Item) {
        let line = format!("serving {port}");
        wait_until("a span", || scene.collector.spans().iter().any(|span| span.attribute("server.port") == port).then_some(()));
        wait_until("a record", || scene.collector.log_records().iter().any(|record| is_log_of(record, &line)).then_some(()));
        let telemetry = scene.end();
        let server = |span: &&Item| span.attribute("server.port") == port && span.attribute("url.path") == "/goods";
        let span = telemetry.spans.iter().rfind(server).expect("a span of the server").clone();
        let record = telemetry.logs.iter().find(|record| is_log_of(record, &line)).expect("a record").clone();
        (span, record)
    }

    #[test]
    fn traffic_and_logs_carry_the_names_that_containerd_tells_in_all_its_namespaces() {
        let Some(containerd) = Containerd::start() else { return };
        let (root, port, nerdctl_port) = (TempDir::new().expect("a scratch directory"), free_port(), free_port());
        let settings = [
            ("REMORA_ENTITY_CONTAINERD_SOCKET", containerd.socket().display().to_string()),
            ("REMORA_HOST_ROOT", root.path().display().to_string()),
        ];
        let (pod, other) = (id(port), id(nerdctl_port));
        let labels = [
            "io.cri-containerd.kind=container".to_owned(),
            "io.kubernetes.container.name=app".to_owned(),
            format!("io.kubernetes.pod.name={POD}"),
            "io.kubernetes.pod.namespace=shop".to_owned(),
            format!("io.kubernetes.pod.uid={UID}"),
        ];
        containerd.run("k8s.io", &pod, &labels, &pod_log(root.path()), &["sh", "-c", &server(port)]);
        wait_for_server(port);
        let Some(scene) = Scene::start_with(settings) else { return };
        // A container that comes later is known by its event.
        let log = root.path().join("nerdctl.log");
        containerd.run("shop", &other, &["nerdctl/name=cart".to_owned()], &log, &["sh", "-c", &server(nerdctl_port)]);
        wait_for_server(nerdctl_port);
        // Until both are known: on a busy machine a description may come later than the first request.
        let known = [(port, "web"), (nerdctl_port, "cart")];
        wait_until("spans of both", || {
            let asked = known.iter().all(|(port, _)| curl(&["-o", "/dev/null", &format!("http://127.0.0.1:{port}/goods")]));
            let spans = scene.collector.spans();
            let seen = |port: u16, name: &str| spans.iter().any(|span| span.attribute("server.port") == port && span.service() == name);
            (!asked || known.iter().all(|(port, name)| seen(*port, name))).then_some(())
        });
        let collected = scene.collector.spans();
        let late = collected.iter().find(|span| span.attribute("server.port") == nerdctl_port && span.service() == "cart");
        named(
            late.unwrap_or_else(|| panic!("a span of nerdctl's container: {collected:#?}")),
            &[
                ("container.name", json!("cart")),
                ("container.id", json!(other)),
                ("container.image.name", json!("docker.io/shop/web")),
                ("container.runtime.name", json!("containerd")),
            ],
        );
        let (span, record) = observed(scene, port);
        for item in [&span, &record] {
            named(
                item,
                &[
                    ("service.name", json!("web")),
                    ("service.namespace", json!("shop")),
                    ("service.instance.id", json!(format!("shop.{POD}.app"))),
                    ("k8s.pod.name", json!(POD)),
                    ("k8s.namespace.name", json!("shop")),
                    ("k8s.container.name", json!("app")),
                    ("k8s.pod.uid", json!(UID)),
                    ("container.id", json!(pod)),
                    ("container.name", json!("app")),
                    ("container.image.name", json!("docker.io/shop/web")),
                    ("container.runtime.name", json!("containerd")),
                ],
            );
        }
        assert_eq!(record.attribute("log.iostream"), "stdout");
        assert!(record.attribute("log.file.path").as_str().is_some_and(|path| path.starts_with("/var/log/pods/shop_")));
    }

    #[test]
    fn without_a_socket_the_kubelets_directories_name_the_container() {
        let Some(containerd) = Containerd::start() else { return };
        let (root, port) = (TempDir::new().expect("a scratch directory"), free_port());
        let settings = [
            ("REMORA_ENTITY_CONTAINERD_SOCKET", root.path().join("none").display().to_string()),
            ("REMORA_HOST_ROOT", root.path().display().to_string()),
        ];
        let (pod, log) = (id(port), pod_log(root.path()));
        let Some(scene) = Scene::start_with(settings) else { return };
        containerd.run("k8s.io", &pod, &[], &log, &["sh", "-c", &server(port)]);
        let links = root.path().join("var/log/containers");
        fs::create_dir_all(&links).expect("a scratch directory");
        let target = Path::new("/").join(log.strip_prefix(root.path()).expect("a path below the root"));
        symlink(target, links.join(format!("{POD}_shop_app-{pod}.log"))).expect("a link");
        wait_for_server(port);
        wait_until("the names", || {
            let up = curl(&["-o", "/dev/null", &format!("http://127.0.0.1:{port}/goods")]);
            let spans = scene.collector.spans();
            (!up || spans.iter().any(|span| span.attribute("server.port") == port && span.service() == "web")).then_some(())
        });
        let telemetry = scene.end();
        let line = format!("serving {port}");
        let span = telemetry.spans.iter().rfind(|span| span.attribute("server.port") == port && span.service() == "web");
        let record = telemetry.logs.iter().find(|record| is_log_of(record, &line));
        for item in [span.expect("a span"), record.expect("a record")] {
            named(
                item,
                &[
                    ("service.name", json!("web")),
                    ("k8s.pod.name", json!(POD)),
                    ("k8s.namespace.name", json!("shop")),
                    ("k8s.container.name", json!("app")),
                    ("k8s.pod.uid", json!(UID)),
                    ("container.id", json!(pod)),
                ],
            );
        }
    }
}
