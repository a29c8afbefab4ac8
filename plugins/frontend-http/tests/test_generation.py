"""Generate requests: what a plain JSON object means, the one response or the many, and who may stop them."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest
from charonia.errors import InvalidArgumentError, UnavailableError
from charonia.http_message import HttpRequest, RequestHead, settled
from charonia.plugins import Plugins
from charonia.request import InferenceResponse
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticPlugin
from charonia_frontend_http.application import HttpApplication
from held_backend import HeldBackend, HeldPlugin
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


@pytest.fixture
def held_repository(model_repository):
    """Models that the tests answer for: `text` has one response, `tokens` any number; and `rows`, which batches."""
    inputs = [("TEXT", "BYTES", [1]), ("NUMBERS", "INT32", [-1]), ("GRID", "FP32", [2, -1, 3, -1])]
    outputs = [("OUT", "BYTES", [-1]), ("HALF", "FP16", [-1])]
    for name, decoupled in (("text", False), ("tokens", True)):
        config = model_config(
            name, backend="held", inputs=inputs, outputs=outputs, max_batch_size=0, decoupled=decoupled
        )
        for tensor in config.input:
            tensor.optional = True
        write_model(model_repository, config)
    write_model(model_repository, model_config("rows", inputs=[("X", "FP32", [4])], outputs=[("Y", "FP32", [4])]))
    named = model_config("named", inputs=[("parameters", "FP32", [1])], outputs=[("Y", "FP32", [1])])
    write_model(model_repository, named)
    return model_repository


@pytest.fixture
async def ask(server, held_repository):
    """Send requests to an application on the test's loop."""
    running = server(held_repository, plugins=Plugins(entry_points=(), extra=[HeldPlugin(), ArithmeticPlugin()]))
    application = HttpApplication(running, running.mailboxes.of(asyncio.get_running_loop()), 1 << 20)

    async def send(target, document, **headers):
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await settled(application.handle(HttpRequest(RequestHead("POST", f"/v2/models/{target}", named), body)))

    return send


async def taken():
    """Wait for the request that a model has got."""
    return await asyncio.to_thread(HeldBackend.taken.get, timeout=30)


def texts(*items):
    """Make an output of text."""
    return {"OUT": np.array([item.encode() for item in items], object)}


async def generate(ask, model, document, *responses, verb="generate"):
    """Ask a model, answer for it, and give (the HTTP response, what the model got)."""
    asking = asyncio.ensure_future(ask(f"{model}/{verb}", document))
    request = await taken()
    for response in responses:
        request.respond(response)
    return await asking, request


async def events(response):
    """Read a stream to its end."""
    told = []
    async for piece in response.stream:
        assert piece.startswith(b"data: ")
        assert piece.endswith(b"\n\n")
        told.append(json.loads(piece[6:]))
    response.stream.close()
    return told


def told(response):
    """Give the text of an error."""
    return json.loads(response.body)["error"]


async def test_members_are_inputs_or_parameters(ask):
    """A member that is no input's name is a parameter, at the top as inside of `parameters`; the id is both."""
    document = {"id": "7", "TEXT": "hi", "timeout": 3, "parameters": {"NUMBERS": [4, 5], "t": 0.5, "s": "x", "b": True}}
    response, request = await generate(ask, "text", document, InferenceResponse(texts("ho")))
    assert request.id == "7"
    assert request.parameters == {"id": "7", "timeout": 3, "t": 0.5, "s": "x", "b": True}
    assert request.inputs["TEXT"].tolist() == [b"hi"]
    assert request.inputs["NUMBERS"].tolist() == [4, 5]
    assert (response.status, response.content_type) == (200, "application/json")
    assert response.body == b'{"OUT":"ho","id":"7","model_name":"text","model_version":"1"}'


@pytest.mark.parametrize(
    ("value", "shape"),
    [(list(range(12)), (2, 1, 3, 2)), (list(range(6)), (2, 1, 3, 1)), ([], (2, 1, 3, 0))],
)
async def test_innermost_dimension_takes_what_is_left(ask, value, shape):
    """Fixed dimensions must divide the number of elements; of those of any size all but the innermost are 1."""
    _, request = await generate(ask, "text", {"GRID": value}, InferenceResponse(texts()))
    assert request.inputs["GRID"].shape == shape


async def test_rows_need_no_batch(ask):
    """Elements beyond one row are further rows of a batch."""
    response = await ask("rows/generate", {"X": list(range(8))})
    assert json.loads(response.body)["Y"] == [0, 1, 2, 3, 4, 5, 6, 7]


async def test_response_parameters_stand_beside_the_outputs(ask):
    """What a model attaches to its response is a member like its outputs, and all are sorted by name."""
    answer = InferenceResponse(texts("a", "b"), parameters={"z": 1, "A": "x", "nan": float("nan")})
    response, _ = await generate(ask, "text", {}, answer)
    assert response.body == b'{"A":"x","OUT":["a","b"],"model_name":"text","model_version":"1","nan":NaN,"z":1}'


@pytest.mark.parametrize("verb", ["generate", "generate_stream"])
@pytest.mark.parametrize(
    ("document", "text"),
    [
        (b"", "failed to parse the request JSON buffer: The document is empty. at 0"),
        ([], "attempt to get members for non-object"),
        ({"id": 5}, "Unable to parse 'id': attempt to access JSON non-string as string"),
        (
            {"parameters": 5},
            "Expected JSON object for keyword: 'parameters': attempt to access JSON non-object as object",
        ),
        ({"o": None}, "parameter 'o' has invalid type. It should be either 'int', 'bool', or 'string'."),
        (
            {"parameters": {"a": []}},
            (
                "Converting keyword: 'parameters': parameter 'a' has invalid type. It should be "
                "either 'int', 'bool', or 'string'."
            ),
        ),
        ({"TEXT": ["a", "b"]}, "The schema can not convert input 'TEXT' to tensor with proper shape"),
        ({"GRID": [1, 2, 3]}, "The schema can not convert input 'GRID' to tensor with proper shape"),
        ({"TEXT": 5}, "Unable to parse JSON bytes array: attempt to access JSON non-string as string"),
        (
            {"TEXT": "a", "parameters": {"TEXT": "b"}},
            ("Converting keyword: 'parameters': [request id: <id_unknown>] input 'TEXT' already exists in request"),
        ),
        (
            b" " * (1 << 20) + b"{}",
            (
                "request JSON size of 1048578 bytes exceeds the maximum allowed input size of 1048576 "
                "bytes. Use --http-max-input-size to increase the limit."
            ),
        ),
    ],
)
async def test_wrong_requests_are_refused(ask, verb, document, text):
    """What is no object, or has values of the wrong kind, is the client's mistake, told in the reference's words."""
    response = await ask(f"text/{verb}", document)
    assert (response.status, response.content_type, response.stream) == (400, "application/json", None)
    assert told(response) == text


async def test_input_of_that_name_wins_over_nested_parameters(ask):
    """A model whose input has the name of the nested object cannot be asked with one."""
    response = await ask("named/generate", {"parameters": [1]})
    assert told(response) == "Keyword 'parameters' for nested schema also given as input tensor name"


@pytest.mark.parametrize("verb", ["generate", "generate_stream"])
async def test_refusal_by_the_model_is_a_plain_error(ask, verb):
    """What does not fit the model is refused before anything is streamed; so is what it lacks, and a coded body."""
    response = await ask(f"rows/{verb}", {})
    assert (response.status, response.content_type) == (400, "application/json")
    assert "missing required input(s) ['X']" in told(response)
    assert (await ask(f"ghost/{verb}", {})).status == 404
    response = await ask(f"rows/{verb}", {}, Content_Encoding="gzip")
    assert told(response) == "Unsupported content-encoding, only 'identity' is supported."


@pytest.mark.parametrize("count", [0, 2])
async def test_generate_wants_one_response(ask, count):
    """None and several are an error, with the status that it has in the reference."""
    responses = [InferenceResponse(texts(str(number)), final=False) for number in range(count)]
    response, _ = await generate(ask, "tokens", {}, *responses, InferenceResponse())
    assert (response.status, told(response)[:54]) == (200, "generate expects model to produce exactly 1 response, ")


async def test_one_response_and_the_word_that_it_was_the_last(ask):
    """The empty final response of a decoupled model is no response, whether or not there was one before."""
    response, _ = await generate(ask, "tokens", {}, InferenceResponse(texts("a"), final=False), InferenceResponse())
    assert json.loads(response.body)["OUT"] == "a"


@pytest.mark.parametrize("verb", ["generate", "generate_stream"])
async def test_first_error_has_its_status(ask, verb):
    """An error of the first response has the status of its code."""
    failure = InferenceResponse(error=UnavailableError("busy"))
    response, _ = await generate(ask, "text", {}, failure, verb=verb)
    assert response.status == 503
    assert (await events(response) if response.stream else [json.loads(response.body)]) == [{"error": "busy"}]


async def test_stream_has_an_event_for_each_response(ask):
    """Responses come as events while the model makes them; an error among them ends nothing."""
    asking = asyncio.ensure_future(ask("tokens/generate_stream", {"id": "q"}))
    request = await taken()
    request.respond(InferenceResponse(texts("0"), final=False))
    response = await asking  # which has the first one, while the model has not ended
    assert (response.status, response.content_type) == (200, "text/event-stream; charset=utf-8")
    assert b'"OUT":"0"' in await anext(response.stream)
    request.respond(InferenceResponse(error=InvalidArgumentError("no"), final=False))
    request.respond(InferenceResponse({"HALF": np.zeros(1, np.float16)}, final=False))
    request.respond(InferenceResponse(texts("3"), final=False))
    request.respond(InferenceResponse())
    no, half, three = await events(response)
    assert no == {"error": "no"}
    assert half["error"].startswith("sending FP16 data via JSON is not supported")
    assert three == {"OUT": "3", "id": "q", "model_name": "tokens", "model_version": "1"}


async def test_stream_may_be_empty(ask):
    """A model that makes no response at all makes an empty stream."""
    response, _ = await generate(ask, "tokens", {}, InferenceResponse(), verb="generate_stream")
    assert (response.status, await events(response)) == (200, [])


async def test_closed_stream_takes_the_request_back(ask):
    """Whoever stops reading stops the model, too."""
    first = InferenceResponse(texts("0"), final=False)
    response, request = await generate(ask, "tokens", {}, first, verb="generate_stream")
    assert not request.cancelled
    response.stream.close()
    response.stream.close()
    assert request.cancelled
    request.respond(InferenceResponse())


@pytest.mark.parametrize("verb", ["generate", "generate_stream"])
async def test_client_that_waits_no_more_takes_its_request_back(ask, verb):
    """A client that goes away before the first response cancels its request."""
    asking = asyncio.ensure_future(ask(f"tokens/{verb}", {}))
    request = await taken()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert request.cancelled
    request.respond(InferenceResponse())


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["X", "parameters", "id", "a"]), inner),
    max_leaves=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(document=st.dictionaries(st.sampled_from(["X", "parameters", "id", "a", "ü"]), JSON_VALUES))
def test_any_object_is_answered_or_refused(document, answer_by):
    """Whatever the members are, the answer is a response or an error of the client's."""
    assert answer_by("rows/generate", document).status in {200, 400}


@pytest.fixture
def answer_by(server, held_repository):
    """Ask from outside of any loop."""
    running = server(held_repository, plugins=Plugins(entry_points=(), extra=[HeldPlugin(), ArithmeticPlugin()]))
    with asyncio.Runner() as runner:
        mailbox = running.mailboxes.of(runner.get_loop())
        application = HttpApplication(running, mailbox, 1 << 20)

        def send(target, document):
            request = HttpRequest(RequestHead("POST", f"/v2/models/{target}", {}), json.dumps(document).encode())
            return runner.run(settled(application.handle(request)))

        yield send
