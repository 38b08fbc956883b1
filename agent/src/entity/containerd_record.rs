//! From what containerd keeps of a container to our own data: labels of Kubernetes and nerdctl, the OCI specification, and
//! what its CRI plugin adds. Pure; what cannot be read is left out.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use remora_core::model::Pid;
use serde::Deserialize;

use super::cgroup::{ContainerId, ContainerRef, Runtime};
use super::container::{Container, Image, LogTarget, NetworkAddress};
use super::containerd_api::Record;
use super::image;
use super::process;

/// Extension of containers that the kubelet made.
const CONTAINER: &str = "io.cri-containerd.container.metadata";
/// Extension of the sandboxes of pods.
const SANDBOX: &str = "io.cri-containerd.sandbox.metadata";
/// Label or annotation that counts restarts.
const RESTARTS: &str = "io.kubernetes.container.restartCount";

/// The part of an OCI runtime specification that is read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    process: SpecProcess,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SpecProcess {
    env: Vec<String>,
    terminal: bool,
}

/// An extension: versioned JSON.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Versioned {
    metadata: Cri,
}

/// `Metadata` of the CRI plugin's stores of containers and of sandboxes, which share the names.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Cri {
    config: CriConfig,
    image_ref: String,
    log_path: String,
    #[serde(rename = "IP")]
    ip: String,
    #[serde(rename = "AdditionalIPs")]
    additional_ips: Option<Vec<String>>,
}

/// `ContainerConfig` or `PodSandboxConfig` of the CRI.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CriConfig {
    annotations: Option<BTreeMap<String, String>>,
    image: CriImage,
    tty: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CriImage {
    image: String,
    user_specified_image: String,
}

/// A container, with the pid of its first process while it runs.
pub(super) fn convert(record: Record, main_pid: Option<Pid>) -> Container {
    let spec: Spec = record.spec.as_ref().and_then(|spec| serde_json::from_slice(&spec.value).ok()).unwrap_or_default();
    let cri = |name: &str| -> Option<Cri> {
        let Versioned { metadata } = serde_json::from_slice(&record.extensions.get(name)?.value).ok()?;
        Some(metadata)
    };
    let (container, sandbox) = (cri(CONTAINER), cri(SANDBOX));
    let log = log_target(&record, container.as_ref(), &spec);
    let image = image(&record, container.as_ref());
    let name = name(&record).to_owned();
    let mut labels: BTreeMap<String, String> = record.labels.into_iter().collect();
    let annotations = container.and_then(|container| container.config.annotations);
    if let Some(restarts) = annotations.and_then(|mut annotations| annotations.remove(RESTARTS)) {
        labels.entry(RESTARTS.to_owned()).or_insert(restarts);
    }
    Container {
        reference: ContainerRef { runtime: Runtime::Containerd, id: ContainerId::new(&record.id) },
        name,
        image,
        declared: process::declared(spec.process.env.iter().map(String::as_bytes)),
        main_pid,
        started_at: None,
        restarts: labels.get(RESTARTS).and_then(|count| count.parse().ok()).unwrap_or(0),
        // The address belongs to the pod: its sandbox stands for it, and its listeners tell the containers apart.
        addresses: sandbox.map(addresses).unwrap_or_default(),
        published: Vec::new(),
        log,
        labels,
    }
}

/// The name that the kubelet or nerdctl gave it; the id of one that only has a chosen id (`ctr`).
fn name(record: &Record) -> &str {
    let label = |name: &str| record.labels.get(name).map(String::as_str).filter(|value| !value.is_empty());
    let kubelet = label("io.kubernetes.container.name").or_else(|| label("io.kubernetes.pod.name"));
    kubelet.or_else(|| label("nerdctl/name")).unwrap_or(&record.id)
}

/// The kubelet asks for images by id, and says beside it which name stood in the pod's specification.
fn image(record: &Record, container: Option<&Cri>) -> Image {
    let named = |reference: &&str| !reference.is_empty() && !image::is_id(reference);
    let config = container.map(|container| &container.config.image);
    let candidates =
        [Some(record.image.as_str()), config.map(|image| image.user_specified_image.as_str()), config.map(|image| image.image.as_str())];
    let reference = candidates.into_iter().flatten().find(named).unwrap_or(&record.image).to_owned();
    let id = container.map(|container| container.image_ref.clone()).filter(|id| image::is_id(id));
    Image { id, reference, repo_digests: Vec::new() }
}

fn log_target(record: &Record, container: Option<&Cri>, spec: &Spec) -> LogTarget {
    if let Some(cri) = container.filter(|cri| !cri.log_path.is_empty()) {
        return LogTarget { driver: Some("k8s-file".into()), path: Some(PathBuf::from(&cri.log_path)), tty: cri.config.tty };
    }
    // nerdctl's default driver writes the same lines as Docker's, beside what it keeps of the container.
    let state = record.labels.get("nerdctl/state-dir").map(|directory| Path::new(directory).join(format!("{}-json.log", record.id)));
    LogTarget { driver: state.is_some().then(|| "json-file".into()), path: state, tty: spec.process.terminal }
}

fn addresses(sandbox: Cri) -> Vec<NetworkAddress> {
    let all = std::iter::once(sandbox.ip).chain(sandbox.additional_ips.unwrap_or_default());
    let parsed = all.filter_map(|address| address.parse::<IpAddr>().ok());
    parsed.map(|address| NetworkAddress { network: "pod".into(), address }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::containerd_api::Any;
    use super::*;

    fn json(text: &str) -> Any {
        Any { type_url: String::new(), value: text.as_bytes().to_vec() }
    }

    fn record(labels: &[(&str, &str)], image: &str) -> Record {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Record { id: "c1".into(), labels, image: image.into(), ..Record::default() }
    }

    const POD: [(&str, &str); 4] = [
        ("io.cri-containerd.kind", "container"),
        ("io.kubernetes.container.name", "app"),
        ("io.kubernetes.pod.name", "web-7d4b9c8f6d-x2x7k"),
        ("io.kubernetes.pod.namespace", "shop"),
    ];

    #[test]
    fn a_container_of_the_kubelet() {
        let metadata = r#"{"Version":"v1","Metadata":{"ID":"c1","Name":"app_web_shop_u_2","SandboxID":"s1","Config":{
            "metadata":{"name":"app","attempt":2},"image":{"image":"sha256:0a","user_specified_image":"shop/web:1.2"},
            "annotations":{"io.kubernetes.container.restartCount":"2"},"log_path":"app/2.log","linux":{}},
            "ImageRef":"sha256:0a","LogPath":"/var/log/pods/shop_web_u/app/2.log","StopSignal":"SIGTERM"}}"#;
        let spec = r#"{"ociVersion":"1.1.0","process":{"terminal":false,"env":["PATH=/bin","OTEL_SERVICE_NAME=cart"],"args":["x"]}}"#;
        let mut record = record(&POD, "sha256:0a");
        record.extensions.insert(CONTAINER.into(), json(metadata));
        record.spec = Some(json(spec));
        let container = convert(record, Some(Pid(7)));
        assert_eq!((container.name.as_str(), container.main_pid, container.restarts), ("app", Some(Pid(7)), 2));
        assert_eq!((container.image.reference.as_str(), container.image.id.as_deref()), ("shop/web:1.2", Some("sha256:0a")));
        assert_eq!(container.declared.service_name.as_deref(), Some("cart"));
        assert_eq!(container.log.path.as_deref(), Some(Path::new("/var/log/pods/shop_web_u/app/2.log")));
        let pod = container.kubernetes().unwrap();
        assert_eq!((pod.namespace, pod.container, pod.restarts), ("shop", Some("app"), Some(2)));
    }

    #[test]
    fn a_sandbox_has_the_addresses_of_its_pod() {
        let mut record = record(&POD[2..], "registry.k8s.io/pause:3.9");
        let metadata = r#"{"Version":"v1","Metadata":{"ID":"s1","Config":{"metadata":{"name":"web"}},"NetNSPath":"/run/netns/x","IP":"10.1.2.3","AdditionalIPs":["fd00::3"]}}"#;
        record.extensions.insert(SANDBOX.into(), json(metadata));
        let container = convert(record, None);
        let addresses: Vec<String> = container.addresses.iter().map(|own| own.address.to_string()).collect();
        assert_eq!((addresses, container.name.as_str()), (vec!["10.1.2.3".to_owned(), "fd00::3".to_owned()], "web-7d4b9c8f6d-x2x7k"));
        assert_eq!(container.kubernetes().unwrap().container, None);
    }

    #[test]
    fn a_container_of_nerdctl_and_one_of_ctr() {
        let labels = [("nerdctl/name", "cart"), ("nerdctl/state-dir", "/var/lib/nerdctl/1935db59/containers/default/c1")];
        let container = convert(record(&labels, "docker.io/library/nginx:1.27"), None);
        assert_eq!((container.name.as_str(), container.log.driver.as_deref()), ("cart", Some("json-file")));
        assert_eq!(container.log.path.as_deref(), Some(Path::new("/var/lib/nerdctl/1935db59/containers/default/c1/c1-json.log")));
        let bare = convert(record(&[], ""), None);
        assert_eq!((bare.name.as_str(), &bare.log.path, bare.kubernetes().is_none()), ("c1", &None, true));
    }

    #[test]
    fn what_is_not_json_is_left_out() {
        let mut record = record(&POD, "web:1");
        record.spec = Some(json("\u{1}{"));
        record.extensions.insert(CONTAINER.into(), json(r#"{"Metadata":[1]}"#));
        let container = convert(record, None);
        assert_eq!((container.name.as_str(), container.log, container.image.reference.as_str()), ("app", LogTarget::default(), "web:1"));
    }
}
