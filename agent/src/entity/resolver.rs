//! The workers behind [`Entities`]: they read `/proc`, ask engines, and publish who is who.
//!
//! One task owns all state and never waits for I/O; what may block runs beside it with a time limit and comes back as a
//! `Message`. So a stuck process, a dead socket or a slow engine delays only the identity that needs it.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use remora_core::model::{Attrs, Pid};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::candidate::{self, Basis, Candidate, EntityKey};
use super::cgroup::{ContainerId, ContainerRef, Placement, PodRef, Runtime};
use super::cgroup_id::CgroupIds;
use super::container::Container;
use super::counters::Reason;
use super::engine::{Asked, Engine, EngineError, EngineEvent, EngineSocket};
use super::host::Host;
use super::listeners::Listeners;
use super::process::{self, NetNs, ReadError};
use super::resource::{self, Parts};
use super::service_name::{self, Evidence};
use super::table::{AddressOwner, Addresses, Entities, Entity, EntityId, EntityKind, QUEUE, Question, Record, Slot, Tables, Who};

/// Time for reading one process.
const READ: Duration = Duration::from_secs(2);
/// Processes that are read at once.
const READERS: usize = 4;
/// Before a container that could not be described is asked for again.
const RETRY: Duration = Duration::from_secs(30);
/// Processes that wait for the same container's description, at most.
const MAX_WAITING: usize = 1024;

/// How identities are found, and how much may be remembered.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Usually `/proc`.
    pub proc_root: PathBuf,
    /// Mount point of cgroup v2, if the node has one.
    pub cgroup2: Option<PathBuf>,
    /// Engines to ask.
    pub engines: Vec<EngineSocket>,
    /// The host's root directory, below which kubelets, Podman and CRI-O leave files that name containers; `None` leaves
    /// those alone.
    pub host_root: Option<PathBuf>,
    /// Time for one answer of an engine.
    pub engine_timeout: Duration,
    /// Processes in the table.
    pub max_processes: usize,
    /// Entities in the table; further ones share one that says so.
    pub max_entities: usize,
    /// Cgroups in the table of ids.
    pub max_cgroups: usize,
    /// Between sweeps, which find what has ended. What is gone is remembered for six sweeps.
    pub sweep: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            proc_root: "/proc".into(),
            cgroup2: None,
            engines: vec![
                EngineSocket { runtime: Runtime::Docker, path: "/var/run/docker.sock".into() },
                EngineSocket { runtime: Runtime::Podman, path: "/run/podman/podman.sock".into() },
                EngineSocket { runtime: Runtime::Containerd, path: "/run/containerd/containerd.sock".into() },
            ],
            host_root: None,
            engine_timeout: Duration::from_secs(3),
            max_processes: 32_768,
            max_entities: 8_192,
            max_cgroups: 16_384,
            sweep: Duration::from_secs(10),
        }
    }
}

/// Sweeps for which the dead are remembered: their last events arrive late.
const REMEMBERED: u32 = 6;

/// Starts the workers on the running tokio runtime.
#[must_use]
pub fn start(settings: Settings, host: Host) -> Entities {
    let tables = Arc::new(Tables::default());
    let (questions, asked) = mpsc::channel(QUEUE);
    let resolver = Resolver::new(settings, host, Arc::clone(&tables));
    tokio::spawn(resolver.run(asked));
    Entities { tables, questions }
}

#[derive(Debug)]
struct Held {
    slot: Arc<Slot>,
    basis: Basis,
    /// Last sweep in which something referred to it.
    referred: u32,
}

/// State of what an engine tells about a container.
#[derive(Debug)]
enum Details {
    Asked(Vec<Candidate>),
    Known { container: Arc<Container>, net: Option<NetNs>, ended: Option<u32> },
    Failed(Instant),
}

enum Message {
    Seen(Candidate),
    Described { reference: ContainerRef, found: Option<Found> },
    Swept(Swept),
    Listening(Listeners),
}

struct Found {
    container: Container,
    net: Option<NetNs>,
}

struct Swept {
    dead: Vec<Pid>,
    changed: Vec<Pid>,
}

struct Resolver {
    settings: Settings,
    host: Arc<Host>,
    tables: Arc<Tables>,
    engines: Vec<Arc<Engine>>,
    cgroup_ids: Option<Arc<Mutex<CgroupIds>>>,
    readers: Arc<Semaphore>,
    entities: HashMap<EntityKey, Held>,
    details: HashMap<ContainerId, Details>,
    connected: HashSet<Runtime>,
    listeners: Option<Listeners>,
    next_id: u32,
    work: JoinSet<()>,
    messages: mpsc::Sender<Message>,
    inbox: mpsc::Receiver<Message>,
    sweeping: bool,
    addresses_changed: bool,
}

impl Resolver {
    fn new(settings: Settings, host: Host, tables: Arc<Tables>) -> Self {
        let (messages, inbox) = mpsc::channel(QUEUE);
        Self {
            engines: engines(&settings),
            cgroup_ids: settings.cgroup2.clone().map(|mount| Arc::new(Mutex::new(CgroupIds::new(mount, settings.max_cgroups)))),
            readers: Arc::new(Semaphore::new(READERS)),
            settings,
            host: Arc::new(host),
            tables,
            entities: HashMap::new(),
            details: HashMap::new(),
            connected: HashSet::new(),
            listeners: Some(Listeners::default()),
            next_id: 1,
            work: JoinSet::new(),
            messages,
            inbox,
            sweeping: false,
            addresses_changed: false,
        }
    }

    /// Until the last [`Entities`] is dropped. Work that is still running is abandoned then.
    async fn run(mut self, mut asked: mpsc::Receiver<Question>) {
        let (events, mut told) = mpsc::channel(QUEUE);
        for engine in &self.engines {
            let (engine, events) = (Arc::clone(engine), events.clone());
            self.work.spawn(async move { engine.watch(events).await });
        }
        let mut sweeps = interval(self.settings.sweep);
        sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                question = asked.recv() => match question {
                    Some(question) => self.answer(question),
                    None => return,
                },
                Some(message) = self.inbox.recv() => self.receive(message),
                Some((runtime, event)) = told.recv() => self.hear(runtime, event),
                _ = sweeps.tick() => self.sweep(),
                Some(_) = self.work.join_next() => {}
            }
            // Once for a burst of changes, not for each.
            if self.addresses_changed && self.inbox.is_empty() {
                self.publish_addresses();
            }
        }
    }

    fn answer(&mut self, question: Question) {
        match question {
            Question::Process(who) => self.read(who, Placement::default()),
            Question::Container(id) if !self.details.contains_key(&id) => {
                self.describe(ContainerRef { runtime: Runtime::Unnamed, id }, None)
            }
            Question::Container(_) => {}
        }
    }

    fn receive(&mut self, message: Message) {
        match message {
            Message::Seen(candidate) => self.place(candidate),
            Message::Described { reference, found } => self.described(&reference, found),
            Message::Swept(swept) => self.swept(&swept),
            Message::Listening(listeners) => self.listening(listeners),
        }
    }

    /// Reads a process beside this task.
    fn read(&mut self, who: Who, fallback: Placement) {
        let (proc_root, tables, readers) = (self.settings.proc_root.clone(), Arc::clone(&self.tables), Arc::clone(&self.readers));
        let (cgroup_ids, messages) = (self.cgroup_ids.clone(), self.messages.clone());
        self.work.spawn(async move {
            let hints = who.clone();
            let reading = async {
                // The permit goes along, so that readers that hang stay counted.
                let permit = readers.acquire_owned().await;
                tokio::task::spawn_blocking(move || {
                    let _permit = permit;
                    candidate::read(&proc_root, &who, fallback, cgroup_ids.as_deref(), &tables.counters)
                })
                .await
            };
            let candidate = match timeout(READ, reading).await {
                Ok(Ok(candidate)) => candidate,
                _ => Candidate::of_hints(&hints, Placement::default()),
            };
            let _ = messages.send(Message::Seen(candidate)).await;
        });
    }

    /// Publishes a process, after its container is described if it has one.
    fn place(&mut self, candidate: Candidate) {
        let Some(reference) = candidate.placement.container.clone() else {
            return self.publish(candidate);
        };
        match self.details.get_mut(&reference.id) {
            Some(Details::Asked(waiting)) if waiting.len() < MAX_WAITING => waiting.push(candidate),
            Some(Details::Failed(at)) if at.elapsed() >= RETRY => self.describe(reference, Some(candidate)),
            Some(_) => self.publish(candidate),
            None => self.describe(reference, Some(candidate)),
        }
    }

    /// Asks the engines that may know a container; without one, it is published as it is.
    fn describe(&mut self, reference: ContainerRef, waiting: Option<Candidate>) {
        let engines: Vec<_> = self.engines.iter().filter(|engine| engine.may_know(reference.runtime)).cloned().collect();
        if engines.is_empty() {
            if let Some(candidate) = waiting {
                self.publish(candidate);
            }
            return;
        }
        let pod = waiting.as_ref().and_then(|candidate| candidate.placement.pod.clone()).or_else(|| self.pod_of(&reference.id));
        self.details.insert(reference.id.clone(), Details::Asked(waiting.into_iter().collect()));
        self.ask_engines(engines, Asked { reference, pod }, None);
    }

    fn ask_engines(&mut self, engines: Vec<Arc<Engine>>, asked: Asked, told: Option<Box<Container>>) {
        let (tables, messages, proc_root) = (Arc::clone(&self.tables), self.messages.clone(), self.settings.proc_root.clone());
        self.work.spawn(async move {
            let mut found = None;
            let mut reason = Reason::ContainerNotFound;
            for engine in engines {
                match engine.inspect(&asked).await {
                    Ok(container) => {
                        found = Some(container);
                        break;
                    }
                    Err(EngineError::NotFound | EngineError::Absent(_)) => {}
                    Err(_) => reason = Reason::EngineFailed,
                }
            }
            let found = found.or(told.map(|told| *told));
            if found.is_none() {
                tables.counters.add(reason);
            }
            let found =
                found.map(|container| Found { net: container.main_pid.and_then(|pid| process::net_namespace(&proc_root, pid)), container });
            let _ = messages.send(Message::Described { reference: asked.reference, found }).await;
        });
    }

    fn described(&mut self, reference: &ContainerRef, found: Option<Found>) {
        let waiting = match self.details.remove(&reference.id) {
            Some(Details::Asked(waiting)) => waiting,
            // What an engine said before is better than nothing now.
            Some(known @ Details::Known { .. }) if found.is_none() => {
                self.details.insert(reference.id.clone(), known);
                return;
            }
            _ => Vec::new(),
        };
        match found {
            Some(Found { container, net }) => self.learn(container, net),
            None => {
                self.details.insert(reference.id.clone(), Details::Failed(Instant::now()));
            }
        }
        waiting.into_iter().for_each(|candidate| self.publish(candidate));
    }

    /// Takes over a description: makes the container's entities again, and gives it one if it has none.
    fn learn(&mut self, container: Container, net: Option<NetNs>) {
        let id = container.reference.id.clone();
        // Without a process it has not started yet, or has ended.
        let ended = container.main_pid.is_none().then_some(self.now());
        let (main, reference, declared) = (container.main_pid, container.reference.clone(), container.declared.clone());
        self.details.insert(id.clone(), Details::Known { container: Arc::new(container), net, ended });
        let of_container = |key: &EntityKey| matches!(key, EntityKey::Placed(placement, _) if placement.container.as_ref().is_some_and(|own| own.id == id));
        let again: Vec<_> = self
            .entities
            .iter()
            .filter(|(key, _)| of_container(key))
            .map(|(_, held)| (Arc::clone(&held.slot), held.basis.clone()))
            .collect();
        let known = !again.is_empty();
        for (slot, basis) in again {
            slot.replace(self.entity(slot.entity().id, &basis));
        }
        if !known {
            self.hold(Basis::of_container(reference.clone(), declared));
        }
        self.addresses_changed = true;
        self.tables.published();
        if let Some(pid) = main
            && self.tables.pids.get(&pid).is_none()
        {
            self.read(Who::pid(pid), Placement { container: Some(reference), ..Placement::default() });
        }
    }

    fn hear(&mut self, runtime: Runtime, event: EngineEvent) {
        match event {
            EngineEvent::Connected => {
                self.connected.insert(runtime);
                self.retry_failed(Duration::ZERO);
            }
            EngineEvent::Lost(error) => {
                if self.connected.remove(&runtime) {
                    self.tables.counters.add(Reason::EngineLost);
                    tracing::warn!(runtime = ?runtime, %error, "container engine lost; known containers keep their names");
                }
            }
            EngineEvent::Changed { id, told } => {
                let engines: Vec<_> = self.engines.iter().filter(|engine| engine.may_know(runtime)).cloned().collect();
                self.details.entry(id.clone()).or_insert_with(|| Details::Asked(Vec::new()));
                let pod = self.pod_of(&id);
                self.ask_engines(engines, Asked { reference: ContainerRef { runtime, id }, pod }, told);
            }
            EngineEvent::Ended(id) => self.ended(&id),
        }
    }

    fn ended(&mut self, id: &ContainerId) {
        let sweep = self.now();
        if let Some(Details::Known { ended, .. }) = self.details.get_mut(id) {
            ended.get_or_insert(sweep);
            self.addresses_changed = true;
        }
    }

    fn retry_failed(&mut self, age: Duration) {
        let failed: Vec<_> = self
            .details
            .iter()
            .filter(|(_, details)| matches!(details, Details::Failed(at) if at.elapsed() >= age))
            .map(|(id, _)| id.clone())
            .collect();
        for id in failed {
            self.describe(ContainerRef { runtime: Runtime::Unnamed, id }, None);
        }
    }

    /// Addresses of containers that run. One that two containers claim names neither.
    fn publish_addresses(&mut self) {
        self.addresses_changed = false;
        let mut addresses = Addresses::default();
        let mut disputed = HashSet::new();
        for (id, details) in &self.details {
            let Details::Known { container, net, ended: None } = details else { continue };
            let Some(slot) = self.tables.containers.get(id) else { continue };
            for own in &container.addresses {
                let owner = AddressOwner { slot: Arc::clone(&slot), net: *net };
                if addresses.by_ip.insert(own.address, owner).is_some() {
                    disputed.insert(own.address);
                }
            }
            for port in &container.published {
                addresses.published.entry(port.host.port()).or_default().push((port.host.ip(), Arc::clone(&slot)));
            }
        }
        addresses.by_ip.retain(|ip, _| !disputed.contains(ip));
        self.tables.addresses.store(Arc::new(addresses));
    }

    fn publish(&mut self, candidate: Candidate) {
        let Candidate { pid, start, comm, executable, .. } = candidate.clone();
        let described = candidate.placement.container.as_ref().and_then(|container| self.container(&container.id));
        let basis = Basis::new(candidate, described.map(|container| container.declared.clone()).unwrap_or_default());
        if basis.kind == EntityKind::Unknown {
            self.tables.counters.add(Reason::Unknown);
        }
        let slot = self.hold(basis);
        let record = Record { start, comm: comm.unwrap_or_default(), executable, slot, used: AtomicU32::new(self.now()) };
        let rank = |record: &Arc<Record>| u64::from(record.used.load(Ordering::Relaxed));
        if self.tables.pids.insert_bounded(pid, Arc::new(record), self.settings.max_processes, rank) {
            self.tables.counters.add(Reason::ProcessEvicted);
        }
        self.tables.asked.answered(pid);
        self.tables.published();
    }

    /// The pod that the cgroups of a container's processes name.
    fn pod_of(&self, id: &ContainerId) -> Option<PodRef> {
        self.tables.containers.get(id).and_then(|slot| slot.entity().placement.pod.clone())
    }

    fn container(&self, id: &ContainerId) -> Option<&Arc<Container>> {
        match self.details.get(id)? {
            Details::Known { container, .. } => Some(container),
            _ => None,
        }
    }

    /// The entity of `basis`, made if it is new.
    fn hold(&mut self, basis: Basis) -> Arc<Slot> {
        let sweep = self.now();
        let mut key = candidate::key(&basis);
        if !self.entities.contains_key(&key) && self.entities.len() >= self.settings.max_entities {
            self.tables.counters.add(Reason::EntityOverflow);
            key = EntityKey::Overflow;
        }
        if let Some(held) = self.entities.get_mut(&key) {
            held.referred = sweep;
            let slot = Arc::clone(&held.slot);
            if key != EntityKey::Overflow && held.basis.enrich(basis) {
                let basis = held.basis.clone();
                slot.replace(self.entity(slot.entity().id, &basis));
            }
            return slot;
        }
        let basis = if key == EntityKey::Overflow { Basis::overflow() } else { basis };
        let id = EntityId(self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        let slot = Arc::new(Slot::new(self.entity(id, &basis)));
        self.tables.ids.insert(id, Arc::clone(&slot));
        if let Some(container) = &basis.placement.container
            && basis.placement.unit.is_none()
            && self.tables.containers.get(&container.id).is_none()
        {
            self.tables.containers.insert(container.id.clone(), Arc::clone(&slot));
        }
        self.entities.insert(key, Held { slot: Arc::clone(&slot), basis, referred: sweep });
        slot
    }

    fn entity(&self, id: EntityId, basis: &Basis) -> Entity {
        let container = basis.placement.container.as_ref().and_then(|container| self.container(&container.id)).cloned();
        let host = self.host.id.as_deref().unwrap_or(&self.host.name);
        let service = service_name::service(&Evidence {
            declared: &basis.declared,
            container: container.as_deref(),
            placement: &basis.placement,
            program: basis.program.as_deref(),
            comm: basis.comm.as_deref(),
            scope: basis.path.as_deref().or(basis.comm.as_deref()).unwrap_or("unknown"),
            host,
        });
        let resource: Attrs = resource::attributes(&Parts {
            service: &service,
            placement: &basis.placement,
            container: container.as_deref(),
            executable: basis.executable.as_deref(),
            deployment_environment: basis.declared.deployment_environment.as_deref(),
            host: &self.host,
        });
        Entity { id, kind: basis.kind, service, resource, placement: basis.placement.clone(), container }
    }

    fn now(&self) -> u32 {
        self.tables.sweep.load(Ordering::Relaxed)
    }

    /// Looks, beside this task, which processes are gone or became others, and who listens.
    fn sweep(&mut self) {
        self.tables.sweep.fetch_add(1, Ordering::Relaxed);
        self.retry_failed(RETRY);
        self.forget();
        if self.sweeping {
            return;
        }
        self.sweeping = true;
        let (tables, messages, proc_root) = (Arc::clone(&self.tables), self.messages.clone(), self.settings.proc_root.clone());
        let listeners = self.listeners.take();
        self.work.spawn(async move {
            let looking = tokio::task::spawn_blocking(move || {
                let swept = find_ended(&tables, &proc_root);
                (swept, listeners.map(|listeners| listeners.refresh(&proc_root)))
            });
            let Ok((swept, listeners)) = looking.await else { return };
            let _ = messages.send(Message::Swept(swept)).await;
            if let Some(listeners) = listeners {
                let _ = messages.send(Message::Listening(listeners)).await;
            }
        });
    }

    fn swept(&mut self, swept: &Swept) {
        self.sweeping = false;
        let now = self.now();
        for pid in &swept.dead {
            let unused =
                self.tables.pids.get(pid).is_some_and(|record| now.wrapping_sub(record.used.load(Ordering::Relaxed)) >= REMEMBERED);
            if unused {
                self.tables.pids.remove(pid);
            }
        }
        for &pid in &swept.changed {
            self.read(Who::pid(pid), Placement::default());
        }
    }

    /// Publishes who listens, and reads the listeners that are still strangers.
    fn listening(&mut self, listeners: Listeners) {
        for (pid, _) in listeners.listening().addresses.iter().copied() {
            if self.tables.pids.get(&pid).is_none() {
                self.read(Who::pid(pid), Placement::default());
            }
        }
        self.tables.listening.store(Arc::clone(listeners.listening()));
        self.listeners = Some(listeners);
        self.tables.published();
    }

    /// Forgets containers that ended a while ago and entities that nothing refers to any more.
    fn forget(&mut self) {
        let now = self.now();
        let old = |since: u32| now.wrapping_sub(since) > REMEMBERED;
        let tables = &self.tables;
        self.details.retain(|id, details| match details {
            Details::Known { ended, .. } => !ended.is_some_and(old),
            Details::Failed(at) => at.elapsed() < RETRY || tables.containers.get(id).is_some(),
            Details::Asked(_) => true,
        });
        let mut referred = HashSet::new();
        self.tables.pids.for_each(|_, record| {
            referred.insert(record.slot.entity().id);
        });
        for id in self.details.keys() {
            referred.extend(self.tables.containers.get(id).map(|slot| slot.entity().id));
        }
        let mut forgotten = Vec::new();
        self.entities.retain(|_, held| {
            let entity = held.slot.entity();
            if referred.contains(&entity.id) {
                held.referred = now;
            }
            let keep = !old(held.referred);
            if !keep {
                forgotten.push(entity);
            }
            keep
        });
        for entity in forgotten {
            self.tables.ids.remove(&entity.id);
            if let Some(container) = &entity.placement.container {
                self.tables.containers.remove(&container.id);
                // Failed descriptions are kept only as long as somebody may ask for the container.
                self.details.remove(&container.id);
            }
        }
    }
}

/// All engines, in the order in which they are asked: those that know most come first.
fn engines(settings: &Settings) -> Vec<Arc<Engine>> {
    let sockets = settings.engines.iter().cloned().map(|socket| Engine::new(socket, settings.engine_timeout));
    let files = settings.host_root.as_deref().map(|root| Engine::files(root, settings.engine_timeout));
    sockets.chain(files.into_iter().flatten()).map(Arc::new).collect()
}

/// Which processes of the table have ended, and which are no longer what they were. Blocks.
fn find_ended(tables: &Tables, proc_root: &Path) -> Swept {
    let mut known = Vec::new();
    tables.pids.for_each(|pid, record| known.push((*pid, Arc::clone(record))));
    let mut swept = Swept { dead: Vec::new(), changed: Vec::new() };
    for (pid, record) in known {
        match process::comm_and_start(proc_root, pid) {
            Err(ReadError::Gone(_)) => swept.dead.push(pid),
            // Another process, or the same one that executed another program.
            Ok((comm, start)) if Some(start) != record.start || comm != record.comm => swept.changed.push(pid),
            _ => {}
        }
    }
    swept
}
