//! Resource, instrumentation scope and schema URLs: what stands around the records of one entity,
//! encoded once and written into every request.
//!
//! `ResourceSpans`, `ResourceMetrics` and `ResourceLogs` share their field numbers (resource 1,
//! scope 2, schema_url 3), and so do their scopes (scope 1, records 2, schema_url 3); one
//! [`Envelope`] therefore serves all signals.

use crate::value::{Encoded, field};
use crate::wire::{self, delimited_len};

/// Field of the resource groups in every `Export*ServiceRequest`.
const REQUEST_GROUP: u32 = 1;
/// Field of the records in `ScopeSpans`, `ScopeMetrics` and `ScopeLogs`.
pub(crate) const RECORD: u32 = 2;

/// Who the telemetry is about (`Resource`).
#[derive(Clone, Debug, Default)]
pub struct Resource {
    /// Its attributes.
    pub attributes: Encoded<{ field::RESOURCE }>,
    /// Attributes that were left out, and counted.
    pub dropped_attributes: u32,
    /// Schema of the attribute names; empty when there is none.
    pub schema_url: String,
}

/// Which part of the agent made the telemetry (`InstrumentationScope`).
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Name of the scope.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its attributes.
    pub attributes: Encoded<{ field::SCOPE }>,
    /// Schema of the names used by the records; empty when there is none.
    pub schema_url: String,
}

/// Resource and scope as the bytes that stand before and behind the records.
#[derive(Clone, Debug)]
pub struct Envelope {
    resource: Vec<u8>,
    resource_end: Vec<u8>,
    scope: Vec<u8>,
    scope_end: Vec<u8>,
}

impl Envelope {
    /// Encodes `resource` and `scope`.
    pub fn new(resource: &Resource, scope: &Scope) -> Self {
        let mut envelope = Self { resource: Vec::new(), resource_end: Vec::new(), scope: Vec::new(), scope_end: Vec::new() };
        wire::message(&mut envelope.resource, 1, resource.attributes.encoded_len(), |out| {
            out.extend_from_slice(resource.attributes.bytes());
            wire::nonzero_varint(out, 2, u64::from(resource.dropped_attributes));
        });
        wire::nonempty_bytes(&mut envelope.resource_end, 3, resource.schema_url.as_bytes());
        wire::message(&mut envelope.scope, 1, scope.attributes.encoded_len(), |out| {
            wire::nonempty_bytes(out, 1, scope.name.as_bytes());
            wire::nonempty_bytes(out, 2, scope.version.as_bytes());
            out.extend_from_slice(scope.attributes.bytes());
        });
        wire::nonempty_bytes(&mut envelope.scope_end, 3, scope.schema_url.as_bytes());
        envelope
    }

    fn scope_len(&self, records: usize) -> usize {
        self.scope.len() + records + self.scope_end.len()
    }

    fn resource_len(&self, records: usize) -> usize {
        self.resource.len() + delimited_len(self.scope_len(records)) + self.resource_end.len()
    }

    /// Bytes that a group with `records` bytes of records takes in a request.
    pub(crate) fn group_len(&self, records: usize) -> usize {
        delimited_len(self.resource_len(records))
    }

    /// Appends one group (`ResourceSpans`, `ResourceMetrics` or `ResourceLogs`) to a request.
    pub(crate) fn write_group(&self, out: &mut Vec<u8>, records: &[u8]) {
        wire::delimited_head(out, REQUEST_GROUP, self.resource_len(records.len()));
        out.extend_from_slice(&self.resource);
        wire::delimited_head(out, 2, self.scope_len(records.len()));
        out.extend_from_slice(&self.scope);
        out.extend_from_slice(records);
        out.extend_from_slice(&self.scope_end);
        out.extend_from_slice(&self.resource_end);
    }
}
