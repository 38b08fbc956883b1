"""Memcached by pymemcache (text), bmemcached (binary) and a socket (meta): memcached_clients.py PORT."""
import socket
import sys

import bmemcached
from agent import wait_for_agent
from pymemcache.client.base import Client

PORT = int(sys.argv[1])
old = Client(("127.0.0.1", PORT), default_noreply=False)
old.set("old", "hush")
meta = socket.create_connection(("127.0.0.1", PORT))
wait_for_agent()

old.get("old")
text = Client(("127.0.0.1", PORT), default_noreply=False)
for number in range(5):
    text.set(f"user:{number}", "hush")
text.get("user:1")
text.get("none")
text.get_many([f"user:{number}" for number in range(10)])
text.set("quiet", "hush", noreply=True)
text.set("big", "h" * 900_000)
assert len(text.get("big")) == 900_000
text.set("count", "1")
text.incr("count", 2)
text.delete("none")
try:
    text.incr("user:1", 1)
    raise AssertionError("no error")
except Exception as error:
    assert "non-numeric" in str(error), error
text.close()


def ask(request, answer):
    meta.sendall(request)
    got = b""
    while len(got) < len(answer):
        got += meta.recv(4)
    assert got == answer, got


ask(b"ms m:1 4\r\nhush\r\n", b"HD\r\n")
ask(b"mg m:1 v\r\n", b"VA 4\r\nhush\r\n")
# Quiet commands say nothing about misses; the one behind them tells that they are done.
ask(b"mg m:2 v q\r\nmg m:1 v q\r\nmn\r\n", b"VA 4\r\nhush\r\nMN\r\n")
ask(b"md m:1\r\n", b"HD\r\n")

binary = bmemcached.Client((f"127.0.0.1:{PORT}",))
binary.set("b:1", "hush")
binary.get("b:1")
binary.get("b:2")
binary.delete("b:1")
binary.disconnect_all()
