//! A server of MongoDB's wire protocol by PyMongo and the drivers of Node.js, Go and Java.

mod root {
    use crate::databases::{checked, expected, lines};
    use remora_tests::{Client, Scene, Server, count};

    #[test]
    fn each_command_for_mongodb_is_seen_at_both_ends() {
        let Some(server) = Server::mongodb() else { return };
        let port = server.port();
        let Some(python) = Client::connected("pymongo_client.py", &[port]) else { return };
        let Some(scene) = Scene::start() else { return };
        python.talk();
        let Some(node) = Client::start("mongodb_client.js", &[port]) else { return };
        node.finish();
        let Some(go) = Client::start("gomongo_client.go", &[port]) else { return };
        go.finish();
        let Some(java) = Client::start("MongoSync.java", &[port]) else { return };
        java.finish();

        let telemetry = scene.end();
        let calls = checked(&telemetry, port, "Mongo", &["mongodb"]);
        let keys = ["db.namespace", "db.response.returned_rows", "db.operation.batch.size"];
        // Drivers ask who the server is as often as they like.
        let own = |service: &str| {
            let mut lines = lines(&calls, service, &keys);
            lines.retain(|line| !line.to_lowercase().starts_with("ismaster"));
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
        let mut java = own("MongoSync");
        // How the driver meets an old server.
        java.retain(|line| !line.starts_with("getlasterror"));
        assert_eq!(
            java,
            [
                "insert bills | shop | - | -",
                "find bills | shop | 1 | -",
                "update bills | shop | - | -",
                "insert bills | shop | - | - | error=11000",
                "delete bills | shop | - | -",
            ]
        );
        assert_eq!(
            own("gomongo_client"),
            [
                "insert carts | shop | - | -",
                "insert carts | shop | - | 250",
                "find carts | shop | 1 | -",
                "find carts | shop | 100 | -",
                "getMore carts | shop | 100 | -",
                "getMore carts | shop | 51 | -",
                "update carts | shop | - | -",
                "insert carts | shop | - | - | error=11000",
                "delete carts | shop | - | -",
                "nosuch | shop | - | - | error=59",
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
