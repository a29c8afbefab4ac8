"""Exchanges recorded from the reference, replayed against this server over a real socket and compared field by field."""

from __future__ import annotations

import base64
import http.client
import json
import re
import sys
import threading
import zlib
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from charonia import Server, ServerOptions
from charonia.serving import serve_in_thread

HERE = Path(__file__).parent
MODELS = HERE / "model_repository"
sys.path.insert(0, str(HERE))

import recorded_memory  # noqa: E402 - the folder is no package
from differences import LONGER_TEXTS, ON_PURPOSE, STATUS_ON_PURPOSE, WAITING  # noqa: E402 - the folder is no package

FILES = {path.stem: recorded_memory.load(path) for path in sorted((HERE / "golden").glob("http_*.json"))}
RECORDINGS = [(topic, exchange) for topic, file in FILES.items() for exchange in file["exchanges"]]
FRONTEND_FLAGS = {"http-restricted-api", "http-header-forward-pattern"}
LATER_FLAGS = {"cache-config"}
"""Flags of the recordings that this server has not got yet."""


@pytest.fixture
def no_surviving_threads():
    """Let the threads of models live that one exchange loads and others ask; `address_of` sees to their end."""


@pytest.fixture(scope="module")
def address_of():
    """Serve the recordings' models, and tell where by topic; topics that were recorded with the same flags share a server."""
    addresses = {}
    before = set(threading.enumerate())
    with recorded_memory.objects(FILES.values()), ExitStack() as opened:

        def address(topic):
            flags = tuple(FILES[topic]["server_args"])
            if flags not in addresses:
                options, frontend = settings_of(flags)
                server = opened.enter_context(Server(MODELS, options=options))
                (url,) = opened.enter_context(
                    serve_in_thread(server, {"http-port": 0, "allow-grpc": False, **frontend})
                )
                addresses[flags] = (urlsplit(url).hostname, urlsplit(url).port)
            return addresses[flags]

        yield address
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("charonia-")]


def settings_of(flags):
    """Give the server's options and the frontend's that recorded flags stand for."""
    told = {}
    for flag in flags:
        name, _, value = flag.removeprefix("--").partition("=")
        told.setdefault(name, []).append(value)
    options = ServerOptions(
        model_control_mode=told.pop("model-control-mode")[0],
        load_model=told.pop("load-model", []),
        exit_on_error=told.pop("exit-on-error", ["true"]) == ["true"],
        allow_client_shm=True,  # as it was without being asked when the recordings were made
    )
    frontend = {name: "\n".join(values) for name, values in told.items()}  # as options that come several times are told
    unknown = {name for name in told if not name.startswith("grpc-")} - FRONTEND_FLAGS - LATER_FLAGS
    assert not unknown
    return options, {name: value for name, value in frontend.items() if name in FRONTEND_FLAGS}


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


def split(body, header_length, content_type):
    """Take a body apart into its JSON, as a value or the values of its events, and its binary tail."""
    if content_type.startswith("text/event-stream"):
        *events, end = body.decode().split("\n\n")
        assert all(event.startswith("data: ") for event in events)
        return [json.loads(event.removeprefix("data: ")) for event in events], end.encode()
    size = int(header_length) if header_length else len(body)
    return json.loads(body[:size].decode("utf-8", "surrogateescape") or "null"), body[size:]


def masked(value, volatile, path=""):
    """Put its type's name for each value whose path is volatile: its type must agree, and nothing else."""
    if any(re.search(pattern, path) for pattern in volatile):
        return type(value).__name__
    if isinstance(value, dict):
        return {name: masked(item, volatile, f"{path}/{name}") for name, item in value.items()}
    if isinstance(value, list):
        return [masked(item, volatile, f"{path}/{place}") for place, item in enumerate(value)]
    return value


def without_later_models(path, document):
    """Leave models out of an index, or of the statistics of all, that come into the repository with a later capability."""
    here = {model.name for model in MODELS.iterdir()}
    if path.endswith("/index") and isinstance(document, list):
        return [row for row in document if row["name"] in here]
    if path == "/v2/models/stats":
        return [row for row in document["model_stats"] if row["name"] in here]
    return document


@pytest.mark.parametrize(("topic", "exchange"), RECORDINGS, ids=[f"{topic}-{item['id']}" for topic, item in RECORDINGS])
def test_recorded_exchange(address_of, topic, exchange):
    """The answer has the recorded status, content type, JSON and binary data."""
    key = (topic, exchange["id"])
    if key in ON_PURPOSE or key in WAITING:
        pytest.skip(ON_PURPOSE.get(key) or f"waits for {WAITING[key]}")
    response, body = ask(address_of(topic), exchange["request"])
    recorded = exchange["response"]
    wanted, _ = STATUS_ON_PURPOSE.get(key, (expected_status(recorded), ""))
    assert response.status == wanted, body
    assert response.headers.get("content-type") == recorded["headers"].get("content-type")
    recorded_memory.check(exchange)
    if exchange["match"] == "status":
        return
    for name in ("content-encoding", "accept-encoding"):
        assert response.headers.get(name) == recorded["headers"].get(name)
    if response.headers.get("content-encoding"):  # recorded as it was before
        body = zlib.decompress(body, zlib.MAX_WBITS | (16 if response.headers["content-encoding"] == "gzip" else 0))
    length = recorded["headers"].get("inference-header-content-length")
    assert (response.headers.get("inference-header-content-length") is None) is (length is None)
    content_type = response.headers["content-type"]
    expected, expected_tail = split(body_of(recorded), length, content_type)
    told, tail = split(body, response.headers.get("inference-header-content-length"), content_type)
    assert tail == expected_tail
    told, expected = (
        masked(without_later_models(exchange["request"]["path"], document), exchange.get("volatile", ()))
        for document in (told, expected)
    )
    if key in LONGER_TEXTS:
        assert told["error"].startswith(expected["error"] + ": ")
    else:
        assert told == expected


def expected_status(recorded):
    """Give the status that is right here: an error about the form of the request, its JSON, types or members, is a 400."""
    text = recorded.get("body", {}).get("text", "")
    malformed = ("failed to parse the request JSON", "attempt to ", "Unable to parse", "unexpected error on creating")
    return 400 if recorded["status"] == 500 and any(words in text for words in malformed) else recorded["status"]


def test_every_difference_is_of_a_recording():
    """The list of differences names only what is recorded."""
    recorded = {(topic, exchange["id"]) for topic, exchange in RECORDINGS}
    listed = {*ON_PURPOSE, *STATUS_ON_PURPOSE, *LONGER_TEXTS, *WAITING}
    assert {key for key in listed if key[0].startswith("http")} <= recorded
