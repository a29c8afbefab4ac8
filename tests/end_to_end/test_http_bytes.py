"""Bytes that no client would send, and clients that do not behave, against a live HTTP server.

No request is answered with 500, none that is complete stays without an answer, and nothing is in progress when all clients are gone.
"""

from __future__ import annotations

import http.client
import io
import itertools
import json
import socket
import struct

import numpy as np
import pytest
from charonia import Server
from charonia.serving import serve_in_thread
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, rule, run_state_machine_as_test

PATIENCE = 20
INFER = "/v2/models/fp32/infer"
TENSOR = {"name": "X", "shape": [1, 3], "datatype": "FP32"}
JSON_BODY = json.dumps({"id": "fuzz", "inputs": [TENSOR | {"data": [1, 2, 3]}]}).encode()
BINARY_HEAD = json.dumps({"inputs": [TENSOR | {"parameters": {"binary_data_size": 12}}]}).encode()
BINARY_BODY = BINARY_HEAD + np.array([1, 2, 3], np.float32).tobytes()
RESET = struct.pack("ii", 1, 0)  # linger for no time: closing sends a reset


def framed(method, target, body, headers=(), *, chunked=False):
    """Write a request whose end is beyond doubt, whatever else is in it."""
    lines = [f"{method} {target} HTTP/1.1".encode("latin-1"), b"Host: localhost"]
    lines += [f"{name}: {value}".encode("latin-1") for name, value in headers]
    lines.append(b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(body))
    if chunked:
        parts = [body[start : start + 37] for start in range(0, len(body), 37)]
        body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


METHODS = st.sampled_from(["POST"] * 8 + ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"])
SAFE = st.text(st.sampled_from("abcXYZ019-_.~%/?&=:@!$'()*+,;"), max_size=20)
TARGETS = st.one_of(
    st.sampled_from(
        [INFER] * 6 + ["/v2/models/fp32/generate", "/v2/models/fp32/generate_stream", "/v2/models/fp32/predict"]
    ),
    st.sampled_from(["/v2", "/v2/models/fp32", "/v2/models/fp32/versions/1/infer", "/v2/models/stats", "/", "*"]),
    st.sampled_from(["/v2/repository/index", "/v2/repository/models/fp32/load", "/v2/systemsharedmemory/unregister"]),
    SAFE.map("/v2/models/{}/infer".format),
    SAFE.map("/{}".format),
)
FIELD_NAMES = st.sampled_from(
    ["Inference-Header-Content-Length"] * 4
    + ["Content-Type", "Content-Encoding", "Accept", "Accept-Encoding", "Origin", "X-A"]
)
FIELD_VALUES = st.one_of(
    st.integers(-3, 300).map(str),
    st.sampled_from(["9" * 30, "-1", "1e3", "0x10", "", "gzip", "deflate", "br", "gzip, br", "identity;q=0", "*/*"]),
    st.sampled_from(["application/json", "application/x-npy", "multipart/form-data", "text/event-stream", "a" * 300]),
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF, blacklist_characters="\x7f"), max_size=20),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**65), 2**65) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.dictionaries(st.sampled_from(["name", "shape", "datatype", "data", "parameters"]), VALUES)
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "id": VALUES,
        "inputs": st.lists(FIELDS.map(lambda fields: TENSOR | {"data": [1, 2, 3]} | fields), max_size=2) | VALUES,
        "outputs": st.lists(FIELDS.map(lambda fields: {"name": "Y"} | fields), max_size=2) | VALUES,
        "parameters": VALUES,
    },
)


@st.composite
def damaged(draw, originals):
    """Take something right, and cut out, put in or change some bytes."""
    body = bytearray(draw(originals))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(body)))
        body[start : start + draw(st.integers(0, 4))] = draw(st.binary(max_size=4))
    return bytes(body)


RIGHT = st.sampled_from([JSON_BODY, BINARY_BODY])
BODIES = st.one_of(
    RIGHT,
    damaged(RIGHT),
    st.binary(max_size=200),
    DOCUMENTS.map(lambda document: json.dumps(document).encode()),
    st.integers(1, 5_000).map(lambda depth: b'{"inputs":' + b"[" * depth),
)
REQUESTS = st.tuples(
    METHODS, TARGETS, BODIES, st.lists(st.tuples(FIELD_NAMES, FIELD_VALUES), max_size=3), st.booleans()
)
VALID = framed("POST", INFER, JSON_BODY)


class Incoming(io.BufferedReader):
    """What arrives on a connection, for one response after the other: each believes that it has a file of its own to close."""

    def makefile(self, mode):
        return self

    def close(self):
        pass


class Client:
    """A connection, opened anew where the server has closed it."""

    def __init__(self, port):
        self._port = port
        self.socket = None

    def send(self, content):
        if self.socket is None:
            self.socket = socket.create_connection(("127.0.0.1", self._port), PATIENCE)
            self._incoming = Incoming(socket.SocketIO(self.socket, "r"))
        self.socket.sendall(content)

    def receive(self, method="POST"):
        """Read one response; gives its status and body."""
        response = http.client.HTTPResponse(self._incoming, method=method)
        response.begin()
        body = response.read()
        if response.will_close:
            self.close()
        response.close()
        return response.status, body

    def close(self, *, reset=False):
        if self.socket is not None:
            if reset:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self.socket.close()
            self.socket = None


class HttpClients(RuleBasedStateMachine):
    """Clients that come, send anything at all, read or do not read, and go."""

    port = 0
    clients = Bundle("clients")

    def __init__(self):
        super().__init__()
        self._all = []

    @rule(target=clients)
    def come(self):
        self._all.append(Client(self.port))
        return self._all[-1]

    @rule(client=clients, request=REQUESTS)
    def ask(self, client, request):
        """A request that is complete is answered, and never with 500."""
        method, target, body, headers, chunked = request
        client.send(framed(method, target, body, headers, chunked=chunked))
        status, _ = client.receive(method)
        assert status < 600
        assert status != 500

    @rule(client=clients, count=st.integers(1, 5), cuts=st.lists(st.integers(1, 5 * len(VALID)), max_size=4))
    def ask_one_after_the_other(self, client, count, cuts):
        """Requests that arrive at once, or in any pieces, are all answered, in their order."""
        bodies = [JSON_BODY.replace(b"fuzz", b"%04d" % number) for number in range(count)]
        content = b"".join(framed("POST", INFER, body) for body in bodies)
        edges = [0, *sorted(cuts), len(content)]
        for start, end in itertools.pairwise(edges):
            client.send(content[start:end])
        for number in range(count):
            status, body = client.receive()
            answer = json.loads(body)
            assert (status, answer["id"], answer["outputs"][0]["data"]) == (200, f"{number:04}", [1, 2, 3])

    @rule(client=consumes(clients), content=st.binary(min_size=1, max_size=100) | damaged(st.just(VALID)))
    def send_anything(self, client, content):
        """Whatever comes back from bytes that may be no request, it is no 500; then the client has said all, and the server closes."""
        try:
            client.send(content)
            client.socket.shutdown(socket.SHUT_WR)
            received = b"".join(iter(lambda: client.socket.recv(65_536), b""))
        except TimeoutError:
            raise
        except OSError:
            pass  # the server closed before it had read everything
        else:
            assert received[:8] in (b"", b"HTTP/1.1", b"HTTP/1.0")
            assert received[9:12] != b"500"
        client.close()

    @rule(client=consumes(clients), part=st.integers(0, len(VALID)), reset=st.booleans())
    def leave(self, client, part, reset):
        """A client goes away in the middle of its request, or without reading the answer."""
        client.send(VALID[:part])
        client.close(reset=reset)

    def teardown(self):
        for client in self._all:
            client.close()
        last = Client(self.port)
        last.send(VALID)
        assert last.receive()[0] == 200
        last.close()


@pytest.fixture
def server(tmp_path, save_identity):
    """Serve one model; at the end, nothing that any client has asked is still in progress."""
    save_identity(tmp_path, "fp32")
    with Server(tmp_path) as server:
        with serve_in_thread(server, {"http-port": 0, "allow-grpc": False}) as (url,):
            yield server, int(url.rpartition(":")[2])
        assert server.close(), "requests of clients that have gone are still in progress"


def test_clients_of_any_manners_leave_nothing_behind(server):
    """Every complete request is answered, none with 500, and afterwards the server has nothing left to do."""
    HttpClients.port = server[1]
    run_state_machine_as_test(
        HttpClients,
        settings=settings(
            max_examples=60,
            stateful_step_count=15,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


def smuggling(*lines, body=b""):
    return b"\r\n".join([b"POST " + INFER.encode() + b" HTTP/1.1", b"Host: a", *lines]) + b"\r\n\r\n" + body


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(
            smuggling(b"Content-Length: 4", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), id="two-framings"
        ),
        pytest.param(smuggling(b"Content-Length: 4", b"Content-Length: 5", body=b"abcd"), id="two-lengths"),
        pytest.param(smuggling(b"Content-Length: -1"), id="negative-length"),
        pytest.param(smuggling(b"Content-Length: +4", body=b"abcd"), id="signed-length"),
        pytest.param(smuggling(b"Content-Length: 4_0", body=b"abcd"), id="underscore-in-length"),
        pytest.param(smuggling(b"Content-Length: 0x4", body=b"abcd"), id="hexadecimal-length"),
        pytest.param(smuggling(b"Content-Length: " + b"9" * 40, body=b"abcd"), id="absurd-length"),
        pytest.param(smuggling(b"Content-Length : 4", body=b"abcd"), id="space-before-colon"),
        pytest.param(smuggling(b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n"), id="chunked-not-last"),
        pytest.param(smuggling(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"), id="unknown-transfer-encoding"),
        pytest.param(smuggling(b"Transfer-Encoding: chunked", body=b"-1\r\n\r\n0\r\n\r\n"), id="negative-chunk"),
        pytest.param(smuggling(b"Transfer-Encoding: chunked", body=b"1_0\r\n\r\n0\r\n\r\n"), id="underscore-in-chunk"),
        pytest.param(smuggling(b"Transfer-Encoding: chunked", body=b"f" * 40 + b"\r\n\r\n"), id="absurd-chunk"),
        pytest.param(
            smuggling(b"Transfer-Encoding: chunked", body=b"1\r\nabc\r\n0\r\n\r\n"), id="chunk-longer-than-told"
        ),
        pytest.param(smuggling(b"X: a\0b", b"Content-Length: 0"), id="NUL-in-field"),
        pytest.param(smuggling(b"X\0: a", b"Content-Length: 0"), id="NUL-in-field-name"),
        pytest.param(smuggling(b"X: a", b" folded", b"Content-Length: 0"), id="folded-field"),
        pytest.param(smuggling(b"no colon", b"Content-Length: 0"), id="no-colon"),
    ],
)
def test_a_request_whose_end_is_in_doubt_is_refused(server, content):
    """It is answered once, with 400, and the connection closed, so that no second request is seen in what follows."""
    client = Client(server[1])
    client.send(content + VALID)
    with client.socket.makefile("rb") as stream:
        received = stream.read()
    client.close()
    assert received.startswith(b"HTTP/1.1 400 "), received
    assert received.count(b"HTTP/1.1") == 1, received
