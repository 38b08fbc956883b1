//! What a container runtime tells about a container, as plain data that no runtime's own types leak into.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use remora_core::model::Pid;

use super::cgroup::ContainerRef;
use super::process::Declared;
use super::workload::{self, Workload};

/// A container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its id and who runs it.
    pub reference: ContainerRef,
    /// Its name, without Docker's leading slash.
    pub name: String,
    /// Its image.
    pub image: Image,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What its configured environment declares.
    pub declared: Declared,
    /// Its first process, while it runs.
    pub main_pid: Option<Pid>,
    /// Start time as RFC 3339.
    pub started_at: Option<String>,
    /// How often the runtime started it again.
    pub restarts: u64,
    /// Its addresses.
    pub addresses: Vec<NetworkAddress>,
    /// Ports of the host that lead to it.
    pub published: Vec<PublishedPort>,
    /// Where its standard output goes.
    pub log: LogTarget,
}

/// Image of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// `container.image.id`.
    pub id: Option<String>,
    /// Reference that the container was made with: `nginx:1.27`. May be an image id.
    pub reference: String,
    /// `container.image.repo_digests`.
    pub repo_digests: Vec<String>,
}

/// An address of a container in one of its networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkAddress {
    /// Name of the network.
    pub network: String,
    /// Address there.
    pub address: IpAddr,
}

/// A TCP port of the host that the runtime forwards into a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishedPort {
    /// Address and port on the host; an unspecified address stands for all of them.
    pub host: SocketAddr,
    /// Port inside.
    pub container_port: u16,
}

/// Where a runtime writes what a container prints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogTarget {
    /// Log driver: `json-file`, `local`, `journald`, …
    pub driver: Option<String>,
    /// File on the host, for drivers that write one.
    pub path: Option<PathBuf>,
    /// With a terminal, standard output and error are one stream.
    pub tty: bool,
}

/// A container of a Compose project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compose<'a> {
    /// Project.
    pub project: Option<&'a str>,
    /// Service within it.
    pub service: &'a str,
    /// Number of the container within the service, as it is written.
    pub number: Option<&'a str>,
}

/// A task of a Swarm service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swarm<'a> {
    /// Stack.
    pub stack: Option<&'a str>,
    /// Service, without the stack's name before it.
    pub service: &'a str,
}

/// A container of a Kubernetes pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kubernetes<'a> {
    /// Namespace.
    pub namespace: &'a str,
    /// Pod.
    pub pod: &'a str,
    /// Pod UID.
    pub uid: Option<&'a str>,
    /// Container within the pod; `None` for the sandbox.
    pub container: Option<&'a str>,
    /// Restarts that the kubelet counted.
    pub restarts: Option<i64>,
    /// Controller that the labels prove.
    pub workload: Option<Workload>,
}

impl Container {
    /// Value of a label, if it is there and not empty.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Compose project and service by the labels of Docker Compose and podman-compose.
    #[must_use]
    pub fn compose(&self) -> Option<Compose<'_>> {
        let either =
            |name: &str| self.label(&format!("com.docker.compose.{name}")).or_else(|| self.label(&format!("io.podman.compose.{name}")));
        let number = either("container-number");
        Some(Compose { project: either("project"), service: either("service")?, number })
    }

    /// Swarm service by Docker's labels.
    #[must_use]
    pub fn swarm(&self) -> Option<Swarm<'_>> {
        let name = self.label("com.docker.swarm.service.name")?;
        let stack = self.label("com.docker.stack.namespace");
        let short = stack.and_then(|stack| name.strip_prefix(stack)?.strip_prefix('_')).filter(|short| !short.is_empty());
        Some(Swarm { stack, service: short.unwrap_or(name) })
    }

    /// Pod by the labels that the kubelet gives to each container (`io.kubernetes.*`).
    #[must_use]
    pub fn kubernetes(&self) -> Option<Kubernetes<'_>> {
        let pod = self.label("io.kubernetes.pod.name")?;
        let restarts =
            self.label("annotation.io.kubernetes.container.restartCount").or_else(|| self.label("io.kubernetes.container.restartCount"));
        Some(Kubernetes {
            namespace: self.label("io.kubernetes.pod.namespace")?,
            pod,
            uid: self.label("io.kubernetes.pod.uid"),
            // The sandbox calls its container POD.
            container: self.label("io.kubernetes.container.name").filter(|name| *name != "POD"),
            restarts: restarts.and_then(|count| count.parse().ok()),
            workload: workload::by_labels(pod, &self.labels),
        })
    }
}
