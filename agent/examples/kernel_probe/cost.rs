//! What the programs cost, as the kernel itself counts it (`kernel.bpf_stats_enabled`, Linux 5.8).

use crate::exchange::{Exchange, SMALL};
use crate::records::Collected;
use crate::verdict::Verdict;
use remora::bpf::Captured;
use remora_ebpf::wire::{Amount, Policy};
use std::collections::BTreeMap;
use std::ops::Sub;

const SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";
/// Turns of a measurement.
const TURNS: usize = 200;
/// Turns before it, so that caches and policies have settled.
const WARM_UP: usize = 20;

/// Types of programs as `enum bpf_prog_type` of `include/uapi/linux/bpf.h` numbers them.
const TYPES: [(u32, &str); 4] = [(8, "cgroup_skb"), (13, "sock_ops"), (18, "connect4, connect6"), (26, "tracing")];

/// Sum over the programs of one type.
#[derive(Clone, Copy, Default, Debug)]
struct Cost {
    runs: u64,
    nanoseconds: u64,
    verified: u64,
}

impl Sub for Cost {
    type Output = Cost;

    fn sub(self, before: Cost) -> Cost {
        Cost { runs: self.runs - before.runs, nanoseconds: self.nanoseconds - before.nanoseconds, verified: self.verified }
    }
}

/// Prints the cost of an exchange at both ends: with the heads copied that HTTP needs, and ignored.
pub(crate) fn measure(captured: &mut Captured, verdict: &mut Verdict) {
    if std::fs::write(SWITCH, "1").is_err() {
        return verdict.skip("cost", "the kernel has no kernel.bpf_stats_enabled");
    }
    // Told since 5.16.
    for (kind, cost) in read().into_iter().filter(|(_, cost)| cost.verified > 0) {
        println!("COST verifier {}: {} instructions looked at", name(kind), cost.verified);
    }
    for (what, request, answer) in
        [("captured", Amount::burst(16 * 1024), Amount::burst(2 * 1024)), ("ignored", Amount::NOTHING, Amount::NOTHING)]
    {
        one(captured, what, request, answer);
    }
    // The value that it has where nobody looks.
    let _ = std::fs::write(SWITCH, "0");
}

fn one(captured: &mut Captured, what: &str, request: Amount, answer: Amount) {
    let mut seen = Collected::default();
    let mut exchange = Exchange::start("127.0.0.1", &[SMALL]);
    seen.drain_until(captured, |seen| seen.client(&exchange).is_some() && seen.server(&exchange).is_some());
    let policies = [
        seen.client(&exchange).map(|open| (open.cookie, Policy { egress: request, ingress: answer })),
        seen.server(&exchange).map(|open| (open.cookie, Policy { egress: answer, ingress: request })),
    ];
    captured.set_policies(policies.into_iter().flatten()).unwrap();
    exchange.go_on(&[SMALL; WARM_UP]);
    let before = read();
    exchange.go_on(&[SMALL; TURNS]);
    let after = read();
    exchange.end();
    captured.drain(usize::MAX, |_| {});
    for (kind, cost) in after {
        let cost = cost - before.get(&kind).copied().unwrap_or_default();
        let Some(per_run) = cost.nanoseconds.checked_div(cost.runs) else { continue };
        // Each turn is one request, at two ends.
        let ends = 2 * TURNS as u64;
        println!(
            "COST {what} {}: {per_run} per run, {:.2} runs and {} per request and end",
            name(kind),
            cost.runs as f64 / ends as f64,
            cost.nanoseconds / ends
        );
    }
}

fn name(kind: u32) -> &'static str {
    TYPES.iter().find(|(number, _)| *number == kind).map_or("other", |(_, name)| name)
}

/// Costs by type, of the programs that this process holds open: proc_pid_fdinfo(5).
fn read() -> BTreeMap<u32, Cost> {
    let mut costs: BTreeMap<u32, Cost> = BTreeMap::new();
    for entry in std::fs::read_dir("/proc/self/fdinfo").unwrap().flatten() {
        // The directory's own descriptor is gone by now.
        let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(":\t")?.parse::<u64>().ok());
        if let (Some(kind), Some(runs), Some(nanoseconds)) = (value("prog_type"), value("run_cnt"), value("run_time_ns")) {
            let cost = costs.entry(kind as u32).or_default();
            cost.runs += runs;
            cost.nanoseconds += nanoseconds;
            cost.verified += value("verified_insns").unwrap_or_default();
        }
    }
    costs
}
