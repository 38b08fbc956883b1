//! Calls between Docker containers: both ends are named, whether they were there before the agent or come later.

mod root {
    use remora_tests::{Docker, Item, Scene, calls, wait_until};
    use serde_json::{Value, json};

    const PORT: u16 = 8000;

    /// Starts a web server in a container and waits until it answers to a client's container.
    fn serve(docker: &Docker, name: &str, client: &str) -> (String, String) {
        let label = format!("com.docker.compose.service={name}");
        let labels = ["--label", "com.docker.compose.project=shop", "--label", &label, "--name", name];
        let container = docker.run(&labels, &["python3", "-m", "http.server", &PORT.to_string()]);
        let url = format!("http://{}:{PORT}", docker.address(&container));
        let up = ["exec", client, "curl", "-s", "--retry", "100", "--retry-connrefused", "--retry-delay", "1", "-o", "/dev/null"];
        docker.docker(&[&up[..], &[&format!("{url}/up")]].concat());
        (container, url)
    }

    fn resource(span: &Item, key: &str) -> Value {
        span.resource.get(key).cloned().unwrap_or_default()
    }

    #[test]
    fn both_ends_of_a_call_between_containers_are_named() {
        let Some(docker) = Docker::start() else { return };
        let client = docker.run(&["--name", "shopper"], &["sleep", "86400"]);
        let (cart, url) = serve(&docker, "cart", "shopper");
        let Some(scene) = Scene::start_with([("REMORA_ENTITY_DOCKER_SOCKET", docker.socket().display().to_string())]) else { return };
        let (late, late_url) = serve(&docker, "late", "shopper");
        for url in [&url, &late_url] {
            docker.docker(&["exec", "shopper", "curl", "-s", &format!("{url}/goods/1"), &format!("{url}/goods/2")]);
        }
        wait_until("spans", || (!scene.collector.spans().is_empty()).then_some(()));

        let telemetry = scene.end();
        let goods = |span: &Item| {
            [span.attribute("url.path"), span.attribute("url.full")]
                .iter()
                .any(|path| path.as_str().is_some_and(|path| path.contains("/goods/")))
        };
        let (calls, alone) =
            calls(telemetry.spans.into_iter().filter(|span| span.attribute("server.port") == PORT && goods(span)).collect());
        assert!(alone.is_empty(), "{alone:#?}");
        assert_eq!(calls.len(), 4);
        for (call, (name, id)) in calls.iter().zip([("cart", &cart), ("cart", &cart), ("late", &late), ("late", &late)]) {
            let who =
                |span: &Item| ["service.name", "container.name", "container.id", "container.image.name"].map(|key| resource(span, key));
            assert_eq!(who(&call.server), [json!(name), json!(name), json!(id), json!("shop/tools")]);
            assert_eq!(who(&call.client), [json!("shopper"), json!("shopper"), json!(client), json!("shop/tools")]);
            assert_eq!(resource(&call.server, "service.namespace"), "shop");
            let peer = |span: &Item| ["service.peer.name", "remora.peer.container.name"].map(|key| span.attribute(key));
            assert_eq!(peer(&call.client), [name, name]);
            assert_eq!(peer(&call.server), ["shopper", "shopper"]);
        }
    }
}
