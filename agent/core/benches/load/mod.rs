//! Conversations of each protocol on many connections, for what measures decoding.

use remora_core::flow::{Direction, Flow, Limits, Order, Segment, Sink};
use remora_core::model::{ConnId, ConnInfo, Exchange, Mono, Role, Transport};
use remora_core::proto::Options;
use std::net::SocketAddr;

const REQUEST: &[u8] = b"GET /api/v1/items/42?page=3 HTTP/1.1\r\nHost: items.example:8080\r\nUser-Agent: wrk/4.2.0\r\nAccept: */*\r\n\r\n";
const RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.26.0\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Type: application/json\r\n\
    Content-Length: 19\r\nConnection: keep-alive\r\n\r\n{\"id\":42,\"ok\":true}";

/// Counts and gives back.
#[derive(Default)]
struct Count(u64);

impl Sink for Count {
    fn request(&mut self, _: &ConnInfo, _: &mut Exchange) {}

    fn exchange(&mut self, _: &ConnInfo, exchange: Box<Exchange>) -> Option<Box<Exchange>> {
        self.0 += 1;
        Some(exchange)
    }
}

/// What the ends of a connection say.
struct Speech {
    /// First of all.
    opening: (&'static [u8], &'static [u8]),
    request: Vec<u8>,
    response: Vec<u8>,
    /// Where in request and response the frames of HTTP/2 have their stream.
    streams: (Vec<usize>, Vec<usize>),
    /// Where in request and response the first four digits are that are others each time.
    digits: (Option<usize>, Option<usize>),
}

impl Speech {
    fn http1() -> Self {
        Self {
            opening: (b"", b""),
            request: REQUEST.to_vec(),
            response: RESPONSE.to_vec(),
            streams: Default::default(),
            digits: (None, None),
        }
    }

    /// As above, and another target each time.
    fn http1_targets() -> Self {
        let head = b"GET /api/v1/items/=?page=3 HTTP/1.1\r\nHost: items.example:8080\r\nUser-Agent: wrk/4.2.0\r\nAccept: */*\r\n\r\n";
        let at = head.iter().position(|byte| *byte == b'=').expect("the item");
        Self {
            response: RESPONSE.to_vec(),
            request: [&head[..at], b"0042", &head[at + 1..]].concat(),
            digits: (Some(at), None),
            ..Self::http1()
        }
    }

    /// As above, and no header section is sent twice.
    fn http1_traced() -> Self {
        let head = b"GET /api/v1/items/42?page=3 HTTP/1.1\r\nHost: items.example:8080\r\nUser-Agent: wrk/4.2.0\r\n\
            traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba9=-01\r\nAccept: */*\r\n\r\n";
        let answer = b"HTTP/1.1 200 OK\r\nServer: nginx/1.26.0\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nX-Request-Id: =\r\n\
            Content-Type: application/json\r\nContent-Length: 19\r\nConnection: keep-alive\r\n\r\n{\"id\":42,\"ok\":true}";
        Self::varied(head, answer)
    }

    /// Four digits stand in place of the last `=`, others each time.
    fn varied(request: &[u8], response: &[u8]) -> Self {
        let place = |text: &[u8]| {
            let at = text.iter().rposition(|byte| *byte == b'=');
            (at.map_or(text.to_vec(), |at| [&text[..at], b"0000", &text[at + 1..]].concat()), at)
        };
        let ((request, in_request), (response, in_response)) = (place(request), place(response));
        Self { opening: (b"", b""), request, response, streams: Default::default(), digits: (in_request, in_response) }
    }

    /// A unary gRPC call: all fields but a new trace context and the path come from the header tables.
    fn grpc() -> Self {
        let frame = |kind: u8, flags: u8, payload: &[u8]| {
            let len = u8::try_from(payload.len()).expect("short frames");
            [&[0, 0, len, kind, flags, 0, 0, 0, 0], payload].concat()
        };
        let block = [
            b"\x83\x86\x04\x16/items.v1.Items/GetOne\x01\x0citems.exampl\x0f\x10\x10application/grpc\x00\x0btraceparent\x37".as_slice(),
            b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ]
        .concat();
        let headers = frame(1, 4, &block);
        let (ask, answer, trailers) =
            (frame(0, 1, b"\0\0\0\0\x03\x08\x2a\x10"), frame(0, 0, &[0; 40]), frame(1, 5, b"\x00\x0bgrpc-status\x010"));
        let head = frame(1, 4, b"\x88\x0f\x10\x10application/grpc");
        let streams = (vec![5, headers.len() + 5], vec![5, head.len() + 5, head.len() + answer.len() + 5]);
        Self {
            opening: (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", b"\0\0\0\x04\0\0\0\0\0"),
            request: [headers, ask].concat(),
            response: [head, answer, trailers].concat(),
            streams,
            digits: (None, None),
        }
    }

    /// A producer's request with one batch, and its answer.
    fn kafka() -> Self {
        let batch = [[0u8; 16].as_slice(), &[2], &[0; 43], &[1], b"\x30\0\0\0\x06key\x1evalue of record\0"].concat();
        let size = u8::try_from(batch.len()).expect("a short batch");
        let mut batch = batch;
        batch[11] = size - 12;
        let body = [
            b"\0\0\0\x03\0\0\0\x07\0\x0aproducer-1\xff\xff\0\x01\0\0\x75\x30\0\0\0\x01\0\x06orders\0\0\0\x01\0\0\0\x03\0\0\0".as_slice(),
            &[size],
            &batch,
        ]
        .concat();
        let length = u8::try_from(body.len()).expect("a short request");
        let answer =
            b"\0\0\0\x2e\0\0\0\x07\0\0\0\x01\0\x06orders\0\0\0\x01\0\0\0\x03\0\0\0\0\0\0\0\0\0\x05\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0";
        Self {
            opening: (b"", b""),
            request: [&[0, 0, 0, length], body.as_slice()].concat(),
            response: answer.to_vec(),
            streams: Default::default(),
            digits: (None, None),
        }
    }

    /// One `request` and its `response`, `depth` times in a segment each.
    fn repeated(request: &[u8], response: &[u8], depth: usize) -> Self {
        Self {
            opening: (b"", b""),
            request: request.repeat(depth),
            response: response.repeat(depth),
            streams: Default::default(),
            digits: (None, None),
        }
    }

    fn redis(depth: usize) -> Self {
        Self::repeated(b"*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000042\r\n$3\r\nxxx\r\n", b"+OK\r\n", depth)
    }

    fn memcached() -> Self {
        Self::repeated(b"get user:42\r\n", b"VALUE user:42 0 5\r\nhello\r\nEND\r\n", 1)
    }

    fn mongodb() -> Self {
        let find = b"\x02find\0\x06\0\0\0users\0\x03filter\0\x12\0\0\0\x02name\0\x03\0\0\0an\0\0\x02$db\0\x05\0\0\0shop\0\0".as_slice();
        let found = b"\x01ok\0\0\0\0\0\0\0\xf0\x3f\0".as_slice();
        let message = |response_to: u8, body: &[u8]| {
            let len = |n: usize| u32::try_from(n).expect("a short message").to_le_bytes();
            [&len(body.len() + 25)[..], &[7, 0, 0, 0, response_to, 0, 0, 0, 0xdd, 7, 0, 0, 0, 0, 0, 0, 0], &len(body.len() + 4), body]
                .concat()
        };
        Self::repeated(&message(0, find), &message(7, found), 1)
    }

    /// A simple query that returns a row.
    fn postgres() -> Self {
        let message = |kind: u8, body: &[u8]| [&[kind][..], &(u32::try_from(body.len()).unwrap_or(0) + 4).to_be_bytes(), body].concat();
        let row = b"T\0\0\0\x1d\0\x01name\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0D\0\0\0\x0d\0\x01\0\0\0\x03abcC\0\0\0\rSELECT 1\0Z\0\0\0\x05I";
        Self {
            opening: (b"\0\0\0\x12\0\x03\0\0user\0app\0\0", b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I"),
            request: message(b'Q', b"SELECT name FROM items WHERE id = 42 AND kind = 'new'\0"),
            response: row.to_vec(),
            streams: Default::default(),
            digits: (None, None),
        }
    }

    /// As above, with another literal each time.
    fn postgres_literals() -> Self {
        let Self { opening, request, response, .. } = Self::postgres();
        let at = request.windows(2).position(|two| two == b"42").expect("the literal");
        let (mut before, after) = (request[..at].to_vec(), &request[at + 2..]);
        before[4] += 2;
        Self { opening, response: response.clone(), ..Self::varied(&[&before, b"=".as_slice(), after].concat(), b"") }
    }

    /// A prepared statement that is executed again and again.
    fn postgres_prepared() -> Self {
        let call = b"B\0\0\0\x12\0s1\0\0\0\0\x01\0\0\0\0\0\0D\0\0\0\x06P\0E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04";
        Self {
            opening: (
                b"\0\0\0\x12\0\x03\0\0user\0app\0\0P\0\0\0\x2bs1\0UPDATE t SET a=1 WHERE b = $1\0\0\x01\0\0\0\x17S\0\0\0\x04",
                b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I1\0\0\0\x04Z\0\0\0\x05I",
            ),
            request: call.to_vec(),
            response: b"2\0\0\0\x04n\0\0\0\x04C\0\0\0\rUPDATE 1\0Z\0\0\0\x05I".to_vec(),
            streams: Default::default(),
            digits: (None, None),
        }
    }

    /// A text query that returns a row, behind TLS: the client's login is the first that is seen.
    fn mysql() -> Self {
        let packet = |seq: u8, payload: &[u8]| [&[u8::try_from(payload.len()).unwrap_or(0), 0, 0, seq][..], payload].concat();
        let column = b"\x03def\x04shop\x01t\x01t\x01a\x01a\x0c\x2d\0\x0b\0\0\0\xfd\0\0\0\0\0";
        let answer = [packet(1, b"\x01"), packet(2, column), packet(3, b"\x03abc"), packet(4, b"\xfe\0\0\x02\0\0\0")].concat();
        Self {
            opening: (
                b"\x27\0\0\x01\0\x82\0\x01\0\0\0\x01\x2d\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0app\0\x02xx",
                b"\x07\0\0\x02\0\0\0\x02\0\0\0",
            ),
            request: packet(0, b"\x03SELECT name FROM items WHERE id = 42 AND kind = 'new'"),
            response: answer,
            streams: Default::default(),
            digits: (None, None),
        }
    }

    fn set_stream(&mut self, stream: u32) {
        let number = stream.to_be_bytes();
        self.streams.0.iter().for_each(|&at| self.request[at..at + 4].copy_from_slice(&number));
        self.streams.1.iter().for_each(|&at| self.response[at..at + 4].copy_from_slice(&number));
        let digits = [1000, 100, 10, 1].map(|unit| b'0' + u8::try_from(stream / unit % 10).unwrap_or(0));
        let texts = [(&mut self.request, self.digits.0), (&mut self.response, self.digits.1)];
        texts.into_iter().filter_map(|(text, at)| Some((text, at?))).for_each(|(text, at)| text[at..at + 4].copy_from_slice(&digits));
    }
}

/// Connections that ask and answer in turn.
pub(crate) struct Load {
    speech: Speech,
    flow: Flow,
    count: Count,
    connections: u64,
    /// Ways of requests and of responses, as the observed end sees them.
    ways: [Direction; 2],
    turn: u32,
}

impl Load {
    fn new(speech: Speech, connections: u64, role: Role) -> Self {
        let ways = match role {
            Role::Client => [Direction::Egress, Direction::Ingress],
            Role::Server => [Direction::Ingress, Direction::Egress],
        };
        let flow = Flow::new(Limits::default(), Options::default());
        let mut load = Self { speech, flow, count: Count::default(), connections, ways, turn: 0 };
        (0..connections).for_each(|id| load.flow.open(info(id, role), &mut load.count));
        load
    }

    /// Exchanges that were found so far.
    pub(crate) fn found(&self) -> u64 {
        self.count.0
    }

    /// One exchange on each connection, or as many as a segment holds.
    pub(crate) fn round(&mut self) {
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let opening = self.speech.opening;
        self.speech.set_stream(self.turn * 2 + 1);
        let Speech { request, response, .. } = &self.speech;
        let asked = self.turn.wrapping_mul(len(request)).wrapping_add(len(opening.0));
        let answered = self.turn.wrapping_mul(len(response)).wrapping_add(len(opening.1));
        let [asking, answering] = self.ways;
        for id in 0..self.connections {
            let mut segment = |direction, seq, ack, data: &[u8]| {
                let time = Mono(u64::from(self.turn));
                let segment = Segment { direction, time, seq, ack, len: len(data), data_at: 0, data, order: Order::Next, task: None };
                self.flow.segment(ConnId(id), &segment, &mut self.count);
            };
            if self.turn == 0 && !opening.0.is_empty() {
                segment(asking, 0, 0, opening.0);
                segment(answering, 0, len(opening.0), opening.1);
            }
            segment(asking, asked, answered, request);
            segment(answering, answered, asked.wrapping_add(len(request)), response);
        }
        self.turn = self.turn.wrapping_add(1);
    }
}

fn info(id: u64, role: Role) -> ConnInfo {
    ConnInfo {
        id: ConnId(id),
        transport: Transport::Tcp,
        local: SocketAddr::from(([10, 0, 0, 1], 50_000)),
        remote: SocketAddr::from(([10, 0, 0, 2], 8080)),
        dialed: None,
        role: Some(role),
        owner: None,
        cgroup: None,
        opened: Mono(0),
        midway: false,
    }
}

/// What is measured: a conversation with `depth` requests a segment, seen at one of its ends on some connections.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    speech: fn() -> Speech,
    depth: u64,
    pub(crate) connections: u64,
    role: Role,
}

impl Case {
    /// All that is measured.
    pub(crate) fn all() -> Vec<Self> {
        vec![
            Case::new("HTTP/1.1", Speech::http1).single(),
            Case::new("HTTP/1.1", Speech::http1),
            Case::new("HTTP/1.1 at the server", Speech::http1).at_server(),
            Case::new("HTTP/1.1, other targets at the server", Speech::http1_targets).at_server(),
            Case::new("HTTP/1.1, no head sent twice", Speech::http1_traced),
            Case::new("gRPC", Speech::grpc).single(),
            Case::new("gRPC", Speech::grpc),
            Case::new("Kafka", Speech::kafka),
            Case::new("Redis", || Speech::redis(1)).single(),
            Case::new("Redis", || Speech::redis(1)),
            Case { depth: 100, ..Case::new("Redis, pipelines of 100", || Speech::redis(100)).single() },
            Case::new("Memcached", Speech::memcached),
            Case::new("MongoDB", Speech::mongodb),
            Case::new("PostgreSQL, simple", Speech::postgres),
            Case::new("PostgreSQL, simple, other literals", Speech::postgres_literals),
            Case::new("PostgreSQL, prepared", Speech::postgres_prepared),
            Case::new("MySQL, text", Speech::mysql),
        ]
    }

    fn new(name: &'static str, speech: fn() -> Speech) -> Self {
        Self { name, speech, depth: 1, connections: 1000, role: Role::Client }
    }

    /// The load that it is, with all memory that it needs grown.
    pub(crate) fn warm_load(&self) -> Load {
        let mut load = Load::new((self.speech)(), self.connections, self.role);
        (0..20).for_each(|_| load.round());
        load
    }

    /// Exchanges of one [`Load::round`].
    pub(crate) fn round(&self) -> u64 {
        self.connections * self.depth
    }

    fn single(self) -> Self {
        Self { connections: 1, ..self }
    }

    fn at_server(self) -> Self {
        Self { role: Role::Server, ..self }
    }
}
