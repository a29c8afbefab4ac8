"""Recorded exchanges over HTTP: sending their requests, and comparing answers with theirs."""

from __future__ import annotations

import base64
import http.client
import json
import re
import zlib

import recorded_memory
from recordings import MODELS


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


def body_of(message):
    """Give the bytes of a recorded body, with this repository's place in the texts that name the recorded one's."""
    body = message.get("body", {})
    return (
        base64.b64decode(body["base64"])
        if "base64" in body
        else body.get("text", "").replace("${REPO}", str(MODELS)).encode()
    )


def check(exchange, answer, *, status, models=None, longer_text=False):
    """Compare an answer with the recorded one: status, content type, JSON and binary data.

    Args:
        exchange: what was recorded.
        answer: the response, and the bytes of its body.
        status: the status that is right here.
        models: those whose rows are compared in an index and in the statistics of all; None means all.
        longer_text: the error may go on where the recorded one ends.
    """
    response, body = answer
    recorded = exchange["response"]
    assert response.status == status, body
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
        masked(rows_of(models, exchange["request"]["path"], in_common(document)), exchange.get("volatile", ()))
        for document in (told, expected)
    )
    if longer_text:
        assert told["error"].startswith(expected["error"] + ": ")
    else:
        assert told == expected


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


def in_common(document):
    """Leave out what only this server tells in an index or in statistics: why batches were closed, and how much memory models take.

    The reference has a place for the latter in the statistics, in which its Python backend says nothing.
    """
    rows = document.get("model_stats", []) if isinstance(document, dict) else document
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict):
            row.pop("host_byte_size", None)
            row.pop("batch_reasons", None)
            if "memory_usage" in row:
                row["memory_usage"] = []
    return document


def rows_of(models, path, document):
    """Keep the rows of some models in an index, or in the statistics of all."""
    if models is None:
        return document
    if path.endswith("/index") and isinstance(document, list):
        return [row for row in document if row["name"] in models]
    if path == "/v2/models/stats":
        return [row for row in document["model_stats"] if row["name"] in models]
    return document
