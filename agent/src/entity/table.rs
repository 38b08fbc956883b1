//! The published side of identities: tables that the event path reads without locks, waits or I/O.
//!
//! Workers (see [`super::resolver`]) fill them. A process that is not in the table is asked for once, and is
//! [`Lookup::Pending`] until a worker has published an answer, which it always does: at worst one that says "unknown".

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use remora_core::model::{Attrs, CgroupId, Pid, semconv};
use tokio::sync::mpsc;

use super::cgroup::{ContainerId, Placement};
use super::container::Container;
use super::counters::{Counters, Reason};
use super::cow_map::CowMap;
use super::listeners::Listening;
use super::process::{NetNs, StartTime};
use super::service_name::Service;

/// Processes that are waiting for a worker, at most.
pub(super) const QUEUE: usize = 4096;
/// Slots of the filter that keeps a process from being asked for twice.
const ASKED: usize = 4096;

/// Number of an entity within this run of the agent. Never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntityId(pub u32);

/// What kind of thing an entity is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntityKind {
    /// A container, or a unit inside a system container.
    Container,
    /// A unit of a service manager.
    Unit,
    /// All processes that run one program outside containers and units.
    Program,
    /// The kernel's own threads.
    Kernel,
    /// Nobody knows: the process was gone too soon.
    Unknown,
}

/// One identity, and so one OTLP Resource: a container, a unit, or a plain program.
#[derive(Clone, Debug)]
pub struct Entity {
    /// Its number.
    pub id: EntityId,
    /// Its kind.
    pub kind: EntityKind,
    /// `service.*`.
    pub service: Service,
    /// All attributes of the Resource, the service's too.
    pub resource: Attrs,
    /// Container, pod and unit by cgroup.
    pub placement: Placement,
    /// What the container's runtime tells, once it has.
    pub container: Option<Arc<Container>>,
}

impl Entity {
    /// Name of the container, if it is one and its name is known: by its runtime, or by the directory of a pod's log.
    #[must_use]
    pub fn container_name(&self) -> Option<&str> {
        let told = self.container.as_ref().map(|container| container.name.as_str());
        told.or_else(|| self.resource.str(semconv::K8S_CONTAINER_NAME))
    }
}

/// What rules of selection are written against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectionFacts {
    /// Name of the container.
    pub container: Option<String>,
    /// `service.name`.
    pub service: String,
    /// Path of the executable, inside its own root.
    pub executable: Option<Arc<str>>,
}

/// Whom an event is about, as far as the event itself tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// The process.
    pub pid: Pid,
    /// Its start, if the event tells: without it, a pid that was given away again may be taken for its earlier owner
    /// until the next sweep.
    pub start: Option<StartTime>,
    /// Its command name, used if the process is gone before it was read.
    pub comm: Option<String>,
    /// Its cgroup, used likewise.
    pub cgroup: Option<CgroupId>,
}

impl Who {
    /// Only by its id.
    #[must_use]
    pub fn pid(pid: Pid) -> Self {
        Self { pid, start: None, comm: None, cgroup: None }
    }
}

/// Answer of [`Entities::lookup`].
#[derive(Clone, Debug)]
pub enum Lookup {
    /// This is it.
    Known(Arc<Entity>),
    /// A worker has been asked; look again before export. [`Entities::generation`] tells when that may help.
    Pending,
}

/// An entity that keeps its number while more becomes known of it.
#[derive(Debug)]
pub(super) struct Slot(ArcSwap<Entity>);

impl Slot {
    pub(super) fn new(entity: Entity) -> Self {
        Self(ArcSwap::from_pointee(entity))
    }

    pub(super) fn entity(&self) -> Arc<Entity> {
        self.0.load_full()
    }

    pub(super) fn replace(&self, entity: Entity) {
        self.0.store(Arc::new(entity));
    }
}

/// A process in the table.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) start: Option<StartTime>,
    pub(super) comm: String,
    pub(super) executable: Option<Arc<str>>,
    pub(super) slot: Arc<Slot>,
    /// Sweep during which it was last looked up.
    pub(super) used: AtomicU32,
}

impl Record {
    fn is(&self, start: Option<StartTime>) -> bool {
        match (self.start, start) {
            (Some(own), Some(asked)) => own == asked,
            _ => true,
        }
    }
}

/// Where an address leads.
#[derive(Clone, Debug)]
pub(super) struct AddressOwner {
    pub(super) slot: Arc<Slot>,
    pub(super) net: Option<NetNs>,
}

/// Addresses of running containers.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    pub(super) by_ip: HashMap<IpAddr, AddressOwner>,
    pub(super) published: HashMap<u16, Vec<(IpAddr, Arc<Slot>)>>,
}

/// Everything that is published.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) pids: CowMap<Pid, Arc<Record>>,
    pub(super) containers: CowMap<ContainerId, Arc<Slot>>,
    pub(super) ids: CowMap<EntityId, Arc<Slot>>,
    pub(super) addresses: ArcSwap<Addresses>,
    pub(super) listening: ArcSwap<Listening>,
    pub(super) asked: Asked,
    pub(super) counters: Counters,
    pub(super) generation: AtomicU64,
    pub(super) sweep: AtomicU32,
}

impl Tables {
    /// Tells readers that looking again may help.
    pub(super) fn published(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }

    fn record(&self, pid: Pid) -> Option<Arc<Record>> {
        self.pids.get(&pid)
    }
}

/// Which processes a worker has been asked for. A collision only costs a second question.
#[derive(Debug)]
pub(super) struct Asked(Box<[AtomicU64]>);

impl Default for Asked {
    fn default() -> Self {
        Self((0..ASKED).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Asked {
    /// Pid zero does not exist, so zero is an empty slot.
    fn first(&self, pid: Pid) -> bool {
        self.0[pid.0 as usize % ASKED].swap(u64::from(pid.0), Ordering::Relaxed) != u64::from(pid.0)
    }

    pub(super) fn answered(&self, pid: Pid) {
        let slot = &self.0[pid.0 as usize % ASKED];
        let _ = slot.compare_exchange(u64::from(pid.0), 0, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// A question to the workers.
#[derive(Clone, Debug)]
pub(super) enum Question {
    /// Who is this process?
    Process(Who),
    /// What is this container (of which no process was seen yet)?
    Container(ContainerId),
}

/// Handle for asking who somebody is; cheap to clone. The workers end when the last handle is dropped.
#[derive(Clone, Debug)]
pub struct Entities {
    pub(super) tables: Arc<Tables>,
    pub(super) questions: mpsc::Sender<Question>,
}

impl Entities {
    /// Entity of a process. Takes no lock and does no I/O.
    #[must_use]
    pub fn lookup(&self, who: &Who) -> Lookup {
        if let Some(record) = self.tables.record(who.pid).filter(|record| record.is(who.start)) {
            let sweep = self.tables.sweep.load(Ordering::Relaxed);
            // Written only when it changes, so that readers on other cores keep their cache line.
            if record.used.load(Ordering::Relaxed) != sweep {
                record.used.store(sweep, Ordering::Relaxed);
            }
            return Lookup::Known(record.slot.entity());
        }
        self.ask(who);
        Lookup::Pending
    }

    /// Has a worker read a process (again): it was seen to start, or to execute another program.
    pub fn ask(&self, who: &Who) {
        if self.tables.asked.first(who.pid) && self.questions.try_send(Question::Process(who.clone())).is_err() {
            self.tables.counters.add(Reason::QueueFull);
            self.tables.asked.answered(who.pid);
        }
    }

    /// Entity of a process that is already known; asks nobody.
    #[must_use]
    pub fn known(&self, pid: Pid) -> Option<Arc<Entity>> {
        self.tables.record(pid).map(|record| record.slot.entity())
    }

    /// Entity by its number, as long as it is remembered.
    #[must_use]
    pub fn get(&self, id: EntityId) -> Option<Arc<Entity>> {
        self.tables.ids.get(&id).map(|slot| slot.entity())
    }

    /// Entity of a container. If it is not known, a worker is asked.
    #[must_use]
    pub fn by_container(&self, id: &ContainerId) -> Option<Arc<Entity>> {
        let slot = self.tables.containers.get(id);
        if slot.is_none() && self.questions.try_send(Question::Container(id.clone())).is_err() {
            self.tables.counters.add(Reason::QueueFull);
        }
        slot.map(|slot| slot.entity())
    }

    /// Entity of the running container with this address, for naming peers behind bridge networks.
    #[must_use]
    pub fn by_ip(&self, ip: IpAddr) -> Option<Arc<Entity>> {
        self.tables.addresses.load().by_ip.get(&ip.to_canonical()).map(|owner| owner.slot.entity())
    }

    /// Entity that serves at an address: whoever listens on the port where the address's namespace is known (containers
    /// may share one), else the container with the address, else the one that the host's port is forwarded to.
    #[must_use]
    pub fn by_endpoint(&self, address: SocketAddr) -> Option<Arc<Entity>> {
        let addresses = self.tables.addresses.load();
        let ip = address.ip().to_canonical();
        if let Some(owner) = addresses.by_ip.get(&ip) {
            let listener = owner.net.and_then(|net| self.listener(net, address.port()));
            return Some(listener.unwrap_or_else(|| owner.slot.entity()));
        }
        let forwarded = addresses.published.get(&address.port())?;
        let (_, slot) = forwarded.iter().find(|(host, _)| *host == ip)?;
        Some(slot.entity())
    }

    /// Entity of the container that a port of this host (given as one of the host's own addresses) is forwarded to.
    #[must_use]
    pub fn by_published_port(&self, own: SocketAddr) -> Option<Arc<Entity>> {
        let addresses = self.tables.addresses.load();
        let fits = |host: &IpAddr| *host == own.ip() || host.is_unspecified();
        let (_, slot) = addresses.published.get(&own.port())?.iter().find(|(host, _)| fits(host))?;
        Some(slot.entity())
    }

    /// Entity that listens on a TCP port within a network namespace.
    #[must_use]
    pub fn listener(&self, net: NetNs, port: u16) -> Option<Arc<Entity>> {
        let pid = *self.tables.listening.load().ports.get(&(net, port))?;
        self.known(pid)
    }

    /// All that listen on TCP addresses in any network namespace, as of a few seconds ago.
    #[must_use]
    pub fn listening(&self) -> Arc<Listening> {
        self.tables.listening.load_full()
    }

    /// What selection rules may look at, for a process that is known.
    #[must_use]
    pub fn selection_facts(&self, pid: Pid) -> Option<SelectionFacts> {
        let record = self.tables.record(pid)?;
        let entity = record.slot.entity();
        Some(SelectionFacts {
            container: entity.container_name().map(str::to_owned),
            service: entity.service.name.clone(),
            executable: record.executable.clone(),
        })
    }

    /// Processes of an entity that are in the table.
    #[must_use]
    pub fn pids(&self, id: EntityId) -> Vec<Pid> {
        let mut pids = Vec::new();
        self.tables.pids.for_each(|pid, record| {
            if record.slot.entity().id == id {
                pids.push(*pid);
            }
        });
        pids.sort_unstable();
        pids
    }

    /// How many processes are in the table, for self-telemetry.
    #[must_use]
    pub fn process_count(&self) -> usize {
        self.tables.pids.len()
    }

    /// All entities, by number.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Entity>> {
        let mut all = Vec::new();
        self.tables.ids.for_each(|_, slot| all.push(slot.entity()));
        all.sort_unstable_by_key(|entity| entity.id);
        all
    }

    /// Grows whenever something was published.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.tables.generation.load(Ordering::Acquire)
    }

    /// Counters of what could not be told.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.tables.counters
    }
}
