//! Redis by redis-py, ioredis, go-redis, Lettuce, its own programs, and in pieces of four bytes.

mod root {
    use crate::databases::{KEY_VALUE, checked, expected, lines};
    use remora_tests::{Client, Scene, Server, count, run};

    #[test]
    fn each_command_for_redis_is_seen_at_both_ends() {
        let Some(server) = Server::redis() else { return };
        let port = server.port();
        let Some(python) = Client::connected("redis_client.py", &[port]) else { return };
        let Some(node) = Client::connected("ioredis_client.js", &[port]) else { return };
        let Some(go) = Client::connected("goredis_client.go", &[port]) else { return };
        let Some(scene) = Scene::start() else { return };
        python.talk();
        node.talk();
        go.talk();
        let Some(java) = Client::start("LettuceClient.java", &[port]) else { return };
        java.finish();
        let port_text = port.to_string();
        assert_eq!(run("redis-cli", &["-p", &port_text, "SET", "k:1", "hush"]), Some(true));
        let load = ["-p", &port_text, "-n", "4000", "-c", "4", "-P", "16", "-t", "set,get"];
        assert_eq!(run("redis-benchmark", &load), Some(true));
        in_small_pieces(port);

        let telemetry = scene.end();
        let calls = checked(&telemetry, port, "redis-server", &["redis"]);
        let mut python = count(lines(&calls, "redis_client", &KEY_VALUE));
        // It asks in a loop whether another connection waits.
        python.retain(|line, _| !line.starts_with("INFO "));
        let names = expected([
            (1, "GET | GET session:? | - | -"),
            (6, "SELECT | SELECT ? | 2 | -"),
            (2, "SET | SET cart:? ... | 2 | -"),
            (2, "GET | GET cart:? | 2 | -"),
            (2, "GET | GET none | 2 | -"),
            (2, "RPUSH | RPUSH queue ? | 2 | -"),
            (2, "INCRBY | INCRBY queue ? | 2 | WRONGTYPE | error=WRONGTYPE"),
            (200, "HSET | HSET user:? ? ? | 2 | -"),
            (2, "MULTI | MULTI | 2 | -"),
            (4, "INCRBY | INCRBY orders ? | 2 | -"),
            (2, "EXEC | EXEC | 2 | -"),
            (2, "BLPOP | BLPOP queue ? | 2 | -"),
            (2, "BLPOP | BLPOP late ? | 2 | -"),
            (2, "LPUSH | LPUSH late ? | 2 | -"),
            (2, "SUBSCRIBE | SUBSCRIBE news | 0 | -"),
            (6, "PUBLISH | PUBLISH news ? | 2 | -"),
            (2, "UNSUBSCRIBE | UNSUBSCRIBE | 0 | -"),
        ]);
        // What the library says of itself when it connects.
        python.retain(|line, _| !line.starts_with("CLIENT ") && !line.starts_with("HELLO "));
        assert_eq!(python, names);
        let mut node = count(lines(&calls, "ioredis_client", &KEY_VALUE));
        node.retain(|line, _| !["CLIENT ", "HELLO ", "INFO "].iter().any(|start| line.starts_with(start)));
        let names = expected([
            (1, "GET | GET k:? | - | -"),
            (1, "SET | SET k:? ? ? ? | 0 | -"),
            (51, "GET | GET k:? | 0 | -"),
            (1, "NOSUCH | NOSUCH | 0 | ERR | error=ERR"),
            (1, "EVAL | EVAL ? ? ? | 0 | -"),
            (1, "MULTI | MULTI | 0 | -"),
            (1, "SET | SET k:? ? | 0 | -"),
            (1, "EXEC | EXEC | 0 | -"),
            (1, "QUIT | QUIT | 0 | -"),
        ]);
        assert_eq!(node, names);
        let mut go = count(lines(&calls, "goredis_client", &KEY_VALUE));
        go.retain(|line, _| !["CLIENT ", "HELLO "].iter().any(|start| line.starts_with(start)));
        let names = expected([
            (1, "GET | GET k:? | - | -"),
            (2, "SET | SET k:? ? ? ? | 0 | -"),
            (2, "GET | GET none | 0 | -"),
            (2, "HSET | HSET user:? ? ? ? ? | 0 | -"),
            (2, "HGETALL | HGETALL user:? | 0 | -"),
            (200, "GET | GET user:none:? | 0 | -"),
            (2, "MULTI | MULTI | 0 | -"),
            (2, "INCR | INCR orders | 0 | -"),
            (2, "EXPIRE | EXPIRE orders ? | 0 | -"),
            (2, "EXEC | EXEC | 0 | -"),
            (2, "EVALSHA | EVALSHA ? ? | 0 | NOSCRIPT | error=NOSCRIPT"),
            (2, "EVAL | EVAL ? ? | 0 | -"),
            (2, "LPUSH | LPUSH k:? ? | 0 | WRONGTYPE | error=WRONGTYPE"),
            (2, "XADD | XADD events ? ? ? | 0 | -"),
            (2, "XREAD | XREAD ? ? ? ? ? ? ? | 0 | -"),
            (200, "INCR | INCR hits | - | -"),
        ]);
        assert_eq!(go, names);
        let mut java = count(lines(&calls, "LettuceClient", &KEY_VALUE));
        java.retain(|line, _| !["CLIENT ", "HELLO "].iter().any(|start| line.starts_with(start)));
        let names = expected([
            (1, "SELECT | SELECT ? | 3 | -"),
            (1, "SET | SET k:? ? | 3 | -"),
            (300, "GET | GET cart:? | 3 | -"),
            (1, "MULTI | MULTI | 3 | -"),
            (1, "INCR | INCR orders | 3 | -"),
            (1, "EXEC | EXEC | 3 | -"),
            (1, "LPUSH | LPUSH k:? ? | 3 | WRONGTYPE | error=WRONGTYPE"),
        ]);
        assert_eq!(java, names);
        assert_eq!(lines(&calls, "redis-cli", &KEY_VALUE), ["SET | SET k:? ? | 0 | -"]);
        let mut load = count(lines(&calls, "redis-benchmark", &["error.type"]));
        load.retain(|line, _| !line.starts_with("CONFIG "));
        assert_eq!(load, expected([(4000, "SET | -"), (4000, "GET | -")]));
        let own: Vec<String> =
            calls.iter().filter(|call| call.client.service().starts_with("e2e")).map(|call| call.line(&KEY_VALUE)).collect();
        assert_eq!(own, ["SET | SET piece ? | 0 | -", "GET | GET piece | 0 | -", "GET | GET piece | 0 | -"]);
    }

    /// Three commands in segments of four bytes, whose answers are read four bytes at a time.
    fn in_small_pieces(port: u16) {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).expect("redis");
        stream.set_nodelay(true).expect("a socket option");
        let commands = b"*3\r\n$3\r\nSET\r\n$5\r\npiece\r\n$4\r\nhush\r\nGET piece\r\n*2\r\n$3\r\nGET\r\n$5\r\npiece\r\n";
        commands.chunks(4).for_each(|piece| stream.write_all(piece).expect("redis"));
        let mut answer = Vec::new();
        while answer.len() < "+OK\r\n$4\r\nhush\r\n$4\r\nhush\r\n".len() {
            let mut piece = [0; 4];
            let n = stream.read(&mut piece).expect("redis");
            answer.extend_from_slice(&piece[..n]);
        }
        assert_eq!(answer, b"+OK\r\n$4\r\nhush\r\n$4\r\nhush\r\n");
    }
}
