//! What capture costs and what it loses, beside the same work with the agent off, in one run, against the budgets.
//!
//! Costs are processor time, not time on the clock: other work on the machine disturbs them little. As root, with the
//! agent of the same profile: `make bench ARGS="-p remora-tests"`.

mod load;
mod sink;
mod table;

use load::{Bursts, Exchange, Wrk};
use remora_tests::{Agent, Nginx, is_root};
use sink::Sink;
use std::fs;
use std::time::{Duration, Instant};
use table::{Row, Table};

/// Rounds of the single-threaded loops; off and on alternate as blocks, the median of each counts.
const ROUNDS: usize = 31;

fn main() {
    let Some(nginx) = Nginx::start().filter(|_| is_root()) else { return };
    let mut table = Table::default();
    let wrk = Wrk::new(&nginx);

    let off = Costs::measure(&nginx, &wrk);
    let sink = Sink::start();
    let started = Instant::now();
    let agent = start(&sink);
    table.add(Row::new("start to first exported span", first_span(&nginx, &sink, started), "s", 2.0));
    // What a start costs is not what idling costs.
    std::thread::sleep(Duration::from_secs(5));
    table.add(Row::new("resident memory, idle", megabytes(&agent), "MB", 30.0));
    let on = Costs::measure(&nginx, &wrk);
    rates(&mut table, &nginx, &agent, &sink, &wrk);
    drop(agent);
    let after = Costs::measure(&nginx, &wrk);

    let ratio = |pick: fn(&Costs) -> f64| percent(pick(&on), (pick(&off) + pick(&after)) / 2.0);
    table.add(Row::new("loopback HTTP exchange, both ends captured", ratio(|costs| costs.http), "%", 10.0));
    table.add(Row::new("loopback exchange of an ignored connection", ratio(|costs| costs.opaque), "%", 5.0));
    table.add(Row::new("unrelated system call", ratio(|costs| costs.system_call), "%", 1.0));
    table.add(Row::new("nginx processor time a request, full load", ratio(|costs| costs.nginx), "%", 8.0));
    println!("nanoseconds of processor time, agent off / on / off again");
    for (what, pick) in Costs::ALL {
        println!("  {what:44} {:8.0} {:8.0} {:8.0}", pick(&off), pick(&on), pick(&after));
    }
    print!("{table}");
}

/// Processor time of one operation each, in nanoseconds.
struct Costs {
    http: f64,
    opaque: f64,
    system_call: f64,
    nginx: f64,
}

/// Reads one of the costs.
type Pick = fn(&Costs) -> f64;

impl Costs {
    const ALL: [(&'static str, Pick); 4] = [
        ("loopback HTTP exchange", |costs| costs.http),
        ("loopback exchange of no known protocol", |costs| costs.opaque),
        ("system call (read of /dev/zero)", |costs| costs.system_call),
        ("nginx, one request", |costs| costs.nginx),
    ];

    fn measure(nginx: &Nginx, wrk: &Wrk) -> Self {
        Self {
            http: median(&mut Exchange::http()),
            opaque: median(&mut Exchange::opaque()),
            system_call: {
                let mut zero = fs::File::open("/dev/zero").expect("/dev/zero");
                median(&mut || load::system_call(&mut zero))
            },
            nginx: wrk.nginx_nanos_a_request(nginx, Duration::from_secs(4)),
        }
    }
}

/// A loop that is measured: runs once for some milliseconds and gives nanoseconds of processor time an operation.
trait Round {
    fn round(&mut self) -> f64;
}

impl<F: FnMut() -> f64> Round for F {
    fn round(&mut self) -> f64 {
        self()
    }
}

fn median(work: &mut dyn Round) -> f64 {
    // The first rounds are for the agent to make up its mind on the connection.
    (0..3).for_each(|_| {
        work.round();
        std::thread::sleep(Duration::from_millis(50));
    });
    let mut rounds: Vec<f64> = (0..ROUNDS).map(|_| work.round()).collect();
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}

fn percent(on: f64, off: f64) -> f64 {
    (on / off - 1.0) * 100.0
}

fn start(sink: &Sink) -> Agent {
    Agent::start([
        ("OTEL_EXPORTER_OTLP_ENDPOINT", sink.endpoint()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf".into()),
        ("OTEL_LOGS_EXPORTER", "none".into()),
    ])
}

/// Sends requests until the first span has come, and gives the seconds since the agent's start.
fn first_span(nginx: &Nginx, sink: &Sink, started: Instant) -> f64 {
    while sink.spans() == 0 {
        remora_tests::get(nginx.port(), "/").expect("nginx");
        std::thread::sleep(Duration::from_millis(5));
    }
    started.elapsed().as_secs_f64()
}

/// Resident memory of the agent.
fn megabytes(agent: &Agent) -> f64 {
    let status = fs::read_to_string(format!("/proc/{}/status", agent.pid())).expect("a running agent");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") / 1024.0
}

/// Loss and the agent's own cost at two rates.
fn rates(table: &mut Table, nginx: &Nginx, agent: &Agent, sink: &Sink, wrk: &Wrk) {
    let mut bursts = Bursts::connect(nginx);
    let (before, cpu, clock) = (sink.settled(), load::processor_nanos(agent.pid()), Instant::now());
    let sent = bursts.run(Duration::from_secs(6));
    let (spent, took) = (load::processor_nanos(agent.pid()) - cpu, clock.elapsed());
    let lost = sent.saturating_sub(sink.settled() - before);
    let rate = sent as f64 / took.as_secs_f64();
    table.add(Row::new(format!("server spans lost at {rate:.0} req/s in bursts of 200, of {sent}"), lost as f64, "", 0.0));
    table.add(Row::new(format!("agent's processor time at {rate:.0} req/s, both ends"), spent / took.as_nanos() as f64, "cores", 0.05));

    let before = sink.settled();
    let (sent, took) = wrk.run(Duration::from_secs(5));
    let lost = sent.saturating_sub(sink.settled() - before);
    let rate = sent as f64 / took.as_secs_f64();
    table.add(Row::new(format!("server spans lost at full load ({rate:.0} req/s), of {sent}"), lost as f64, "", 0.0));
    println!("counted by the agent: {}", agent.get("/api/v1/losses").map(|answer| answer.body).unwrap_or_default());
}
