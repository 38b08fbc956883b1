//! Containers as containerd tells of them over its socket, in all of its namespaces: Kubernetes, nerdctl, `ctr`.

use std::path::PathBuf;
use std::time::Duration;

use prost::Message;
use remora_core::model::Pid;
use tokio::time::timeout;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;

use super::cgroup::ContainerId;
use super::container::Container;
use super::containerd_api::{
    self as api, Envelope, EventSubject, GetContainer, GetRequest, GetTask, ListRequest, Namespaces, Record, SubscribeRequest, TaskExit,
    Tasks,
};
use super::containerd_record;
use super::engine::{Broken, EngineError, EngineEvent, Reports};

/// Namespaces that are asked, at most.
const MAX_NAMESPACES: usize = 64;
/// Docker's own containers, which Docker itself knows by name.
const OF_DOCKER: &str = "moby";
/// Largest answer, bytes.
const MAX_ANSWER: usize = 16 << 20;
/// Events that change what is known.
const TOPICS: [&str; 5] = ["/containers/create", "/containers/update", "/containers/delete", "/tasks/start", "/tasks/exit"];

/// Why containerd did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ContainerdError {
    /// It answered with an error.
    #[error("{}: {}", .0.code(), .0.message())]
    Status(Box<Status>),
    /// It could not be connected to.
    #[error(transparent)]
    Connect(#[from] tonic::transport::Error),
}

/// One containerd.
#[derive(Debug)]
pub(super) struct Containerd {
    path: PathBuf,
    /// Time for one answer.
    answer: Duration,
}

/// A connection.
struct Client(Grpc<Channel>);

impl Containerd {
    pub(super) fn new(path: PathBuf, answer: Duration) -> Self {
        Self { path, answer }
    }

    /// Describes a container, in whichever namespace it is.
    pub(super) async fn inspect(&self, id: &ContainerId) -> Result<Container, EngineError> {
        let mut client = self.connect().await?;
        for namespace in client.namespaces().await? {
            match client.container(&namespace, id).await {
                Ok(record) => return self.describe(&mut client, &namespace, record).await,
                Err(status) if status.code() == Code::NotFound => {}
                Err(status) => return Err(status.into()),
            }
        }
        Err(EngineError::NotFound)
    }

    async fn describe(&self, client: &mut Client, namespace: &str, record: Record) -> Result<Container, EngineError> {
        let main = match client.task(namespace, &record.id).await {
            Ok(task) => task.process.filter(|process| process.status != api::STOPPED && process.pid != 0).map(|process| Pid(process.pid)),
            // It has not started, or has ended.
            Err(status) if status.code() == Code::NotFound => None,
            Err(status) => return Err(status.into()),
        };
        Ok(containerd_record::convert(record, main))
    }

    /// Reports what happens while one connection stands.
    pub(super) async fn watch(&self, reports: &Reports) -> Broken {
        // Events first and the list second: what starts between the two is seen twice, never missed.
        let start = async {
            let mut client = self.connect().await?;
            let events = client.subscribe().await?;
            let mut running = Vec::new();
            for namespace in client.namespaces().await? {
                running.extend(client.tasks(&namespace).await?);
            }
            Ok((events, running))
        };
        let (mut events, running) = match timeout(self.answer, start).await {
            Ok(Ok(started)) => started,
            Ok(Err(error)) => return Broken::before(error),
            Err(_) => return Broken::before(EngineError::Timeout(self.answer)),
        };
        let changed = running.into_iter().map(|id| EngineEvent::Changed { id, told: None });
        for event in std::iter::once(EngineEvent::Connected).chain(changed) {
            if reports.send(event).await.is_err() {
                return Broken::after(EngineError::Ended);
            }
        }
        loop {
            let event = match events.message().await {
                Ok(Some(envelope)) => meaning(&envelope),
                Ok(None) => break,
                Err(status) => return Broken::after(status.into()),
            };
            if let Some(event) = event
                && reports.send(event).await.is_err()
            {
                break;
            }
        }
        Broken::after(EngineError::Ended)
    }

    /// Connections are made for each question, so a containerd that was restarted is no special case.
    async fn connect(&self) -> Result<Client, EngineError> {
        if !self.path.exists() {
            return Err(EngineError::Absent(self.path.clone()));
        }
        let endpoint = Endpoint::from_shared(format!("unix://{}", self.path.display())).map_err(ContainerdError::from)?;
        let channel = endpoint.connect_timeout(self.answer).connect().await.map_err(ContainerdError::from)?;
        Ok(Client(Grpc::new(channel).max_decoding_message_size(MAX_ANSWER)))
    }
}

impl From<Status> for EngineError {
    fn from(status: Status) -> Self {
        Self::Containerd(ContainerdError::Status(Box::new(status)))
    }
}

impl Client {
    /// All namespaces but Docker's.
    async fn namespaces(&mut self) -> Result<Vec<String>, Status> {
        let Namespaces { namespaces } = self.ask(api::LIST_NAMESPACES, None, ListRequest {}).await?;
        let names = namespaces.into_iter().map(|namespace| namespace.name).filter(|name| name != OF_DOCKER);
        Ok(names.take(MAX_NAMESPACES).collect())
    }

    async fn container(&mut self, namespace: &str, id: &ContainerId) -> Result<Record, Status> {
        let request = GetRequest { id: id.as_str().to_owned() };
        let GetContainer { container } = self.ask(api::GET_CONTAINER, Some(namespace), request).await?;
        container.ok_or_else(|| Status::not_found("an answer without container"))
    }

    async fn task(&mut self, namespace: &str, id: &str) -> Result<GetTask, Status> {
        self.ask(api::GET_TASK, Some(namespace), GetRequest { id: id.to_owned() }).await
    }

    /// Containers that run.
    async fn tasks(&mut self, namespace: &str) -> Result<Vec<ContainerId>, Status> {
        let Tasks { tasks } = self.ask(api::LIST_TASKS, Some(namespace), ListRequest {}).await?;
        let ids = tasks.into_iter().map(|task| if task.container_id.is_empty() { task.id } else { task.container_id });
        Ok(ids.map(|id| ContainerId::new(&id)).collect())
    }

    async fn subscribe(&mut self) -> Result<Streaming<Envelope>, Status> {
        let filters = TOPICS.iter().map(|topic| format!("topic=={topic}")).collect();
        self.ready().await?;
        let request = Request::new(SubscribeRequest { filters });
        let answer = self.0.server_streaming(request, PathAndQuery::from_static(api::SUBSCRIBE), codec()).await?;
        Ok(answer.into_inner())
    }

    async fn ask<Q, A>(&mut self, method: &'static str, namespace: Option<&str>, question: Q) -> Result<A, Status>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let mut request = Request::new(question);
        if let Some(namespace) = namespace {
            let namespace = MetadataValue::try_from(namespace).map_err(|_| Status::not_found("a namespace that cannot be asked for"))?;
            request.metadata_mut().insert(api::NAMESPACE, namespace);
        }
        self.ready().await?;
        let answer = self.0.unary(request, PathAndQuery::from_static(method), codec::<Q, A>()).await?;
        Ok(answer.into_inner())
    }

    async fn ready(&mut self) -> Result<(), Status> {
        self.0.ready().await.map_err(|error| Status::unavailable(error.to_string()))
    }
}

fn codec<Q, A>() -> ProstCodec<Q, A> {
    ProstCodec::default()
}

/// What an event means here, if anything.
fn meaning(envelope: &Envelope) -> Option<EngineEvent> {
    let event = envelope.event.as_ref().filter(|_| envelope.namespace != OF_DOCKER)?;
    let subject = || EventSubject::decode(event.value.as_slice()).ok().map(|subject| ContainerId::new(&subject.container));
    match envelope.topic.as_str() {
        "/containers/create" | "/containers/update" | "/tasks/start" => Some(EngineEvent::Changed { id: subject()?, told: None }),
        "/containers/delete" => Some(EngineEvent::Ended(subject()?)),
        "/tasks/exit" => {
            // Processes that were started inside (`exec`) end as well.
            let exit = TaskExit::decode(event.value.as_slice()).ok().filter(|exit| exit.process == exit.container)?;
            Some(EngineEvent::Ended(ContainerId::new(&exit.container)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::containerd_api::Any;
    use super::*;

    fn envelope(namespace: &str, topic: &str, event: &impl Message) -> Envelope {
        let event = Some(Any { type_url: String::new(), value: event.encode_to_vec() });
        Envelope { namespace: namespace.into(), topic: topic.into(), event }
    }

    #[test]
    fn events_of_containers_and_their_first_processes_count() {
        let subject = EventSubject { container: "c".into() };
        let exit = |process: &str| TaskExit { container: "c".into(), process: process.into() };
        let changed = |event: Option<EngineEvent>| matches!(event, Some(EngineEvent::Changed { id, told: None }) if id.as_str() == "c");
        let ended = |event: Option<EngineEvent>| matches!(event, Some(EngineEvent::Ended(id)) if id.as_str() == "c");
        assert!(changed(meaning(&envelope("k8s.io", "/tasks/start", &subject))));
        assert!(changed(meaning(&envelope("default", "/containers/create", &subject))));
        assert!(ended(meaning(&envelope("default", "/tasks/exit", &exit("c")))));
        assert!(ended(meaning(&envelope("default", "/containers/delete", &subject))));
        assert!(meaning(&envelope("default", "/tasks/exit", &exit("probe"))).is_none(), "a probe ended");
        assert!(meaning(&envelope("moby", "/tasks/start", &subject)).is_none(), "Docker's own");
        assert!(meaning(&envelope("default", "/images/create", &subject)).is_none());
        let broken = Any { type_url: String::new(), value: vec![0x0a, 0xff] };
        assert!(meaning(&Envelope { event: Some(broken), ..envelope("default", "/tasks/start", &subject) }).is_none());
    }
}
