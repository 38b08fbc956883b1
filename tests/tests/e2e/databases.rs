//! Databases and caches: each operation of each client is a CLIENT and a SERVER span of one trace and is counted once at
//! either end, whatever library it came from and whether its connection is older than the agent. `hush` stands for every
//! value that no telemetry may show.

mod root {
    use remora_tests::{Call, Client, Item, Scene, Server, Tally, Telemetry, by_attributes, calls, count, run, tally};

    /// What spans and series of metrics have in common.
    const SERIES: [&str; 9] = [
        "db.system.name",
        "db.operation.name",
        "db.collection.name",
        "db.namespace",
        "db.query.summary",
        "db.response.status_code",
        "error.type",
        "server.address",
        "server.port",
    ];
    const SQL: [&str; 3] = ["db.query.text", "db.response.returned_rows", "remora.incomplete"];
    const KEY_VALUE: [&str; 3] = ["db.query.text", "db.namespace", "db.response.status_code"];

    /// The calls of a server, after what holds for all of them was checked: both ends are there and say the same, the metrics
    /// of both counted them, and nothing shows a value.
    fn checked(telemetry: &Telemetry, port: u16, server: &str, systems: &[&str]) -> Vec<Call> {
        let shown = format!("{:?} {:?} {}", telemetry.spans, telemetry.metrics, telemetry.agent_log);
        assert!(!shown.contains("hush"), "{}", &shown[shown.find("hush").unwrap_or(0).saturating_sub(300)..][..600]);
        let (calls, alone) = calls(telemetry.spans_of_port(port));
        assert!(alone.is_empty(), "lost: {}\n{alone:#?}", telemetry.losses);
        for call in &calls {
            assert_eq!((call.server.service(), call.client.attribute("service.peer.name")), (server, server.into()));
            assert_eq!(call.server.attribute("service.peer.name"), call.client.service());
            assert!(systems.iter().any(|system| call.client.attribute("db.system.name") == *system), "{call:#?}");
            assert_eq!(call.client.line(&SERIES), call.server.line(&SERIES));
        }
        let mut services: Vec<&str> = calls.iter().map(|call| call.client.service()).collect();
        services.sort_unstable();
        services.dedup();
        for service in services {
            let spans: Vec<Item> = calls.iter().filter(|call| call.client.service() == service).map(|call| call.client.clone()).collect();
            assert_eq!(telemetry.counted("db.client.operation.duration", service, port, &SERIES), by_attributes(&spans, &SERIES));
        }
        let spans: Vec<Item> = calls.iter().map(|call| call.server.clone()).collect();
        assert_eq!(telemetry.counted("db.server.operation.duration", server, port, &SERIES), by_attributes(&spans, &SERIES));
        calls
    }

    fn lines(calls: &[Call], service: &str, keys: &[&str]) -> Vec<String> {
        calls.iter().filter(|call| call.client.service() == service).map(|call| call.line(keys)).collect()
    }

    fn expected<const N: usize>(lines: [(u64, &str); N]) -> Tally {
        tally(lines.into_iter().map(|(n, line)| (line.to_owned(), n)))
    }

    #[test]
    fn each_statement_for_postgresql_is_seen_at_both_ends() {
        let Some(server) = Server::postgres() else { return };
        let port = server.port();
        let Some(psycopg) = Client::connected("psycopg_client.py", &[port]) else { return };
        let Some(pg) = Client::connected("pg_client.js", &[port]) else { return };
        let Some(scene) = Scene::start() else { return };
        psycopg.talk();
        pg.talk();
        let (address, statements) = (["-h", "127.0.0.1", "-U", "postgres", "-p"], ["-c", "SELECT 'hush'", "-c", "SELECT * FROM missing"]);
        let port_text = port.to_string();
        assert_eq!(run("psql", &[&address[..], &[&port_text, "-X"], &statements].concat()), Some(false));
        let script = tempfile::NamedTempFile::new().expect("a scratch file");
        std::fs::write(script.path(), "SELECT name FROM item WHERE id = 1;\n").expect("a writable file");
        for mode in ["simple", "extended", "prepared"] {
            let load = ["-n", "-c", "2", "-t", "25", "-M", mode, "-f", &script.path().display().to_string(), "postgres"].map(str::to_owned);
            let load: Vec<&str> = load.iter().map(String::as_str).collect();
            assert_eq!(run("pgbench", &[&address[..], &[&port_text], &load].concat()), Some(true));
        }

        let telemetry = scene.end();
        let calls = checked(&telemetry, port, "postgres", &["postgresql"]);
        assert_eq!(
            lines(&calls, "psycopg_client", &SQL),
            [
                // Its text was sent before the agent came.
                "SELECT | - | 0 | -",
                "INSERT item | INSERT INTO item VALUES (?, ?) | - | -",
                "SELECT item | SELECT count(*) FROM item WHERE name = ? | 1 | -",
                "SELECT item | SELECT name FROM item WHERE id = $1 | 1 | -",
                "PREPARE SELECT item | SELECT name FROM item WHERE id = $1 | - | -",
                "SELECT item | SELECT name FROM item WHERE id = $1 | 1 | -",
                "SELECT item | SELECT name FROM item WHERE id = $1 | 0 | -",
                "SELECT missing | SELECT * FROM missing | - | - | error=42P01",
                "INSERT item | INSERT INTO item VALUES (?, ?) | - | - | error=23505",
                "BEGIN | BEGIN | - | -",
                "UPDATE item | UPDATE item SET name = $1 WHERE id = ? | - | -",
                "COMMIT | COMMIT | - | -",
                "DELETE item | DELETE FROM item WHERE id = $1 | - | -",
                "DELETE item | DELETE FROM item WHERE id = $1 | - | -",
                "DELETE item | DELETE FROM item WHERE id = $1 | - | -",
                "COPY item | COPY item FROM STDIN | - | -",
                // Answers above the capture: their rows are not counted rather than counted wrong.
                "COPY item | COPY item TO STDOUT | - | [\"response_lost\"]",
                "INSERT item | INSERT INTO item VALUES (?, ? | - | [\"request_cut\"]",
                "SELECT item | SELECT id, name FROM item | - | [\"response_lost\"]",
                "LISTEN orders | LISTEN orders | - | -",
                "NOTIFY orders | NOTIFY orders, ? | - | -",
                "UNLISTEN | UNLISTEN orders | - | -",
            ]
        );
        assert_eq!(
            lines(&calls, "pg_client", &SQL),
            [
                "SELECT | - | 1 | -",
                "SELECT | SELECT ? AS one | 1 | -",
                "SELECT item | SELECT name FROM item WHERE id = $1 | 1 | -",
                "SELECT item | SELECT name FROM item WHERE id = $1 | 0 | -",
                "SELECT item | SELECT name FROM item WHERE id = $1 | 0 | -",
                "SELECT | SELECT ? / ? | - | - | error=22012",
                "BEGIN | BEGIN | - | -",
                "INSERT item | INSERT INTO item VALUES ($1, $2) | - | -",
                "ROLLBACK | ROLLBACK | - | -",
                "BATCH | SELECT ?; SELECT name FROM item WHERE name = ? | 3 | -",
            ]
        );
        assert_eq!(
            lines(&calls, "psql", &SQL),
            ["SELECT | SELECT ? | 1 | -", "SELECT missing | SELECT * FROM missing | - | - | error=42P01"]
        );
        let loads = expected([(150, "SELECT item | item | -"), (2, "PREPARE SELECT item | item | -")]);
        assert_eq!(count(lines(&calls, "pgbench", &["db.collection.name", "error.type"])), loads);
    }

    #[test]
    fn each_statement_for_mariadb_is_seen_at_both_ends() {
        let Some(server) = Server::mariadb() else { return };
        let port = server.port();
        let Some(pymysql) = Client::connected("pymysql_client.py", &[port]) else { return };
        let Some(mysql2) = Client::connected("mysql2_client.js", &[port]) else { return };
        let Some(scene) = Scene::start() else { return };
        pymysql.talk();
        mysql2.talk();
        let address = ["-h127.0.0.1", &format!("-P{port}"), "-uroot", "shop"];
        assert_eq!(run("mariadb", &[&address[..], &["-e", "SELECT 'hush'; SELECT * FROM missing"]].concat()), Some(false));

        let telemetry = scene.end();
        // Whose protocol it is only the greeting tells: the connections that are older than the agent speak MySQL's.
        let calls = checked(&telemetry, port, "mariadbd", &["mariadb", "mysql"]);
        assert_eq!(calls.iter().filter(|call| call.client.attribute("db.system.name") == "mysql").count(), 2);
        assert_eq!(
            lines(&calls, "pymysql_client", &SQL),
            [
                "INSERT item | INSERT INTO item VALUES (?, ?) | - | -",
                "SET | SET NAMES utf8mb4 | - | -",
                "SELECT item | SELECT name FROM item WHERE id = ? | 1 | -",
                "SELECT missing | SELECT * FROM missing | - | - | error=1146",
                "INSERT item | INSERT INTO item VALUES (?, ?) | - | - | error=1062",
                "BEGIN | BEGIN | - | -",
                "UPDATE item | UPDATE item SET name = ? WHERE id = ? | - | -",
                "ROLLBACK | ROLLBACK | - | -",
                "PING | - | - | -",
                "BATCH | SELECT ?; SELECT name FROM item WHERE name = ? | 3 | -",
                "LOAD item | LOAD DATA LOCAL INFILE ? INTO TABLE item | - | -",
                "INSERT item | INSERT INTO item VALUES (?, ? | - | [\"request_cut\"]",
                "INSERT item | INSERT INTO item VALUES (?, ? | - | [\"request_cut\"]",
                "SELECT item | SELECT id, name FROM item | - | [\"response_lost\"]",
                "DELETE item | DELETE FROM item WHERE id > ? | - | -",
            ]
        );
        assert_eq!(
            lines(&calls, "mysql2_client", &SQL),
            [
                // Its text was sent before the agent came.
                "EXECUTE | - | 1 | -",
                "SELECT | SELECT ? | 1 | -",
                "PREPARE SELECT item | SELECT name FROM item WHERE id = ? | - | -",
                "SELECT item | SELECT name FROM item WHERE id = ? | 1 | -",
                "SELECT item | SELECT name FROM item WHERE id = ? | 1 | -",
                "PREPARE SELECT missing | SELECT * FROM missing | - | - | error=1146",
                "PREPARE UPDATE item | UPDATE item SET name = ? WHERE id = ? | - | -",
                "UPDATE item | UPDATE item SET name = ? WHERE id = ? | - | -",
                "SELECT item | SELECT nothing FROM item | - | - | error=1054",
                "START | START TRANSACTION | - | -",
                "COMMIT | COMMIT | - | -",
            ]
        );
        assert_eq!(
            lines(&calls, "mariadb", &SQL),
            ["SELECT | SELECT ? | 1 | -", "SELECT missing | SELECT * FROM missing | - | - | error=1146"]
        );
    }

    #[test]
    fn each_command_for_redis_is_seen_at_both_ends() {
        let Some(server) = Server::redis() else { return };
        let port = server.port();
        let Some(python) = Client::connected("redis_client.py", &[port]) else { return };
        let Some(node) = Client::connected("ioredis_client.js", &[port]) else { return };
        let Some(scene) = Scene::start() else { return };
        python.talk();
        node.talk();
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

    #[test]
    fn each_command_for_memcached_is_seen_at_both_ends() {
        let Some(server) = Server::memcached() else { return };
        let port = server.port();
        let Some(clients) = Client::connected("memcached_clients.py", &[port]) else { return };
        let Some(scene) = Scene::start() else { return };
        clients.talk();

        let telemetry = scene.end();
        let calls = checked(&telemetry, port, "memcached", &["memcached"]);
        let keys = ["db.query.text", "db.response.returned_rows", "db.response.status_code", "remora.incomplete"];
        let users = ["user:?"; 10].join(" ");
        assert_eq!(
            count(lines(&calls, "memcached_clients", &keys)),
            expected([
                (1, "get | get old | 1 | - | -"),
                (5, "set | set user:? ? | - | - | -"),
                (1, "get | get user:? | 1 | - | -"),
                (1, "get | get none | 0 | - | -"),
                (1, &format!("get | get {users} | 5 | - | -")),
                (1, "set | set quiet ? | - | - | -"),
                (1, "set | set big ? | - | - | -"),
                (1, "get | get big | 1 | - | -"),
                (1, "set | set count ? | - | - | -"),
                (1, "incr | incr count | - | - | -"),
                (1, "delete | delete none | - | NOT_FOUND | -"),
                (1, "incr | incr user:? | - | CLIENT_ERROR | - | error=CLIENT_ERROR"),
                (1, "ms | ms m:? ? | - | - | -"),
                (1, "mg | mg m:? | 1 | - | -"),
                // Which of the two was answered cannot be told.
                (2, "mg | mg m:? | - | - | [\"response_lost\"]"),
                (1, "mn | mn | - | - | -"),
                (1, "md | md m:? | - | - | -"),
                (1, "set | set b:? ? | - | - | -"),
                (1, "get | get b:? | 1 | - | -"),
                (1, "get | get b:? | 0 | NOT_FOUND | -"),
                (1, "delete | delete b:? | - | - | -"),
            ])
        );
    }

    #[test]
    fn each_command_for_mongodb_is_seen_at_both_ends() {
        let Some(server) = Server::mongodb() else { return };
        let port = server.port();
        let Some(python) = Client::connected("pymongo_client.py", &[port]) else { return };
        let Some(scene) = Scene::start() else { return };
        python.talk();
        let Some(node) = Client::start("mongodb_client.js", &[port]) else { return };
        node.finish();

        let telemetry = scene.end();
        let calls = checked(&telemetry, port, "java", &["mongodb"]);
        let keys = ["db.namespace", "db.response.returned_rows", "db.operation.batch.size"];
        // Drivers ask who the server is as often as they like.
        let own = |service: &str| {
            let mut lines = lines(&calls, service, &keys);
            lines.retain(|line| !line.starts_with("ismaster"));
            lines
        };
        assert_eq!(
            own("pymongo_client"),
            [
                "find items | shop | 1 | -",
                "insert items | shop | - | 250",
                "find items | shop | 100 | -",
                "getMore items | shop | 100 | -",
                "getMore items | shop | 50 | -",
                "update items | shop | - | -",
                "delete items | shop | - | -",
                "aggregate items | shop | 3 | -",
                "aggregate items | shop | 1 | -",
                "insert items | shop | - | - | error=11000",
                "nosuch | shop | - | - | error=59",
                "insert items | shop | - | -",
                "find items | shop | - | -",
            ]
        );
        assert_eq!(
            count(own("mongodb_client")),
            expected([
                (1, "insert orders | shop | - | -"),
                (2, "find orders | shop | 1 | -"),
                (19, "find orders | shop | 0 | -"),
                (1, "update orders | shop | - | -"),
                (1, "insert orders | shop | - | - | error=11000"),
                (1, "delete orders | shop | - | -"),
                (1, "endSessions | admin | - | -"),
            ])
        );
    }
}
