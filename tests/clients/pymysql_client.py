"""MariaDB by PyMySQL: pymysql_client.py PORT."""
import sys
import tempfile

import pymysql
from agent import wait_for_agent


def connect():
    return pymysql.connect(
        host="127.0.0.1", port=int(sys.argv[1]), user="root", database="shop", autocommit=True, local_infile=True,
        client_flag=pymysql.constants.CLIENT.MULTI_STATEMENTS,
    )


def run(connection, statement, arguments=None):
    with connection.cursor() as cursor:
        cursor.execute(statement, arguments)
        while cursor.nextset():
            pass


def fails(connection, statement):
    try:
        run(connection, statement)
    except pymysql.Error:
        return
    raise AssertionError(statement)


old = connect()
run(old, "CREATE TABLE item (id int PRIMARY KEY, name longtext)")
wait_for_agent()

run(old, "INSERT INTO item VALUES (1, 'hush'), (2, 'hush')")
new = connect()
run(new, "SELECT name FROM item WHERE id = %s", [1])
fails(new, "SELECT * FROM missing")
fails(new, "INSERT INTO item VALUES (1, 'hush')")
new.begin()
run(new, "UPDATE item SET name = %s WHERE id = 1", ["hush"])
new.rollback()
new.ping()
run(new, "SELECT 1; SELECT name FROM item WHERE name = 'hush'")
with tempfile.NamedTemporaryFile("w") as rows:
    rows.writelines(f"{number}\thush\n" for number in range(100, 200))
    rows.flush()
    run(new, f"LOAD DATA LOCAL INFILE '{rows.name}' INTO TABLE item")
# Longer than any capture, and longer than a packet may be.
run(new, "INSERT INTO item VALUES (6, %s)", ["hush" * 50_000])
run(new, "INSERT INTO item VALUES (7, %s)", ["hush" * 4_300_000])
run(new, "SELECT id, name FROM item")
run(new, "DELETE FROM item WHERE id > 99")
new.close()
