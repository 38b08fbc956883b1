//! MariaDB by PyMySQL, mysql2, go-sql-driver, Connector/J and its own client.

mod root {
    use crate::databases::{SQL, checked, lines};
    use remora_tests::{Client, Scene, Server, run};

    #[test]
    fn each_statement_for_mariadb_is_seen_at_both_ends() {
        let Some(server) = Server::mariadb() else { return };
        let port = server.port();
        let Some(pymysql) = Client::connected("pymysql_client.py", &[port]) else { return };
        let Some(mysql2) = Client::connected("mysql2_client.js", &[port]) else { return };
        let Some(gomysql) = Client::connected("gomysql_client.go", &[port]) else { return };
        let Some(scene) = Scene::start() else { return };
        pymysql.talk();
        mysql2.talk();
        gomysql.talk();
        let Some(java) = Client::start("ConnectorJ.java", &[port]) else { return };
        java.finish();
        let address = ["-h127.0.0.1", &format!("-P{port}"), "-uroot", "shop"];
        assert_eq!(run("mariadb", &[&address[..], &["-e", "SELECT 'hush'; SELECT * FROM missing"]].concat()), Some(false));

        let telemetry = scene.end();
        // Whose protocol it is only the greeting tells: the connections that are older than the agent speak MySQL's.
        let calls = checked(&telemetry, port, "mariadbd", &["mariadb", "mysql"]);
        assert_eq!(calls.iter().filter(|call| call.client.attribute("db.system.name") == "mysql").count(), 3);
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
            lines(&calls, "gomysql_client", &SQL),
            [
                "EXECUTE | - | 1 | -",
                "PREPARE SELECT item | SELECT name FROM item WHERE id = ? | - | -",
                "SELECT item | SELECT name FROM item WHERE id = ? | 1 | -",
                "SELECT | SELECT ? | 1 | -",
                "SELECT missing | SELECT * FROM missing | - | - | error=1146",
                "START | START TRANSACTION | - | -",
                "PREPARE UPDATE item | UPDATE item SET name = ? WHERE id = ? | - | -",
                "UPDATE item | UPDATE item SET name = ? WHERE id = ? | - | -",
                "ROLLBACK | ROLLBACK | - | -",
                "PING | - | - | -",
                // Compressed.
                "SELECT item | SELECT name FROM item WHERE id = ? | 1 | -",
            ]
        );
        let mut java = lines(&calls, "ConnectorJ", &SQL);
        // What the driver asks and sets by itself.
        java.retain(|line| !line.contains("@@") && !line.starts_with("SET "));
        assert_eq!(
            java,
            [
                "SELECT item | SELECT name FROM item WHERE id = ? | 1 | -",
                "SELECT item | SELECT name FROM item WHERE id = ? | 1 | -",
                "SELECT missing | SELECT * FROM missing | - | - | error=1146",
                "UPDATE item | UPDATE item SET name = ? WHERE id = ? | - | -",
                "UPDATE item | UPDATE item SET name = ? WHERE id = ? | - | -",
                "UPDATE item | UPDATE item SET name = ? WHERE id = ? | - | -",
                "ROLLBACK | ROLLBACK | - | -",
                "ROLLBACK | ROLLBACK | - | -",
                // Prepared by the server, and compressed.
                "PREPARE SELECT item | SELECT name FROM item WHERE id = ? | - | -",
                "SELECT item | SELECT name FROM item WHERE id = ? | 1 | -",
                "SELECT item | SELECT name FROM item WHERE id = ? | 1 | -",
                "SELECT missing | SELECT * FROM missing | - | - | error=1146",
                "PREPARE UPDATE item | UPDATE item SET name = ? WHERE id = ? | - | -",
                "UPDATE item | UPDATE item SET name = ? WHERE id = ? | - | -",
                "UPDATE item | UPDATE item SET name = ? WHERE id = ? | - | -",
                "UPDATE item | UPDATE item SET name = ? WHERE id = ? | - | -",
                "ROLLBACK | ROLLBACK | - | -",
                "ROLLBACK | ROLLBACK | - | -",
            ]
        );
        assert_eq!(
            lines(&calls, "mariadb", &SQL),
            ["SELECT | SELECT ? | 1 | -", "SELECT missing | SELECT * FROM missing | - | - | error=1146"]
        );
    }
}
