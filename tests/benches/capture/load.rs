//! The work that is measured, and the traffic that makes the agent work.

use crate::Round;
use remora_tests::{Nginx, Process, part};
use rustix::time::{ClockId, clock_gettime};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// Operations of one round.
const OPERATIONS: u32 = 2_000;
const REQUEST: usize = 256;
const RESPONSE: usize = 1024;

/// Processor time of this thread in nanoseconds.
fn thread_nanos() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// Processor time of all threads of a process in nanoseconds.
pub(crate) fn processor_nanos(pid: u32) -> f64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("a running process");
    let nanos = |task: PathBuf| fs::read_to_string(task.join("schedstat")).ok()?.split(' ').next()?.parse::<f64>().ok();
    tasks.filter_map(|task| nanos(task.ok()?.path())).sum()
}

/// Both ends of a connection in one thread: four system calls an exchange, nobody has to be woken.
pub(crate) struct Exchange {
    client: TcpStream,
    server: TcpStream,
    request: Vec<u8>,
    response: Vec<u8>,
}

impl Exchange {
    pub(crate) fn http() -> Self {
        let request = format!("GET /bench HTTP/1.1\r\nHost: shop\r\nX-Fill: {}\r\n\r\n", "x".repeat(REQUEST - 46));
        let body = RESPONSE - 64;
        let response = format!("HTTP/1.1 200 OK\r\nContent-Length: {body}\r\n\r\n{}", "y".repeat(body));
        Self::new(request.into_bytes(), response.into_bytes())
    }

    /// The same sizes in bytes of no protocol.
    pub(crate) fn opaque() -> Self {
        Self::new(vec![0xfe; REQUEST], vec![0xfd; RESPONSE])
    }

    fn new(request: Vec<u8>, response: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let client = TcpStream::connect(listener.local_addr().expect("an address")).expect("a listener");
        let (server, _) = listener.accept().expect("a client");
        for end in [&client, &server] {
            end.set_nodelay(true).expect("a socket option");
        }
        Self { client, server, request, response }
    }
}

impl Round for Exchange {
    fn round(&mut self) -> f64 {
        let Self { client, server, request, response } = self;
        let (mut asked, mut answered) = (vec![0; request.len()], vec![0; response.len()]);
        let start = thread_nanos();
        for _ in 0..OPERATIONS {
            client.write_all(request).expect("loopback");
            server.read_exact(&mut asked).expect("loopback");
            server.write_all(response).expect("loopback");
            client.read_exact(&mut answered).expect("loopback");
        }
        (thread_nanos() - start) / f64::from(OPERATIONS)
    }
}

/// Nanoseconds of a read that has nothing to do with the network.
pub(crate) fn system_call(zero: &mut File) -> f64 {
    let start = thread_nanos();
    let mut byte = [0];
    for _ in 0..OPERATIONS * 10 {
        zero.read_exact(&mut byte).expect("/dev/zero");
    }
    (thread_nanos() - start) / f64::from(OPERATIONS * 10)
}

/// wrk at full load.
pub(crate) struct Wrk {
    program: PathBuf,
    url: String,
}

impl Wrk {
    pub(crate) fn new(nginx: &Nginx) -> Self {
        Self { program: part("wrk").expect("wrk"), url: nginx.url("/") }
    }

    /// Requests that were answered, and the time they took.
    pub(crate) fn run(&self, duration: Duration) -> (u64, Duration) {
        let start = Instant::now();
        let mut command = Command::new(&self.program);
        command.args(["-t1", "-c32", &format!("-d{}s", duration.as_secs())]).arg(&self.url);
        let mut wrk = Process::start("wrk", &mut command);
        assert!(wrk.wait().success(), "{}", wrk.log());
        let log = wrk.log();
        let count = log.lines().find_map(|line| line.split_once(" requests in ")).expect("wrk's report").0;
        (count.trim().parse().expect("a number"), start.elapsed())
    }

    /// Processor time of nginx's worker for one request.
    pub(crate) fn nginx_nanos_a_request(&self, nginx: &Nginx, duration: Duration) -> f64 {
        let workers = nginx.workers();
        let spent = || workers.iter().map(|pid| processor_nanos(*pid)).sum::<f64>();
        let before = spent();
        let (requests, _) = self.run(duration);
        (spent() - before) / requests as f64
    }
}

/// 200 connections, each with one request in a burst, 50 bursts a second.
pub(crate) struct Bursts {
    connections: Vec<TcpStream>,
    request: Vec<u8>,
}

impl Bursts {
    const SIZE: usize = 200;
    const EVERY: Duration = Duration::from_millis(20);

    pub(crate) fn connect(nginx: &Nginx) -> Self {
        let connect = |_| TcpStream::connect(("127.0.0.1", nginx.port())).expect("nginx");
        let request = format!("GET /burst HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", nginx.port()).into_bytes();
        Self { connections: (0..Self::SIZE).map(connect).collect(), request }
    }

    /// Sends bursts and reads their answers; how many requests that were.
    pub(crate) fn run(&mut self, duration: Duration) -> u64 {
        let (start, mut sent, mut buffer) = (Instant::now(), 0, [0; 4096]);
        let mut next = start;
        while start.elapsed() < duration {
            for connection in &mut self.connections {
                connection.write_all(&self.request).expect("nginx");
            }
            for connection in &mut self.connections {
                assert!(connection.read(&mut buffer).expect("nginx") > 0, "nginx closed a connection");
            }
            sent += self.connections.len() as u64;
            next += Self::EVERY;
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        sent
    }
}
