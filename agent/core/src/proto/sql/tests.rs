use super::*;

const POSTGRES: Rules = Rules { dialect: Dialect::Postgres, backslash: Backslash::Plain };
const MYSQL: Rules = Rules { dialect: Dialect::MySql, backslash: Backslash::Escape };

fn read_by(rules: Rules, raw: &[u8], options: &Options) -> Statement {
    let mut statement = Statement::default();
    statement.fill(raw, true, rules, options, &mut Digests::default());
    statement
}

fn read(dialect: Dialect, raw: &str) -> Statement {
    let rules = if dialect == Dialect::MySql { MYSQL } else { POSTGRES };
    read_by(rules, raw.as_bytes(), &Options::default())
}

fn summary(raw: &str) -> String {
    read(Dialect::Postgres, raw).digest.summary
}

#[test]
fn literals_leave_and_names_stay() {
    for (raw, expected) in [
        ("SELECT * FROM users WHERE id = 42", "SELECT * FROM users WHERE id = ?"),
        ("select a1, t2.c3 from t2 where x='it''s' and y = -1.5e-3", "select a1, t2.c3 from t2 where x=? and y = -?"),
        ("SELECT  *\n\tFROM \"My Table\" WHERE b = TRUE AND c IS NOT TRUE", "SELECT * FROM \"My Table\" WHERE b = ? AND c IS NOT TRUE"),
        ("SELECT $1::int, $$secret$$, $t$a $$ b$t$, E'a\\'b', B'01', x'ff', U&'d\\0061'", "SELECT $1::int, ?, ?, ?, ?, ?, ?"),
        ("SELECT 1 -- secret\n, 2 /* more /* nested */ secret */ + .5", "SELECT ? , ? + ?"),
        ("SELECT * FROM t WHERE id IN (1, 2, 3)", "SELECT * FROM t WHERE id IN (?)"),
        ("SELECT * FROM t WHERE id IN ($1,$2,$3) AND x = 0xFF", "SELECT * FROM t WHERE id IN ($1) AND x = ?"),
        ("SELECT * FROM t WHERE id IN (-1, 'a', f(2, 3), 4)", "SELECT * FROM t WHERE id IN (?, f(?, ?), ?)"),
        ("INSERT INTO t (a, b) VALUES (1, 'x'), (2, 'y'), (3, f(')')) RETURNING id", "INSERT INTO t (a, b) VALUES (?, ?) RETURNING id"),
        ("SELECT 'unterminated", "SELECT ?"),
        ("SELECT $x$unterminated", "SELECT ?"),
        ("SELECT \u{e9}t\u{e9} FROM t", "SELECT \u{e9}t\u{e9} FROM t"),
    ] {
        assert_eq!(read(Dialect::Postgres, raw).text, expected, "{raw}");
    }
    for (raw, expected) in [
        ("SELECT \"text\", 'a\\'b', `na\"me` FROM `t`", "SELECT ?, ?, `na\"me` FROM `t`"),
        ("SELECT 1 # secret\n+ 2 --\n - 3", "SELECT ? + ? - ?"),
        ("SELECT 5--1", "SELECT ?--?"),
        ("/*!40101 SET NAMES utf8 */", "SET NAMES utf8"),
        ("SET @x = 5, @@session.y = _utf8'z', n = N'z'", "SET @x = ?, @@session.y = _utf8?, n = ?"),
        (
            "INSERT INTO t VALUES (1) ON DUPLICATE KEY UPDATE a = VALUES(a), b = 2",
            "INSERT INTO t VALUES (?) ON DUPLICATE KEY UPDATE a = VALUES(a), b = ?",
        ),
    ] {
        assert_eq!(read(Dialect::MySql, raw).text, expected, "{raw}");
    }
}

#[test]
fn the_summary_names_operations_and_targets() {
    for (raw, expected) in [
        ("SELECT * FROM wuser_table WHERE username = ?", "SELECT wuser_table"),
        (
            "INSERT INTO shipping_details (order_id, address) SELECT order_id, address FROM orders WHERE order_id = ?",
            "INSERT shipping_details SELECT orders",
        ),
        ("SELECT * FROM songs, artists WHERE songs.artist_id = artists.id", "SELECT songs artists"),
        (
            "SELECT order_date FROM (SELECT * FROM orders o JOIN customers c ON o.customer_id = c.customer_id)",
            "SELECT SELECT orders customers",
        ),
        ("SELECT * FROM \"song list\", 'artists'", "SELECT \"song list\""),
        (
            "select count(*) from public.users u left join \"orders\" on true where x in (select 1 from z)",
            "SELECT public.users orders SELECT z",
        ),
        ("UPDATE users SET name = 'x' FROM teams WHERE id = 1", "UPDATE users teams"),
        ("DELETE FROM users WHERE id = 1", "DELETE users"),
        ("INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET b = 2", "INSERT t"),
        ("SELECT * FROM t FOR UPDATE", "SELECT t"),
        ("SELECT EXTRACT(YEAR FROM ts), a IS DISTINCT FROM b FROM t", "SELECT t"),
        ("SELECT * FROM generate_series(1, 10)", "SELECT"),
        ("WITH x AS (SELECT * FROM a) INSERT INTO b SELECT * FROM x", "SELECT a INSERT b SELECT x"),
        ("CREATE TABLE IF NOT EXISTS users (id int)", "CREATE TABLE users"),
        ("CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)", "CREATE INDEX i"),
        ("ALTER TABLE ONLY s.t ADD c int", "ALTER TABLE s.t"),
        ("TRUNCATE TABLE t", "TRUNCATE t"),
        ("CALL do_it(1, 2)", "CALL do_it"),
        ("EXPLAIN ANALYZE SELECT * FROM t", "EXPLAIN SELECT t"),
        ("(SELECT a FROM t) UNION (SELECT a FROM u)", "SELECT t SELECT u"),
        ("BEGIN", "BEGIN"),
        ("BEGIN;", "BEGIN"),
        ("COPY t (a, b) FROM STDIN", "COPY t"),
        ("INSERT INTO a VALUES (1); INSERT INTO a VALUES (2)", "BATCH INSERT a"),
        ("SELECT 1 FROM a; DELETE FROM b", "BATCH"),
        ("gibberish of some kind", ""),
        ("MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN UPDATE SET b = 1", "MERGE t s"),
        ("LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE t", "LOAD t"),
    ] {
        assert_eq!(summary(raw), expected, "{raw}");
    }
    assert_eq!(read(Dialect::MySql, "SELECT replace(a, 'x', 'y') FROM `shop`.`t`").digest.summary, "SELECT shop.t");
    let long = format!("SELECT * FROM {}", (0..100).map(|i| format!("table_{i}")).collect::<Vec<_>>().join(", "));
    assert!(summary(&long).len() <= 255 && summary(&long).ends_with(|c: char| c.is_ascii_digit()));
}

#[test]
fn operation_and_collection_are_given_where_they_are_one() {
    let facts = |raw: &str| {
        let Digest { operation, collection, procedure, .. } = read(Dialect::Postgres, raw).digest;
        (operation, collection, procedure)
    };
    let of = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
    assert_eq!(facts("SELECT * FROM a.b"), of("SELECT", "a.b", ""));
    assert_eq!(facts("SELECT * FROM a JOIN b USING (x)"), of("SELECT", "", ""));
    assert_eq!(facts("WITH x AS (SELECT 1) UPDATE t SET a = 1"), of("UPDATE", "t", ""));
    assert_eq!(facts("CALL p(1)"), of("CALL", "", "p"));
    assert_eq!(facts("DROP TABLE t"), of("DROP TABLE", "t", ""));
}

#[test]
fn sqlcommenter_context_is_read_from_comments() {
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let text = format!("SELECT 1 /*action='%2Fp',traceparent='{parent}',tracestate='a%3Db'*/");
    let statement = read(Dialect::MySql, &text);
    assert_eq!(statement.context, TraceContext::parse(parent.as_bytes()));
    assert_eq!((statement.trace_state.as_str(), statement.text.as_str()), ("a=b", "SELECT ?"));
    assert_eq!(read(Dialect::MySql, "SELECT '/*traceparent=''x''*/'").context, None);
}

#[test]
fn text_beyond_the_limit_is_cut_at_a_character() {
    let options = Options { text_limit: 10, ..Options::default() };
    let statement = read_by(POSTGRES, "SELECT \u{e9}\u{e9}\u{e9}\u{e9} FROM t".as_bytes(), &options);
    let Statement { text, cut, digest, .. } = statement;
    assert_eq!((text.as_str(), cut, digest.summary.as_str()), ("SELECT \u{e9}", Cut::Limit, "SELECT t"));
    let raw = Options { raw_text: true, ..Options::default() };
    let statement = read_by(POSTGRES, b"SELECT 'secret'  ;", &raw);
    assert_eq!((statement.text.as_str(), statement.digest.count), ("SELECT 'secret'  ;", 1));
    let statement = read_by(POSTGRES, b"SELECT 'secret'  ;", &Options { text_limit: 12, ..raw });
    assert_eq!((statement.text.as_str(), statement.cut), ("SELECT 'secr", Cut::Limit));
}

#[test]
fn a_backslash_in_front_of_a_quote_ends_what_is_shown_unless_its_meaning_is_known() {
    let shown = |dialect, backslash, raw: &str| read_by(Rules { dialect, backslash }, raw.as_bytes(), &Options::default()).text;
    let (either, only_plain, only_escape) = ("SELECT 'a\\\\', 'b\\c' FROM t", "SELECT 'a\\', b FROM t", "SELECT 'a\\', secret' FROM t");
    for dialect in [Dialect::Postgres, Dialect::MySql] {
        for backslash in [Backslash::Plain, Backslash::Escape, Backslash::Unknown] {
            assert_eq!(shown(dialect, backslash, either), "SELECT ?, ? FROM t");
        }
        assert_eq!(shown(dialect, Backslash::Plain, only_plain), "SELECT ?, b FROM t");
        assert_eq!(shown(dialect, Backslash::Escape, only_escape), "SELECT ? FROM t");
        for raw in [only_plain, only_escape] {
            assert_eq!(shown(dialect, Backslash::Unknown, raw), "SELECT ?");
        }
    }
    assert_eq!(shown(Dialect::Postgres, Backslash::Unknown, "SELECT E'a\\'b', c"), "SELECT ?, c");
}

proptest::proptest! {
    #[test]
    fn no_text_does_harm_and_no_string_comes_through(
        raw in "(SELECT|FROM|IN|VALUES|'secret'|'a''secret'|\\$\\$secret\\$\\$|/\\*secret\\*/|[(),.;*=$@\"`# é-]|[a-z]{1,3}| | 1secret ){0,40}",
    ) {
        for dialect in [Dialect::Postgres, Dialect::MySql] {
            let statement = read(dialect, &raw);
            proptest::prop_assert!(statement.digest.summary.len() <= 255);
        }
        if !raw.contains(['"', '`', '$', '#', '-']) && !raw.contains("/*") {
            proptest::prop_assert!(!read(Dialect::Postgres, &raw).text.contains("secret"), "{}", raw);
        }
    }

    /// Where the meaning of backslashes is not known, nothing is shown that either reading takes for a literal.
    #[test]
    fn no_literal_of_any_reading_is_shown(parts in proptest::collection::vec(r"'|''|\\|secret|a| |,|E'", 0..20)) {
        let raw = parts.concat();
        let words = |backslash| {
            let shown = read_by(Rules { dialect: Dialect::Postgres, backslash }, raw.as_bytes(), &Options::default()).text;
            shown.matches("secret").count()
        };
        let least = words(Backslash::Plain).min(words(Backslash::Escape));
        proptest::prop_assert!(words(Backslash::Unknown) <= least, "{}", raw);
    }

    #[test]
    fn arbitrary_bytes_are_read(raw in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        for rules in [POSTGRES, MYSQL, Rules { backslash: Backslash::Unknown, ..MYSQL }] {
            read_by(rules, &raw, &Options::default());
        }
    }
}
