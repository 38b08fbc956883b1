//! PostgreSQL by psycopg, pg, pgx, PgJDBC, psql and pgbench.

mod root {
    use crate::databases::{SQL, checked, expected, lines};
    use remora_tests::{Client, Scene, Server, count, run};

    #[test]
    fn each_statement_for_postgresql_is_seen_at_both_ends() {
        let Some(server) = Server::postgres() else { return };
        let port = server.port();
        let Some(psycopg) = Client::connected("psycopg_client.py", &[port]) else { return };
        let Some(pg) = Client::connected("pg_client.js", &[port]) else { return };
        let Some(pgx) = Client::connected("pgx_client.go", &[port]) else { return };
        let Some(scene) = Scene::start() else { return };
        psycopg.talk();
        pg.talk();
        pgx.talk();
        let Some(java) = Client::start("PgJdbc.java", &[port]) else { return };
        java.finish();
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
            lines(&calls, "pgx_client", &SQL),
            [
                "SELECT | - | 1 | -",
                "PREPARE SELECT item | SELECT name FROM item WHERE id = $1 | - | -",
                "SELECT item | SELECT name FROM item WHERE id = $1 | 1 | -",
                "SELECT item | SELECT name FROM item WHERE id = $1 | 1 | -",
                "SELECT item | SELECT name FROM item WHERE id = $1 | 0 | -",
                "SELECT missing | SELECT * FROM missing | - | - | error=42P01",
                "PREPARE SELECT | SELECT ? / $1::int | - | -",
                "SELECT | SELECT ? / $1::int | - | - | error=22012",
                "PREPARE UPDATE item | UPDATE item SET name = $1 WHERE id = $2 | - | -",
                "UPDATE item | UPDATE item SET name = $1 WHERE id = $2 | - | -",
                "UPDATE item | UPDATE item SET name = $1 WHERE id = $2 | - | -",
                "UPDATE item | UPDATE item SET name = $1 WHERE id = $2 | - | -",
                "BEGIN | begin | - | -",
                "PREPARE SELECT item | select \"id\", \"name\" from \"item\" | - | -",
                "COPY item | copy \"item\" ( \"id\", \"name\" ) from stdin binary; | - | -",
                "ROLLBACK | rollback | - | -",
                "SELECT item | SELECT name FROM item WHERE id = ? | 1 | -",
            ]
        );
        let java = lines(&calls, "PgJdbc", &SQL);
        let (setting, java) = java.split_at(1.min(java.len()));
        assert_eq!(setting, ["SET | SET application_name = ? | - | -"]);
        // By text, by name, and by name with binary values.
        let (eight, java) = java.split_at(8.min(java.len()));
        assert_eq!(eight, ["SELECT item | SELECT name FROM item WHERE id = $1 | 1 | -"; 8]);
        assert_eq!(
            java,
            [
                "SELECT | SELECT ? | 1 | -",
                "SELECT missing | SELECT * FROM missing | - | - | error=42P01",
                "BEGIN | BEGIN | - | -",
                "UPDATE item | UPDATE item SET name = $1 WHERE id = $2 | - | -",
                "UPDATE item | UPDATE item SET name = $1 WHERE id = $2 | - | -",
                "UPDATE item | UPDATE item SET name = $1 WHERE id = $2 | - | -",
                "SELECT | SELECT generate_series(?, ?) | 40 | -",
                "SELECT | SELECT generate_series(?, ?) | 40 | -",
                "SELECT | SELECT generate_series(?, ?) | 20 | -",
                "ROLLBACK | ROLLBACK | - | -",
            ]
        );
        assert_eq!(
            lines(&calls, "psql", &SQL),
            ["SELECT | SELECT ? | 1 | -", "SELECT missing | SELECT * FROM missing | - | - | error=42P01"]
        );
        let loads = expected([(150, "SELECT item | item | -"), (2, "PREPARE SELECT item | item | -")]);
        assert_eq!(count(lines(&calls, "pgbench", &["db.collection.name", "error.type"])), loads);
    }
}
