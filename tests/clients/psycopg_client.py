"""PostgreSQL by psycopg (libpq): psycopg_client.py PORT."""
import sys

import psycopg
from agent import wait_for_agent

FIND = "SELECT name FROM item WHERE id = %s"


def connect():
    return psycopg.connect(host="127.0.0.1", port=int(sys.argv[1]), user="postgres", autocommit=True)


def fails(connection, statement):
    try:
        connection.execute(statement)
    except psycopg.Error:
        return
    raise AssertionError(statement)


old = connect()
old.execute("CREATE TABLE item (id int PRIMARY KEY, name text)")
old.execute(FIND, [1], prepare=True)
wait_for_agent()

# Prepared before the agent came.
old.execute(FIND, [1], prepare=True)
old.execute("INSERT INTO item VALUES (1, 'hush'), (2, 'hush')")

new = connect()
# Simple, extended, prepared, and what is prepared already.
new.execute("SELECT count(*) FROM item WHERE name = 'hush'")
new.execute(FIND, [1])
new.execute(FIND, [2], prepare=True)
new.execute(FIND, [7], prepare=True)
fails(new, "SELECT * FROM missing")
fails(new, "INSERT INTO item VALUES (1, 'hush')")
with new.transaction():
    new.execute("UPDATE item SET name = %s WHERE id = 1", ["hush"])
with new.pipeline():
    for number in range(3):
        new.execute("DELETE FROM item WHERE id = %s", [100 + number], prepare=False)
with new.cursor().copy("COPY item FROM STDIN") as copy:
    for number in range(20, 30):
        copy.write_row((number, "hush" * 2000))
with new.cursor().copy("COPY item TO STDOUT") as copy:
    assert len(list(copy.rows())) == 12
# Longer than any capture.
new.execute("INSERT INTO item VALUES (6, '" + "hush" * 50_000 + "')")
assert new.execute("SELECT id, name FROM item").rowcount == 13

# Something that comes while nobody asks.
listener = connect()
listener.execute("LISTEN orders")
new.execute("NOTIFY orders, 'hush'")
assert len(list(listener.notifies(timeout=60, stop_after=1))) == 1
listener.execute("UNLISTEN orders")
