//! Does this kernel take the BPF programs, and are their records right?
//!
//! `kernel_probe` loads the programs as the agent does, lets a process of its own exchange known bytes over TCP and UDP, and compares
//! every record with what that process did. It prints one line a check (`PASS`, `FAIL`, `SKIP`) and what the programs cost
//! (`COST`, in nanoseconds; in a machine whose clock counts instructions, in instructions), and exits 1 if any check failed.
//! `kernel_probe records` leaves the cost out. `scripts/kernels` runs it on other kernels; it needs root and no file but itself.
#![expect(clippy::unwrap_used, reason = "a probe that cannot go on fails")]

mod cost;
mod exchange;
mod records;
mod verdict;

use exchange::{Exchange, SMALL, Turn};
use records::{Collected, Expected};
use remora::bpf::{self, Captured, HookState, Hooks, LoadOptions};
use remora::kernel::CgroupLayout;
use remora_ebpf::wire::{Amount, Counter, Policy};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::ExitCode;
use verdict::Verdict;

/// The hook that needs socket storage in tracing programs.
const READS: &str = "tcp_rcv_space_adjust";

/// A turn for each size of reservation, one with an answer of more than a segment.
const FIRST: [Turn; 6] = [
    Turn { request: 100, answer: 300 },
    Turn { request: 500, answer: 100 },
    Turn { request: 1000, answer: 2000 },
    Turn { request: 4000, answer: 4000 },
    Turn { request: 10_000, answer: 16_000 },
    Turn { request: 40_000, answer: 100_000 },
];
/// Turns after the policy.
const LATER: [Turn; 3] = [SMALL; 3];
/// Turns after the policy in segments of more than one record.
const LARGE: [Turn; 3] = [Turn { request: 400_000, answer: 600_000 }; 3];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [address, turns] = &arguments[..] {
        exchange::run(address, &Turn::list(turns));
        return ExitCode::SUCCESS;
    }
    let mut verdict = Verdict::default();
    let (mut captured, hooks) = match bpf::load(&options()) {
        Ok(loaded) => loaded,
        Err(error) => {
            verdict.check("programs load", Err(format!("{error}: {error:?}")));
            return verdict.finish();
        }
    };
    verdict.check("programs load", Ok(()));
    attached(&hooks, &mut verdict);
    let policies =
        [("127.0.0.1", Amount::burst(64), &LATER), ("127.0.0.1", Amount::segment(u32::MAX), &LARGE), ("::1", Amount::NOTHING, &LATER)];
    for (address, amount, later) in policies {
        verdict.note(&format!("{address}, in the end {} bytes with {amount:?}", later[0].answer));
        right_records(&mut captured, &hooks, address, amount, later, &mut verdict);
    }
    own_connection(&mut captured, &mut verdict);
    crowded(&mut captured, &mut verdict);
    if arguments != ["records"] {
        cost::measure(&mut captured, &mut verdict);
    }
    verdict.finish()
}

fn options() -> LoadOptions {
    LoadOptions {
        ring_bytes: Some(32 << 20),
        cgroup_root: CgroupLayout::read(Path::new("/proc"), None).root().map(Path::to_path_buf),
        first_cgroup_namespace: None,
        self_pid: std::process::id(),
        reading_thread: true,
        kernel_btf: std::fs::read("/sys/kernel/btf/vmlinux").ok(),
        openings: Vec::new(),
    }
}

/// Every hook is attached, but for the one that this kernel cannot have.
fn attached(hooks: &Hooks, verdict: &mut Verdict) {
    verdict.note(&format!("cgroup root {:?}, sending thread {:?}", hooks.root, hooks.sender));
    let release = remora::kernel::Release::parse(rustix::system::uname().release().to_str().unwrap()).unwrap();
    for hook in &hooks.hooks {
        let name = format!("hook {}", hook.name);
        match &hook.state {
            HookState::Attached => verdict.check(&name, Ok(())),
            // Socket storage in tracing programs came with 5.11.
            HookState::Off(reason) if hook.name == READS && release.version < (5, 11) => verdict.skip(&name, reason),
            HookState::Off(reason) => verdict.check(&name, Err(reason.clone())),
        }
    }
}

/// One connection whose first turns nobody has classified yet, and whose later ones have a policy.
fn right_records(captured: &mut Captured, hooks: &Hooks, address: &str, amount: Amount, later: &[Turn], verdict: &mut Verdict) {
    let mut seen = Collected::default();
    let mut exchange = Exchange::start(address, &FIRST);
    seen.drain_until(captured, |seen| seen.client(&exchange).is_some() && seen.server(&exchange).is_some());
    let cookies = [seen.client(&exchange), seen.server(&exchange)].map(|open| open.map_or(0, |open| open.cookie));
    captured.set_policies(cookies.map(|cookie| (cookie, Policy { egress: amount, ingress: amount }))).unwrap();
    exchange.go_on(later);
    exchange.end();
    seen.drain_until(captured, |seen| cookies.iter().all(|cookie| seen.close(*cookie).is_some()));
    let reads = hooks.hooks.iter().any(|hook| hook.name == READS && hook.state == HookState::Attached);
    let expected = Expected { first: &FIRST, later, amount, reads };
    records::judge(&seen, &exchange, &expected, verdict);
    let lost = records::LOSSES.map(|counter| captured.counter(counter));
    verdict.equal(&format!("{address} nothing lost"), lost, [0; 4]);
}

/// A connection that carries much, while nobody drains the ring buffer, leaves room for others.
fn crowded(captured: &mut Captured, verdict: &mut Verdict) {
    let mut seen = Collected::default();
    let mut bulk = Exchange::start("127.0.0.1", &FIRST);
    seen.drain_until(captured, |seen| seen.client(&bulk).is_some() && seen.server(&bulk).is_some());
    let whole = Amount::segment(u32::MAX);
    let policies = [seen.client(&bulk), seen.server(&bulk)].map(|open| open.map_or(0, |open| open.cookie));
    captured.set_policies(policies.map(|cookie| (cookie, Policy { egress: whole, ingress: whole }))).unwrap();
    bulk.go_on(&[LARGE[0]; 40]);
    bulk.end();
    let mut other = Exchange::start("127.0.0.1", &[SMALL]);
    other.end();
    seen.drain_until(captured, |seen| seen.server(&other).is_some_and(|open| seen.close(open.cookie).is_some()));
    verdict.equal("beside much traffic nothing is lost", captured.counter(Counter::RingFull), 0);
    verdict.equal("large segments were copied in part", captured.counter(Counter::Spared) > 0, true);
    records::judge(&seen, &other, &Expected { first: &[SMALL], later: &[], amount: whole, reads: false }, verdict);
}

/// A connection of the process that captures is announced as its own, and nothing of it is copied.
fn own_connection(captured: &mut Captured, verdict: &mut Verdict) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    client.write_all(b"own").unwrap();
    let mut got = [0; 3];
    server.read_exact(&mut got).unwrap();
    let mut seen = Collected::default();
    seen.drain_until(captured, |seen| seen.own(port).is_some());
    let segments = seen.own(port).map(|open| seen.segments_of(open.cookie));
    verdict.equal("own connection is said and not recorded", segments, Some(0));
}
