"""Sends every message back: websocket_server.py PORT."""
import sys

from websockets.sync.server import serve


def echo(socket):
    for message in socket:
        socket.send(message)


serve(echo, "127.0.0.1", int(sys.argv[1]), compression=None).serve_forever()
