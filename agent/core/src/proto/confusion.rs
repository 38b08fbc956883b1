//! A conversation of every protocol, as real programs hold it: each is taken for itself, at any port, from any place
//! on, and never for another.
//!
//! A protocol adds its conversations to [`TALKS`]: one piece a segment, at least two exchanges each.

use super::End::{Client, Server};
use super::TABLE;
use crate::testkit::Talk;
use std::collections::BTreeSet;

/// A name, the protocol that it is, and what is said.
type Conversation = (&'static str, &'static str, fn(Talk) -> Talk);

static TALKS: &[Conversation] = &[
    ("http/1.1 keep-alive", "http/1.1", |talk| {
        (0..3).fold(talk, |talk, _| {
            talk.client("GET /a?b=1 HTTP/1.1\r\nHost: h\r\nUser-Agent: curl/8.5.0\r\n\r\n")
                .server("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        })
    }),
    ("http/1.1 upload", "http/1.1", |talk| {
        talk.client("POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: 3000\r\n\r\n")
            .client(vec![0; 3000])
            .server("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
            .client("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            .server("HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n")
    }),
    ("http/2 by nghttp2", "http/2", |talk| {
        talk.client(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x64\0\x04\x02\0\0\0\0\x02\0\0\0\0")
            .client(b"\0\0\x04\x08\0\0\0\0\0\x01\xff\0\x01")
            .server(b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x80\0\x04\0\x01\0\0\0\x05\0\xff\xff\xff\0\0\0\x04\x01\0\0\0\0")
            .client(b"\0\0\0\x04\x01\0\0\0\0\0\0\x0b\x01\x05\0\0\0\x01\x82\x86\x84\x41\x01h\x53\x03*/*")
            .server(b"\0\0\x01\x01\x04\0\0\0\x01\x88\0\0\x05\0\x01\0\0\0\x01hello")
            .client(b"\0\0\x04\x01\x05\0\0\0\x03\x82\x86\x84\xbf")
            .server(b"\0\0\x01\x01\x05\0\0\0\x03\x8d")
    }),
    ("grpc", "http/2", |talk| {
        let talk = talk
            .client(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
            .server(b"\0\0\0\x04\0\0\0\0\0\0\0\0\x04\x01\0\0\0\0")
            .client(b"\0\0\x28\x01\x04\0\0\0\x01\x83\x86\x44\x05/s/Me\x41\x01h\x5f\x10application/grpc\x40\x02te\x05trail\0\0\x07\0\x01\0\0\0\x01\0\0\0\0\x02hi");
        talk.server(b"\0\0\x13\x01\x04\0\0\0\x01\x88\x5f\x10application/grpc\0\0\x05\0\0\0\0\0\x01\0\0\0\0\0\0\0\x0f\x01\x05\0\0\0\x01\x40\x0bgrpc-status\x010")
            .client(b"\0\0\x06\x01\x04\0\0\0\x03\x83\x86\xc1\xc0\xbf\xbe\0\0\x07\0\x01\0\0\0\x03\0\0\0\0\x02hi")
            .server(b"\0\0\x02\x01\x04\0\0\0\x03\x88\xbf\0\0\x05\0\0\0\0\0\x03\0\0\0\0\0\0\0\x01\x01\x05\0\0\0\x03\xbe")
    }),
    ("postgresql simple by psql", "postgresql", |talk| {
        talk.client(b"\0\0\0\x08\x04\xd2\x16\x2f")
            .server("N")
            .client(b"\0\0\0\x20\0\x03\0\0user\0app\0database\0shop\0\0")
            .server(b"R\0\0\0\x08\0\0\0\0S\0\0\0\x11TimeZone\0UTC\0K\0\0\0\x0c\0\0\x12\x34abcdZ\0\0\0\x05I")
            .client(b"Q\0\0\0\x1bselect count(*) from t\0")
            .server(b"T\0\0\0\x1e\0\x01count\0\0\0\0\0\0\0\0\0\0\x14\0\x08\xff\xff\xff\xff\0\0D\0\0\0\x0b\0\x01\0\0\0\x017C\0\0\0\rSELECT 1\0Z\0\0\0\x05I")
            .client(b"Q\0\0\0\x0bcommit\0")
            .server(b"C\0\0\0\x0bCOMMIT\0Z\0\0\0\x05I")
    }),
    ("postgresql extended by psycopg", "postgresql", |talk| {
        let call =
            b"P\0\0\0\x15\0select 1 + $1\0\0\0B\0\0\0\x11\0\0\0\0\0\x01\0\0\0\x011\0\0D\0\0\0\x06P\0E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04";
        let reply = b"1\0\0\0\x042\0\0\0\x04n\0\0\0\x04C\0\0\0\rSELECT 0\0Z\0\0\0\x05I";
        talk.client(b"\0\0\0\x20\0\x03\0\0user\0app\0database\0shop\0\0")
            .server(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I")
            .client(call)
            .server(reply)
            .client(call)
            .server(b"E\0\0\0\x2cSERROR\0VERROR\0C22012\0Mdivision by zero\0\0Z\0\0\0\x05I")
    }),
    ("mysql by the client", "mysql", |talk| {
        talk.server(b"\x4a\0\0\0\x0a8.0.36\0\x0b\0\0\x0012345678\0\xff\xf7\x2d\x02\0\xff\x81\x15\0\0\0\0\0\0\0\0\0\0abcdefghijkl\0mysql_clear_pass\0\0")
            .client(b"\x2c\0\0\x01\x08\x82\0\x01\0\0\0\x01\x2d\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0app\0\x02xxshop\0")
            .server(b"\x07\0\0\x02\0\0\0\x02\0\0\0")
            .client(b"\x10\0\0\0\x03select 1 from t")
            .server(b"\x01\0\0\x01\x01\x17\0\0\x02\x03def\0\0\0\x011\0\x0c\x3f\0\x01\0\0\0\x08\x81\0\0\0\0\x02\0\0\x03\x011\x07\0\0\x04\xfe\0\0\x02\0\0\0")
            .client(b"\x07\0\0\0\x03commit")
            .server(b"\x07\0\0\x01\0\0\0\x02\0\0\0")
    }),
    ("mariadb prepared", "mysql", |talk| {
        let execute = b"\x0a\0\0\0\x17\x01\0\0\0\0\x01\0\0\0";
        talk.server(b"\x4a\0\0\0\x0a8.0.36\0\x0b\0\0\x0012345678\0\xff\xf7\x2d\x02\0\xff\x81\x15\0\0\0\0\0\0\0\0\0\0abcdefghijkl\0mysql_clear_pass\0\0")
            .client(b"\x2c\0\0\x01\x08\x82\0\0\0\0\0\x01\x2d\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0app\0\x02xxshop\0")
            .server(b"\x07\0\0\x02\0\0\0\x02\0\0\0")
            .client(b"\x0e\0\0\0\x16delete from t")
            .server(b"\x0c\0\0\x01\0\x01\0\0\0\0\0\0\0\0\0\0")
            .client(execute)
            .server(b"\x07\0\0\x01\0\x01\0\x02\0\0\0")
            .client(execute)
            .server(b"\x17\0\0\x01\xff\x7a\x04#42S02no such table!!!")
    }),
    ("redis by redis-py", "redis", |talk| {
        talk.client("*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n")
            .server("%1\r\n$6\r\nserver\r\n$5\r\nredis\r\n")
            .client("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nhello\r\n*2\r\n$4\r\nMGET\r\n$1\r\nk\r\n")
            .server("+OK\r\n*1\r\n$5\r\nhello\r\n")
            .client("*2\r\n$7\r\nHGETALL\r\n$1\r\nh\r\n")
            .server("*2\r\n$3\r\nget\r\n$3\r\nset\r\n")
            .client("*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nc\r\n")
            .server(">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n")
    }),
    ("redis inline", "redis", |talk| {
        talk.client("PING\r\n").server("+PONG\r\n").client("GET k\r\n").server("$-1\r\n").client("INCR n\r\n").server(":1\r\n")
    }),
    ("memcached text by pymemcache", "memcached", |talk| {
        talk.client("set k 0 0 5\r\nhello\r\n")
            .server("STORED\r\n")
            .client("get k\r\n")
            .server("VALUE k 0 5\r\nhello\r\nEND\r\n")
            .client("get none\r\n")
            .server("END\r\n")
            .client("stats\r\n")
            .server("STAT pid 1\r\nEND\r\n")
    }),
    ("memcached meta", "memcached", |talk| {
        talk.client("ms k 5 T60\r\nhello\r\n")
            .server("HD\r\n")
            .client("mg k v q\r\nmn\r\n")
            .server("VA 5\r\nhello\r\nMN\r\n")
            .client("mg none v\r\n")
            .server("EN\r\n")
    }),
    ("memcached binary by bmemcached", "memcached", |talk| {
        let call = b"\x80\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\x07\0\0\0\0\0\0\0\0k";
        let reply = b"\x81\0\0\0\x04\0\0\0\0\0\0\x09\0\0\0\x07\0\0\0\0\0\0\0\x01\0\0\0\0hello";
        (0..3).fold(talk, |talk, _| talk.client(call).server(reply))
    }),
    ("mongodb by pymongo", "mongodb", |talk| {
        let hello = b"\x40\0\0\0\x01\0\0\0\0\0\0\0\xd4\x07\0\0\0\0\0\0admin.$cmd\0\0\0\0\0\xff\xff\xff\xff\
                      \x19\0\0\0\x10isMaster\0\x01\0\0\0\x0ax\0\0\0";
        let answer = b"\x35\0\0\0\x09\0\0\0\x01\0\0\0\x01\0\0\0\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\
                       \x11\0\0\0\x01ok\0\0\0\0\0\0\0\xf0\x3f\0";
        let ping = b"\x2e\0\0\0\x02\0\0\0\0\0\0\0\xdd\x07\0\0\0\0\0\0\0\x19\0\0\0\x10ping\0\x01\0\0\0\x02$db\0\x01\0\0\0\0\0";
        let pong = b"\x26\0\0\0\x0a\0\0\0\x02\0\0\0\xdd\x07\0\0\0\0\0\0\0\x11\0\0\0\x01ok\0\0\0\0\0\0\0\xf0\x3f\0";
        talk.client(hello).server(answer).client(ping).server(pong)
    }),
    ("websocket", "http/1.1", |talk| {
        talk.client("GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            .server("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
            .client(b"\x81\x85\0\0\0\0hello")
            .server(b"\x82\x03abc")
            .client(b"\x88\x80\0\0\0\0")
    }),
    ("dns by glibc", "dns", |talk| {
        (1..4u8).fold(talk.udp(), |talk, id| {
            talk.client([b"\0", &[id][..], b"\x01\0\0\x01\0\0\0\0\0\0", DNS_QUESTION].concat())
                .server([b"\0", &[id][..], b"\x81\x80\0\x01\0\x01\0\0\0\0", DNS_QUESTION, DNS_ADDRESS].concat())
        })
    }),
    ("dns over tcp by dig", "dns/tcp", |talk| {
        (1..4u8).fold(talk, |talk, id| {
            talk.client([b"\0\x18\0", &[id][..], b"\x01\x20\0\x01\0\0\0\0\0\0", DNS_QUESTION].concat())
                .server([b"\0\x28\0", &[id][..], b"\x85\x80\0\x01\0\x01\0\0\0\0", DNS_QUESTION, DNS_ADDRESS].concat())
        })
    }),
    ("kafka member", "kafka", |talk| {
        let talk = talk.client(b"\0\0\0\x12\0\x12\0\0\0\0\0\x01\0\x08client-1").server(b"\0\0\0\x10\0\0\0\x01\0\0\0\0\0\x01\0\0\0\0\0\x0b");
        (2..5u8).fold(talk, |talk, id| {
            talk.client([b"\0\0\0\x24\0\x0c\0\0\0\0\0", &[id][..], b"\0\x08client-1\0\x04shop\0\0\0\x01\0\x06member"].concat())
                .server([b"\0\0\0\x06\0\0\0", &[id][..], b"\0\0"].concat())
        })
    }),
    ("kafka topics by the java client", "kafka", |talk| {
        (1..4u8).fold(talk, |talk, id| {
            talk.client(
                [
                    b"\0\0\0\x35\0\x03\0\x0c\0\0\0",
                    &[id][..],
                    b"\0\x06j-prod\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x0forders-of-shop\0\x01\0\0",
                ]
                .concat(),
            )
            .server([b"\0\0\0\x0c\0\0\0", &[id][..], b"\0\0\0\0\0\x01\x01\0"].concat())
        })
    }),
];

/// `a.test A IN`.
const DNS_QUESTION: &[u8] = b"\x01a\x04test\0\0\x01\0\x01";
/// An address of the question's name.
const DNS_ADDRESS: &[u8] = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\x01\x02\x03";

/// A server port of every protocol, and one of none.
fn ports() -> BTreeSet<u16> {
    TABLE.iter().flat_map(|descriptor| descriptor.ports).copied().chain([4000]).collect()
}

#[test]
fn every_conversation_is_taken_for_itself_at_any_port() {
    for (name, protocol, said) in TALKS {
        for port in ports() {
            for talk in [Talk::new().at_server(), Talk::new().role_unknown(), Talk::new().at_server().role_unknown()] {
                let outcome = said(talk).port(port).run();
                assert_eq!(outcome.protocol, Some(*protocol), "{name} at port {port}");
                assert!(!outcome.exchanges.is_empty(), "{name} at port {port}");
            }
        }
    }
}

#[test]
fn no_conversation_is_taken_for_another_from_any_place_on() {
    for (name, protocol, said) in TALKS {
        for start in 0..said(Talk::new()).len() {
            for port in ports() {
                for talk in [Talk::new(), Talk::new().at_server().role_unknown()] {
                    let outcome = said(talk).joined_at(start).port(port).run();
                    assert!(
                        outcome.protocol.is_none_or(|taken| taken == *protocol),
                        "{name} from {start} at {port}: {:?}",
                        outcome.protocol
                    );
                }
            }
        }
    }
}

#[test]
fn split_conversations_are_taken_for_themselves() {
    for (name, protocol, said) in TALKS {
        for split in [1, 4, 100] {
            let outcome = said(Talk::new()).split(split).run();
            assert_eq!(outcome.protocol, Some(*protocol), "{name} in pieces of {split}");
        }
    }
}

#[test]
fn one_end_alone_is_never_taken_for_another() {
    for (name, protocol, said) in TALKS {
        for end in [Client, Server] {
            let only = said(Talk::new().midway().role_unknown()).lose(end.other(), 0..u64::MAX);
            let taken = only.run().protocol;
            assert!(taken.is_none_or(|taken| taken == *protocol), "{name}, {end:?} alone: {taken:?}");
        }
    }
}
