"""A server that logs each request and answers when told: logging_server.py ADDRESS PORT DIRECTORY single|threads.

A request of /NAME is answered once DIRECTORY/NAME exists; a second line follows when DIRECTORY/NAME.again does.
"""
import http.server
import os
import sys
import time

ADDRESS, PORT, DIRECTORY, MODE = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]


def wait_for(name):
    while not os.path.exists(os.path.join(DIRECTORY, name)):
        time.sleep(0.01)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path[1:]
        print(f"serving {name} first", flush=True)
        wait_for(name + ".again")
        print(f"serving {name} again", flush=True)
        wait_for(name)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


servers = {"single": http.server.HTTPServer, "threads": http.server.ThreadingHTTPServer}
servers[MODE]((ADDRESS, PORT), Handler).serve_forever()
