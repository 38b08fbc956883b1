//! The workers over fixture trees and, in `root`, over this machine's own processes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use remora_core::model::{CgroupId, Pid, semconv};

use super::cgroup::{ContainerId, Runtime};
use super::counters::Reason;
use super::engine::EngineSocket;
use super::fixture::{self, Tree};
use super::host::{Host, Uname};
use super::process::StartTime;
use super::resolver::{self, Settings};
use super::table::{Entities, Entity, EntityKind, Lookup, Who};

pub(super) const ID: &str = "4d1a0c8f0f3c5a6f7e8b9d0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e";

pub(super) fn host() -> Host {
    let uname = Uname { node: "node-1".into(), release: "6.1".into(), machine: "x86_64".into() };
    Host::read(&PathBuf::from("/nonexistent"), &uname)
}

fn settings(proc: &Tree) -> Settings {
    Settings { proc_root: proc.path().to_owned(), engines: Vec::new(), ..Settings::default() }
}

pub(super) fn who(pid: u32) -> Who {
    Who::pid(Pid(pid))
}

/// Waits for whatever the workers publish. Nothing depends on how long that takes.
pub(super) async fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(found) = look() {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub(super) async fn known(entities: &Entities, who: &Who) -> Arc<Entity> {
    eventually(|| match entities.lookup(who) {
        Lookup::Known(entity) => Some(entity),
        Lookup::Pending => None,
    })
    .await
}

fn add(proc: &Tree, pid: u32, start: u64, exe: &str, arguments: &str, cgroup: &str) {
    let comm = exe.rsplit('/').next().expect("a name");
    proc.write(&format!("{pid}/stat"), format!("{pid} ({comm}) S 1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 {start} 1000 10\n"));
    proc.write(&format!("{pid}/cmdline"), arguments.replace(' ', "\0"));
    proc.write(&format!("{pid}/cgroup"), format!("0::{cgroup}\n"));
    proc.link(&format!("{pid}/exe"), exe);
    proc.link(&format!("{pid}/cwd"), "/srv");
}

#[tokio::test]
async fn processes_of_one_unit_container_or_program_are_one_entity() {
    let proc = fixture::tree(&[]);
    add(&proc, 10, 1, "/usr/sbin/nginx", "nginx: master", "/system.slice/nginx.service");
    add(&proc, 11, 1, "/usr/sbin/nginx", "nginx: worker", "/system.slice/nginx.service");
    add(&proc, 20, 1, "/usr/bin/python3.11", "python3 app.py", "/user.slice/user-0.slice/session-1.scope");
    add(&proc, 21, 1, "/usr/bin/python3.11", "python3 /srv/app.py", "/");
    add(&proc, 22, 1, "/usr/bin/python3.11", "python3 other.py", "/");
    add(&proc, 30, 1, "/app/server", "server", &format!("/docker/{ID}"));
    add(&proc, 31, 1, "/bin/sh", "sh", &format!("/docker/{ID}"));
    let entities = resolver::start(settings(&proc), host());
    let mut seen = Vec::new();
    for pid in [10, 11, 20, 21, 22, 30, 31] {
        let entity = known(&entities, &who(pid)).await;
        seen.push((pid, entity.id, entity.kind, entity.service.name.clone(), entity.service.instance.replace(ID, "ID")));
    }
    let told: Vec<_> = seen.iter().map(|(pid, _, kind, name, instance)| (*pid, *kind, name.as_str(), instance.as_str())).collect();
    use EntityKind::{Container, Program, Unit};
    assert_eq!(
        told,
        [
            (10, Unit, "nginx", "node-1/nginx"),
            (11, Unit, "nginx", "node-1/nginx"),
            (20, Program, "app", "node-1/usr/bin/python3.11 /srv/app.py"),
            (21, Program, "app", "node-1/usr/bin/python3.11 /srv/app.py"),
            (22, Program, "other", "node-1/usr/bin/python3.11 /srv/other.py"),
            (30, Container, "server", "ID"),
            (31, Container, "server", "ID"),
        ]
    );
    let ids: Vec<_> = seen.iter().map(|row| row.1).collect();
    assert_eq!((ids[0] == ids[1], ids[2] == ids[3], ids[2] == ids[4], ids[5] == ids[6]), (true, true, false, true));
    assert_eq!(entities.pids(ids[0]), [Pid(10), Pid(11)]);
    assert_eq!(entities.by_container(&ContainerId::new(ID)).map(|entity| entity.id), Some(ids[5]));
    let facts = entities.selection_facts(Pid(31)).expect("known");
    assert_eq!((facts.service.as_str(), facts.executable.as_deref()), ("server", Some("/bin/sh")));
    let resource = &entities.get(ids[5]).expect("known").resource;
    assert_eq!((resource.str(semconv::CONTAINER_ID), resource.str(semconv::HOST_NAME)), (Some(ID), Some("node-1")));
}

#[tokio::test]
async fn a_pid_that_was_given_away_is_somebody_else() {
    let proc = fixture::tree(&[]);
    add(&proc, 10, 100, "/usr/bin/curl", "curl x", "/");
    let entities = resolver::start(settings(&proc), host());
    let old = Who { start: Some(StartTime(100)), comm: Some("curl".into()), ..who(10) };
    let new = Who { start: Some(StartTime(200)), comm: Some("wget".into()), ..who(10) };
    assert_eq!(known(&entities, &old).await.service.name, "curl");
    std::fs::remove_dir_all(proc.path().join("10")).expect("remove");
    add(&proc, 10, 200, "/usr/bin/wget", "wget x", "/");
    assert_eq!(known(&entities, &new).await.service.name, "wget");
    // The first one is gone now, and its pid must not make it the second.
    let late = known(&entities, &old).await;
    assert_eq!((late.kind, late.service.name.as_str()), (EntityKind::Unknown, "curl"));
    assert_eq!(entities.counters().get(Reason::ProcessGone), 1);
}

#[tokio::test]
async fn a_process_that_was_gone_too_soon_is_named_by_its_cgroup() {
    use std::os::unix::fs::MetadataExt;
    let proc = fixture::tree(&[]);
    let cgroups = fixture::tree(&[]);
    cgroups.write(&format!("system.slice/docker-{ID}.scope/cgroup.procs"), "");
    let inode = std::fs::metadata(cgroups.path().join(format!("system.slice/docker-{ID}.scope"))).expect("directory").ino();
    let entities = resolver::start(Settings { cgroup2: Some(cgroups.path().to_owned()), ..settings(&proc) }, host());
    let gone = Who { comm: Some("sleep".into()), cgroup: Some(CgroupId(inode)), ..who(77) };
    let entity = known(&entities, &gone).await;
    assert_eq!((entity.kind, entity.resource.str(semconv::CONTAINER_ID)), (EntityKind::Container, Some(ID)));
    let stranger = known(&entities, &Who { comm: Some("sleep".into()), cgroup: Some(CgroupId(1)), ..who(78) }).await;
    assert_eq!((stranger.kind, stranger.service.name.as_str()), (EntityKind::Unknown, "sleep"));
    assert_eq!((entities.counters().get(Reason::ProcessGone), entities.counters().get(Reason::Unknown)), (2, 1));
}

#[tokio::test]
async fn too_many_entities_share_one_and_are_counted() {
    let proc = fixture::tree(&[]);
    for n in 1..=5 {
        add(&proc, n, 1, &format!("/bin/tool{n}"), "tool", "/");
    }
    let entities = resolver::start(Settings { max_entities: 2, ..settings(&proc) }, host());
    for n in 1..=5 {
        let _ = known(&entities, &who(n)).await;
    }
    let names: Vec<_> = entities.all().iter().map(|entity| entity.service.name.clone()).collect();
    assert_eq!(names, ["tool1", "tool2", "unknown_service"]);
    assert_eq!(entities.counters().get(Reason::EntityOverflow), 3);
}

#[tokio::test]
async fn an_engine_that_hangs_costs_only_its_containers_their_names() {
    let proc = fixture::tree(&[]);
    add(&proc, 10, 1, "/usr/sbin/nginx", "nginx", &format!("/docker/{ID}"));
    add(&proc, 11, 1, "/usr/bin/redis", "redis", "/");
    let socket = proc.path().join("docker.sock");
    // Connections are accepted by the kernel and never answered.
    let _hanging = std::os::unix::net::UnixListener::bind(&socket).expect("bind");
    let engines = vec![EngineSocket { runtime: Runtime::Docker, path: socket }];
    let entities = resolver::start(Settings { engines, engine_timeout: Duration::from_millis(100), ..settings(&proc) }, host());
    assert!(matches!(entities.lookup(&who(10)), Lookup::Pending));
    assert_eq!(known(&entities, &who(11)).await.service.name, "redis");
    let container = known(&entities, &who(10)).await;
    assert_eq!((container.kind, container.service.name.as_str(), container.container_name()), (EntityKind::Container, "nginx", None));
    assert_eq!(container.resource.str(semconv::CONTAINER_ID), Some(ID));
    assert!(entities.counters().get(Reason::EngineFailed) >= 1);
}

#[tokio::test]
async fn what_ended_is_forgotten_after_a_while() {
    let proc = fixture::tree(&[]);
    add(&proc, 10, 1, "/usr/bin/curl", "curl x", "/");
    let entities = resolver::start(Settings { sweep: Duration::from_millis(5), ..settings(&proc) }, host());
    let curl = known(&entities, &who(10)).await;
    std::fs::remove_dir_all(proc.path().join("10")).expect("remove");
    eventually(|| entities.known(Pid(10)).is_none().then_some(())).await;
    eventually(|| entities.get(curl.id).is_none().then_some(())).await;
    assert!(entities.all().is_empty());
}

#[tokio::test]
async fn a_process_that_executes_another_program_becomes_that() {
    let proc = fixture::tree(&[]);
    add(&proc, 10, 1, "/bin/sh", "sh", "/");
    let entities = resolver::start(Settings { sweep: Duration::from_millis(5), ..settings(&proc) }, host());
    assert_eq!(known(&entities, &who(10)).await.service.name, "sh");
    std::fs::remove_file(proc.path().join("10/exe")).expect("remove");
    add_again(&proc, "/usr/bin/redis-server");
    eventually(|| (entities.known(Pid(10))?.service.name == "redis-server").then_some(())).await;
}

fn add_again(proc: &Tree, exe: &str) {
    proc.link("10/exe", exe);
    proc.write("10/stat", "10 (redis-server) S 1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 1 1000 10\n");
    proc.write("10/cmdline", "redis-server");
}

mod root {
    use super::*;

    fn real() -> Settings {
        Settings { engines: Vec::new(), ..Settings::default() }
    }

    #[tokio::test]
    async fn real_processes_and_their_listeners_are_named() {
        let script = fixture::tree(&[]);
        script.write(
            "shop_server.py",
            "import socket,time\ns=socket.create_server(('127.0.0.1',0))\nprint(s.getsockname()[1],flush=True)\ntime.sleep(600)\n",
        );
        let mut child = std::process::Command::new("python3")
            .arg("shop_server.py")
            .current_dir(script.path())
            .env("OTEL_RESOURCE_ATTRIBUTES", "service.namespace=shop,service.version=3")
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("start python3");
        let mut line = String::new();
        let mut stdout = std::io::BufReader::new(child.stdout.take().expect("stdout"));
        std::io::BufRead::read_line(&mut stdout, &mut line).expect("port");
        let port: u16 = line.trim().parse().expect("a port");
        let entities = resolver::start(real(), Host::read(&PathBuf::from("/"), &Uname::of_this_machine()));
        let entity = known(&entities, &who(child.id())).await;
        let net = super::super::process::net_namespace(&PathBuf::from("/proc"), Pid(child.id())).expect("own namespace");
        let listener = eventually(|| entities.listener(net, port)).await;
        child.kill().expect("stop python3");
        child.wait().expect("ended");
        assert_eq!(entity.service.name, "shop_server");
        assert_eq!(entity.resource.str(semconv::SERVICE_NAMESPACE), Some("shop"));
        assert_eq!(entity.resource.str(semconv::SERVICE_VERSION), Some("3"));
        assert_eq!(entity.resource.str(semconv::OS_TYPE), Some("linux"));
        assert_eq!(listener.id, entity.id);
    }

    #[tokio::test]
    async fn every_process_of_this_machine_gets_an_answer() {
        let entities = resolver::start(real(), host());
        for pid in super::super::process::pids(&PathBuf::from("/proc"), 10_000) {
            let entity = known(&entities, &who(pid.0)).await;
            assert!(!entity.service.name.is_empty());
        }
        assert_eq!(entities.counters().get(Reason::QueueFull), 0);
    }
}
