//! Containers of Podman without its service: names by its store, lines by its `k8s-file` and `journald` drivers.

mod root {
    use crate::curl;
    use remora_tests::{Item, Journald, Podman, Scene, free_port, wait_until};
    use serde_json::json;

    fn lines<'a>(logs: &'a [Item], start: &str) -> Vec<&'a Item> {
        let starts = |record: &&Item| record.value["body"]["stringValue"].as_str().is_some_and(|body| body.starts_with(start));
        logs.iter().filter(|record| record.text("eventName").is_empty()).filter(starts).collect()
    }

    fn named(item: &Item, name: &str, id: &str) {
        for (key, value) in [
            ("service.name", name),
            ("container.name", name),
            ("container.id", id),
            ("container.image.name", "localhost/shop/web"),
            ("container.runtime.name", "podman"),
        ] {
            assert_eq!(item.resource.get(key), Some(&json!(value)), "{key} of {:#?}", item.resource);
        }
    }

    #[test]
    fn traffic_and_lines_of_both_drivers_carry_the_names_of_the_store() {
        let (Some(journald), Some(podman)) = (Journald::start(), Podman::new()) else { return };
        let port = free_port();
        // One root directory: the journal's, in which Podman's store is found too.
        let store = journald.root().join("var/lib");
        std::fs::create_dir_all(&store).expect("a scratch directory");
        std::os::unix::fs::symlink(podman.root().join("var/lib/containers"), store.join("containers")).expect("a link");
        std::os::unix::fs::symlink(podman.root().join("run/containers"), journald.root().join("run/containers")).expect("a link");
        let Some(scene) = Scene::start_with([("REMORA_HOST_ROOT", journald.root().display().to_string())]) else { return };
        let serve = format!("for i in $(seq 200); do echo \"INFO order $i paid\"; done; exec python3 -u -m http.server {port}");
        let cart = podman.run(None, &["--name", "cart", "--log-driver", "k8s-file"], &["sh", "-c", &serve]);
        let print = "for i in $(seq 200); do echo \"INFO sale $i done\"; done; echo 'no paper' >&2; exec sleep 86400";
        let till = podman.run(Some(&journald), &["--name", "till", "--log-driver", "journald"], &["sh", "-c", print]);
        wait_until("a server", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        wait_until("a span of the container", || {
            let asked = curl(&["-o", "/dev/null", &format!("http://127.0.0.1:{port}/goods")]);
            let spans = scene.collector.spans();
            (!asked || spans.iter().any(|span| span.attribute("url.path") == "/goods" && span.service() == "cart")).then_some(())
        });
        wait_until("all lines", || {
            let logs = scene.collector.log_records();
            (lines(&logs, "INFO order").len() >= 200 && lines(&logs, "INFO sale").len() >= 200 && !lines(&logs, "no paper").is_empty())
                .then_some(())
        });

        let telemetry = scene.end();
        let span = telemetry.spans.iter().rfind(|span| span.attribute("url.path") == "/goods").expect("a span");
        named(span, "cart", &cart);
        let (orders, sales) = (lines(&telemetry.logs, "INFO order"), lines(&telemetry.logs, "INFO sale"));
        assert_eq!((orders.len(), sales.len()), (200, 200));
        orders.iter().for_each(|record| named(record, "cart", &cart));
        sales.iter().for_each(|record| named(record, "till", &till));
        let error = lines(&telemetry.logs, "no paper")[0];
        assert_eq!((error.attribute("log.iostream"), orders[0].attribute("log.iostream")), (json!("stderr"), json!("stdout")));
    }
}
