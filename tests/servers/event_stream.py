"""Server-sent events: `/events/N` sends N events and ends; `/forever/N` sends one, N more after somebody asked for `/go`,
and stays open. `/empty` answers with nothing: event_stream.py PORT."""
import http.server
import sys
import threading

go = threading.Event()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path in ("/go", "/empty"):
            if self.path == "/go":
                go.set()
            self.send_response(204)
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        count = int(self.path.rsplit("/", 1)[1])
        if self.path.startswith("/events/"):
            self.events(count)
            self.chunk("")
            return
        self.events(1)
        go.wait()
        self.events(count)
        self.rfile.read(1)

    def events(self, count):
        for number in range(count):
            self.chunk(f"id: {number}\nevent: order\n")
            self.chunk("data: hush\n\n")

    def chunk(self, text):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(text), text.encode()))

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
