"""A shop of one page: each visit asks the stock service, and now and then fails. It knows nothing of tracing."""

import random
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from sys import argv


class Shop(BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            with urllib.request.urlopen(f"{STOCK}/items/{random.randrange(3)}.json", timeout=5) as answer:
                self.answer(200, answer.read())
        except urllib.error.HTTPError as error:
            self.answer(502, f"the stock service said {error.code}\n".encode())

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


PORT, STOCK = int(argv[1]), argv[2]
ThreadingHTTPServer(("", PORT), Shop).serve_forever()
