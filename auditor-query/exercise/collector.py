"""Where what was stolen goes: prints how many bytes came."""

import json
from http.server import BaseHTTPRequestHandler, HTTPServer


def say(**what):
    print(json.dumps(what), flush=True)


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *words):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()
        say(stage="received", bytes=len(body))


server = HTTPServer(("127.0.0.1", 0), Handler)
say(stage="listening", port=server.server_port)
server.serve_forever()
