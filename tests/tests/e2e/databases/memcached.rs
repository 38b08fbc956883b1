//! memcached by its three protocols: text, binary and meta.

mod root {
    use crate::databases::{checked, expected, lines};
    use remora_tests::{Client, Scene, Server, count};

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
}
