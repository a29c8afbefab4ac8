"""Large JSON that is sound: it is read beside the event loop, and only its own client waits for it."""

from __future__ import annotations

import http.client
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import orjson
import pytest
from charonia_frontend_http import json_access
from charonia_frontend_http.large_json import LARGE_JSON

PATIENCE_SECONDS = 30
ROW = [1.5] * LARGE_JSON
INFER = {"inputs": [{"name": "X", "datatype": "FP32", "shape": [1, len(ROW)], "data": ROW}]}
LARGE = {"infer": INFER, "predict": {"X": [ROW]}, "generate": {"X": ROW}}


class GatedParser:
    """A parser that reads large documents only when the gate is open."""

    JSONDecodeError = orjson.JSONDecodeError

    def __init__(self):
        self.entered, self.gate = threading.Event(), threading.Event()

    def loads(self, document):
        if len(document) > LARGE_JSON:
            self.entered.set()
            assert self.gate.wait(PATIENCE_SECONDS)
        return orjson.loads(document)


@pytest.fixture
def parser(monkeypatch):
    """Put the gate before the parser."""
    gated = GatedParser()
    monkeypatch.setattr(json_access, "orjson", gated)
    yield gated
    gated.gate.set()


def ask(port, target, document):
    """Ask, and give the status and what the answer says."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    client.request("POST", target, json.dumps(document))
    response = client.getresponse()
    told = response.status, response.read()
    client.close()
    return told


@pytest.mark.parametrize("operation", LARGE)
def test_large_document_holds_nobody_up(serve, parser, operation):
    """While it is read, others are answered; then it is, too."""
    port = serve()
    target = f"/v2/models/m/{operation}"
    with ThreadPoolExecutor(1) as other:
        large = other.submit(ask, port, target, LARGE[operation])
        assert parser.entered.wait(PATIENCE_SECONDS)
        small = {"inputs": [{"name": "X", "datatype": "FP32", "shape": [1, 1], "data": [2]}]}
        assert ask(port, "/v2/models/m/infer", small)[0] == 200
        parser.gate.set()
        status, told = large.result()
    assert status == 200
    assert told.count(b"1.5") == len(ROW)
