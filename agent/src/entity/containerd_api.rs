//! The part of containerd's gRPC API that is asked here, as messages with only the fields that are read.
//!
//! Written by hand after containerd's `api/` directory (v1 services, numbers of fields never change). The crate
//! `containerd-client` generates all of its 25 services and needs `protoc` on every machine that builds; these are five.

use std::collections::HashMap;

/// `containerd.services.namespaces.v1.Namespaces/List`.
pub(super) const LIST_NAMESPACES: &str = "/containerd.services.namespaces.v1.Namespaces/List";
/// `containerd.services.containers.v1.Containers/Get`.
pub(super) const GET_CONTAINER: &str = "/containerd.services.containers.v1.Containers/Get";
/// `containerd.services.tasks.v1.Tasks/Get`.
pub(super) const GET_TASK: &str = "/containerd.services.tasks.v1.Tasks/Get";
/// `containerd.services.tasks.v1.Tasks/List`.
pub(super) const LIST_TASKS: &str = "/containerd.services.tasks.v1.Tasks/List";
/// `containerd.services.events.v1.Events/Subscribe`.
pub(super) const SUBSCRIBE: &str = "/containerd.services.events.v1.Events/Subscribe";
/// Metadata key of the namespace that a call is about.
pub(super) const NAMESPACE: &str = "containerd-namespace";

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Any {
    #[prost(string, tag = "1")]
    pub(super) type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) value: Vec<u8>,
}

/// A request that asks for everything.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct ListRequest {}

/// `ListNamespacesResponse`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Namespaces {
    #[prost(message, repeated, tag = "1")]
    pub(super) namespaces: Vec<Namespace>,
}

/// A namespace.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Namespace {
    #[prost(string, tag = "1")]
    pub(super) name: String,
}

/// `GetContainerRequest`, and `GetRequest` of the tasks.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct GetRequest {
    #[prost(string, tag = "1")]
    pub(super) id: String,
}

/// `GetContainerResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct GetContainer {
    #[prost(message, optional, tag = "1")]
    pub(super) container: Option<Record>,
}

/// `containerd.services.containers.v1.Container`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Record {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(map = "string, string", tag = "2")]
    pub(super) labels: HashMap<String, String>,
    #[prost(string, tag = "3")]
    pub(super) image: String,
    /// The OCI runtime specification, in JSON.
    #[prost(message, optional, tag = "5")]
    pub(super) spec: Option<Any>,
    #[prost(map = "string, message", tag = "10")]
    pub(super) extensions: HashMap<String, Any>,
}

/// `GetResponse` of the tasks.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct GetTask {
    #[prost(message, optional, tag = "1")]
    pub(super) process: Option<Process>,
}

/// `ListTasksResponse`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Tasks {
    #[prost(message, repeated, tag = "1")]
    pub(super) tasks: Vec<Process>,
}

/// `containerd.v1.types.Process`: a task. The container's id is in the second field, the first is not always set.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Process {
    #[prost(string, tag = "1")]
    pub(super) container_id: String,
    #[prost(string, tag = "2")]
    pub(super) id: String,
    #[prost(uint32, tag = "3")]
    pub(super) pid: u32,
    #[prost(int32, tag = "4")]
    pub(super) status: i32,
}

/// `Status.STOPPED`.
pub(super) const STOPPED: i32 = 3;

/// `SubscribeRequest`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct SubscribeRequest {
    /// One of them has to fit.
    #[prost(string, repeated, tag = "1")]
    pub(super) filters: Vec<String>,
}

/// `containerd.types.Envelope`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Envelope {
    #[prost(string, tag = "2")]
    pub(super) namespace: String,
    #[prost(string, tag = "3")]
    pub(super) topic: String,
    #[prost(message, optional, tag = "4")]
    pub(super) event: Option<Any>,
}

/// What all events of containers and tasks begin with: the container's id; that of the process for `/tasks/exit`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct EventSubject {
    #[prost(string, tag = "1")]
    pub(super) container: String,
}

/// `containerd.events.TaskExit`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct TaskExit {
    #[prost(string, tag = "1")]
    pub(super) container: String,
    #[prost(string, tag = "2")]
    pub(super) process: String,
}
