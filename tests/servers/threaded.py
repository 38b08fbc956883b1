"""A server with a thread for each connection that asks another server before it answers: threaded.py PORT UPSTREAM [deferred].

`deferred`: a connection is accepted with its first request (TCP_DEFER_ACCEPT)."""
import http.server
import socket
import sys
import urllib.request

PORT, UPSTREAM = int(sys.argv[1]), sys.argv[2]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        with urllib.request.urlopen(UPSTREAM + self.path) as answer:
            body = answer.read()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


server = Server(("127.0.0.1", PORT), Handler)
if "deferred" in sys.argv[3:]:
    server.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 5)
server.serve_forever()
