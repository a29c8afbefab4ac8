"""A gate before an HTTP server that goes wrong in the ways that networks and stores do."""

from __future__ import annotations

import http.client
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["FaultyGate"]


class FaultyGate(ThreadingHTTPServer):
    """Passes requests on to a server, save where it has a fault.

    Args:
        place: the server's host and port.

    Attributes:
        fault: what goes wrong: with every part of a file, "stall", "cut" or "shorten"; with all parts but the first of each,
            "stall later"; with every request, "deny"; "" for nothing.
        ranges: the first byte of each part that was asked for, with the path.
        stalled: gets an item for each request that stalls.
    """

    daemon_threads = True

    def __init__(self, place):
        super().__init__(("127.0.0.1", 0), _Passage)
        self.place = place
        self.fault = ""
        self.ranges = []
        self.stalled = queue.SimpleQueue()
        self.opened = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever)

    @property
    def address(self):
        """Its own host and port."""
        return f"127.0.0.1:{self.server_port}"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.opened.set()
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request, client_address):
        """A client that is killed, or gives up, is part of the game."""


class _Passage(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _pass_on(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        part = self.headers.get("Range", "")
        start = int(part.removeprefix("bytes=").partition("-")[0] or 0)
        if part:
            self.server.ranges.append((self.path, start))
        if self.server.fault == "deny":
            self._answer(403, {}, b"<Error><Code>AccessDenied</Code></Error>")
            return
        if part and (self.server.fault == "stall" or (start and self.server.fault == "stall later")):
            self.server.stalled.put(self.path)
            self.server.opened.wait()
        server = http.client.HTTPConnection(self.server.place)
        server.request(self.command, self.path, body, dict(self.headers))
        answer = server.getresponse()
        content = answer.read()
        fault = self.server.fault if part and self.command == "GET" else ""
        self._answer(answer.status, dict(answer.getheaders()), content, fault)
        server.close()

    do_GET = do_HEAD = _pass_on  # noqa: N815 - the names that the library calls

    def _answer(self, status, headers, content, fault=""):
        content = content[: len(content) // 2] if fault == "shorten" else content
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in {"content-length", "transfer-encoding", "connection", "date", "server"}:
                self.send_header(name, value)
        self.send_header(
            "Content-Length", headers.get("Content-Length", "0") if self.command == "HEAD" else len(content)
        )
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if fault == "cut" else content)
        if fault == "cut":
            self.close_connection = True

    def log_message(self, *_):
        """Say nothing."""
