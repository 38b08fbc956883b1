//! What can describe a container: an engine's socket, or the files that a kubelet or a container store leaves on the host.
//!
//! Only asks, never changes anything. Every question has a time limit, few run at once, and an engine that goes away is
//! tried again with growing pauses: it may cost names, never time of anyone else.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::sync::mpsc::{Sender, error::SendError};
use tokio::time::timeout;

use super::cgroup::{ContainerId, ContainerRef, PodRef, Runtime};
use super::container::Container;
use super::container_store::ContainerStore;
use super::containerd::{Containerd, ContainerdError};
use super::docker::Docker;
use super::kubelet_logs::KubeletLogs;

/// Questions that one engine gets at once.
const AT_ONCE: usize = 8;
/// Pauses between attempts to reach an engine: the first, doubled up to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

/// Between looks at files that name containers.
pub(super) const LOOK: Duration = Duration::from_secs(2);

/// Where an engine listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineSocket {
    /// [`Runtime::Docker`], [`Runtime::Podman`] or [`Runtime::Containerd`].
    pub runtime: Runtime,
    /// Path of its Unix socket.
    pub path: PathBuf,
}

/// Why an engine did not answer.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Nothing listens, as on every node without this engine.
    #[error("{}: nothing there", .0.display())]
    Absent(PathBuf),
    /// It does not know that container.
    #[error("no such container")]
    NotFound,
    /// It took too long.
    #[error("no answer within {} s", .0.as_secs_f32())]
    Timeout(Duration),
    /// Docker or Podman answered with an error, or not in its protocol.
    #[error(transparent)]
    Docker(#[from] bollard::errors::Error),
    /// containerd could not be asked, or answered with an error.
    #[error(transparent)]
    Containerd(#[from] ContainerdError),
    /// What was listened to has ended.
    #[error("the events ended")]
    Ended,
}

/// What an engine reports by itself.
#[derive(Debug)]
pub enum EngineEvent {
    /// The engine can be asked (again).
    Connected,
    /// The connection ended or could not be made.
    Lost(EngineError),
    /// A container was made, started, renamed, or got another address.
    Changed {
        /// Which one.
        id: ContainerId,
        /// What the event itself tells, for containers that end before they can be asked about.
        told: Option<Box<Container>>,
    },
    /// A container ended.
    Ended(ContainerId),
}

/// Where events go. An error means that nobody listens any more.
#[derive(Clone, Debug)]
pub(super) struct Reports {
    runtime: Runtime,
    sender: Sender<(Runtime, EngineEvent)>,
}

impl Reports {
    pub(super) async fn send(&self, event: EngineEvent) -> Result<(), SendError<(Runtime, EngineEvent)>> {
        self.sender.send((self.runtime, event)).await
    }
}

/// A question about a container.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its id, and who runs it as far as its cgroup tells.
    pub reference: ContainerRef,
    /// Its pod as its cgroup tells.
    pub pod: Option<PodRef>,
}

#[derive(Debug)]
enum Kind {
    Docker(Docker),
    Containerd(Containerd),
    Kubelet(KubeletLogs),
    Store(ContainerStore),
}

/// One engine.
#[derive(Debug)]
pub struct Engine {
    kind: Kind,
    /// Time for one answer.
    answer: Duration,
    permits: Semaphore,
}

impl Engine {
    /// An engine behind a socket. Does not connect yet. Each answer may take `answer`.
    #[must_use]
    pub fn new(socket: EngineSocket, answer: Duration) -> Self {
        let EngineSocket { runtime, path } = socket;
        let kind = match runtime {
            Runtime::Containerd => Kind::Containerd(Containerd::new(path, answer)),
            _ => Kind::Docker(Docker::new(runtime, path, answer)),
        };
        Self::of(kind, answer)
    }

    /// The files that kubelets, Podman and CRI-O keep below the host's root directory.
    #[must_use]
    pub fn files(root: &Path, answer: Duration) -> [Self; 2] {
        [Kind::Kubelet(KubeletLogs::new(root)), Kind::Store(ContainerStore::new(root))].map(|kind| Self::of(kind, answer))
    }

    fn of(kind: Kind, answer: Duration) -> Self {
        Self { kind, answer, permits: Semaphore::new(AT_ONCE) }
    }

    /// Whether a container with this runtime in its cgroup path may be this engine's.
    #[must_use]
    pub fn may_know(&self, runtime: Runtime) -> bool {
        use Runtime::{Containerd, CriO, Kata, Podman, Unnamed};
        match &self.kind {
            Kind::Docker(docker) => runtime == docker.runtime() || runtime == Unnamed,
            Kind::Containerd(_) => matches!(runtime, Containerd | Kata | Unnamed),
            Kind::Kubelet(_) => matches!(runtime, Containerd | CriO | Kata | Unnamed),
            Kind::Store(_) => matches!(runtime, Podman | CriO | Unnamed),
        }
    }

    /// Describes a container.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn inspect(&self, asked: &Asked) -> Result<Container, EngineError> {
        let Ok(_permit) = self.permits.acquire().await else { return Err(EngineError::Timeout(self.answer)) };
        let found = async {
            match &self.kind {
                Kind::Docker(docker) => docker.inspect(&asked.reference.id).await,
                Kind::Containerd(containerd) => containerd.inspect(&asked.reference.id).await,
                Kind::Kubelet(kubelet) => kubelet.inspect(asked).await,
                Kind::Store(store) => store.inspect(&asked.reference.id).await,
            }
        };
        timeout(self.answer, found).await.unwrap_or(Err(EngineError::Timeout(self.answer)))
    }

    /// Reports what happens until the receiver is dropped; reconnects for ever.
    pub async fn watch(&self, sender: Sender<(Runtime, EngineEvent)>) {
        let reports = Reports { runtime: self.runtime(), sender };
        let mut pause = PAUSES.0;
        loop {
            let Broken { error, stood } = match &self.kind {
                Kind::Docker(docker) => docker.watch(&reports).await,
                Kind::Containerd(containerd) => containerd.watch(&reports).await,
                Kind::Kubelet(kubelet) => kubelet.watch(&reports).await,
                Kind::Store(store) => store.watch(&reports).await,
            };
            if stood {
                pause = PAUSES.0;
            }
            if reports.send(EngineEvent::Lost(error)).await.is_err() {
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Whose containers it tells of.
    fn runtime(&self) -> Runtime {
        match &self.kind {
            Kind::Docker(docker) => docker.runtime(),
            Kind::Containerd(_) => Runtime::Containerd,
            Kind::Kubelet(_) => Runtime::Unnamed,
            Kind::Store(_) => Runtime::Podman,
        }
    }
}

/// How a connection ended.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) error: EngineError,
    /// Whether it had stood at all.
    pub(super) stood: bool,
}

impl Broken {
    pub(super) fn before(error: EngineError) -> Self {
        Self { error, stood: false }
    }

    pub(super) fn after(error: EngineError) -> Self {
        Self { error, stood: true }
    }
}

/// What a look saw and, if that may have changed, which containers there are.
pub(super) type Looked<Seen> = (Seen, Option<HashSet<ContainerId>>);

/// Looks at the files of a runtime again and again, and tells of containers that come and go.
///
/// `look` gets what it saw the last time, and may block.
pub(super) async fn watch_files<Seen: Default + Send + 'static>(
    root: &Path,
    reports: &Reports,
    look: fn(&Path, Seen) -> Looked<Seen>,
) -> Broken {
    let (mut known, mut seen) = (HashSet::new(), Seen::default());
    loop {
        let (root, before) = (root.to_path_buf(), std::mem::take(&mut seen));
        let looked = tokio::task::spawn_blocking(move || look(&root, before)).await;
        let (now, ids) = looked.unwrap_or_default();
        seen = now;
        if let Some(ids) = ids {
            let new = ids.difference(&known).map(|id| EngineEvent::Changed { id: id.clone(), told: None });
            let gone = known.difference(&ids).map(|id| EngineEvent::Ended(id.clone()));
            for event in new.chain(gone) {
                if reports.send(event).await.is_err() {
                    return Broken::after(EngineError::Ended);
                }
            }
            known = ids;
        }
        tokio::time::sleep(LOOK).await;
    }
}
