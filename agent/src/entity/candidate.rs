//! What a worker found out about a process, and from that, which entity it belongs to.
//!
//! The read blocks and so runs beside the resolver's task; the decisions are pure.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use remora_core::model::Pid;

use super::cgroup::{self, ContainerRef, Placement, Runtime};
use super::cgroup_id::CgroupIds;
use super::counters::{Counters, Reason};
use super::process::{Declared, ProcessInfo, ReadError, StartTime};
use super::table::{EntityKind, Who};

/// What one entity is for. Programs that declare different services are different entities even in one container.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum EntityKey {
    Placed(Placement, Option<String>),
    Program(String, Option<String>),
    Kernel,
    Unknown(Option<String>),
    Overflow,
}

/// What is known of a process, from itself or from hints.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) pid: Pid,
    pub(super) start: Option<StartTime>,
    pub(super) comm: Option<String>,
    /// Path of the executable.
    pub(super) executable: Option<Arc<str>>,
    /// Short name of what runs.
    pub(super) program: Option<String>,
    /// What tells programs apart: path of the executable, with the script.
    pub(super) path: Option<String>,
    pub(super) declared: Declared,
    pub(super) placement: Placement,
    thread_of_kernel: bool,
}

/// What an entity was made from, to make it again when more is known.
#[derive(Clone, Debug)]
pub(super) struct Basis {
    pub(super) declared: Declared,
    pub(super) placement: Placement,
    pub(super) program: Option<String>,
    pub(super) comm: Option<String>,
    pub(super) path: Option<String>,
    pub(super) executable: Option<Arc<str>>,
    pub(super) kind: EntityKind,
}

impl Basis {
    /// Of a process, and of what its container's configured environment declares.
    pub(super) fn new(candidate: Candidate, of_container: Declared) -> Self {
        let placement = candidate.placement;
        let kind = match (&placement, &candidate.path) {
            (Placement { container: Some(_), .. }, _) => EntityKind::Container,
            (Placement { unit: Some(_), .. }, _) => EntityKind::Unit,
            (_, Some(_)) => EntityKind::Program,
            _ if candidate.thread_of_kernel => EntityKind::Kernel,
            _ => EntityKind::Unknown,
        };
        Self {
            declared: merge(candidate.declared, of_container),
            placement,
            program: candidate.program,
            comm: candidate.comm,
            // One container or unit runs many executables; only a program is one.
            executable: candidate.executable.filter(|_| kind == EntityKind::Program),
            path: candidate.path,
            kind,
        }
    }

    /// Of a container of which no process was seen yet.
    pub(super) fn of_container(reference: ContainerRef, declared: Declared) -> Self {
        let placement = Placement { container: Some(reference), ..Placement::default() };
        Self { placement, declared, kind: EntityKind::Container, ..Self::overflow() }
    }

    /// Takes over what `other`, of the same entity, knows more. Whether that was anything.
    pub(super) fn enrich(&mut self, other: Self) -> bool {
        let pod = self.placement.pod.is_none() && other.placement.pod.is_some();
        let program = self.program.is_none() && other.program.is_some();
        if pod {
            self.placement.pod = other.placement.pod;
        }
        if program {
            self.program = other.program;
        }
        pod || program
    }

    pub(super) fn overflow() -> Self {
        Self {
            declared: Declared::default(),
            placement: Placement::default(),
            program: None,
            comm: None,
            path: None,
            executable: None,
            kind: EntityKind::Unknown,
        }
    }
}

pub(super) fn key(basis: &Basis) -> EntityKey {
    let declared = basis.declared.service_name.clone();
    match (&basis.path, basis.kind) {
        (_, EntityKind::Container | EntityKind::Unit) => EntityKey::Placed(normal(&basis.placement), declared),
        (Some(path), _) => EntityKey::Program(path.clone(), declared),
        (None, EntityKind::Kernel) => EntityKey::Kernel,
        (None, _) => EntityKey::Unknown(basis.comm.clone()),
    }
}

/// A container is the same whoever names its runtime and with or without its pod.
fn normal(placement: &Placement) -> Placement {
    match &placement.container {
        Some(container) => {
            let container = ContainerRef { runtime: Runtime::Unnamed, id: container.id.clone() };
            Placement { container: Some(container), pod: None, unit: placement.unit.clone() }
        }
        None => placement.clone(),
    }
}

/// What the process says, and for what it does not say, its container.
fn merge(own: Declared, container: Declared) -> Declared {
    Declared {
        service_name: own.service_name.or(container.service_name),
        service_namespace: own.service_namespace.or(container.service_namespace),
        service_version: own.service_version.or(container.service_version),
        service_instance_id: own.service_instance_id.or(container.service_instance_id),
        deployment_environment: own.deployment_environment.or(container.deployment_environment),
    }
}

impl Candidate {
    pub(super) fn of_hints(who: &Who, placement: Placement) -> Self {
        Self {
            pid: who.pid,
            start: who.start,
            comm: who.comm.clone(),
            executable: None,
            program: None,
            path: None,
            declared: Declared::default(),
            placement,
            thread_of_kernel: false,
        }
    }

    pub(super) fn of_process(info: ProcessInfo) -> Self {
        let path = info.executable.as_ref().map(|executable| match info.program() {
            Some(program) if !program.starts_with('/') => format!("{executable} {}/{program}", info.cwd.as_deref().unwrap_or("")),
            Some(program) => format!("{executable} {program}"),
            None => executable.clone(),
        });
        Self {
            pid: info.pid,
            start: Some(info.start),
            program: info.executable.is_some().then(|| info.name().to_owned()),
            path,
            executable: info.executable.as_deref().map(Into::into),
            thread_of_kernel: info.kernel_thread,
            comm: Some(info.comm),
            declared: info.declared,
            placement: info.placement,
        }
    }
}

/// Reads a process; what is gone is named by hints, and stands where those or else `fallback` say. Blocks.
pub(super) fn read(
    proc_root: &Path,
    who: &Who,
    fallback: Placement,
    cgroup_ids: Option<&Mutex<CgroupIds>>,
    counters: &Counters,
) -> Candidate {
    let info = ProcessInfo::read(proc_root, who.pid).and_then(|info| match who.start {
        Some(start) if start != info.start => Err(ReadError::Gone(who.pid)),
        _ => Ok(info),
    });
    let hinted = || {
        let mut ids = cgroup_ids?.lock().ok()?;
        Some(cgroup::placement(&ids.path(who.cgroup?, Instant::now())?))
    };
    match info {
        Ok(info) => {
            let mut candidate = Candidate::of_process(info);
            if candidate.placement == Placement::default() {
                candidate.placement = hinted().unwrap_or_default();
            }
            candidate
        }
        Err(error) => {
            counters.add(if matches!(error, ReadError::Gone(_)) { Reason::ProcessGone } else { Reason::ProcessUnreadable });
            Candidate::of_hints(who, hinted().unwrap_or(fallback))
        }
    }
}
