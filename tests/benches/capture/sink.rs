//! The cheapest OTLP receiver that still counts: reads requests over HTTP, walks the protobuf, counts SERVER spans of
//! nginx, and throws the rest away. A Collector would take the processor time that is to be measured.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

pub(crate) struct Sink {
    port: u16,
    spans: Arc<AtomicU64>,
}

impl Sink {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let spans = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&spans);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counter = Arc::clone(&counter);
                thread::spawn(move || serve(stream, &counter));
            }
        });
        Self { port, spans }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// SERVER spans of nginx so far.
    pub(crate) fn spans(&self) -> u64 {
        self.spans.load(Ordering::Relaxed)
    }

    /// The same, once nothing more has come for a while.
    pub(crate) fn settled(&self) -> u64 {
        let mut before = self.spans();
        loop {
            thread::sleep(Duration::from_secs(3));
            let now = self.spans();
            if now == before {
                return now;
            }
            before = now;
        }
    }
}

fn serve(stream: TcpStream, spans: &AtomicU64) {
    let Ok(mut answers) = stream.try_clone() else { return };
    let mut requests = BufReader::new(stream);
    while let Some(body) = request(&mut requests) {
        spans.fetch_add(server_spans(&body), Ordering::Relaxed);
        if answers.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n").is_err() {
            return;
        }
    }
}

/// Body of the next request; empty for what is no request for spans.
fn request(requests: &mut impl BufRead) -> Option<Vec<u8>> {
    let (mut line, mut length, mut traces) = (String::new(), 0, false);
    loop {
        line.clear();
        if requests.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_ascii_lowercase();
        traces |= line.starts_with("post /v1/traces");
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    requests.read_exact(&mut body).ok()?;
    Some(if traces { body } else { Vec::new() })
}

/// `ExportTraceServiceRequest.resource_spans.scope_spans.spans` with kind SERVER, where the Resource names nginx.
fn server_spans(body: &[u8]) -> u64 {
    let mut count = 0;
    for resource_spans in messages(body, 1) {
        let nginx = messages(resource_spans, 1).any(|resource| resource.windows(5).any(|word| word == b"nginx"));
        let spans = messages(resource_spans, 2).flat_map(|scope| messages(scope, 2));
        count += if nginx { spans.filter(|span| is_server(span)).count() as u64 } else { 0 };
    }
    count
}

/// Whether `Span.kind` (field 6) is SERVER (2).
fn is_server(span: &[u8]) -> bool {
    Fields(span).any(|(number, value)| number == 6 && matches!(value, Value::Number(2)))
}

fn messages(message: &[u8], wanted: u64) -> impl Iterator<Item = &[u8]> {
    Fields(message).filter_map(move |(number, value)| match value {
        Value::Bytes(bytes) if number == wanted => Some(bytes),
        _ => None,
    })
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// Fields of a protobuf message; ends at the first that makes no sense.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let (mut value, mut shift) = (0, 0);
        loop {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(value);
            }
            shift += 7;
        }
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => Value::Bytes(self.take(8)?),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Bytes(self.take(4)?),
            _ => return None,
        };
        Some((key >> 3, value))
    }
}
