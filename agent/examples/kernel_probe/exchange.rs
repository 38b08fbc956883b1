//! The observed process: one connection to itself, a client thread and a server thread, bytes that anyone can compute.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A request and its answer, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) request: usize,
    pub(crate) answer: usize,
}

/// A turn of small messages, as most are.
pub(crate) const SMALL: Turn = Turn { request: 200, answer: 300 };

/// End of a request, before the length of its answer.
const END: &[u8; 4] = b"END.";

impl Turn {
    fn text(turns: &[Turn]) -> String {
        turns.iter().map(|turn| format!("{}:{}", turn.request, turn.answer)).collect::<Vec<_>>().join(",")
    }

    /// Reads what `text` wrote.
    pub(crate) fn list(text: &str) -> Vec<Turn> {
        let turn = |text: &str| {
            text.split_once(':').map(|(request, answer)| Turn { request: request.parse().unwrap(), answer: answer.parse().unwrap() })
        };
        text.split(',').map(|text| turn(text).unwrap()).collect()
    }

    /// The request: a head of HTTP/1.1, a body that differs from place to place, its end, the length of its answer.
    pub(crate) fn request(self) -> Vec<u8> {
        let mut bytes = filled("POST /probe HTTP/1.1\r\nHost: probe\r\n\r\n", self.request - 12);
        bytes.extend_from_slice(END);
        bytes.extend_from_slice(&(self.answer as u64).to_be_bytes());
        bytes
    }

    /// The answer.
    pub(crate) fn answer(self) -> Vec<u8> {
        filled("HTTP/1.1 200 OK\r\nServer: probe\r\n\r\n", self.answer)
    }
}

fn filled(head: &str, len: usize) -> Vec<u8> {
    head.bytes().chain((0..).map(|i: usize| (i * 31 + i / 251) as u8)).take(len).collect()
}

/// Payload of the datagram that the observed process sends to port 53.
pub(crate) fn question() -> Vec<u8> {
    filled("question", 40)
}

/// The observed process as its parent sees it.
pub(crate) struct Exchange {
    pub(crate) pid: u32,
    pub(crate) client_tid: u32,
    pub(crate) server_tid: u32,
    /// Where its server listens.
    pub(crate) server: SocketAddr,
    /// A port at which nobody listens, and which it dialled once.
    pub(crate) refused: u16,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Exchange {
    /// Starts it and waits until it has exchanged `turns`.
    pub(crate) fn start(address: &str, turns: &[Turn]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([address, &Turn::text(turns)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let said: Vec<u32> = line.split_whitespace().map(|word| word.parse().unwrap()).collect();
        let [client_tid, server_tid, port, refused] = said[..] else { panic!("the observed process said {line:?}") };
        let server = SocketAddr::new(address.parse().unwrap(), port as u16);
        Self { pid: child.id(), client_tid, server_tid, server, refused: refused as u16, stdin: child.stdin.take(), child, stdout }
    }

    /// Lets it exchange `turns`; waits for that.
    pub(crate) fn go_on(&mut self, turns: &[Turn]) {
        writeln!(self.stdin.as_mut().unwrap(), "{}", Turn::text(turns)).unwrap();
        self.stdout.read_line(&mut String::new()).unwrap();
    }

    /// Lets it close its connection and end; waits for that.
    pub(crate) fn end(&mut self) {
        self.stdin = None;
        assert!(self.child.wait().unwrap().success());
    }
}

/// The observed process itself.
pub(crate) fn run(address: &str, turns: &[Turn]) {
    let address: IpAddr = address.parse().unwrap();
    let listener = TcpListener::bind((address, 0)).unwrap();
    let server = listener.local_addr().unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let serving = std::thread::spawn(move || {
        tell.send(tid()).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        serve(&mut stream);
    });
    let refused = refused(address);
    ask_name(address);
    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_nodelay(true).unwrap();
    turns.iter().for_each(|turn| converse(&mut stream, *turn));
    println!("{} {} {} {refused}", tid(), told.recv().unwrap(), server.port());
    for line in std::io::stdin().lines() {
        Turn::list(&line.unwrap()).into_iter().for_each(|turn| converse(&mut stream, turn));
        println!("done");
    }
    drop(stream);
    serving.join().unwrap();
}

fn tid() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}

/// Dials a port at which nobody listens any more.
fn refused(address: IpAddr) -> u16 {
    let closed = TcpListener::bind((address, 0)).unwrap().local_addr().unwrap();
    assert!(TcpStream::connect(closed).is_err());
    closed.port()
}

/// Sends one datagram as to a name server. Nobody needs to answer.
fn ask_name(address: IpAddr) {
    let socket = UdpSocket::bind((address, 0)).unwrap();
    socket.send_to(&question(), (address, 53)).unwrap();
}

fn converse(stream: &mut TcpStream, turn: Turn) {
    stream.write_all(&turn.request()).unwrap();
    let mut answer = vec![0; turn.answer];
    stream.read_exact(&mut answer).unwrap();
    assert!(answer == turn.answer());
}

fn serve(stream: &mut TcpStream) {
    stream.set_nodelay(true).unwrap();
    let mut waiting = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let n = stream.read(&mut chunk).unwrap();
        if n == 0 {
            return;
        }
        waiting.extend_from_slice(&chunk[..n]);
        let Some((rest, len)) = waiting.split_last_chunk::<8>() else { continue };
        if rest.ends_with(END) {
            let answer = u64::from_be_bytes(*len) as usize;
            waiting.clear();
            stream.write_all(&Turn { request: 0, answer }.answer()).unwrap();
        }
    }
}
