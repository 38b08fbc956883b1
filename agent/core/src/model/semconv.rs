//! Every attribute name, once. Names, types and enum values are those of the OpenTelemetry semantic conventions 1.44;
//! what they do not define stands under `remora.`.

/// URL of the schema that these names follow.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";

/// Name of an attribute, as the semantic conventions spell it.
///
/// It is the place of the name below: an exchange asks for a dozen of them among as many, millions of times a second.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(u16);

impl Key {
    /// The name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        NAMES[self.0 as usize]
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

macro_rules! keys {
    ($($name:ident = $text:literal;)*) => {
        /// Places of the names.
        #[expect(non_camel_case_types, reason = "spelled as the constants that it numbers")]
        enum Place { $($name),* }
        const NAMES: &[&str] = &[$($text),*];
        $(
            #[doc = concat!("`", $text, "`")]
            pub const $name: Key = Key(Place::$name as u16);
        )*
        /// All names above, for checks of the whole registry.
        pub const ALL: &[Key] = &[$($name),*];
    };
}

keys! {
    CLIENT_ADDRESS = "client.address";
    CLIENT_PORT = "client.port";
    CONTAINER_ID = "container.id";
    CONTAINER_IMAGE_ID = "container.image.id";
    CONTAINER_IMAGE_NAME = "container.image.name";
    CONTAINER_IMAGE_REPO_DIGESTS = "container.image.repo_digests";
    CONTAINER_IMAGE_TAGS = "container.image.tags";
    CONTAINER_NAME = "container.name";
    CONTAINER_RUNTIME_NAME = "container.runtime.name";
    DB_COLLECTION_NAME = "db.collection.name";
    DB_NAMESPACE = "db.namespace";
    DB_OPERATION_BATCH_SIZE = "db.operation.batch.size";
    DB_OPERATION_NAME = "db.operation.name";
    DB_QUERY_SUMMARY = "db.query.summary";
    DB_QUERY_TEXT = "db.query.text";
    DB_RESPONSE_RETURNED_ROWS = "db.response.returned_rows";
    DB_RESPONSE_STATUS_CODE = "db.response.status_code";
    DB_STORED_PROCEDURE_NAME = "db.stored_procedure.name";
    DB_SYSTEM_NAME = "db.system.name";
    DEPLOYMENT_ENVIRONMENT_NAME = "deployment.environment.name";
    DNS_ANSWERS = "dns.answers";
    DNS_QUESTION_NAME = "dns.question.name";
    ERROR_TYPE = "error.type";
    EXCEPTION_MESSAGE = "exception.message";
    EXCEPTION_STACKTRACE = "exception.stacktrace";
    EXCEPTION_TYPE = "exception.type";
    HOST_ARCH = "host.arch";
    HOST_ID = "host.id";
    HOST_NAME = "host.name";
    HTTP_REQUEST_BODY_SIZE = "http.request.body.size";
    HTTP_REQUEST_METHOD = "http.request.method";
    HTTP_REQUEST_METHOD_ORIGINAL = "http.request.method_original";
    HTTP_RESPONSE_BODY_SIZE = "http.response.body.size";
    HTTP_RESPONSE_STATUS_CODE = "http.response.status_code";
    HTTP_ROUTE = "http.route";
    K8S_CONTAINER_NAME = "k8s.container.name";
    K8S_CONTAINER_RESTART_COUNT = "k8s.container.restart_count";
    K8S_CRONJOB_NAME = "k8s.cronjob.name";
    K8S_DAEMONSET_NAME = "k8s.daemonset.name";
    K8S_DEPLOYMENT_NAME = "k8s.deployment.name";
    K8S_JOB_NAME = "k8s.job.name";
    K8S_NAMESPACE_NAME = "k8s.namespace.name";
    K8S_POD_NAME = "k8s.pod.name";
    K8S_POD_UID = "k8s.pod.uid";
    K8S_STATEFULSET_NAME = "k8s.statefulset.name";
    LOG_FILE_PATH = "log.file.path";
    LOG_IOSTREAM = "log.iostream";
    LOG_RECORD_TEMPLATE = "log.record.template";
    MESSAGING_BATCH_MESSAGE_COUNT = "messaging.batch.message_count";
    MESSAGING_CLIENT_ID = "messaging.client.id";
    MESSAGING_CONSUMER_GROUP_NAME = "messaging.consumer.group.name";
    MESSAGING_DESTINATION_NAME = "messaging.destination.name";
    MESSAGING_DESTINATION_PARTITION_ID = "messaging.destination.partition.id";
    MESSAGING_KAFKA_OFFSET = "messaging.kafka.offset";
    MESSAGING_MESSAGE_BODY_SIZE = "messaging.message.body.size";
    MESSAGING_OPERATION_NAME = "messaging.operation.name";
    MESSAGING_OPERATION_TYPE = "messaging.operation.type";
    MESSAGING_SYSTEM = "messaging.system";
    NETWORK_IO_DIRECTION = "network.io.direction";
    NETWORK_LOCAL_ADDRESS = "network.local.address";
    NETWORK_LOCAL_PORT = "network.local.port";
    NETWORK_PEER_ADDRESS = "network.peer.address";
    NETWORK_PEER_PORT = "network.peer.port";
    NETWORK_PROTOCOL_NAME = "network.protocol.name";
    NETWORK_PROTOCOL_VERSION = "network.protocol.version";
    NETWORK_TRANSPORT = "network.transport";
    NETWORK_TYPE = "network.type";
    OS_DESCRIPTION = "os.description";
    OS_NAME = "os.name";
    OS_TYPE = "os.type";
    OS_VERSION = "os.version";
    PROCESS_EXECUTABLE_NAME = "process.executable.name";
    PROCESS_EXECUTABLE_PATH = "process.executable.path";
    OTEL_METRIC_OVERFLOW = "otel.metric.overflow";
    REMORA_CONNECTION_ROLE = "remora.connection.role";
    REMORA_DB_AFFECTED_ROWS = "remora.db.response.affected_rows";
    REMORA_DNS_QUESTION_TYPE = "remora.dns.question.type";
    REMORA_DNS_RESPONSE_CODE = "remora.dns.response_code";
    REMORA_DNS_TRUNCATED = "remora.dns.truncated";
    REMORA_DNS_TTL = "remora.dns.ttl";
    REMORA_HTTP_STREAM = "remora.http.stream";
    REMORA_HTTP_UPGRADE = "remora.http.upgrade";
    REMORA_INCOMPLETE = "remora.incomplete";
    REMORA_KAFKA_API_NAME = "remora.kafka.api.name";
    REMORA_KAFKA_API_VERSION = "remora.kafka.api.version";
    REMORA_KAFKA_ERROR_CODE = "remora.kafka.error.code";
    REMORA_KAFKA_TOPIC_ID = "remora.kafka.topic.id";
    REMORA_LOG_LOGGER = "remora.log.logger";
    REMORA_LOG_RECORD_TEMPLATE_ID = "remora.log.record.template.id";
    REMORA_LOG_RECORD_TEMPLATE_REPLACES = "remora.log.record.template.replaces";
    REMORA_LOG_SEVERITY_NUMBER = "remora.log.severity_number";
    REMORA_PEER_CONTAINER_NAME = "remora.peer.container.name";
    REMORA_REDIS_REDIRECT = "remora.redis.redirect";
    REMORA_UNIT_NAME = "remora.unit.name";
    RPC_METHOD = "rpc.method";
    RPC_RESPONSE_STATUS_CODE = "rpc.response.status_code";
    RPC_SYSTEM_NAME = "rpc.system.name";
    SERVER_ADDRESS = "server.address";
    SERVER_PORT = "server.port";
    SERVICE_INSTANCE_ID = "service.instance.id";
    SERVICE_NAME = "service.name";
    SERVICE_NAMESPACE = "service.namespace";
    SERVICE_PEER_NAME = "service.peer.name";
    SERVICE_PEER_NAMESPACE = "service.peer.namespace";
    SERVICE_VERSION = "service.version";
    URL_FULL = "url.full";
    URL_PATH = "url.path";
    URL_QUERY = "url.query";
    URL_SCHEME = "url.scheme";
    URL_TEMPLATE = "url.template";
    USER_AGENT_ORIGINAL = "user_agent.original";
}

/// `error.type` of a request whose answer never came although the connection lived on.
pub const ERROR_TIMEOUT: &str = "timeout";
/// `error.type` of a request whose connection was reset.
pub const ERROR_RESET: &str = "connection_reset";
/// `error.type` of a request whose connection the server closed without an answer.
pub const ERROR_CLOSED: &str = "connection_closed";
/// `error.type` of a request that its own client gave up by closing the connection.
pub const ERROR_CANCELLED: &str = "request_cancelled";
/// `error.type` of a connect that was refused.
pub const ERROR_REFUSED: &str = "connection_refused";
/// `error.type` where the conventions want "a class of errors that is not listed".
pub const ERROR_OTHER: &str = "_OTHER";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_spelled_as_the_conventions_ask() {
        let mut seen = std::collections::BTreeSet::new();
        for name in ALL.iter().map(|key| key.name()) {
            assert!(seen.insert(name), "{name} twice");
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._".contains(&b)), "{name}");
        }
    }
}
