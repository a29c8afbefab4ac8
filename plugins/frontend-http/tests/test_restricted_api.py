"""Parts of the protocol that ask for a header, and headers that go on to the model."""

from __future__ import annotations

import asyncio
import json

import charonia_frontend_http
import numpy as np
import pytest
from charonia import Server
from charonia.errors import CharoniaError
from charonia.header_forwarding import HeaderForwarding
from charonia.http_message import HttpRequest, RequestHead, settled
from charonia.plugins import Plugins
from charonia.request import InferenceResponse
from charonia.restricted_access import CATEGORIES
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticPlugin
from charonia_frontend_http import routes
from charonia_frontend_http.application import HttpApplication
from charonia_frontend_http.restricted_api import CATEGORY
from held_backend import HeldBackend, HeldPlugin

GROUPS = "model-repository,shared-memory:admin-key=sesame\nstatistics:stat-key=s=2"


@pytest.fixture
def running(model_repository):
    """A server with a model whose requests the test answers."""
    tensors = {"inputs": [("X", "FP32", [1])], "outputs": [("Y", "FP32", [1])]}
    write_model(model_repository, model_config("held", backend="held", max_batch_size=0, **tensors))
    plugins = Plugins(entry_points=(), extra=[HeldPlugin(), ArithmeticPlugin(), charonia_frontend_http])
    with Server(model_repository, plugins=plugins) as server:
        yield server


def test_every_endpoint_has_its_category():
    """No endpoint is left out of what can be restricted, and each category is one of the protocol's."""
    assert set(CATEGORY) == {endpoint for _, _, endpoint in routes._TABLE}
    assert set(CATEGORY.values()) == set(CATEGORIES)


@pytest.fixture
def ask(serve, connect):
    """Send requests to a frontend that restricts some parts; give the status and what the body says."""
    port = serve(http_restricted_api=GROUPS, http_cors_allow_origin="*")

    def send(method, target, **fields):
        lines = [f"{method} {target} HTTP/1.1", "Host: here", "Content-Length: 0"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
        connection = connect(port)
        connection.send("\r\n".join([*lines, "", ""]).encode())
        start, headers, body = connection.response()
        return int(start.split()[1]), headers, json.loads(body or b"null")

    return send


@pytest.mark.parametrize("fields", [{}, {"stat_key": "nope"}, {"stat_key": "S=2"}, {"admin_key": "sesame"}])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_who_does_not_know_the_key_is_refused(ask, fields, method):
    """Without the header, or with another value, nothing of the request is looked at, not even its method."""
    status, headers, told = ask(method, "/v2/models/m/stats", **fields)
    assert (status, headers["content-type"]) == (403, "text/plain")
    assert told == {"error": "This API is restricted, expecting header 'stat-key'"}


def test_the_key_opens(ask):
    """The header's name has no case; its value is compared to the letter."""
    assert ask("GET", "/v2/models/m/stats", STAT_KEY="s=2")[0] == 200
    assert ask("POST", "/v2/models/m/stats", Stat_Key="s=2")[0] == 405
    assert ask("POST", "/v2/repository/index", admin_key="sesame")[0] == 200
    assert ask("POST", "/v2/repository/index")[0] == 403


def test_the_rest_is_open(ask):
    """What is in no group asks for nothing."""
    for target in ("/v2", "/v2/health/live", "/v2/models/m/ready", "/v2/models/m", "/v2/models/m/config"):
        assert ask("GET", target)[0] == 200, target


def test_browsers_ask_for_permission_without_a_key(ask):
    """A browser's question whether a page may ask is answered, and so is the refusal marked for the page."""
    origin = {"Origin": "http://there", "Access_Control_Request_Method": "GET"}
    assert ask("OPTIONS", "/v2/models/m/stats", **origin)[0] == 200
    status, headers, _ = ask("GET", "/v2/models/m/stats", Origin="http://there")
    assert (status, headers["access-control-allow-origin"]) == (403, "*")


@pytest.mark.parametrize(
    "options",
    [{"http_restricted_api": "models:k=v"}, {"http_header_forward_pattern": "("}],
    ids=lambda item: next(iter(item)),
)
def test_wrong_options_stop_the_start(serve, options):
    """A frontend whose options cannot be is not made, so that nothing is open by mistake."""
    with pytest.raises(CharoniaError, match="--http-"):
        serve(**options)


@pytest.fixture
async def infer(running):
    """Ask the held model with header fields, and give (the parameters that it got, the HTTP response)."""
    forwarding = HeaderForwarding("x-.*|timeout", "--x")
    application = HttpApplication(running, running.mailboxes.of(asyncio.get_running_loop()), 1 << 20, forwarding)

    async def send(headers, body, verb="infer"):
        asking = asyncio.ensure_future(
            settled(application.handle(HttpRequest(RequestHead("POST", f"/v2/models/held/{verb}", headers), body)))
        )
        request = await asyncio.to_thread(HeldBackend.taken.get, timeout=30)
        request.respond(InferenceResponse({"Y": np.zeros(1, np.float32)}))
        return request.parameters, await asking

    send.application = application
    return send


def tensors(**more):
    """Write an infer request."""
    return json.dumps({"inputs": [{"name": "X", "shape": [1], "datatype": "FP32", "data": [1]}], **more}).encode()


async def test_chosen_headers_are_parameters(infer):
    """Headers go on as text under the name that they came with, beside the body's parameters, over which they win."""
    fields = {"X-A": "1", "x-b": "two", "Other": "no"}
    told, response = await infer(fields, tensors(parameters={"x-a": "body", "x-b": "body", "n": 1}))
    assert response.status == 200
    assert told == {"x-a": "body", "n": 1, "X-A": "1", "x-b": "two"}
    told, _ = await infer({**fields, "Inference-Header-Content-Length": "0"}, bytes(4))
    assert told == {"X-A": "1", "x-b": "two"}


async def test_generate_gets_no_headers(infer):
    """As in the reference, generate has only the parameters in its body."""
    told, _ = await infer({"X-A": "1"}, b'{"X":1,"p":2}', "generate")
    assert told == {"p": 2}


async def test_headers_cannot_pass_for_the_protocols_parameters(infer):
    """A chosen header with a reserved name is the client's mistake."""
    response = await settled(
        infer.application.handle(HttpRequest(RequestHead("POST", "/v2/models/held/infer", {"Timeout": "1"}), tensors()))
    )
    assert (response.status, response.content_type) == (400, "application/json")
    assert json.loads(response.body)["error"] == (
        "Header 'Timeout' is reserved for Triton usage and cannot be forwarded."
    )
