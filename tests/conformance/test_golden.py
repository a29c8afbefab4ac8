"""Exchanges recorded from the reference, replayed against this server over a real socket and compared field by field."""

from __future__ import annotations

import base64
import http.client
import json
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from charonia import Server, ServerOptions
from charonia.serving import serve_in_thread

HERE = Path(__file__).parent
MODELS = HERE / "model_repository"
sys.path.insert(0, str(HERE))

from differences import ON_PURPOSE, WAITING  # noqa: E402 - the folder is no package

RECORDINGS = [
    (path.stem, exchange)
    for path in sorted((HERE / "golden").glob("http_*.json"))
    for exchange in json.loads(path.read_text())["exchanges"]
]


@pytest.fixture(scope="module")
def address():
    """Serve the recordings' models, with their flags, on a free port."""
    options = ServerOptions(model_control_mode="explicit", load_model=["*"], exit_on_error=False)
    with (
        Server(MODELS, options=options) as server,
        serve_in_thread(server, {"http-port": 0, "allow-grpc": False}) as (url,),
    ):
        parts = urlsplit(url)
        yield parts.hostname, parts.port


def body_of(message):
    """Give the bytes of a recorded body, with this repository's place in the texts that name the recorded one's."""
    body = message.get("body", {})
    return (
        base64.b64decode(body["base64"])
        if "base64" in body
        else body.get("text", "").replace("${REPO}", str(MODELS)).encode()
    )


def ask(address, request):
    """Send a recorded request as it was sent."""
    connection = http.client.HTTPConnection(*address, timeout=30)
    try:
        connection.putrequest(request["method"], request["path"], skip_accept_encoding=True)
        body = body_of(request)
        for name, value in request["headers"].items():
            connection.putheader(name, value)
        if body or request["method"] == "POST":
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body or None)
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def split(body, header_length):
    """Take a body apart into its JSON, as a value, and its binary tail."""
    size = int(header_length) if header_length else len(body)
    return json.loads(body[:size].decode("utf-8", "surrogateescape") or "null"), body[size:]


@pytest.mark.parametrize(("topic", "exchange"), RECORDINGS, ids=[f"{topic}-{item['id']}" for topic, item in RECORDINGS])
def test_recorded_exchange(address, topic, exchange):
    """The answer has the recorded status, content type, JSON and binary data."""
    key = (topic, exchange["id"])
    if key in ON_PURPOSE or key in WAITING:
        pytest.skip(ON_PURPOSE.get(key) or f"waits for {WAITING[key]}")
    response, body = ask(address, exchange["request"])
    recorded = exchange["response"]
    expected_status = recorded["status"]
    if expected_status == 500 and is_malformed(recorded):
        expected_status = 400
    assert response.status == expected_status, body
    assert response.headers.get("content-type") == recorded["headers"].get("content-type")
    if exchange["match"] == "status":
        return
    length = recorded["headers"].get("inference-header-content-length")
    assert (response.headers.get("inference-header-content-length") is None) is (length is None)
    expected, expected_tail = split(body_of(recorded), length)
    told, tail = split(body, response.headers.get("inference-header-content-length"))
    assert told == expected
    assert tail == expected_tail


def is_malformed(recorded):
    """Tell whether an error of the reference is about the form of the request: its JSON, its types, its members."""
    text = recorded.get("body", {}).get("text", "")
    return any(words in text for words in ("failed to parse the request JSON", "attempt to ", "Unable to parse"))


def test_every_difference_is_of_a_recording():
    """The list of differences names only what is recorded."""
    recorded = {(topic, exchange["id"]) for topic, exchange in RECORDINGS}
    assert {key for key in {**ON_PURPOSE, **WAITING} if key[0].startswith("http")} <= recorded
