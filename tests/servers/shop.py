"""A web shop with a thread for each connection; each request asks a cache and a database: shop.py PORT REDIS_PORT PG_PORT."""
import http.server
import sys
import threading

import psycopg
import redis

PORT, CACHE, DATABASE = map(int, sys.argv[1:4])
own = threading.local()


def connections():
    if not hasattr(own, "pair"):
        own.pair = (
            redis.Redis(port=CACHE, single_connection_client=True),
            psycopg.connect(host="127.0.0.1", port=DATABASE, user="postgres", autocommit=True),
        )
    return own.pair


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        cache, database = connections()
        # The number says in the telemetry which request it is for; neither a command's name nor a table is a secret.
        number = int(self.path.rsplit("/", 1)[1])
        cache.execute_command("INCRBY", "visits", number)
        database.execute(f"SELECT 1 AS visit_{number}")
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n")

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


Server(("127.0.0.1", PORT), Handler).serve_forever()
