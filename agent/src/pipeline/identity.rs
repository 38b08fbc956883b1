//! Whose an exchange is: found at once in the common case, waited for a moment where a worker has to look.

use crate::entity::host::Host;
use crate::entity::service_name::Service;
use crate::entity::table::{Entities, Entity, EntityId, EntityKind, Lookup, Who};
use remora_core::model::{Attrs, ConnInfo, Exchange, Pid, Role, semconv};
use std::sync::Arc;

/// Answer for one exchange.
pub(super) enum Identity {
    /// This is whose it is.
    Known(Arc<Entity>),
    /// A worker looks; ask again.
    Pending,
    /// Nothing tells which process it was.
    Nobody,
}

/// Process of the observed end: the connection's owner, else the thread that sent.
pub(super) fn process(conn: &ConnInfo, exchange: &Exchange) -> Option<Pid> {
    let acted = match exchange.role.or(conn.role) {
        Some(Role::Server) => exchange.responder,
        _ => exchange.sender,
    };
    acted.map(|task| task.pid).or_else(|| conn.owner.as_ref().map(|owner| owner.pid))
}

/// Looks up the entity of `pid`.
pub(super) fn identify(entities: &Entities, conn: &ConnInfo, pid: Option<Pid>) -> Identity {
    let Some(pid) = pid else { return Identity::Nobody };
    if let Some(entity) = entities.known(pid) {
        return Identity::Known(entity);
    }
    let comm = conn.owner.as_ref().filter(|owner| owner.pid == pid && !owner.comm.is_empty()).map(|owner| owner.comm.clone());
    match entities.lookup(&Who { comm, cgroup: conn.cgroup, ..Who::pid(pid) }) {
        Lookup::Known(entity) => Identity::Known(entity),
        Lookup::Pending => Identity::Pending,
    }
}

/// The entity of exchanges whose process nobody knows: the host, and a name that says so.
pub(super) fn nobody(host: &Host) -> Arc<Entity> {
    let mut resource = Attrs::default();
    resource.set_str(semconv::SERVICE_NAME, UNKNOWN_SERVICE);
    host.describe(&mut resource);
    Arc::new(Entity {
        id: EntityId(u32::MAX),
        kind: EntityKind::Unknown,
        service: Service { name: UNKNOWN_SERVICE.into(), namespace: None, version: None, instance: host.name.clone() },
        resource,
        placement: crate::entity::cgroup::Placement::default(),
        container: None,
    })
}

/// `service.name` where there is none, as the OpenTelemetry Resource SDK specification spells it.
const UNKNOWN_SERVICE: &str = "unknown_service";
