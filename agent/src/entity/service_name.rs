//! `service.name` and its companions, by fixed rules over what is known of a process and its container.
//!
//! Order (first that is there): what the process declares · the OpenTelemetry rules for Kubernetes · Compose service ·
//! Swarm service · container name · unit · the program that an interpreter runs · the executable ·
//! `comm` · `unknown_service`, which says that it is a fallback. Pure.

use super::cgroup::{Manager, Placement, Runtime, UnitRef};
use super::container::{Container, Kubernetes};
use super::image;
use super::process::Declared;
use super::workload;

/// Everything that names may be taken from.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// What the process, else its container, declares.
    pub declared: &'a Declared,
    /// Container, if its runtime has described it.
    pub container: Option<&'a Container>,
    /// Container, pod and unit by cgroup.
    pub placement: &'a Placement,
    /// Short name of the program or executable, if it is known.
    pub program: Option<&'a str>,
    /// Command name of a process that was gone before anything else could be read.
    pub comm: Option<&'a str>,
    /// What is stable about a process without container: unit or path, for the instance id.
    pub scope: &'a str,
    /// `host.id`, else `host.name`.
    pub host: &'a str,
}

/// The `service.*` attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// `service.name`.
    pub name: String,
    /// `service.namespace`.
    pub namespace: Option<String>,
    /// `service.version`.
    pub version: Option<String>,
    /// `service.instance.id`: the same for the life of the container, and after a restart of the agent.
    pub instance: String,
}

/// Decides all four.
#[must_use]
pub fn service(evidence: &Evidence<'_>) -> Service {
    let kubernetes = evidence.container.and_then(Container::kubernetes);
    Service {
        name: name(evidence, kubernetes.as_ref()),
        namespace: namespace(evidence, kubernetes.as_ref()),
        version: version(evidence, kubernetes.as_ref()),
        instance: instance(evidence, kubernetes.as_ref()),
    }
}

fn name(evidence: &Evidence<'_>, kubernetes: Option<&Kubernetes<'_>>) -> String {
    let declared = evidence.declared.service_name.as_deref();
    let of_container = || evidence.container.and_then(|container| container_name(container, kubernetes));
    let found = declared.or_else(of_container).or_else(|| named_placement(evidence.placement)).or(evidence.program);
    // A process that was gone before it was read is known by its comm, which is the executable's name but for its length:
    // the same `curl` must not be two services depending on how long it lives. Else the Resource SDK's own fallback.
    found.or(evidence.comm).unwrap_or("unknown_service").to_owned()
}

fn container_name<'a>(container: &'a Container, kubernetes: Option<&Kubernetes<'a>>) -> Option<&'a str> {
    if let Some(pod) = kubernetes {
        return Some(kubernetes_name(container, pod));
    }
    let compose = container.compose().map(|compose| compose.service);
    let swarm = || container.swarm().map(|swarm| swarm.service);
    compose.or_else(swarm).or(Some(container.name.as_str())).filter(|name| !name.is_empty())
}

/// "How service.name should be calculated" of the conventions for Kubernetes, as far as labels and names go.
fn kubernetes_name<'a>(container: &'a Container, pod: &Kubernetes<'a>) -> &'a str {
    let label = container
        .label("resource.opentelemetry.io/service.name")
        .or_else(|| container.label("app.kubernetes.io/instance"))
        .or_else(|| container.label("app.kubernetes.io/name"));
    // A proven workload's name is always what the pod's name begins with, so both borrow from the same text.
    let proven = || pod.workload.as_ref().and_then(|workload| pod.pod.get(..workload.name().len()));
    label.or_else(proven).unwrap_or_else(|| workload::guess_by_name(pod.pod))
}

/// Names that people chose: of units, and of containers whose id is a name.
fn named_placement(placement: &Placement) -> Option<&str> {
    let unit = placement.unit.as_ref().map(|unit| &*unit.name);
    let container =
        placement.container.as_ref().filter(|container| has_chosen_name(container.runtime)).map(|container| container.id.as_str());
    unit.or(container)
}

fn has_chosen_name(runtime: Runtime) -> bool {
    matches!(runtime, Runtime::Lxc | Runtime::Machine)
}

fn namespace(evidence: &Evidence<'_>, kubernetes: Option<&Kubernetes<'_>>) -> Option<String> {
    let container = || {
        let container = evidence.container?;
        let kubernetes = kubernetes.map(|pod| pod.namespace);
        kubernetes.or_else(|| container.compose()?.project).or_else(|| container.swarm()?.stack)
    };
    evidence.declared.service_namespace.as_deref().or_else(container).map(str::to_owned)
}

fn version(evidence: &Evidence<'_>, kubernetes: Option<&Kubernetes<'_>>) -> Option<String> {
    if let Some(version) = &evidence.declared.service_version {
        return Some(version.clone());
    }
    let container = evidence.container?;
    let label = kubernetes.and_then(|_| container.label("app.kubernetes.io/version"));
    // "latest" names no version.
    let tag = image::parse(&container.image.reference).tag.filter(|tag| *tag != "latest");
    label.or(tag).map(str::to_owned)
}

fn instance(evidence: &Evidence<'_>, kubernetes: Option<&Kubernetes<'_>>) -> String {
    if let Some(declared) = &evidence.declared.service_instance_id {
        return declared.clone();
    }
    if let Some(pod) = kubernetes {
        let parts = [Some(pod.namespace), Some(pod.pod), pod.container];
        return parts.into_iter().flatten().collect::<Vec<_>>().join(".");
    }
    let container = evidence.placement.container.as_ref();
    let unit = evidence.placement.unit.as_ref();
    match (container, unit) {
        // Names are unique on one host only.
        (Some(container), _) if has_chosen_name(container.runtime) => {
            [Some(evidence.host), Some(container.id.as_str()), unit.map(|unit| &*unit.name)]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join("/")
        }
        (Some(container), Some(unit)) => format!("{}/{}", container.id, unit.name),
        (Some(container), None) => container.id.to_string(),
        (None, Some(unit)) => format!("{}/{}", evidence.host, unit_scope(unit)),
        (None, None) => format!("{}/{}", evidence.host, evidence.scope.trim_start_matches('/')),
    }
}

/// A unit's name, with its user where users have units of their own.
fn unit_scope(unit: &UnitRef) -> String {
    match unit.manager {
        Manager::User(user) => format!("user@{user}/{}", unit.name),
        Manager::System | Manager::OpenRc => unit.name.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::cgroup::{self, ContainerId, ContainerRef};
    use super::super::container::{Image, LogTarget};
    use super::*;

    const ID: &str = "4d1a0c8f0f3c5a6f7e8b9d0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e";

    fn container(name: &str, image: &str, labels: &[(&str, &str)]) -> Container {
        Container {
            reference: ContainerRef { runtime: Runtime::Docker, id: ContainerId::new(ID) },
            name: name.to_owned(),
            image: Image { reference: image.to_owned(), ..Image::default() },
            labels: labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            declared: Declared::default(),
            main_pid: None,
            started_at: None,
            restarts: 0,
            addresses: Vec::new(),
            published: Vec::new(),
            log: LogTarget::default(),
        }
    }

    /// `namespace/name version instance`, with `-` for what is not there.
    fn show(path: &str, container: Option<&Container>, declared: &Declared, program: Option<&str>) -> String {
        let placement = cgroup::placement(path);
        let found =
            service(&Evidence { declared, container, placement: &placement, program, comm: Some("comm"), scope: "/usr/bin/x", host: "H" });
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        format!("{}/{} {} {}", or_dash(found.namespace), found.name, or_dash(found.version), found.instance.replace(ID, "ID"))
    }

    #[test]
    fn the_first_rule_that_applies_names_the_service() {
        let none = Declared::default();
        let docker = format!("/docker/{ID}");
        let pod = [
            ("io.kubernetes.pod.name", "web-7d4b9c8f6d-x2x7k"),
            ("io.kubernetes.pod.namespace", "shop"),
            ("io.kubernetes.container.name", "app"),
        ];
        let with = |more: &[(&'static str, &'static str)]| [&pod, more].concat();
        let cases = [
            (container("web-1", "nginx:1.27", &[]), "-/web-1 1.27 ID"),
            (container("web-1", "nginx:latest", &[]), "-/web-1 - ID"),
            (container("p-cart-1", "cart", &[("com.docker.compose.project", "p"), ("com.docker.compose.service", "cart")]), "p/cart - ID"),
            (container("x", "cart", &[("com.docker.swarm.service.name", "s_cart"), ("com.docker.stack.namespace", "s")]), "s/cart - ID"),
            (container("x", "cart", &[("com.docker.swarm.service.name", "cart")]), "-/cart - ID"),
            (container("k8s_app", "r:5/app:v3", &pod), "shop/web v3 shop.web-7d4b9c8f6d-x2x7k.app"),
            (container("k8s_app", "app", &with(&[("pod-template-hash", "7d4b9c8f6d")])), "shop/web - shop.web-7d4b9c8f6d-x2x7k.app"),
            (container("k8s_app", "app", &with(&[("app.kubernetes.io/name", "front")])), "shop/front - shop.web-7d4b9c8f6d-x2x7k.app"),
            (
                container(
                    "k8s_app",
                    "app:1",
                    &with(&[
                        ("app.kubernetes.io/name", "front"),
                        ("app.kubernetes.io/instance", "front-eu"),
                        ("app.kubernetes.io/version", "9"),
                    ]),
                ),
                "shop/front-eu 9 shop.web-7d4b9c8f6d-x2x7k.app",
            ),
        ];
        for (container, expected) in &cases {
            assert_eq!(show(&docker, Some(container), &none, Some("nginx")), *expected, "{container:?}");
        }
    }

    #[test]
    fn what_the_process_declares_comes_first() {
        let declared = Declared {
            service_name: Some("cart".into()),
            service_namespace: Some("shop".into()),
            service_version: Some("7".into()),
            service_instance_id: Some("me".into()),
            deployment_environment: None,
        };
        let docker = container("web-1", "nginx:1.27", &[]);
        assert_eq!(show(&format!("/docker/{ID}"), Some(&docker), &declared, None), "shop/cart 7 me");
        assert_eq!(show("/system.slice/nginx.service", None, &declared, None), "shop/cart 7 me");
    }

    #[test]
    fn without_a_described_container_unit_program_and_comm_follow() {
        let none = Declared::default();
        assert_eq!(show("/system.slice/nginx.service", None, &none, Some("nginx")), "-/nginx - H/nginx");
        assert_eq!(show("/user.slice/user@7.service/app.slice/sync.service", None, &none, None), "-/sync - H/user@7/sync");
        assert_eq!(show("/lxc.payload.db/system.slice/pg.service", None, &none, Some("postgres")), "-/pg - H/db/pg");
        assert_eq!(show("/lxc/db", None, &none, Some("postgres")), "-/db - H/db");
        // The id of a container that no runtime described is no name.
        assert_eq!(show(&format!("/docker/{ID}"), None, &none, Some("nginx")), "-/nginx - ID");
        assert_eq!(show("/", None, &none, Some("server")), "-/server - H/usr/bin/x");
        assert_eq!(show("/", None, &none, None), "-/comm - H/usr/bin/x");
    }
}
