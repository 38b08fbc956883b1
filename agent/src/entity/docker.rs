//! Containers as Docker's Engine API tells of them, over a Unix socket; Podman speaks the same API on its own.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use bollard::API_DEFAULT_VERSION;
use bollard::errors::Error as ApiError;
use bollard::models::{ContainerInspectResponse, EventActor, EventMessage, HostConfig, NetworkSettings, PortMap};
use bollard::query_parameters::{EventsOptionsBuilder, InspectContainerOptions, ListContainersOptions};
use futures_util::StreamExt;
use remora_core::model::Pid;
use tokio::time::timeout;

use super::cgroup::{ContainerId, ContainerRef, Runtime};
use super::container::{Container, Image, LogTarget, NetworkAddress, PublishedPort};
use super::engine::{Broken, EngineError, EngineEvent, Reports};
use super::process::{self, Declared};

/// Images whose digests are remembered.
const MAX_IMAGES: usize = 1024;

/// One engine.
#[derive(Debug)]
pub(super) struct Docker {
    runtime: Runtime,
    path: PathBuf,
    /// Time for one answer.
    answer: Duration,
    /// Repository digests by image id.
    images: Mutex<HashMap<String, Vec<String>>>,
}

impl Docker {
    /// `runtime` is whose containers they are.
    pub(super) fn new(runtime: Runtime, path: PathBuf, answer: Duration) -> Self {
        Self { runtime, path, answer, images: Mutex::default() }
    }

    /// Whose containers they are.
    pub(super) fn runtime(&self) -> Runtime {
        self.runtime
    }

    /// Describes a container.
    pub(super) async fn inspect(&self, id: &ContainerId) -> Result<Container, EngineError> {
        let api = self.connect().await?;
        let found = api.inspect_container(id.as_str(), None::<InspectContainerOptions>).await.map_err(not_found)?;
        let digests = self.repo_digests(&api, found.image.as_deref()).await;
        convert(self.runtime, found, digests).ok_or(EngineError::NotFound)
    }

    /// Reports what happens while one connection stands.
    pub(super) async fn watch(&self, reports: &Reports) -> Broken {
        let api = match timeout(self.answer, self.connect()).await {
            Ok(Ok(api)) => api,
            Ok(Err(error)) => return Broken::before(error),
            Err(_) => return Broken::before(EngineError::Timeout(self.answer)),
        };
        // Events first and the list second: what starts between the two is seen twice, never missed.
        let filters = HashMap::from([("type", vec!["container", "network"])]);
        let mut stream = Box::pin(api.events(Some(EventsOptionsBuilder::default().filters(&filters).build())));
        let running = match timeout(self.answer, api.list_containers(None::<ListContainersOptions>)).await {
            Ok(Ok(running)) => running,
            Ok(Err(error)) => return Broken::before(error.into()),
            Err(_) => return Broken::before(EngineError::Timeout(self.answer)),
        };
        let changed =
            running.into_iter().filter_map(|summary| summary.id).map(|id| EngineEvent::Changed { id: ContainerId::new(&id), told: None });
        for event in std::iter::once(EngineEvent::Connected).chain(changed) {
            if reports.send(event).await.is_err() {
                return Broken::after(EngineError::Ended);
            }
        }
        while let Some(message) = stream.next().await {
            let event = match message {
                Ok(message) => event(self.runtime, message),
                Err(error) => return Broken::after(error.into()),
            };
            if let Some(event) = event
                && reports.send(event).await.is_err()
            {
                break;
            }
        }
        Broken::after(EngineError::Ended)
    }

    /// Connections are made for each request, so an engine that was restarted (and perhaps replaced) is no special case.
    async fn connect(&self) -> Result<bollard::Docker, EngineError> {
        let path = self.path.to_string_lossy();
        let api =
            bollard::Docker::connect_with_unix(&path, self.answer.as_secs().max(1), API_DEFAULT_VERSION).map_err(|error| match error {
                ApiError::SocketNotFoundError(_) => EngineError::Absent(self.path.clone()),
                other => EngineError::Docker(other),
            })?;
        Ok(api.negotiate_version().await?)
    }

    /// `container.image.repo_digests`; an image that cannot be asked about has none.
    async fn repo_digests(&self, api: &bollard::Docker, image: Option<&str>) -> Vec<String> {
        let Some(image) = image else { return Vec::new() };
        if let Some(digests) = self.images.lock().ok().and_then(|images| images.get(image).cloned()) {
            return digests;
        }
        let Ok(found) = api.inspect_image(image).await else { return Vec::new() };
        let digests = found.repo_digests.unwrap_or_default();
        if let Ok(mut images) = self.images.lock() {
            if images.len() >= MAX_IMAGES {
                images.clear();
            }
            images.insert(image.to_owned(), digests.clone());
        }
        digests
    }
}

fn not_found(error: ApiError) -> EngineError {
    match error {
        ApiError::DockerResponseServerError { status_code: 404, .. } => EngineError::NotFound,
        other => EngineError::Docker(other),
    }
}

/// What an event means here, if anything.
fn event(runtime: Runtime, message: EventMessage) -> Option<EngineEvent> {
    let actor = message.actor?;
    match message.action.as_deref()? {
        "create" | "start" | "rename" | "unpause" | "restart" | "init" if is_container(&actor) => {
            let id = ContainerId::new(actor.id.as_deref()?);
            Some(EngineEvent::Changed { told: told(runtime, &id, actor).map(Box::new), id })
        }
        "die" | "died" | "destroy" | "remove" if is_container(&actor) => Some(EngineEvent::Ended(ContainerId::new(actor.id.as_deref()?))),
        // A network's event names the container that joined or left it.
        "connect" | "disconnect" => {
            let id = ContainerId::new(actor.attributes?.get("container")?);
            Some(EngineEvent::Changed { id, told: None })
        }
        _ => None,
    }
}

/// Networks and images have other attributes; every container has a name and an image.
fn is_container(actor: &EventActor) -> bool {
    actor.attributes.as_ref().is_some_and(|attributes| attributes.contains_key("name") && attributes.contains_key("image"))
}

/// A container by its event alone: attributes are its name, image and labels in one map.
fn told(runtime: Runtime, id: &ContainerId, actor: EventActor) -> Option<Container> {
    let mut labels = actor.attributes?;
    let name = labels.remove("name")?;
    let reference = labels.remove("image")?;
    Some(Container {
        reference: ContainerRef { runtime, id: id.clone() },
        name,
        image: Image { reference, ..Image::default() },
        labels: labels.into_iter().collect(),
        declared: Declared::default(),
        main_pid: None,
        started_at: None,
        restarts: 0,
        addresses: Vec::new(),
        published: Vec::new(),
        log: LogTarget::default(),
    })
}

/// An inspect answer as our own data; `None` without id or name.
fn convert(runtime: Runtime, found: ContainerInspectResponse, repo_digests: Vec<String>) -> Option<Container> {
    let id = ContainerId::new(&found.id?);
    let config = found.config.unwrap_or_default();
    let state = found.state.unwrap_or_default();
    let network = found.network_settings.unwrap_or_default();
    let environment = config.env.unwrap_or_default();
    Some(Container {
        reference: ContainerRef { runtime, id },
        name: found.name?.trim_start_matches('/').to_owned(),
        image: Image { id: found.image, reference: config.image.unwrap_or_default(), repo_digests },
        labels: config.labels.unwrap_or_default().into_iter().collect(),
        declared: process::declared(environment.iter().map(String::as_bytes)),
        // A container that does not run has pid 0.
        main_pid: state.pid.and_then(|pid| u32::try_from(pid).ok()).filter(|&pid| pid != 0).map(Pid),
        started_at: state.started_at.filter(|time| !time.starts_with("0001-")),
        restarts: found.restart_count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0),
        addresses: addresses(&network),
        published: network.ports.map(|ports| published(&ports)).unwrap_or_default(),
        log: log_target(found.host_config, found.log_path, found.hostname_path.as_deref(), config.tty.unwrap_or(false)),
    })
}

fn addresses(network: &NetworkSettings) -> Vec<NetworkAddress> {
    let mut found: Vec<_> = network
        .networks
        .iter()
        .flatten()
        .flat_map(|(name, endpoint)| {
            let both = [&endpoint.ip_address, &endpoint.global_ipv6_address];
            both.into_iter().flatten().filter_map(|address| Some(NetworkAddress { network: name.clone(), address: address.parse().ok()? }))
        })
        .collect();
    found.sort_by(|a, b| (&a.network, a.address).cmp(&(&b.network, b.address)));
    found
}

/// Published TCP ports; keys read `80/tcp`.
fn published(ports: &PortMap) -> Vec<PublishedPort> {
    let mut found = Vec::new();
    for (inner, bindings) in ports {
        let Some(container_port) = inner.strip_suffix("/tcp").and_then(|port| port.parse().ok()) else { continue };
        for binding in bindings.iter().flatten() {
            let ip = binding.host_ip.as_deref().filter(|ip| !ip.is_empty()).map_or(Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), str::parse);
            let port = binding.host_port.as_deref().and_then(|port| port.parse().ok());
            if let (Ok(ip), Some(port)) = (ip, port) {
                found.push(PublishedPort { host: SocketAddr::new(ip, port), container_port });
            }
        }
    }
    found.sort_by_key(|port| (port.container_port, port.host));
    found
}

/// The engine tells the file of the `json-file` driver; that of `local` stands in the container's directory, where the
/// file of its host name is too.
fn log_target(host: Option<HostConfig>, path: Option<String>, hostname: Option<&str>, tty: bool) -> LogTarget {
    let driver = host.and_then(|host| host.log_config?.typ);
    let told = path.filter(|path| !path.is_empty()).map(PathBuf::from);
    let local = || {
        let directory = hostname.and_then(|path| Path::new(path).parent()).filter(|_| driver.as_deref() == Some("local"));
        directory.map(|directory| directory.join("local-logs/container.log"))
    };
    LogTarget { path: told.or_else(local), driver, tty }
}
