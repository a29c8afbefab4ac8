"""`charonia models` and `charonia infer`: what they say when the other side is not there, or not what they expect."""

from __future__ import annotations

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest

METADATA = {"name": "m", "inputs": [{"name": "INPUT0", "datatype": "FP32", "shape": [-1, 2]}]}


@pytest.fixture
def answering():
    """Run an HTTP server that gives canned answers: `answering({"GET /v2/models/m": (200, document)})` gives its URL."""
    servers = []

    def serve(answers):
        asked = []

        class Handler(BaseHTTPRequestHandler):
            def answer(self):
                content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                asked.append((f"{self.command} {self.path}", dict(self.headers), content))
                status, document = answers[f"{self.command} {self.path}"]
                body = document if isinstance(document, bytes) else json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = answer  # noqa: N815 - the names that http.server calls

            def log_message(self, *_):
                """Say nothing."""

        server = HTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}", asked

    yield serve
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("words", [["models"], ["infer", "m", "x=1"]])
def test_nobody_there(charonia, words):
    """The reader learns that no server is reached, where, and which flag says so; the exit code is 3."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))  # taken, but nobody listens
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        result = charonia(*words, "--url", url)
    assert result.exit_code == 3
    assert f"no server can be reached at {url}: Connection refused. Is it running? --url says where" in result.stderr


def test_a_server_that_does_not_answer(charonia):
    """Waiting has an end, which is told with its length."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        result = charonia("models", "--timeout=0.05", "--url", f"127.0.0.1:{silent.getsockname()[1]}")
    assert result.exit_code == 3
    assert "no answer within 0.05 s" in result.stderr


def test_a_port_that_speaks_no_http(charonia):
    """Nothing of what came is shown; the reader learns which ports are likely to do so."""

    def answer(door):
        with door.accept()[0] as client:
            client.recv(1)
            client.sendall(b"\0\0\x18\4\0\0\0\0\0\n")

    with socket.create_server(("127.0.0.1", 0)) as door:
        thread = threading.Thread(target=answer, args=(door,))
        thread.start()
        result = charonia("models", "--url", f"127.0.0.1:{door.getsockname()[1]}")
        thread.join()
    assert result.exit_code == 3
    assert (
        ": what answers there speaks no HTTP: it may be the port for gRPC, or one that wants https://. Is it"
        in result.stderr
    )


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "http://", "http://127.0.0.1:port"])
def test_what_is_no_url(charonia, url):
    """A URL that cannot be one is a mistake of usage."""
    result = charonia("models", "--url", url)
    assert result.exit_code == 2
    assert "--url" in result.stderr


@pytest.mark.parametrize(
    ("status", "document", "message"),
    [
        (
            404,
            {"error": "Request for unknown model: 'm' is not found"},
            "answered 404 Not Found: Request for unknown model",
        ),
        (200, b"<html>", "with what is no JSON: is it a server of the v2 inference protocol?"),
        (500, b"oops", "answered 500 Internal Server Error with what is no JSON"),
        (200, {"name": "m"}, "the model's metadata cannot be read: KeyError: 'inputs'"),
        (200, [], "the model's metadata cannot be read"),
    ],
)
def test_an_answer_that_is_an_error(charonia, answering, status, document, message):
    """The server's own words are passed on, and what is no answer of the protocol is told as that; the exit code is 4."""
    url, _ = answering({"GET /v2/models/m": (status, document)})
    result = charonia("infer", "m", "x=1", "--url", url)
    assert result.exit_code == 4
    assert message in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["INPUT0"], "'INPUT0' is no input: write NAME=VALUE. m takes: INPUT0 (FP32 [-1, 2])."),
        (["INPUT=1"], "The model 'm' has no input 'INPUT'. Did you mean 'INPUT0'?"),
        (["INPUT0=[1,2]", "INPUT0=[1,2]"], "The input 'INPUT0' is given twice."),
        ([], "Give the inputs as NAME=VALUE. m takes: INPUT0"),
        (["INPUT0=x"], "Invalid value for 'INPUT0': 'x' is no FP32 value"),
    ],
)
def test_wrong_inputs_are_told_before_they_are_sent(charonia, answering, words, message):
    """What can be known from the model's metadata is a mistake of usage, with what the model takes."""
    url, asked = answering({"GET /v2/models/m": (200, METADATA)})
    result = charonia("infer", "m", *words, "--url", url)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(asked) == 1


def test_a_request_and_its_answer(charonia, answering):
    """The inputs go out in binary, to the version that was asked for, and the outputs are printed."""
    answer = {
        "model_name": "m",
        "model_version": "3",
        "outputs": [{"name": "OUTPUT0", "datatype": "INT64", "shape": [1, 2], "data": [5, 6]}],
    }
    path = "/v2/models/a%20m/versions/3"
    url, asked = answering({f"GET {path}": (200, METADATA), f"POST {path}/infer": (200, answer)})
    words = ["infer", "a m", "INPUT0=[1,2]", "--version=3", "--output=OUTPUT0", "--url", url]
    assert charonia(*words).stdout == "OUTPUT0  INT64 [1, 2]\n[[5, 6]]\n"
    assert json.loads(charonia(*words, "--json").stdout) == answer
    _, headers, content = asked[1]
    length = int(headers["Inference-Header-Content-Length"])
    document = json.loads(content[:length])
    assert document["inputs"][0]["shape"] == [1, 2]
    assert document["outputs"][0]["name"] == "OUTPUT0"
    assert np.frombuffer(content[length:], np.float32).tolist() == [1, 2]


def test_the_index_as_a_table_and_as_json(charonia, answering):
    """Every model has a row with its state, and why it is not available below."""
    rows = [
        {"name": "a", "version": "1", "state": "READY"},
        {"name": "b", "state": "UNAVAILABLE", "reason": "broken"},
        {"name": "c"},
    ]
    url, _ = answering({"POST /v2/repository/index": (200, rows)})
    table = [line.split() for line in charonia("models", "--url", url).stdout.splitlines()]
    assert table[2:5] == [["a", "1", "READY"], ["b", "-", "UNAVAILABLE"], ["c", "-", "not", "loaded"]]
    assert table[-1] == ["b:", "broken"]
    assert json.loads(charonia("models", "--json", env={"CHARONIA_MODELS_URL": url}).stdout) == rows


@pytest.mark.parametrize(
    ("document", "code", "said"), [([], 0, "The server has no models."), ({"a": 1}, 4, "no index of models")]
)
def test_an_index_that_is_empty_or_none(charonia, answering, document, code, said):
    """No models is an answer; something else is not."""
    url, _ = answering({"POST /v2/repository/index": (200, document)})
    result = charonia("models", "--url", url)
    assert result.exit_code == code
    assert said in result.output
