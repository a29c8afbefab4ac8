"""A gate before an HTTP server that goes wrong in the ways that networks and stores do."""

from __future__ import annotations

import http.client
import queue
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

__all__ = ["FaultyGate"]

_KEPT = {"content-length", "transfer-encoding", "connection", "date", "server"}
"""Headers of an answer that are the gate's own business."""


class FaultyGate(ThreadingHTTPServer):
    """Passes requests on to a server, save where it has a fault. It runs while its block lasts.

    Args:
        place: the server's host and port.

    Attributes:
        fault: what goes wrong: with every part of a file, "stall", "cut" or "shorten"; with all parts but the first of each,
            "stall later"; with every request, "deny" or "vanish", as if the server were gone; "" for nothing.
        parts: the path of each part of a file that was asked for, with its first byte.
        stalled: gets an item for each request that stalls.
    """

    daemon_threads = True

    def __init__(self, place: str) -> None:
        super().__init__(("127.0.0.1", 0), _Passage)
        self.place = place
        self.fault = ""
        self.parts: list[tuple[str, int]] = []
        self.stalled: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._opened = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever)

    @property
    def address(self) -> str:
        """Its own host and port."""
        return f"127.0.0.1:{self.server_port}"

    def open(self) -> None:
        """Have no fault, and let requests go on that have stalled."""
        self.fault = ""
        self._opened.set()

    def wait_open(self) -> None:
        """Stall until `open` is called."""
        self._opened.wait()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.open()
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that is killed, or gives up, is part of the game."""


class _Passage(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyGate

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        part = self.headers.get("Range") or self.headers.get("x-ms-range") or ""
        start = int((re.match(r"bytes=(\d+)", part) or ["", "0"])[1])
        if part:
            self.server.parts.append((self.path, start))
        fault = self.server.fault
        if fault == "vanish":
            self.close_connection = True
            return
        if fault == "deny":
            self._answer(403, {}, b"<Error><Code>AccessDenied</Code></Error>")
            return
        if part and (fault == "stall" or (start and fault == "stall later")):
            self.server.stalled.put(self.path)
            self.server.wait_open()
        self._pass_on(body, self.server.fault if part and self.command == "GET" else "")

    do_HEAD = do_GET  # noqa: N815 - likewise

    def _pass_on(self, body: bytes, fault: str) -> None:
        server = http.client.HTTPConnection(self.server.place)
        try:
            server.request(self.command, self.path, body, dict(self.headers))
            answer = server.getresponse()
            content = answer.read()
            self._answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, content, fault)
        finally:
            server.close()

    def _answer(self, status: int, headers: Mapping[str, str], content: bytes, fault: str = "") -> None:
        content = content[: len(content) // 2] if fault == "shorten" else content
        self.send_response(status)
        for name, value in headers.items():
            if name not in _KEPT:
                self.send_header(name, value)
        told = headers.get("content-length", "0") if self.command == "HEAD" else str(len(content))
        self.send_header("Content-Length", told)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if fault == "cut" else content)
        if fault == "cut":
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's word
        """Say nothing."""
