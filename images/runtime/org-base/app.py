"""Says which Python it runs with, and which of the organisation's packages."""

import json
import platform
import signal
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg2
import requests
import yaml

ABOUT = {
    "python": platform.python_version(),
    "ssl": ssl.OPENSSL_VERSION,
    "psycopg2": psycopg2.__version__,
    "libpq": psycopg2.__libpq_version__,
    "requests": requests.__version__,
    "libyaml": yaml.__with_libyaml__,
}


class About(BaseHTTPRequestHandler):
    def do_GET(self):
        answer = json.dumps(ABOUT).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


signal.signal(signal.SIGTERM, lambda *_: sys.exit())
ThreadingHTTPServer(("0.0.0.0", 8080), About).serve_forever()
