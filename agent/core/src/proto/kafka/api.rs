//! Kafka's requests: their numbers, names and layouts, after the message definitions of Kafka 3.9 and 4.1.
//!
//! A request is described to its end, so that bytes which only look like one are told apart; of a response, the part
//! that a span needs. Fields without meaning that follow each other are taken together where their versions agree.

use super::schema::{Field, What, blob, fixed, list, plain, records, text};

/// A kind of request.
#[derive(Debug)]
pub(super) struct Api {
    pub(super) name: &'static str,
    /// First version with compact lengths and tagged fields.
    flexible: i16,
    /// Last version whose layout is known.
    newest: i16,
    request: Option<&'static [Field]>,
    response: Option<&'static [Field]>,
}

impl Api {
    const fn new(name: &'static str, newest: i16, flexible: i16) -> Self {
        Self { name, flexible, newest, request: None, response: None }
    }

    const fn with(mut self, request: &'static [Field], response: &'static [Field]) -> Self {
        (self.request, self.response) = (Some(request), Some(response));
        self
    }

    /// The kind with number `key`.
    pub(super) fn of(key: i16) -> Option<&'static Api> {
        usize::try_from(key).ok().and_then(|key| APIS.get(key))
    }

    pub(super) fn is_flexible(&self, version: i16) -> bool {
        version >= self.flexible
    }

    pub(super) fn knows(&self, version: i16) -> bool {
        (0..=self.newest).contains(&version)
    }

    /// Layout of the request's body, if it is known.
    pub(super) fn request(&self, version: i16) -> Option<&'static [Field]> {
        self.request.filter(|_| self.knows(version))
    }

    /// Layout of the start of the response's body, if it is known.
    pub(super) fn response(&self, version: i16) -> Option<&'static [Field]> {
        self.response.filter(|_| self.knows(version))
    }
}

pub(super) const PRODUCE: i16 = 0;
pub(super) const FETCH: i16 = 1;
pub(super) const OFFSET_COMMIT: i16 = 8;
/// Its response never has tagged fields in its header, so that any client can read it (KIP-511).
pub(super) const API_VERSIONS: i16 = 18;
pub(super) const TXN_OFFSET_COMMIT: i16 = 28;

/// Whether only a member of a group sends it, and for its own group: tools ask and commit for any group.
pub(super) fn is_membership(key: i16) -> bool {
    const JOIN_GROUP: i16 = 11;
    const HEARTBEAT: i16 = 12;
    const SYNC_GROUP: i16 = 14;
    const CONSUMER_GROUP_HEARTBEAT: i16 = 68;
    matches!(key, JOIN_GROUP | HEARTBEAT | SYNC_GROUP | CONSUMER_GROUP_HEARTBEAT)
}

/// By number.
static APIS: [Api; 93] = [
    Api::new("Produce", 13, 9).with(&PRODUCE_REQUEST, &PRODUCE_RESPONSE),
    Api::new("Fetch", 18, 12).with(&FETCH_REQUEST, &FETCH_RESPONSE),
    Api::new("ListOffsets", 11, 6).with(&LIST_OFFSETS_REQUEST, &LIST_OFFSETS_RESPONSE),
    Api::new("Metadata", 13, 9).with(&METADATA_REQUEST, &METADATA_RESPONSE),
    Api::new("LeaderAndIsr", 7, 4),
    Api::new("StopReplica", 4, 2),
    Api::new("UpdateMetadata", 8, 6),
    Api::new("ControlledShutdown", 3, 3),
    Api::new("OffsetCommit", 10, 8).with(&OFFSET_COMMIT_REQUEST, &OFFSET_COMMIT_RESPONSE),
    Api::new("OffsetFetch", 10, 6).with(&OFFSET_FETCH_REQUEST, &OFFSET_FETCH_RESPONSE),
    Api::new("FindCoordinator", 6, 3).with(&FIND_COORDINATOR_REQUEST, &FIND_COORDINATOR_RESPONSE),
    Api::new("JoinGroup", 9, 6).with(&JOIN_GROUP_REQUEST, &JOIN_GROUP_RESPONSE),
    Api::new("Heartbeat", 4, 4).with(&HEARTBEAT_REQUEST, &HEARTBEAT_RESPONSE),
    Api::new("LeaveGroup", 5, 4).with(&LEAVE_GROUP_REQUEST, &LEAVE_GROUP_RESPONSE),
    Api::new("SyncGroup", 5, 4).with(&SYNC_GROUP_REQUEST, &SYNC_GROUP_RESPONSE),
    Api::new("DescribeGroups", 6, 5).with(&DESCRIBE_GROUPS_REQUEST, &DESCRIBE_GROUPS_RESPONSE),
    Api::new("ListGroups", 5, 3).with(&LIST_GROUPS_REQUEST, &LIST_GROUPS_RESPONSE),
    Api::new("SaslHandshake", 1, i16::MAX).with(&SASL_HANDSHAKE_REQUEST, &SASL_HANDSHAKE_RESPONSE),
    Api::new("ApiVersions", 4, 3).with(&API_VERSIONS_REQUEST, &API_VERSIONS_RESPONSE),
    Api::new("CreateTopics", 7, 5).with(&CREATE_TOPICS_REQUEST, &CREATE_TOPICS_RESPONSE),
    Api::new("DeleteTopics", 6, 4).with(&DELETE_TOPICS_REQUEST, &DELETE_TOPICS_RESPONSE),
    Api::new("DeleteRecords", 2, 2),
    Api::new("InitProducerId", 6, 2).with(&INIT_PRODUCER_ID_REQUEST, &INIT_PRODUCER_ID_RESPONSE),
    Api::new("OffsetForLeaderEpoch", 4, 4),
    Api::new("AddPartitionsToTxn", 5, 3).with(&ADD_PARTITIONS_TO_TXN_REQUEST, &ADD_PARTITIONS_TO_TXN_RESPONSE),
    Api::new("AddOffsetsToTxn", 4, 3).with(&ADD_OFFSETS_TO_TXN_REQUEST, &ADD_OFFSETS_TO_TXN_RESPONSE),
    Api::new("EndTxn", 5, 3).with(&END_TXN_REQUEST, &END_TXN_RESPONSE),
    Api::new("WriteTxnMarkers", 2, 1),
    Api::new("TxnOffsetCommit", 5, 3).with(&TXN_OFFSET_COMMIT_REQUEST, &TXN_OFFSET_COMMIT_RESPONSE),
    Api::new("DescribeAcls", 3, 2),
    Api::new("CreateAcls", 3, 2),
    Api::new("DeleteAcls", 3, 2),
    Api::new("DescribeConfigs", 4, 4),
    Api::new("AlterConfigs", 2, 2),
    Api::new("AlterReplicaLogDirs", 2, 2),
    Api::new("DescribeLogDirs", 4, 2),
    Api::new("SaslAuthenticate", 2, 2).with(&SASL_AUTHENTICATE_REQUEST, &SASL_AUTHENTICATE_RESPONSE),
    Api::new("CreatePartitions", 3, 2),
    Api::new("CreateDelegationToken", 3, 2),
    Api::new("RenewDelegationToken", 2, 2),
    Api::new("ExpireDelegationToken", 2, 2),
    Api::new("DescribeDelegationToken", 3, 2),
    Api::new("DeleteGroups", 2, 2),
    Api::new("ElectLeaders", 2, 2),
    Api::new("IncrementalAlterConfigs", 1, 1),
    Api::new("AlterPartitionReassignments", 1, 0),
    Api::new("ListPartitionReassignments", 0, 0),
    Api::new("OffsetDelete", 0, i16::MAX),
    Api::new("DescribeClientQuotas", 1, 1),
    Api::new("AlterClientQuotas", 1, 1),
    Api::new("DescribeUserScramCredentials", 0, 0),
    Api::new("AlterUserScramCredentials", 0, 0),
    Api::new("Vote", 2, 0),
    Api::new("BeginQuorumEpoch", 1, 1),
    Api::new("EndQuorumEpoch", 1, 1),
    Api::new("DescribeQuorum", 2, 0),
    Api::new("AlterPartition", 3, 0),
    Api::new("UpdateFeatures", 2, 0),
    Api::new("Envelope", 0, 0),
    Api::new("FetchSnapshot", 1, 0),
    Api::new("DescribeCluster", 2, 0),
    Api::new("DescribeProducers", 0, 0),
    Api::new("BrokerRegistration", 4, 0),
    Api::new("BrokerHeartbeat", 1, 0),
    Api::new("UnregisterBroker", 0, 0),
    Api::new("DescribeTransactions", 0, 0),
    Api::new("ListTransactions", 2, 0),
    Api::new("AllocateProducerIds", 0, 0),
    Api::new("ConsumerGroupHeartbeat", 1, 0).with(&CONSUMER_GROUP_HEARTBEAT_REQUEST, &CONSUMER_GROUP_HEARTBEAT_RESPONSE),
    Api::new("ConsumerGroupDescribe", 1, 0),
    Api::new("ControllerRegistration", 0, 0),
    Api::new("GetTelemetrySubscriptions", 0, 0),
    Api::new("PushTelemetry", 0, 0),
    Api::new("AssignReplicasToDirs", 0, 0),
    Api::new("ListConfigResources", 1, 0),
    Api::new("DescribeTopicPartitions", 0, 0),
    Api::new("ShareGroupHeartbeat", 1, 0),
    Api::new("ShareGroupDescribe", 1, 0),
    Api::new("ShareFetch", 1, 0),
    Api::new("ShareAcknowledge", 1, 0),
    Api::new("AddRaftVoter", 0, 0),
    Api::new("RemoveRaftVoter", 0, 0),
    Api::new("UpdateRaftVoter", 0, 0),
    Api::new("InitializeShareGroupState", 0, 0),
    Api::new("ReadShareGroupState", 0, 0),
    Api::new("WriteShareGroupState", 0, 0),
    Api::new("DeleteShareGroupState", 0, 0),
    Api::new("ReadShareGroupStateSummary", 0, 0),
    Api::new("StreamsGroupHeartbeat", 0, 0),
    Api::new("StreamsGroupDescribe", 0, 0),
    Api::new("DescribeShareGroupOffsets", 0, 0),
    Api::new("AlterShareGroupOffsets", 0, 0),
    Api::new("DeleteShareGroupOffsets", 0, 0),
];

static PRODUCE_REQUEST: [Field; 4] = [
    text().since(3),
    fixed(2).is(What::Acks),
    fixed(4),
    list(&[text().is(What::Topic).until(12), fixed(16).is(What::TopicId).since(13), list(&[fixed(4).is(What::Partition), records()])]),
];
static PRODUCE_RESPONSE: [Field; 1] = [list(&[
    text().until(12),
    fixed(16).since(13),
    list(&[
        fixed(4),
        fixed(2).is(What::Error),
        fixed(8),
        fixed(8).since(2),
        fixed(8).since(5),
        list(&[fixed(4), text()]).since(8),
        text().since(8),
    ]),
])];
static FETCH_REQUEST: [Field; 8] = [
    fixed(4).is(What::Replica).until(14),
    fixed(8),
    fixed(4).since(3),
    fixed(1).since(4),
    fixed(8).since(7),
    list(&[
        text().is(What::Topic).until(12),
        fixed(16).is(What::TopicId).since(13),
        list(&[fixed(4).is(What::Partition), fixed(4).since(9), fixed(8), fixed(4).since(12), fixed(8).since(5), fixed(4)]),
    ]),
    list(&[text().since(7).until(12), fixed(16).since(13), plain(&[fixed(4)])]).since(7),
    text().since(11),
];
static FETCH_RESPONSE: [Field; 4] = [
    fixed(4).since(1),
    fixed(2).is(What::Error).since(7),
    fixed(4).since(7),
    list(&[
        text().is(What::Topic).until(12),
        fixed(16).is(What::TopicId).since(13),
        list(&[
            fixed(4).is(What::Partition),
            fixed(2).is(What::Error),
            fixed(8),
            fixed(8).since(4),
            fixed(8).since(5),
            list(&[fixed(16)]).since(4),
            fixed(4).since(11),
            records(),
        ]),
    ]),
];
static LIST_OFFSETS_REQUEST: [Field; 4] = [
    fixed(4),
    fixed(1).since(2),
    list(&[text().is(What::Topic), list(&[fixed(4).is(What::Partition), fixed(4).since(4), fixed(8), fixed(4).until(0)])]),
    fixed(4).since(10),
];
static LIST_OFFSETS_RESPONSE: [Field; 2] = [
    fixed(4).since(2),
    list(&[text(), list(&[fixed(4), fixed(2).is(What::Error), plain(&[fixed(8)]).until(0), fixed(16).since(1), fixed(4).since(4)])]),
];
static METADATA_REQUEST: [Field; 4] = [
    list(&[fixed(16).is(What::TopicId).since(10), text().is(What::Topic)]),
    fixed(1).since(4),
    fixed(1).since(8).until(10),
    fixed(1).since(8),
];
static METADATA_RESPONSE: [Field; 5] = [
    fixed(4).since(3),
    list(&[fixed(4), text(), fixed(4), text().since(1)]),
    text().since(2),
    fixed(4).since(1),
    list(&[
        fixed(2).is(What::Error),
        text().is(What::Topic),
        fixed(16).is(What::IdOfTopic).since(10),
        fixed(1).since(1),
        list(&[fixed(10), fixed(4).since(7), plain(&[fixed(4)]), plain(&[fixed(4)]), plain(&[fixed(4)]).since(5)]),
        fixed(4).since(8),
    ]),
];
static OFFSET_COMMIT_REQUEST: [Field; 6] = [
    text().is(What::Group),
    fixed(4).since(1),
    text().since(1),
    text().since(7),
    fixed(8).since(2).until(4),
    list(&[
        text().is(What::Topic).until(9),
        fixed(16).is(What::TopicId).since(10),
        list(&[fixed(4).is(What::Partition), fixed(8), fixed(4).since(6), fixed(8).since(1).until(1), text()]),
    ]),
];
static OFFSET_COMMIT_RESPONSE: [Field; 2] =
    [fixed(4).since(3), list(&[text().until(9), fixed(16).since(10), list(&[fixed(4), fixed(2).is(What::Error)])])];
static OFFSET_FETCH_REQUEST: [Field; 4] = [
    text().is(What::Group).until(7),
    list(&[text().is(What::Topic), plain(&[fixed(4).is(What::Partition)])]).until(7),
    list(&[
        text().is(What::Group),
        text().since(9),
        fixed(4).since(9),
        list(&[text().is(What::Topic).until(9), fixed(16).is(What::TopicId).since(10), plain(&[fixed(4).is(What::Partition)])]),
    ])
    .since(8),
    fixed(1).since(7),
];
static OFFSET_FETCH_RESPONSE: [Field; 4] = [
    fixed(4).since(3),
    list(&[text(), list(&[fixed(4), fixed(8), fixed(4).since(5), text(), fixed(2).is(What::Error)])]).until(7),
    fixed(2).is(What::Error).since(2).until(7),
    list(&[
        text(),
        list(&[text().until(9), fixed(16).since(10), list(&[fixed(4), fixed(8), fixed(4), text(), fixed(2).is(What::Error)])]),
        fixed(2).is(What::Error),
    ])
    .since(8),
];
static FIND_COORDINATOR_REQUEST: [Field; 3] = [text().until(3), fixed(1).since(1), plain(&[text()]).since(4)];
static FIND_COORDINATOR_RESPONSE: [Field; 7] = [
    fixed(4).since(1),
    fixed(2).is(What::Error).until(3),
    text().since(1).until(3),
    fixed(4).until(3),
    text().until(3),
    fixed(4).until(3),
    list(&[text(), fixed(4), text(), fixed(4), fixed(2).is(What::Error), text()]).since(4),
];
static JOIN_GROUP_REQUEST: [Field; 8] =
    [text().is(What::Group), fixed(4), fixed(4).since(1), text(), text().since(5), text(), list(&[text(), blob()]), text().since(8)];
static JOIN_GROUP_RESPONSE: [Field; 2] = [fixed(4).since(2), fixed(2).is(What::Error)];
static HEARTBEAT_REQUEST: [Field; 4] = [text().is(What::Group), fixed(4), text(), text().since(3)];
static HEARTBEAT_RESPONSE: [Field; 2] = [fixed(4).since(1), fixed(2).is(What::Error)];
static LEAVE_GROUP_REQUEST: [Field; 3] = [text().is(What::Group), text().until(2), list(&[text(), text(), text().since(5)]).since(3)];
static LEAVE_GROUP_RESPONSE: [Field; 3] =
    [fixed(4).since(1), fixed(2).is(What::Error), list(&[text(), text(), fixed(2).is(What::Error)]).since(3)];
static SYNC_GROUP_REQUEST: [Field; 7] =
    [text().is(What::Group), fixed(4), text(), text().since(3), text().since(5), text().since(5), list(&[text(), blob()])];
static SYNC_GROUP_RESPONSE: [Field; 2] = [fixed(4).since(1), fixed(2).is(What::Error)];
static DESCRIBE_GROUPS_REQUEST: [Field; 2] = [plain(&[text().is(What::Group)]), fixed(1).since(3)];
static DESCRIBE_GROUPS_RESPONSE: [Field; 2] = [
    fixed(4).since(1),
    list(&[
        fixed(2).is(What::Error),
        text().since(6),
        text(),
        text(),
        text(),
        text(),
        list(&[text(), text().since(4), text(), text(), blob(), blob()]),
        fixed(4).since(3),
    ]),
];
static LIST_GROUPS_REQUEST: [Field; 2] = [plain(&[text()]).since(4), plain(&[text()]).since(5)];
static LIST_GROUPS_RESPONSE: [Field; 2] = [fixed(4).since(1), fixed(2).is(What::Error)];
static SASL_HANDSHAKE_REQUEST: [Field; 1] = [text()];
static SASL_HANDSHAKE_RESPONSE: [Field; 1] = [fixed(2).is(What::Error)];
static API_VERSIONS_REQUEST: [Field; 2] = [text().since(3), text().since(3)];
static API_VERSIONS_RESPONSE: [Field; 1] = [fixed(2).is(What::Error)];
static CREATE_TOPICS_REQUEST: [Field; 3] = [
    list(&[text().is(What::Topic), fixed(6), list(&[fixed(4), plain(&[fixed(4)])]), list(&[text(), text()])]),
    fixed(4),
    fixed(1).since(1),
];
static CREATE_TOPICS_RESPONSE: [Field; 2] = [
    fixed(4).since(2),
    list(&[
        text().is(What::Topic),
        fixed(16).is(What::IdOfTopic).since(7),
        fixed(2).is(What::Error),
        text().since(1),
        fixed(6).since(5),
        list(&[text(), text(), fixed(3)]).since(5),
    ]),
];
static DELETE_TOPICS_REQUEST: [Field; 3] =
    [list(&[text().is(What::Topic), fixed(16).is(What::IdOfTopic)]).since(6), plain(&[text().is(What::Topic)]).until(5), fixed(4)];
static DELETE_TOPICS_RESPONSE: [Field; 2] =
    [fixed(4).since(1), list(&[text(), fixed(16).since(6), fixed(2).is(What::Error), text().since(5)])];
static INIT_PRODUCER_ID_REQUEST: [Field; 4] = [text(), fixed(4), fixed(10).since(3), fixed(2).since(6)];
static INIT_PRODUCER_ID_RESPONSE: [Field; 2] = [fixed(4), fixed(2).is(What::Error)];
static ADD_PARTITIONS_TO_TXN_REQUEST: [Field; 4] = [
    list(&[text(), fixed(11), list(&[text().is(What::Topic), plain(&[fixed(4).is(What::Partition)])])]).since(4),
    text().until(3),
    fixed(10).until(3),
    list(&[text().is(What::Topic), plain(&[fixed(4).is(What::Partition)])]).until(3),
];
static ADD_PARTITIONS_TO_TXN_RESPONSE: [Field; 4] = [
    fixed(4),
    fixed(2).is(What::Error).since(4),
    list(&[text(), list(&[text(), list(&[fixed(4), fixed(2).is(What::Error)])])]).since(4),
    list(&[text(), list(&[fixed(4), fixed(2).is(What::Error)])]).until(3),
];
static ADD_OFFSETS_TO_TXN_REQUEST: [Field; 3] = [text(), fixed(10), text().is(What::Group)];
static ADD_OFFSETS_TO_TXN_RESPONSE: [Field; 2] = [fixed(4), fixed(2).is(What::Error)];
static END_TXN_REQUEST: [Field; 2] = [text(), fixed(11)];
static END_TXN_RESPONSE: [Field; 2] = [fixed(4), fixed(2).is(What::Error)];
static TXN_OFFSET_COMMIT_REQUEST: [Field; 7] = [
    text(),
    text().is(What::Group),
    fixed(10),
    fixed(4).since(3),
    text().since(3),
    text().since(3),
    list(&[text().is(What::Topic), list(&[fixed(4).is(What::Partition), fixed(8), fixed(4).since(2), text()])]),
];
static TXN_OFFSET_COMMIT_RESPONSE: [Field; 2] = [fixed(4), list(&[text(), list(&[fixed(4), fixed(2).is(What::Error)])])];
static SASL_AUTHENTICATE_REQUEST: [Field; 1] = [blob()];
static SASL_AUTHENTICATE_RESPONSE: [Field; 1] = [fixed(2).is(What::Error)];
static CONSUMER_GROUP_HEARTBEAT_REQUEST: [Field; 10] = [
    text().is(What::Group),
    text(),
    fixed(4),
    text(),
    text(),
    fixed(4),
    plain(&[text()]),
    text().since(1),
    text(),
    list(&[fixed(16), plain(&[fixed(4)])]),
];
static CONSUMER_GROUP_HEARTBEAT_RESPONSE: [Field; 2] = [fixed(4), fixed(2).is(What::Error)];
