//! Names of containers by the directories in which a kubelet has their logs written, for every runtime and without a socket.
//!
//! `/var/log/containers/POD_NAMESPACE_CONTAINER-ID.log` links to `/var/log/pods/NAMESPACE_POD_UID/CONTAINER/RESTARTS.log`
//! (kubelet, `BuildContainerLogsDirectory` and `LogSymlink`). Both are read, as links come after their container and may
//! be missing. Nothing is told here of images, labels or processes.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::cgroup::{ContainerId, ContainerRef, PodRef};
use super::container::{Container, Image, LogTarget};
use super::engine::{self, Asked, Broken, EngineError, LOOK, Looked, Reports};
use super::process::Declared;

/// Logs of pods on the host.
pub(crate) const PODS: &str = "/var/log/pods";
/// Links to them that end in the container's id.
const CONTAINERS: &str = "/var/log/containers";
/// Most entries of a directory that are read.
const MAX_ENTRIES: usize = 16_384;

/// A container of a pod, as the path of its log names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PodContainer {
    pub(crate) namespace: String,
    pub(crate) pod: String,
    pub(crate) uid: String,
    pub(crate) container: String,
    /// How often the kubelet started the container again.
    pub(crate) restarts: Option<i64>,
}

impl PodContainer {
    /// Names in the path of a pod's log.
    pub(crate) fn of_log(file: &Path) -> Option<Self> {
        let mut parts = file.iter().rev().map(|part| part.to_str());
        let (restarts, container, pod) = (parts.next()??, parts.next()??, parts.next()??);
        let (namespace, pod, uid) = pod_directory(pod)?;
        let restarts = restarts.strip_suffix(".log").and_then(|count| count.parse().ok());
        Some(Self { namespace: namespace.into(), pod: pod.into(), uid: uid.into(), container: container.into(), restarts })
    }
}

/// `NAMESPACE_POD_UID`: neither namespaces nor pods may have an underscore in their names.
fn pod_directory(name: &str) -> Option<(&str, &str, &str)> {
    let mut parts = name.splitn(3, '_');
    Some((parts.next()?, parts.next()?, parts.next()?))
        .filter(|(namespace, pod, uid)| ![namespace, pod, uid].iter().any(|part| part.is_empty()))
}

/// A path of the host below the root it is mounted at.
pub(crate) fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// What stands in a directory; nothing if it cannot be read.
pub(crate) fn entries(directory: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(directory).into_iter().flatten().flatten().take(MAX_ENTRIES).map(|entry| entry.path()).collect()
}

/// Containers by their logs, as the host names those.
pub(crate) fn ids_by_log(root: &Path) -> HashMap<PathBuf, ContainerId> {
    links(root).into_iter().filter_map(|(id, link)| Some((std::fs::read_link(link).ok()?, id))).collect()
}

fn links(root: &Path) -> Vec<(ContainerId, PathBuf)> {
    let links = entries(&below(root, Path::new(CONTAINERS)));
    links.into_iter().filter_map(|link| Some((ContainerId::new(link.file_stem()?.to_str()?.rsplit_once('-')?.1), link))).collect()
}

/// See the module.
#[derive(Debug)]
pub(super) struct KubeletLogs {
    root: PathBuf,
}

impl KubeletLogs {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_path_buf() }
    }

    /// Names a container by its link, else by its pod.
    pub(super) async fn inspect(&self, asked: &Asked) -> Result<Container, EngineError> {
        let (root, asked) = (self.root.clone(), asked.clone());
        let found = tokio::task::spawn_blocking(move || find(&root, &asked)).await;
        found.ok().flatten().ok_or(EngineError::NotFound)
    }

    /// Tells of links that come and go.
    pub(super) async fn watch(&self, reports: &Reports) -> Broken {
        engine::watch_files(&self.root, reports, look).await
    }
}

/// When the directory of links last changed, and the ids of all links if it has since.
fn look(root: &Path, seen: Option<SystemTime>) -> Looked<Option<SystemTime>> {
    let modified = std::fs::metadata(below(root, Path::new(CONTAINERS))).and_then(|metadata| metadata.modified());
    let Ok(modified) = modified else { return (seen, None) };
    // What comes within the resolution of the file system's clock would be missed without a second look.
    let settled = modified.elapsed().is_ok_and(|age| age > 2 * LOOK);
    if settled && seen == Some(modified) {
        return (seen, None);
    }
    (Some(modified), Some(links(root).into_iter().map(|(id, _)| id).collect()))
}

fn find(root: &Path, asked: &Asked) -> Option<Container> {
    let link = links(root).into_iter().find(|(id, _)| *id == asked.reference.id).and_then(|(_, link)| std::fs::read_link(link).ok());
    if let Some((log, named)) = link.and_then(|log| Some((PodContainer::of_log(&log)?, log))).map(|(named, log)| (log, named)) {
        return Some(container(&asked.reference, Some(&log).filter(|log| !below(root, log).is_symlink()), &Names::of(&named)));
    }
    by_pod(root, asked.pod.as_ref()?).map(|names| container(&asked.reference, None, &names))
}

/// What a pod's directory tells; which of its containers is asked for only if there is one.
fn by_pod(root: &Path, pod: &PodRef) -> Option<Names> {
    entries(&below(root, Path::new(PODS))).into_iter().find_map(|directory| {
        let (namespace, name, uid) = pod_directory(directory.file_name()?.to_str()?)?;
        if *uid != *pod.uid {
            return None;
        }
        let containers = entries(&directory);
        let only = match containers.as_slice() {
            [only] => only.file_name().and_then(|name| name.to_str()).map(str::to_owned),
            _ => None,
        };
        Some(Names { namespace: namespace.into(), pod: name.into(), uid: uid.into(), container: only, restarts: None })
    })
}

struct Names {
    namespace: String,
    pod: String,
    uid: String,
    container: Option<String>,
    restarts: Option<i64>,
}

impl Names {
    fn of(named: &PodContainer) -> Self {
        let PodContainer { namespace, pod, uid, container, restarts } = named.clone();
        Self { namespace, pod, uid, container: Some(container), restarts }
    }
}

fn container(reference: &ContainerRef, log: Option<&PathBuf>, names: &Names) -> Container {
    let restarts = names.restarts.map(|restarts| restarts.to_string());
    let labels = [
        ("io.kubernetes.pod.namespace", Some(names.namespace.clone())),
        ("io.kubernetes.pod.name", Some(names.pod.clone())),
        ("io.kubernetes.pod.uid", Some(names.uid.clone())),
        ("io.kubernetes.container.name", names.container.clone()),
        ("io.kubernetes.container.restartCount", restarts),
    ];
    let labels: BTreeMap<String, String> = labels.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    Container {
        reference: reference.clone(),
        name: names.container.clone().unwrap_or_default(),
        image: Image::default(),
        labels,
        declared: Declared::default(),
        main_pid: None,
        started_at: None,
        restarts: names.restarts.and_then(|restarts| u64::try_from(restarts).ok()).unwrap_or(0),
        addresses: Vec::new(),
        published: Vec::new(),
        log: LogTarget { driver: log.map(|_| "k8s-file".to_owned()), path: log.cloned(), tty: false },
    }
}

#[cfg(test)]
mod tests {
    use super::super::cgroup::{QosClass, Runtime};
    use super::super::fixture;
    use super::*;

    const ID: &str = "4d1a0c8f0f3c5a6f7e8b9d0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e";
    const UID: &str = "6a1c0d2e-0000-4000-8000-000000000001";

    fn asked(id: &str, pod: Option<&str>) -> Asked {
        let pod = pod.map(|uid| PodRef { uid: uid.into(), qos: QosClass::Burstable });
        Asked { reference: ContainerRef { runtime: Runtime::CriO, id: ContainerId::new(id) }, pod }
    }

    #[test]
    fn a_pods_log_is_named_by_its_path() {
        let found = PodContainer::of_log(Path::new("/var/log/pods/shop_web-7d4b9c8f6d-x2x7k_6a1c/app/3.log")).unwrap();
        assert_eq!((found.namespace.as_str(), found.pod.as_str(), found.uid.as_str()), ("shop", "web-7d4b9c8f6d-x2x7k", "6a1c"));
        assert_eq!((found.container.as_str(), found.restarts), ("app", Some(3)));
        assert!(PodContainer::of_log(Path::new("/var/log/pods/odd/app/0.log")).is_none());
    }

    #[test]
    fn a_link_names_its_container_and_a_pod_with_one_container_names_that() {
        let log = format!("var/log/pods/shop_web-7d4b9c8f6d-x2x7k_{UID}/app/2.log");
        let tree = fixture::tree(&[(&log, ""), ("var/log/pods/shop_pair_u2/a/0.log", ""), ("var/log/pods/shop_pair_u2/b/0.log", "")]);
        tree.link(&format!("var/log/containers/web-7d4b9c8f6d-x2x7k_shop_app-{ID}.log"), &format!("/{log}"));
        let linked = find(tree.path(), &asked(ID, None)).unwrap();
        let pod = linked.kubernetes().unwrap();
        assert_eq!((pod.namespace, pod.pod, pod.uid), ("shop", "web-7d4b9c8f6d-x2x7k", Some(UID)));
        assert_eq!((pod.container, pod.restarts, linked.name.as_str()), (Some("app"), Some(2), "app"));
        assert_eq!(linked.log.path, Some(PathBuf::from(format!("/{log}"))));
        let other = "0".repeat(64);
        assert_eq!(find(tree.path(), &asked(&other, Some(UID))).unwrap().kubernetes().unwrap().container, Some("app"));
        let pair = find(tree.path(), &asked(&other, Some("u2"))).unwrap();
        assert_eq!((pair.kubernetes().unwrap().pod, pair.kubernetes().unwrap().container), ("pair", None));
        assert!(find(tree.path(), &asked(&other, None)).is_none() && find(tree.path(), &asked(&other, Some("u3"))).is_none());
        assert_eq!(ids_by_log(tree.path()).get(&PathBuf::from(format!("/{log}"))), Some(&ContainerId::new(ID)));
    }
}
