//! From all that is known of an entity to its OTLP Resource, in the names of the semantic conventions.

use remora_core::model::{Attrs, Key, semconv};

use super::cgroup::{Placement, Runtime};
use super::container::{Container, Kubernetes};
use super::host::Host;
use super::image;
use super::service_name::Service;
use super::workload::Workload;

/// Parts of a Resource.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts<'a> {
    pub(super) service: &'a Service,
    pub(super) placement: &'a Placement,
    pub(super) container: Option<&'a Container>,
    /// Path of the executable of a plain program.
    pub(super) executable: Option<&'a str>,
    pub(super) deployment_environment: Option<&'a str>,
    pub(super) host: &'a Host,
}

/// The Resource's attributes.
pub(super) fn attributes(parts: &Parts<'_>) -> Attrs {
    let mut attrs = Attrs::default();
    let service = parts.service;
    attrs.set_str(semconv::SERVICE_NAME, &service.name);
    put(&mut attrs, semconv::SERVICE_NAMESPACE, service.namespace.as_deref());
    put(&mut attrs, semconv::SERVICE_VERSION, service.version.as_deref());
    attrs.set_str(semconv::SERVICE_INSTANCE_ID, &service.instance);
    put(&mut attrs, semconv::DEPLOYMENT_ENVIRONMENT_NAME, parts.deployment_environment);
    place(&mut attrs, parts.placement);
    if let Some(container) = parts.container {
        describe_container(&mut attrs, container);
        if let Some(pod) = container.kubernetes() {
            describe_pod(&mut attrs, &pod);
        }
    }
    if let Some(path) = parts.executable {
        attrs.set_str(semconv::PROCESS_EXECUTABLE_PATH, path);
        put(&mut attrs, semconv::PROCESS_EXECUTABLE_NAME, path.rsplit('/').next());
    }
    parts.host.describe(&mut attrs);
    attrs
}

fn put(attrs: &mut Attrs, key: Key, value: Option<&str>) {
    if let Some(value) = value.filter(|value| !value.is_empty()) {
        attrs.set_str(key, value);
    }
}

/// What the cgroup path alone proves.
fn place(attrs: &mut Attrs, placement: &Placement) {
    if let Some(container) = &placement.container {
        attrs.set_str(semconv::CONTAINER_ID, container.id.as_str());
        put(attrs, semconv::CONTAINER_RUNTIME_NAME, container.runtime.name());
        if matches!(container.runtime, Runtime::Lxc | Runtime::Machine) {
            attrs.set_str(semconv::CONTAINER_NAME, container.id.as_str());
        }
    }
    put(attrs, semconv::K8S_POD_UID, placement.pod.as_ref().map(|pod| &*pod.uid));
    put(attrs, semconv::REMORA_UNIT_NAME, placement.unit.as_ref().map(|unit| &*unit.name));
}

fn describe_container(attrs: &mut Attrs, container: &Container) {
    attrs.set_str(semconv::CONTAINER_ID, container.reference.id.as_str());
    put(attrs, semconv::CONTAINER_RUNTIME_NAME, container.reference.runtime.name());
    put(attrs, semconv::CONTAINER_NAME, Some(&container.name));
    put(attrs, semconv::CONTAINER_IMAGE_ID, container.image.id.as_deref());
    // A container made from a bare image id has no name to tell.
    if !image::is_id(&container.image.reference) {
        let image = image::parse(&container.image.reference);
        put(attrs, semconv::CONTAINER_IMAGE_NAME, Some(image.name));
        if let Some(tag) = image.tag {
            attrs.set_list(semconv::CONTAINER_IMAGE_TAGS, [tag]);
        }
    }
    if !container.image.repo_digests.is_empty() {
        attrs.set_list(semconv::CONTAINER_IMAGE_REPO_DIGESTS, container.image.repo_digests.iter().map(String::as_str));
    }
}

fn describe_pod(attrs: &mut Attrs, pod: &Kubernetes<'_>) {
    attrs.set_str(semconv::K8S_NAMESPACE_NAME, pod.namespace);
    attrs.set_str(semconv::K8S_POD_NAME, pod.pod);
    put(attrs, semconv::K8S_POD_UID, pod.uid);
    put(attrs, semconv::K8S_CONTAINER_NAME, pod.container);
    if let Some(restarts) = pod.restarts {
        attrs.set_int(semconv::K8S_CONTAINER_RESTART_COUNT, restarts);
    }
    match &pod.workload {
        Some(Workload::Deployment(name)) => attrs.set_str(semconv::K8S_DEPLOYMENT_NAME, name),
        Some(Workload::StatefulSet(name)) => attrs.set_str(semconv::K8S_STATEFULSET_NAME, name),
        Some(Workload::DaemonSet(name)) => attrs.set_str(semconv::K8S_DAEMONSET_NAME, name),
        Some(Workload::Job(name)) => attrs.set_str(semconv::K8S_JOB_NAME, name),
        Some(Workload::CronJob { name, job }) => {
            attrs.set_str(semconv::K8S_CRONJOB_NAME, name);
            attrs.set_str(semconv::K8S_JOB_NAME, job);
        }
        None => {}
    }
}
