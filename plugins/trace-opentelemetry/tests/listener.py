"""What listens where messages are posted to, and a proxy on the way there."""

from __future__ import annotations

import gzip
import socket
import threading
import zlib
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["Listener", "Tunnel"]

_DECODERS = {None: bytes, "gzip": gzip.decompress, "deflate": zlib.decompress}


class _Listening(ThreadingHTTPServer):
    """Listens while its block lasts.

    Attributes:
        address: its host and port.
    """

    daemon_threads = False

    def __init__(self, handler):
        super().__init__(("127.0.0.1", 0), handler)
        self.address = f"127.0.0.1:{self.server_port}"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, *_):
        """Say nothing of connections that break."""


class Listener(_Listening):
    """Takes messages, and answers each as it is told to.

    Args:
        context: for TLS.

    Attributes:
        answers: what it answers, the next one first, as (status, header fields, body); then always 200, with no body.
        may_answer: whether it answers now.
        got: what it has got, as (number of the connection, target, header fields but for the length, body).
        silent: how many more messages it ends the connection after, without an answer.
        connections: how many there were.
    """

    def __init__(self, context=None):
        super().__init__(_Taking)
        self.answers = []
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.got = []
        self.silent = 0
        self.connections = 0
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_side=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Say nothing."""


class _Taking(_Handler):
    def setup(self):
        super().setup()
        self.server.connections += 1
        self.number = self.server.connections

    def do_POST(self):
        headers = dict(self.headers)
        body = self.rfile.read(int(headers.pop("Content-Length")))
        self.server.got.append((self.number, self.path, headers, _DECODERS[headers.get("Content-Encoding")](body)))
        if self.server.silent:
            self.server.silent -= 1
            self.close_connection = True
            return
        assert self.server.may_answer.wait(60)
        status, fields, content = self.server.answers.pop(0) if self.server.answers else (200, {}, b"")
        self.send_response(status)
        length = (
            {}
            if "Transfer-Encoding" in fields or status == HTTPStatus.NO_CONTENT
            else {"Content-Length": str(len(content))}
        )
        for name, value in (length | fields).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


class Tunnel(_Listening):
    """A proxy that makes ways to others.

    Attributes:
        asked: to whom it was asked to make one.
    """

    def __init__(self):
        super().__init__(_Tunnelling)
        self.asked = []


class _Tunnelling(_Handler):
    def do_CONNECT(self):
        self.server.asked.append(self.path)
        host, _, port = self.path.partition(":")
        with socket.create_connection((host, int(port))) as there:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=_pass_on, args=(there, self.connection))
            back.start()
            _pass_on(self.connection, there)
            back.join()
        self.close_connection = True


def _pass_on(source, target):
    with suppress(OSError):  # whoever is done first does not wait for the other
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
