//! End-to-end tests: real programs talk, the agent watches, a real Collector receives; what was sent is compared with
//! what arrived, to the request. One file a topic.

mod agent;
mod brokers;
mod connections;
mod containers;
mod databases;
mod dns;
mod http;
mod http2;
mod journal;
mod log_files;
mod log_spans;
mod logs;
mod messages;
mod networks;
mod parents;
mod podman;
mod pods;
mod streams;

use remora_tests::{Process, part};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread::{self, JoinHandle};

/// Runs curl silently; whether it succeeded. False too where there is no curl, which is then said.
fn curl(arguments: &[&str]) -> bool {
    curl_in(&[], arguments)
}

/// As [`curl`], by way of another program (`ip netns exec …`).
fn curl_in(prefix: &[&str], arguments: &[&str]) -> bool {
    let Some(curl) = part("curl") else { return false };
    let curl = curl.to_string_lossy();
    let line = [prefix, &[&*curl, "-s"], arguments].concat();
    Process::start("curl", Command::new(line[0]).args(&line[1..])).wait().success()
}

/// Takes one connection, reads a request without body, and has it answered; the connection ends with that.
fn answer_once<T: Send + 'static>(listener: TcpListener, answer: impl FnOnce(TcpStream) -> T + Send + 'static) -> JoinHandle<T> {
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a whole request");
            request.push(byte[0]);
        }
        answer(stream)
    })
}

/// Sends requests over one connection, each after the answer to the one before; the last to the end of the connection if
/// it asks for that.
fn exchange(port: u16, requests: &[&str]) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a server");
    for request in requests {
        stream.write_all(request.as_bytes()).expect("a server that reads");
        if request.contains("Connection: close") {
            stream.read_to_end(&mut Vec::new()).expect("a server that answers");
        } else {
            read_response(&mut stream);
        }
    }
}

/// Reads one response with `Content-Length`.
fn read_response(stream: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a whole response");
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).expect("text");
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).expect("a length");
    stream.read_exact(&mut vec![0; length.parse().expect("a number")]).expect("a whole body");
}
