"""A collector of OpenTelemetry's over HTTP that forgets what it gets, in a process of its own."""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from benchmarks.process import ServerProcess, free_port

__all__ = ["SpanCollector"]

_READY = "the collector listens"


class SpanCollector(ServerProcess):
    """A running collector.

    Attributes:
        url: where it takes spans.
    """

    def __init__(self) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}/v1/traces"
        super().__init__("the collector", [sys.executable, "-m", __name__, str(port)], port, _READY)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Take what comes."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    """Listen on the port of the command line until the process is ended."""
    with ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), _Handler) as server:
        sys.stdout.write(f"{_READY}\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    main()
