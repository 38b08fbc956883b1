//! Whose a log is: the entity that spans of the same container or unit have too, else one made from what the log says.

use crate::entity::cgroup::{ContainerId, ContainerRef, Manager, Placement, Runtime, UnitRef};
use crate::entity::container::Container;
use crate::entity::host::Host;
use crate::entity::kubelet_logs::PodContainer;
use crate::entity::service_name::Service;
use crate::entity::table::{Entities, Entity, EntityId, EntityKind};
use crate::entity::workload;
use remora_core::model::{Attrs, Key, semconv};
use std::collections::HashMap;
use std::sync::Arc;

/// Most owners that are made here.
const MAX_MADE: usize = 8192;
/// Numbers of owners that are made here go down from this one.
const FIRST: u32 = u32::MAX - 1;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Name {
    Pod(PodContainer, Option<ContainerId>),
    Container(ContainerId),
    Unit(String),
    Host,
    Kernel,
}

/// UID of a pod, container, and restarts where a runtime tells them.
type PodKey = (String, String, Option<i64>);

/// Finds owners, and makes those that `entity` does not know.
pub(super) struct Owners {
    entities: Entities,
    host: Host,
    made: HashMap<Name, Arc<Entity>>,
    units: HashMap<Arc<str>, EntityId>,
    pods: HashMap<PodKey, EntityId>,
    generation: Option<u64>,
    next: u32,
}

impl Owners {
    pub(super) fn new(entities: Entities, host: Host) -> Self {
        Self { entities, host, made: HashMap::new(), units: HashMap::new(), pods: HashMap::new(), generation: None, next: FIRST }
    }

    pub(super) fn entities(&self) -> &Entities {
        &self.entities
    }

    /// The container of a pod. `id` is its id, where that is known.
    pub(super) fn pod(&mut self, pod: PodContainer, id: Option<ContainerId>) -> Arc<Entity> {
        let known = id.as_ref().and_then(|id| self.entities.by_container(id));
        if let Some(entity) = known.filter(|entity| entity.container.is_some()).or_else(|| self.described_pod(&pod)) {
            return entity;
        }
        let name = Name::Pod(pod.clone(), id.clone());
        self.made(name, |number, host| {
            let service = Service {
                name: workload::guess_by_name(&pod.pod).to_owned(),
                namespace: Some(pod.namespace.clone()),
                version: None,
                instance: format!("{}.{}.{}", pod.namespace, pod.pod, pod.container),
            };
            let mut extra: Vec<(Key, &str)> = vec![
                (semconv::K8S_NAMESPACE_NAME, &pod.namespace),
                (semconv::K8S_POD_NAME, &pod.pod),
                (semconv::K8S_POD_UID, &pod.uid),
                (semconv::K8S_CONTAINER_NAME, &pod.container),
            ];
            extra.extend(id.as_ref().map(|id| (semconv::CONTAINER_ID, id.as_str())));
            let mut entity = entity(number, EntityKind::Container, service, &extra, host);
            if let Some(restarts) = pod.restarts {
                entity.resource.set_int(semconv::K8S_CONTAINER_RESTART_COUNT, restarts);
            }
            entity.placement = id.as_ref().map(in_container).unwrap_or_default();
            entity
        })
    }

    /// The container of a pod that a runtime has described by the same names.
    fn described_pod(&mut self, pod: &PodContainer) -> Option<Arc<Entity>> {
        self.named_pod(&pod.uid, &pod.container, pod.restarts)
    }

    fn named_pod(&mut self, uid: &str, container: &str, restarts: Option<i64>) -> Option<Arc<Entity>> {
        self.refresh();
        let key = |restarts| (uid.to_owned(), container.to_owned(), restarts);
        let id = self.pods.get(&key(restarts)).or_else(|| self.pods.get(&key(None)))?;
        self.entities.get(*id)
    }

    /// What a runtime has told since of a container that was made here.
    pub(super) fn described(&mut self, stranger: &Entity) -> Option<Arc<Entity>> {
        let by_id = stranger.placement.container.as_ref().and_then(|container| self.entities.by_container(&container.id));
        by_id.filter(|entity| entity.container.is_some()).or_else(|| {
            let name = |key| stranger.resource.str(key);
            let restarts = stranger.resource.int(semconv::K8S_CONTAINER_RESTART_COUNT);
            self.named_pod(name(semconv::K8S_POD_UID)?, name(semconv::K8S_CONTAINER_NAME)?, restarts)
        })
    }

    /// A container that only its id tells of.
    pub(super) fn container(&mut self, id: &ContainerId) -> Arc<Entity> {
        if let Some(entity) = self.entities.by_container(id) {
            return entity;
        }
        self.made(Name::Container(id.clone()), |number, host| {
            let service = named(id.short(), id.as_str());
            let made = entity(number, EntityKind::Container, service, &[(semconv::CONTAINER_ID, id.as_str())], host);
            Entity { placement: in_container(id), ..made }
        })
    }

    /// A unit of the machine's service manager, by its name with or without suffix.
    pub(super) fn unit(&mut self, unit: &str) -> Arc<Entity> {
        let unit = unit.strip_suffix(".service").or_else(|| unit.strip_suffix(".scope")).unwrap_or(unit);
        self.refresh();
        if let Some(entity) = self.units.get(unit).and_then(|id| self.entities.get(*id)) {
            return entity;
        }
        self.made(Name::Unit(unit.to_owned()), |number, host| {
            let service = named(unit, unit);
            let mut made = entity(number, EntityKind::Unit, service, &[(semconv::REMORA_UNIT_NAME, unit)], host);
            made.placement = Placement { unit: Some(UnitRef { manager: Manager::System, name: unit.into() }), ..Placement::default() };
            made
        })
    }

    /// The machine: a file that nobody is known to write.
    pub(super) fn host(&mut self) -> Arc<Entity> {
        self.made(Name::Host, |number, host| entity(number, EntityKind::Unknown, named("unknown_service", &host.name), &[], host))
    }

    /// The kernel.
    pub(super) fn kernel(&mut self) -> Arc<Entity> {
        self.made(Name::Kernel, |number, host| entity(number, EntityKind::Kernel, named("kernel", &host.name), &[], host))
    }

    fn made(&mut self, name: Name, make: impl FnOnce(EntityId, &Host) -> Entity) -> Arc<Entity> {
        if let Some(entity) = self.made.get(&name) {
            return Arc::clone(entity);
        }
        if self.made.len() >= MAX_MADE {
            self.made.clear();
        }
        self.next = self.next.wrapping_sub(1);
        let entity = Arc::new(make(EntityId(self.next), &self.host));
        self.made.insert(name, Arc::clone(&entity));
        entity
    }

    /// Reads the names of the known units and pods again if they may have changed.
    fn refresh(&mut self) {
        let generation = self.entities.generation();
        if self.generation.replace(generation) == Some(generation) {
            return;
        }
        self.units.clear();
        self.pods.clear();
        for entity in self.entities.all() {
            if let Some(unit) =
                entity.placement.unit.as_ref().filter(|unit| entity.kind == EntityKind::Unit && unit.manager == Manager::System)
            {
                self.units.insert(Arc::clone(&unit.name), entity.id);
            }
            if let Some(key) = entity.container.as_deref().and_then(pod_key) {
                self.pods.insert(key, entity.id);
            }
        }
    }
}

fn pod_key(container: &Container) -> Option<PodKey> {
    let pod = container.kubernetes()?;
    Some((pod.uid?.to_owned(), pod.container?.to_owned(), pod.restarts))
}

/// A container whose runtime nobody knows.
fn in_container(id: &ContainerId) -> Placement {
    Placement { container: Some(ContainerRef { runtime: Runtime::Unnamed, id: id.clone() }), ..Placement::default() }
}

fn named(name: &str, instance: &str) -> Service {
    Service { name: name.to_owned(), namespace: None, version: None, instance: instance.to_owned() }
}

fn entity(id: EntityId, kind: EntityKind, service: Service, extra: &[(Key, &str)], host: &Host) -> Entity {
    let mut resource = Attrs::default();
    resource.set_str(semconv::SERVICE_NAME, &service.name);
    resource.set_str(semconv::SERVICE_INSTANCE_ID, &service.instance);
    if let Some(namespace) = &service.namespace {
        resource.set_str(semconv::SERVICE_NAMESPACE, namespace);
    }
    extra.iter().for_each(|(key, value)| resource.set_str(*key, value));
    host.describe(&mut resource);
    Entity { id, kind, service, resource, placement: Placement::default(), container: None }
}
