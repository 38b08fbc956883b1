//! Names of containers by the files of `containers/storage`, which Podman (also without its service) and CRI-O keep.
//!
//! `STORE/DRIVER-containers/containers.json` lists ids, names and a metadata text; `ID/userdata/config.json` below it is the
//! OCI specification, with what CRI-O annotates. Labels of Podman are in its database, which only its service tells.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use remora_core::model::Pid;
use serde::Deserialize;

use super::cgroup::{ContainerId, ContainerRef, Runtime};
use super::container::{Container, Image, LogTarget};
use super::engine::{self, Broken, EngineError, Looked, Reports};
use super::kubelet_logs::{below, entries};
use super::process;
use super::read;

/// Stores of the machine: of root, and of users.
const STORE: &str = "/var/lib/containers/storage";
/// What root's store keeps until the next boot.
const RUN: &str = "/run/containers/storage";
const HOMES: &str = "/home";
const IN_HOME: &str = ".local/share/containers/storage";
/// Largest list and specification that are read, bytes.
const MAX_FILE: usize = 8 << 20;

/// A container of the list.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Listed {
    id: String,
    names: Vec<String>,
    metadata: String,
}

/// Podman's metadata and CRI-O's.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Metadata {
    image_name: String,
    image_id: String,
    name: String,
    metadata_name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    process: SpecProcess,
    annotations: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SpecProcess {
    env: Vec<String>,
    terminal: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct ContainerStore {
    root: PathBuf,
}

impl ContainerStore {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_path_buf() }
    }

    /// Describes a container of any store.
    pub(super) async fn inspect(&self, id: &ContainerId) -> Result<Container, EngineError> {
        let (root, id) = (self.root.clone(), id.clone());
        let found = tokio::task::spawn_blocking(move || find(&root, &id)).await;
        found.ok().flatten().ok_or(EngineError::NotFound)
    }

    /// Tells of containers that come and go.
    pub(super) async fn watch(&self, reports: &Reports) -> Broken {
        engine::watch_files(&self.root, reports, look).await
    }
}

/// Lists of containers with the times of their last changes.
type Lists = Vec<(PathBuf, Option<SystemTime>)>;

/// The ids of all containers, if a list changed since `before`.
fn look(root: &Path, before: Lists) -> Looked<Lists> {
    let changed = |list: &PathBuf| std::fs::metadata(list).and_then(|metadata| metadata.modified()).ok();
    let now: Lists = lists(root).into_iter().map(|list| (changed(&list), list)).map(|(at, list)| (list, at)).collect();
    if now == before {
        return (now, None);
    }
    let ids = now.iter().flat_map(|(list, _)| listed(list)).map(|listed| ContainerId::new(&listed.id)).collect();
    (now, Some(ids))
}

/// The lists of all stores and drivers.
fn lists(root: &Path) -> Vec<PathBuf> {
    let homes = entries(&below(root, Path::new(HOMES))).into_iter().map(|home| home.join(IN_HOME));
    let stores = std::iter::once(below(root, Path::new(STORE))).chain(homes);
    let drivers = stores
        .flat_map(|store| entries(&store))
        .filter(|entry| entry.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.ends_with("-containers")));
    drivers.map(|driver| driver.join("containers.json")).filter(|list| list.is_file()).collect()
}

fn listed(list: &Path) -> Vec<Listed> {
    read::bytes(list, MAX_FILE).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

fn find(root: &Path, id: &ContainerId) -> Option<Container> {
    lists(root).into_iter().find_map(|list| {
        let found = listed(&list).into_iter().find(|listed| listed.id == id.as_str())?;
        let directory = list.parent()?.join(id.as_str()).join("userdata");
        Some(container(root, found, &directory))
    })
}

fn container(root: &Path, listed: Listed, directory: &Path) -> Container {
    let spec: Spec =
        read::bytes(&directory.join("config.json"), MAX_FILE).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    let metadata: Metadata = serde_json::from_str(&listed.metadata).unwrap_or_default();
    let of_crio = spec.annotations.contains_key("io.kubernetes.pod.name");
    let runtime = if of_crio { Runtime::CriO } else { Runtime::Podman };
    let names = [&metadata.metadata_name, &metadata.name].into_iter().chain(&listed.names);
    let name = names.into_iter().find(|name| !name.is_empty()).cloned().unwrap_or_default();
    let logs = [spec.annotations.get("io.kubernetes.cri-o.LogPath").map(PathBuf::from), host_path(root, &directory.join("ctr.log"))];
    let log = logs.into_iter().flatten().find(|log| below(root, log).is_file());
    let image_id = Some(metadata.image_id).filter(|id| !id.is_empty()).map(|id| if id.contains(':') { id } else { format!("sha256:{id}") });
    Container {
        reference: ContainerRef { runtime, id: ContainerId::new(&listed.id) },
        name,
        image: Image { id: image_id, reference: metadata.image_name, repo_digests: Vec::new() },
        labels: spec.annotations.into_iter().filter(|(name, _)| !name.starts_with("io.kubernetes.cri-o.")).collect(),
        declared: process::declared(spec.process.env.iter().map(String::as_bytes)),
        main_pid: main_pid(root, directory),
        started_at: None,
        restarts: 0,
        addresses: Vec::new(),
        published: Vec::new(),
        log: LogTarget { driver: log.as_ref().map(|_| "k8s-file".to_owned()), path: log, tty: spec.process.terminal },
    }
}

/// The first process, by the file that lasts until the next boot: beside the others, or in the same place below `/run`.
fn main_pid(root: &Path, directory: &Path) -> Option<Pid> {
    let in_run = directory.strip_prefix(below(root, Path::new(STORE))).ok().map(|rest| below(root, Path::new(RUN)).join(rest));
    let files = [Some(directory.to_path_buf()), in_run].into_iter().flatten();
    files.map(|directory| directory.join("pidfile")).find_map(|file| read::line(&file)?.parse().ok().map(Pid))
}

/// What a path below the root is called on the host.
fn host_path(root: &Path, path: &Path) -> Option<PathBuf> {
    Some(Path::new("/").join(path.strip_prefix(root).ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    const LIST: &str = "var/lib/containers/storage/overlay-containers/containers.json";

    #[test]
    fn containers_of_podman_and_of_crio() {
        let list = r#"[{"id":"p1","names":["cart"],"image":"9f","layer":"l","metadata":"{\"image-name\":\"docker.io/library/nginx:1.27\",\"image-id\":\"9f\",\"name\":\"cart\",\"created-at\":1}","created":"2026-01-01T00:00:00Z"},
            {"id":"k1","names":["k8s_app_web_shop_u_1"],"metadata":"{\"pod-name\":\"k8s_POD_web\",\"image-name\":\"quay.io/shop/web:2\",\"metadata-name\":\"app\",\"namespace\":\"shop\",\"attempt\":1}"}]"#;
        let annotations = r#"{"annotations":{"io.kubernetes.pod.name":"web","io.kubernetes.pod.namespace":"shop","io.kubernetes.container.name":"app",
            "io.kubernetes.cri-o.LogPath":"/var/log/pods/shop_web_u/app/1.log"},"process":{"env":["OTEL_SERVICE_NAME=w"]}}"#;
        let tree = fixture::tree(&[
            (LIST, list),
            ("var/lib/containers/storage/overlay-containers/p1/userdata/ctr.log", ""),
            ("var/lib/containers/storage/overlay-containers/k1/userdata/config.json", annotations),
            ("var/log/pods/shop_web_u/app/1.log", ""),
            ("run/containers/storage/overlay-containers/p1/userdata/pidfile", "77"),
        ]);
        let of = |id: &str| find(tree.path(), &ContainerId::new(id));
        let podman = of("p1").unwrap();
        assert_eq!((podman.name.as_str(), podman.reference.runtime, podman.main_pid), ("cart", Runtime::Podman, Some(Pid(77))));
        assert_eq!((podman.image.reference.as_str(), podman.image.id.as_deref()), ("docker.io/library/nginx:1.27", Some("sha256:9f")));
        assert_eq!(podman.log.path.as_deref(), Some(Path::new("/var/lib/containers/storage/overlay-containers/p1/userdata/ctr.log")));
        let crio = of("k1").unwrap();
        assert_eq!((crio.name.as_str(), crio.reference.runtime, crio.declared.service_name.as_deref()), ("app", Runtime::CriO, Some("w")));
        assert_eq!(crio.log.path.as_deref(), Some(Path::new("/var/log/pods/shop_web_u/app/1.log")));
        assert_eq!(crio.kubernetes().unwrap().pod, "web");
        assert!(of("x").is_none());
        let (seen, ids) = look(tree.path(), Vec::new());
        assert_eq!((ids.unwrap().len(), look(tree.path(), seen).1), (2, None));
    }

    #[test]
    fn a_broken_list_is_empty() {
        let tree = fixture::tree(&[(LIST, "[{")]);
        assert!(find(tree.path(), &ContainerId::new("p1")).is_none());
    }
}
