//! From the paths in `/proc/PID/cgroup` to the container, pod and unit that a process belongs to.
//!
//! Pure: text in, [`Placement`] out, for cgroup v1, hybrid and v2, with the cgroupfs and the systemd drivers. A path that
//! no known system writes is [`Placement::default`], never a guess. Must not read files or ask a runtime.

use std::fmt;
use std::sync::Arc;

/// Longest `/proc/PID/cgroup` that is looked at, in bytes. Real ones stay below 4 KiB.
pub const MAX_TEXT: usize = 64 * 1024;

/// Name that a container runtime gives a container: 64 hexadecimal digits, or a chosen name (LXC, nspawn, containerd).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContainerId(Arc<str>);

impl ContainerId {
    /// Takes any text as it is.
    #[must_use]
    pub fn new(id: &str) -> Self {
        Self(id.into())
    }

    /// The whole id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve characters, as `docker ps` shows them; a chosen name is not cut.
    #[must_use]
    pub fn short(&self) -> &str {
        if is_digest(&self.0) { &self.0[..12] } else { &self.0 }
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What runs a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Runtime {
    /// Docker Engine.
    Docker,
    /// containerd, by CRI, `nerdctl` or `ctr`.
    Containerd,
    /// CRI-O.
    CriO,
    /// Podman (libpod).
    Podman,
    /// LXC, LXD and Incus: system containers with a name.
    Lxc,
    /// `systemd-nspawn` and other machines registered with `systemd-machined`.
    Machine,
    /// HashiCorp Nomad's own drivers (`exec`, `raw_exec`, `java`).
    Nomad,
    /// Cloud Foundry Garden.
    Garden,
    /// Kata Containers, where only the sandbox is seen from the host.
    Kata,
    /// A container, but its path does not tell whose (cgroupfs driver under `kubepods`, ECS).
    Unnamed,
}

impl Runtime {
    /// Value of `container.runtime.name`, where the runtime is known.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Docker => "docker",
            Self::Containerd => "containerd",
            Self::CriO => "cri-o",
            Self::Podman => "podman",
            Self::Lxc => "lxc",
            Self::Machine => "systemd-machined",
            Self::Nomad => "nomad",
            Self::Garden => "garden",
            Self::Kata => "kata",
            Self::Unnamed => return None,
        })
    }
}

/// A container as its cgroup path names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ContainerRef {
    /// Who runs it.
    pub runtime: Runtime,
    /// Its id or name.
    pub id: ContainerId,
}

/// Quality-of-service class of a pod, as the kubelet lays out its cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QosClass {
    /// Requests equal limits.
    Guaranteed,
    /// Some requests or limits.
    Burstable,
    /// None.
    BestEffort,
}

/// A Kubernetes pod as its cgroup path names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PodRef {
    /// Pod UID; of a static pod, the hash of its manifest.
    pub uid: Arc<str>,
    /// Its class.
    pub qos: QosClass,
}

/// Which service manager runs a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Manager {
    /// systemd of the machine, or of the system container that the unit runs in.
    System,
    /// `systemd --user` of a user id.
    User(u32),
    /// OpenRC.
    OpenRc,
}

/// A unit of a service manager.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UnitRef {
    /// Its manager.
    pub manager: Manager,
    /// Unescaped name without `.service` or `.scope`: `nginx`, `postgresql@15-main`.
    pub name: Arc<str>,
}

/// Where a process stands. All empty: a plain process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Placement {
    /// Innermost container.
    pub container: Option<ContainerRef>,
    /// Pod of that container.
    pub pod: Option<PodRef>,
    /// Innermost unit; below a container only if it runs inside that (system containers).
    pub unit: Option<UnitRef>,
}

impl Placement {
    fn rank(&self) -> u8 {
        u8::from(self.container.is_some()) * 4 + u8::from(self.pod.is_some()) * 2 + u8::from(self.unit.is_some())
    }
}

/// Placement by the text of `/proc/PID/cgroup`: lines `ID:CONTROLLERS:PATH`, of which the most telling path counts.
///
/// On hybrid nodes some hierarchies hold the process at `/`, so no single one can be trusted to speak.
#[must_use]
pub fn parse(text: &[u8]) -> Placement {
    let text = &text[..text.len().min(MAX_TEXT)];
    let mut best = Placement::default();
    for path in text.split(|&byte| byte == b'\n').filter_map(line_path) {
        let found = placement(&path);
        if found.rank() > best.rank() {
            best = found;
        }
    }
    best
}

/// Path in the cgroup v2 hierarchy (the line `0::PATH`), if there is one.
#[must_use]
pub fn unified_path(text: &[u8]) -> Option<String> {
    text[..text.len().min(MAX_TEXT)].split(|&byte| byte == b'\n').find(|line| line.starts_with(b"0::")).and_then(line_path)
}

fn line_path(line: &[u8]) -> Option<String> {
    let path = line.splitn(3, |&byte| byte == b':').nth(2)?;
    // A cgroup removed under a living process (a zombie) is marked by the kernel.
    let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
    Some(String::from_utf8_lossy(path).into_owned())
}

/// Placement by one cgroup path.
#[must_use]
pub fn placement(path: &str) -> Placement {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != "..").collect();
    let innermost = (0..parts.len()).rev().find_map(|at| Some((at, container(&parts[..=at])?)));
    let (inside, container) = match innermost {
        // Helpers of a runtime share its directories and are no part of the container.
        Some((_, Found::Helper)) => return Placement::default(),
        Some((at, Found::Container(container))) => (&parts[at + 1..], Some(container)),
        None => (&parts[..], None),
    };
    Placement { container, pod: pod(&parts), unit: unit(inside) }
}

enum Found {
    Container(ContainerRef),
    Helper,
}

/// What the last of `parts` says about a container, given what stands before it.
fn container(parts: &[&str]) -> Option<Found> {
    let (last, before) = parts.split_last()?;
    let parent = before.last().copied().unwrap_or("");
    prefixed(last).or_else(|| system_container(last, parent)).or_else(|| by_parent(last, before, parent))
}

/// `PREFIX-ID.scope` (systemd driver), `SLICE:PREFIX:ID` (cgroupfs given a systemd name), `PREFIX-ID`.
fn prefixed(part: &str) -> Option<Found> {
    let bare = part.strip_suffix(".scope").or_else(|| part.strip_suffix(".service")).unwrap_or(part);
    let (prefix, id) = match bare.rsplit_once(':') {
        Some((prefix, id)) => (prefix.rsplit(':').next().unwrap_or(prefix), id),
        None => bare.rsplit_once(['-', '_'])?,
    };
    if !is_digest(id) {
        return None;
    }
    let runtime = match prefix {
        "docker" => Runtime::Docker,
        "cri-containerd" | "containerd" | "nerdctl" => Runtime::Containerd,
        "crio" => Runtime::CriO,
        "libpod" | "libpod-payload" | "podman" => Runtime::Podman,
        "kata" => Runtime::Kata,
        _ if prefix.ends_with("conmon") => return Some(Found::Helper),
        _ => Runtime::Unnamed,
    };
    Some(found(runtime, id))
}

/// System containers, which have names instead of digests.
fn system_container(part: &str, parent: &str) -> Option<Found> {
    if part.starts_with("lxc.monitor") || parent == "lxc.monitor" {
        return Some(Found::Helper);
    }
    let name = match parent {
        "lxc" | "lxc.payload" => Some(part),
        _ => part.strip_prefix("lxc.payload."),
    };
    if let Some(name) = name.filter(|name| !name.is_empty()) {
        return Some(found(Runtime::Lxc, name));
    }
    let machine = part
        .strip_prefix("systemd-nspawn@")
        .and_then(|rest| rest.strip_suffix(".service"))
        .or_else(|| (parent == "machine.slice").then(|| part.strip_prefix("machine-")?.strip_suffix(".scope")).flatten())?;
    Some(found(Runtime::Machine, &unescape(machine)))
}

/// Names that mean a container only by what stands above them.
fn by_parent(part: &str, before: &[&str], parent: &str) -> Option<Found> {
    if is_digest(part) {
        let runtime = match parent {
            "docker" | "actions_job" | "buildkit" => Runtime::Docker,
            "libpod_parent" | "libpod" => Runtime::Podman,
            "kata_overhead" => Runtime::Kata,
            // containerd puts its containers at /NAMESPACE/ID.
            "k8s.io" | "default" | "moby" | "buildx" => Runtime::Containerd,
            _ => Runtime::Unnamed,
        };
        return Some(found(runtime, part));
    }
    let top = before.first().copied().unwrap_or("");
    if top == "nomad.slice" || top == "nomad" {
        return nomad(part.strip_suffix(".scope").unwrap_or(part));
    }
    if parent == "garden" || (parent == "good" && before.iter().rev().nth(1) == Some(&"garden")) {
        return (part != "good" && part != "bad").then(|| found(Runtime::Garden, part));
    }
    // Fargate: /ecs/TASK/TASK-NUMBER.
    let fargate = top == "ecs" && before.len() >= 2 && part.strip_prefix(parent).is_some_and(|rest| rest.starts_with('-'));
    fargate.then(|| found(Runtime::Unnamed, part))
}

/// `ALLOCATION.TASK`, where the allocation is a UUID.
fn nomad(part: &str) -> Option<Found> {
    let (allocation, task) = part.split_at_checked(36)?;
    (is_uuid(allocation) && task.starts_with('.') && task.len() > 1).then(|| found(Runtime::Nomad, part))
}

fn found(runtime: Runtime, id: &str) -> Found {
    Found::Container(ContainerRef { runtime, id: ContainerId::new(id) })
}

/// Pod by `podUID` or `kubepods-QOS-podUID.slice`, whose dashes systemd's naming turned into underscores.
fn pod(parts: &[&str]) -> Option<PodRef> {
    let at = parts.iter().rposition(|part| pod_uid(part).is_some())?;
    let uid = pod_uid(parts[at])?;
    let says = |class: &str| parts[..=at].iter().any(|part| part.split(['-', '.']).any(|word| word == class));
    let qos = if says("burstable") {
        QosClass::Burstable
    } else if says("besteffort") {
        QosClass::BestEffort
    } else {
        QosClass::Guaranteed
    };
    Some(PodRef { uid: uid.into(), qos })
}

fn pod_uid(part: &str) -> Option<String> {
    // SLICE:PREFIX:ID names the pod's slice before the first colon.
    let slice = part.split(':').next()?;
    let bare = slice.strip_suffix(".slice").unwrap_or(slice);
    let uid = match bare.strip_prefix("pod") {
        Some(uid) => uid,
        None if bare.contains("kubepods") => bare.rsplit_once("-pod")?.1,
        None => return None,
    };
    let uid = uid.replace('_', "-");
    (is_uuid(&uid) || (uid.len() == 32 && uid.bytes().all(is_hex))).then_some(uid)
}

/// Innermost unit of `parts` that lives longer than a command.
fn unit(parts: &[&str]) -> Option<UnitRef> {
    let user = parts.iter().find_map(|part| part.strip_prefix("user@")?.strip_suffix(".service")?.parse().ok());
    let manager = user.map_or(Manager::System, Manager::User);
    if let Some(name) = openrc(parts) {
        return Some(UnitRef { manager: Manager::OpenRc, name: name.into() });
    }
    let name = parts.iter().rev().find_map(|part| unit_name(part))?;
    Some(UnitRef { manager, name: name.into() })
}

fn openrc<'a>(parts: &[&'a str]) -> Option<&'a str> {
    match parts {
        ["openrc", name, ..] => Some(name),
        [first, ..] => first.strip_prefix("openrc.").filter(|name| !name.is_empty()),
        [] => None,
    }
}

fn unit_name(part: &str) -> Option<String> {
    if let Some(name) = part.strip_suffix(".service") {
        // The manager of a user's session is not a service of its own: what it runs are.
        let manager = name.starts_with("user@");
        return (!manager && !name.is_empty()).then(|| unescape(name));
    }
    let name = part.strip_suffix(".scope")?;
    let lasting = !(name.is_empty() || name == "init" || name.starts_with("run-") || name.starts_with("session-") || is_numbered(name));
    lasting.then(|| unescape(name))
}

/// Scopes of single commands and applications end in a pid, a counter or a UUID.
fn is_numbered(name: &str) -> bool {
    let tail = name.rsplit(['-', '_']).next().unwrap_or(name);
    let number = !tail.is_empty() && tail.bytes().all(|byte| byte.is_ascii_digit());
    let uuid = name.len() > 36 && name.is_char_boundary(name.len() - 36) && is_uuid(&name[name.len() - 36..]);
    number || uuid
}

/// Undoes systemd's `\xNN` escapes; what is no valid escape stays as it is.
fn unescape(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        match escaped(rest) {
            Some(value) => {
                bytes.push(value);
                rest = &rest[4..];
            }
            None => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn escaped(bytes: &[u8]) -> Option<u8> {
    let digits = bytes.strip_prefix(b"\\x")?.get(..2)?;
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

/// SHA-256 in lower-case hexadecimal: what every OCI engine uses as an id.
fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(is_hex)
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => is_hex(byte),
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "4d1a0c8f0f3c5a6f7e8b9d0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e";
    const OTHER: &str = "00de006493bc970788d6c830beb494a58a9a2847a5eda200812d3a8b4e214814";
    const UID: &str = "5f6e7d8c-1b2a-4c3d-9e8f-0a1b2c3d4e5f";

    fn show(path: &str) -> String {
        show_placement(&placement(path))
    }

    fn show_placement(found: &Placement) -> String {
        let mut out = Vec::new();
        if let Some(c) = &found.container {
            out.push(format!("{:?} {}", c.runtime, if c.id.as_str() == ID { "ID" } else { c.id.as_str() }));
        }
        if let Some(p) = &found.pod {
            out.push(format!("pod {} {:?}", if &*p.uid == UID { "UID" } else { &p.uid }, p.qos));
        }
        if let Some(u) = &found.unit {
            out.push(format!("unit {} {:?}", u.name, u.manager));
        }
        if out.is_empty() { "plain".to_owned() } else { out.join(", ") }
    }

    #[test]
    fn every_runtime_is_recognised_by_the_path_that_it_writes() {
        let uid_ = UID.replace('-', "_");
        let cases: &[(String, &str)] = &[
            (format!("/docker/{ID}"), "Docker ID"),
            (format!("/system.slice/docker-{ID}.scope"), "Docker ID"),
            (format!("/user.slice/user-1000.slice/user@1000.service/app.slice/docker-{ID}.scope"), "Docker ID"),
            (format!("/docker/{OTHER}/docker/{ID}"), "Docker ID"),
            (format!("/../../docker/{ID}"), "Docker ID"),
            (format!("/docker/{ID}/system.slice/nginx.service"), "Docker ID, unit nginx System"),
            (format!("/kubepods/burstable/pod{UID}/{ID}"), "Unnamed ID, pod UID Burstable"),
            (format!("/kubepods/pod{UID}/{ID}"), "Unnamed ID, pod UID Guaranteed"),
            (
                format!("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{uid_}.slice/docker-{ID}.scope"),
                "Docker ID, pod UID Burstable",
            ),
            (
                format!("/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{uid_}.slice/cri-containerd-{ID}.scope"),
                "Containerd ID, pod UID BestEffort",
            ),
            (format!("/kubepods.slice/kubepods-pod{uid_}.slice/crio-{ID}.scope"), "CriO ID, pod UID Guaranteed"),
            (format!("/kubepods.slice/kubepods-pod{uid_}.slice/crio-{ID}.scope/container"), "CriO ID, pod UID Guaranteed"),
            (format!("/kubepods.slice/kubepods-pod{uid_}.slice/crio-conmon-{ID}.scope"), "plain"),
            (
                format!(
                    "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod{uid_}.slice/cri-containerd-{ID}.scope"
                ),
                "Containerd ID, pod UID BestEffort",
            ),
            (
                format!("/system.slice/containerd.service/kubepods-burstable-pod{uid_}.slice:cri-containerd:{ID}"),
                "Containerd ID, pod UID Burstable",
            ),
            (format!("/k8s.io/{ID}"), "Containerd ID"),
            (format!("/default/{ID}"), "Containerd ID"),
            (format!("/system.slice/nerdctl-{ID}.scope"), "Containerd ID"),
            (format!("/machine.slice/libpod-{ID}.scope"), "Podman ID"),
            (format!("/machine.slice/libpod-{ID}.scope/container"), "Podman ID"),
            (format!("/machine.slice/libpod-conmon-{ID}.scope"), "plain"),
            (format!("/libpod_parent/libpod-{ID}"), "Podman ID"),
            (format!("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope/container"), "Podman ID"),
            (format!("/system.slice/shop.service/libpod-payload-{ID}"), "Podman ID"),
            ("/lxc/web".to_owned(), "Lxc web"),
            ("/lxc.payload.web/system.slice/nginx.service".to_owned(), "Lxc web, unit nginx System"),
            ("/lxc.payload/web/init.scope".to_owned(), "Lxc web"),
            ("/lxc.monitor.web".to_owned(), "plain"),
            ("/lxc.monitor/web".to_owned(), "plain"),
            ("/machine.slice/systemd-nspawn@db\\x2d1.service/payload/system.slice/x.service".to_owned(), "Machine db-1, unit x System"),
            ("/machine.slice/machine-qemu\\x2d1\\x2dvm.scope".to_owned(), "Machine qemu-1-vm"),
            (format!("/nomad.slice/share.slice/{UID}.web.scope"), "Nomad 5f6e7d8c-1b2a-4c3d-9e8f-0a1b2c3d4e5f.web"),
            (format!("/nomad/{UID}.web"), "Nomad 5f6e7d8c-1b2a-4c3d-9e8f-0a1b2c3d4e5f.web"),
            (format!("/system.slice/garden.service/garden/good/{UID}"), "Garden 5f6e7d8c-1b2a-4c3d-9e8f-0a1b2c3d4e5f"),
            ("/garden/70ec7f1c-handle".to_owned(), "Garden 70ec7f1c-handle"),
            (format!("/ecs/0123456789abcdef0123456789abcdef/{ID}"), "Unnamed ID"),
            (
                "/ecs/0123456789abcdef0123456789abcdef/0123456789abcdef0123456789abcdef-2938264".to_owned(),
                "Unnamed 0123456789abcdef0123456789abcdef-2938264",
            ),
            (format!("/kata_overhead/{ID}"), "Kata ID"),
            (format!("/vc/kata_{ID}"), "Kata ID"),
            (format!("/some.slice/own-engine-{ID}.scope"), "Unnamed ID"),
        ];
        for (path, expected) in cases {
            assert_eq!(show(path), *expected, "{path}");
        }
    }

    #[test]
    fn units_are_named_and_what_lasts_one_command_is_plain() {
        for (path, expected) in [
            ("/system.slice/nginx.service", "unit nginx System"),
            ("/system.slice/docker.service", "unit docker System"),
            ("/system.slice/system-postgresql.slice/postgresql@15-main.service", "unit postgresql@15-main System"),
            ("/system.slice/system-getty.slice/getty@tty1.service", "unit getty@tty1 System"),
            ("/system.slice/systemd-udevd.service/udev", "unit systemd-udevd System"),
            ("/system.slice/my\\x2dapp.service", "unit my-app System"),
            ("/user.slice/user-1000.slice/user@1000.service/app.slice/syncthing.service", "unit syncthing User(1000)"),
            ("/user.slice/user-1000.slice/user@1000.service/init.scope", "plain"),
            ("/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-firefox-12345.scope", "plain"),
            ("/user.slice/user-1000.slice/session-3.scope", "plain"),
            ("/system.slice/run-r0123456789abcdef0123456789abcdef.scope", "plain"),
            ("/snap.slice/snap.firefox.firefox-5f6e7d8c-1b2a-4c3d-9e8f-0a1b2c3d4e5f.scope", "plain"),
            ("/azure.slice/walinuxagent.service", "unit walinuxagent System"),
            ("/openrc/nginx", "unit nginx OpenRc"),
            ("/openrc.nginx", "unit nginx OpenRc"),
            ("/init.scope", "plain"),
            ("/user.slice", "plain"),
            ("/", "plain"),
            ("", "plain"),
            ("/process_api/61fba21339c0ed73fc948cec1fdaf5b1", "plain"),
            ("/docker/not-an-id", "plain"),
            ("/.service", "plain"),
        ] {
            assert_eq!(show(path), expected, "{path}");
        }
    }

    #[test]
    fn the_most_telling_hierarchy_counts() {
        let v1 = format!("12:pids:/docker/{ID}\n11:memory:/docker/{ID}\n1:name=systemd:/docker/{ID}\n");
        assert_eq!(show_placement(&parse(v1.as_bytes())), "Docker ID");
        // Hybrid, where v2 holds everything at its root and systemd's hierarchy knows only the daemon.
        let hybrid = format!("9:memory:/kubepods/besteffort/pod{UID}/{ID}\n1:name=systemd:/system.slice/containerd.service\n0::/\n");
        assert_eq!(show_placement(&parse(hybrid.as_bytes())), "Unnamed ID, pod UID BestEffort");
        let v2 = format!("0::/system.slice/docker-{ID}.scope\n");
        assert_eq!(show_placement(&parse(v2.as_bytes())), "Docker ID");
        assert_eq!(unified_path(v2.as_bytes()), Some(format!("/system.slice/docker-{ID}.scope")));
        assert_eq!(unified_path(v1.as_bytes()), None);
        let gone = format!("0::/docker/{ID} (deleted)\n");
        assert_eq!(show_placement(&parse(gone.as_bytes())), "Docker ID");
    }

    #[test]
    fn lines_that_are_none_are_skipped() {
        assert_eq!(parse(b""), Placement::default());
        assert_eq!(parse(b"nonsense\n1:\n::\n\xff\xfe:a:/x\n"), Placement::default());
        assert_eq!(show_placement(&parse(b"junk\n0::/system.slice/a:b.service\n")), "unit a:b System");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(text in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = parse(&text);
        }

        #[test]
        fn any_path_of_telling_parts_is_read_without_panic(
            parts in proptest::collection::vec(
                prop_oneof![
                    Just(ID.to_owned()), Just(format!("docker-{ID}.scope")), Just(format!("pod{UID}")), Just("ecs".to_owned()),
                    Just("lxc.payload.".to_owned()), Just("nomad".to_owned()), Just("garden".to_owned()), Just("\\x2".to_owned()),
                    Just("a.service".to_owned()), "[a-fé:.\\\\x@-]{0,40}",
                ],
                0..8,
            ),
        ) {
            let _ = placement(&parts.join("/"));
        }

        #[test]
        fn a_docker_scope_is_found_at_any_depth(above in proptest::collection::vec("[a-z]{1,8}\\.slice", 0..6)) {
            let path = format!("/{}/docker-{ID}.scope", above.join("/"));
            prop_assert_eq!(show(&path), "Docker ID");
        }
    }
}
