"""Decoupled models over plain `infer`: an event for each response, where the client accepts that."""

from __future__ import annotations

import asyncio
import gzip
import json

import numpy as np
import pytest
from charonia.http_message import HttpRequest, RequestHead, settled
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import Gate
from charonia_frontend_http.application import HttpApplication


@pytest.fixture
def model_repository(model_repository):
    """Add models that count down: one plainly, one in a datatype without JSON, one that does not like sevens, one at a gate."""
    for name, datatype, parameters in (
        ("countdown", "FP32", {}),
        ("half", "FP16", {}),
        ("picky", "FP32", {"fail_on": "7"}),
        ("waiting", "FP32", {"gate": "waiting"}),
    ):
        tensors = {"inputs": [("X", datatype, [1])], "outputs": [("Y", datatype, [1])]}
        write_model(model_repository, model_config(name, decoupled=True, parameters=parameters, **tensors))
    return model_repository


@pytest.fixture
async def ask(running):
    """Send infer requests to an application on the test's loop, as a client that accepts events."""
    application = HttpApplication(running, running.mailboxes.of(asyncio.get_running_loop()), 1 << 20)

    async def send(model, body, **headers):
        named = {"Accept": "text/event-stream"} | {name.replace("_", "-"): value for name, value in headers.items()}
        return await settled(
            application.handle(HttpRequest(RequestHead("POST", f"/v2/models/{model}/infer", named), body))
        )

    return send


def body_of(number, **members):
    """Write a request for so many responses."""
    tensor = {"name": "X", "shape": [1, 1], "datatype": "FP32", "data": [number]}
    return json.dumps({"inputs": [tensor], **members}).encode()


async def events(response):
    """Read a stream to its end, and give the documents of its events."""
    pieces = [piece async for piece in response.stream]
    response.stream.close()
    assert all(piece.startswith(b"data: ") and piece.endswith(b"\n\n") for piece in pieces)
    return [json.loads(piece.removeprefix(b"data: ")) for piece in pieces]


@pytest.mark.parametrize("count", [0, 1, 3])
async def test_every_response_is_an_event(ask, count):
    """A request has as many events as the model gives responses, in their order, each as a whole infer response in JSON."""
    response = await ask("countdown", body_of(count, id="a"))
    assert (response.status, response.content_type) == (200, "text/event-stream; charset=utf-8")
    assert await events(response) == [
        {
            "id": "a",
            "model_name": "countdown",
            "model_version": "1",
            "outputs": [{"name": "Y", "datatype": "FP32", "shape": [1, 1], "data": [float(left)]}],
        }
        for left in range(count, 0, -1)
    ]


@pytest.mark.parametrize("accept", ["*/*", "application/json", "", "text/event-stream;q=0"])
async def test_without_the_wish_the_model_is_refused(ask, accept):
    """Clients that do not ask for events get the reference's answer."""
    response = await ask("countdown", body_of(1), Accept=accept)
    assert (response.status, response.content_type) == (501, "text/plain")
    assert b"HTTP end point doesn't support models with decoupled transaction policy" in response.body


async def test_other_models_answer_as_always(ask):
    """A model with one response gives it as it is, whatever is accepted."""
    response = await ask("m", body_of(1))
    assert (response.stream, response.content_type) == (None, "application/json")


async def test_events_are_json_whatever_was_asked_for(ask):
    """Binary outputs have no place in an event, and raw requests, whose answers are binary else, get JSON too."""
    binary = body_of(1, outputs=[{"name": "Y", "parameters": {"binary_data": True}}])
    (event,) = await events(await ask("countdown", binary))
    assert event["outputs"][0]["data"] == [1.0]
    raw = np.array([1], np.float32).tobytes()
    (event,) = await events(await ask("countdown", raw, Inference_Header_Content_Length="0"))
    assert event["outputs"][0]["data"] == [1.0]


async def test_a_response_that_cannot_be_written_is_an_error_event(ask):
    """What is wrong with one response is told in its place, and the stream goes on."""
    raw = np.array([2], np.float16).tobytes()
    told = await events(await ask("half", raw, Inference_Header_Content_Length="0"))
    assert len(told) == 2
    assert all("sending FP16 data via JSON is not supported" in event["error"] for event in told)


async def test_first_error_decides_about_the_status(ask):
    """A request that fails before its first response says so by the status, too."""
    response = await ask("picky", body_of(7))
    assert response.status == 500
    (event,) = await events(response)
    assert "X has the value 7" in event["error"]


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {}, 400),
        (b'{"inputs": []}', {}, 400),
        (body_of(1), {"Content_Encoding": "br"}, 501),
        (b"no gzip", {"Content_Encoding": "gzip"}, 400),
        (body_of(1), {"Inference_Header_Content_Length": "x"}, 400),
    ],
)
async def test_requests_that_are_refused_have_no_stream(ask, body, headers, status):
    """What is wrong with a request is told as for every other model."""
    response = await ask("countdown", body, **headers)
    assert (response.status, response.stream) == (status, None)
    assert json.loads(response.body)["error"]


async def test_compressed_requests_are_read(ask):
    """A body in a coding of the protocol's is undone; events are never compressed."""
    response = await ask("countdown", gzip.compress(body_of(2)), Content_Encoding="gzip", Accept_Encoding="gzip")
    assert "Content-Encoding" not in response.headers
    assert len(await events(response)) == 2


async def test_client_that_goes_away_takes_its_request_back(running, ask):
    """Nobody counts down for a client that has gone."""
    with Gate("waiting") as gate:
        task = asyncio.create_task(ask("waiting", body_of(1)))
        await asyncio.to_thread(gate.wait_entered)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert len(await events(await ask("waiting", body_of(1)))) == 1  # the one instance has come to the next request
    assert running.get("waiting").snapshot().fail.count == 1


def test_events_come_over_a_socket(serve, connect):
    """Over a real connection the stream comes in chunks, and the connection goes on to the next request."""
    connection = connect(serve())
    body = body_of(2)
    head = f"POST /v2/models/countdown/infer HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.send(head.encode() + body + b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
    lines = []
    while "HTTP/1.1 200 OK" not in lines[1:]:
        lines.append(connection.line())
    assert "Transfer-Encoding: chunked" in lines
    assert sum(line.startswith("data: ") for line in lines) == 2
