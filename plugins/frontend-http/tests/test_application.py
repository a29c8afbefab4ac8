"""The application without any transport: methods, content types, codes, and the border where nothing else may become a 500."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from charonia.config import config_to_json
from charonia.errors import ErrorCode, InferenceError
from charonia.http_message import HttpRequest, HttpResponse, RequestHead, response_head, settled
from charonia.testing.builders import model_config, write_model
from charonia_frontend_http.application import HttpApplication
from charonia_frontend_http.status import STATUS

X, Y = ("X", "FP32", [1]), ("Y", "FP32", [1])
BODY = json.dumps({"inputs": [{"name": "X", "shape": [1, 1], "datatype": "FP32", "data": [7]}]}).encode()


@pytest.fixture
def model_repository(model_repository):
    """Add a decoupled model, and one that does not like sevens."""
    tensors = {"inputs": [X], "outputs": [Y]}
    write_model(model_repository, model_config("countdown", decoupled=True, **tensors))
    write_model(model_repository, model_config("picky", parameters={"fail_on": "7"}, **tensors))
    return model_repository


@pytest.fixture
async def ask(running):
    """Send requests to an application on the test's loop."""
    application = HttpApplication(running, running.mailboxes.of(asyncio.get_running_loop()), 1 << 20)

    async def send(method, target, body=b"", **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await settled(application.handle(HttpRequest(RequestHead(method, target, named), body)))

    return send


def told(response):
    """Give the text of an error."""
    return json.loads(response.body)["error"]


def test_every_code_has_its_status_and_reason():
    """The table of codes is complete, and each status has its words."""
    assert set(STATUS) == set(ErrorCode)
    for status in STATUS.values():
        assert b" %d Error\r\n" % status not in response_head("HTTP/1.1", HttpResponse(status), "", "")
    assert {code for code, status in STATUS.items() if status == 500} == {ErrorCode.INTERNAL}


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "DELETE", "POST", "get"])
async def test_other_methods_are_not_allowed(ask, method):
    """An endpoint takes its one method."""
    response = await ask(method, "/v2")
    assert (response.status, told(response)) == (405, "Method Not Allowed")


@pytest.mark.parametrize(
    ("method", "target", "status", "content_type"),
    [
        ("GET", "/v2/health/live", 200, "text/plain"),
        ("GET", "/v2/models/m/ready", 200, "text/plain"),
        ("GET", "/v2/models/ghost/ready", 404, "text/plain"),
        ("GET", "/v2/models/m/versions/9/ready", 400, "text/plain"),
        ("GET", "/v2", 200, "application/json"),
        ("PUT", "/v2", 405, "application/json"),
        ("GET", "/v2/models/ghost", 404, "application/json"),
        ("GET", "/v2/models/ghost/config", 404, "application/json"),
        ("GET", "/v2/models/m/versions/99999999999999999999", 400, "application/json"),
        ("GET", "/v2/models/m/infer", 405, "text/plain"),
        ("POST", "/v2/models/ghost/infer", 404, "text/plain"),
        ("POST", "/v2/models/m/infer", 400, "application/json"),
        ("POST", "/v2/models/countdown/infer", 501, "text/plain"),
        ("GET", "/nowhere", 404, "text/plain"),
    ],
)
async def test_content_types_are_the_references(ask, method, target, status, content_type):
    """Each kind of answer has the content type that it has in the reference; each body that is not empty is JSON."""
    response = await ask(method, target, b"{}")
    assert (response.status, response.content_type) == (status, content_type)
    assert not response.body or json.loads(response.body)


async def test_decoupled_models_are_not_for_http(ask):
    """A request that may have many responses has no place in this endpoint."""
    response = await ask("POST", "/v2/models/countdown/infer", BODY)
    assert told(response) == "HTTP end point doesn't support models with decoupled transaction policy"


@pytest.mark.parametrize("length", ["99999", "-1", "abc"])
async def test_wrong_header_length_is_told_as_plain_text(ask, length):
    """As in the reference, what is wrong with the header field is told before the request is read."""
    response = await ask("POST", "/v2/models/m/infer", BODY, Inference_Header_Content_Length=length)
    assert (response.status, response.content_type) == (400, "text/plain")


@pytest.mark.parametrize("coding", ["br", "GZIP"])
async def test_unsupported_coding_is_told(ask, coding):
    """A body in a coding that cannot be undone is refused before anyone reads it."""
    response = await ask("POST", "/v2/models/m/infer", BODY, Content_Encoding=coding)
    assert (response.status, told(response)) == (501, "Unsupported compression type")


@pytest.mark.parametrize("coding", ["", "identity"])
async def test_no_coding_is_no_coding(ask, coding):
    """The empty coding and the one that does nothing are accepted."""
    assert (await ask("POST", "/v2/models/m/infer", BODY, Content_Encoding=coding)).status == 200


async def test_decoupled_wins_over_everything_in_the_request(ask):
    """Errors come in the reference's order: the model before the coding, the coding before the length, the length before JSON."""
    wrong = {"Content_Encoding": "br", "Inference_Header_Content_Length": "x"}
    assert (await ask("POST", "/v2/models/ghost/infer", b"{", **wrong)).status == 404
    assert (await ask("POST", "/v2/models/countdown/infer", b"{", **wrong)).status == 501
    assert told(await ask("POST", "/v2/models/m/infer", b"{", **wrong)) == "Unsupported compression type"
    response = await ask("POST", "/v2/models/m/infer", b"{", Inference_Header_Content_Length="x")
    assert told(response) == "Unable to parse Inference-Header-Content-Length, got: x"


async def test_execution_failure_is_the_servers(ask):
    """What a backend raises is told as an internal error, in the content type of what was scheduled."""
    response = await ask("POST", "/v2/models/picky/infer", BODY)
    assert (response.status, response.content_type) == (500, "text/plain")
    assert "X has the value 7" in told(response)


@pytest.mark.parametrize("code", list(ErrorCode))
async def test_refusal_by_the_server_has_its_status(ask, running, monkeypatch, code):
    """What the server refuses when a request is submitted comes back with the status of its code."""

    def refuse(request):
        raise InferenceError.of(code, "full up")

    monkeypatch.setattr(running, "submit", refuse)
    response = await ask("POST", "/v2/models/m/infer", BODY)
    assert (response.status, told(response), response.content_type) == (STATUS[code], "full up", "application/json")


@pytest.mark.parametrize("method", ["submit", "get"])
async def test_fault_of_ours_is_told_and_logged(ask, running, monkeypatch, caplog, method):
    """An exception that nobody foresaw is answered, with a line in the log; it neither hangs nor ends the connection."""

    def break_down(*args):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(running, method, break_down)
    with caplog.at_level(logging.ERROR):
        response = await asyncio.wait_for(ask("POST", "/v2/models/m/infer", BODY), 30)
    assert (response.status, told(response)) == (500, "ZeroDivisionError: oops")
    assert "failed to answer POST /v2/models/m/infer" in caplog.text


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 200), (b"{}", 200), (b'{"ready":true}', 200), (b'{"ready":1}', 400), (b"[]", 400), (b"{", 400)],
)
async def test_index_takes_a_wish(ask, body, status):
    """The index may be asked for what is ready only; a wish that is none is refused."""
    response = await ask("POST", "/v2/repository/index", body)
    assert response.status == status
    if status == 200:
        assert [row["name"] for row in json.loads(response.body)] == ["countdown", "m", "picky", "slow"]
    elif b"ready" in body:
        assert told(response) == "Invalid value for 'ready': expected a boolean"


async def test_requests_of_one_turn_are_all_answered(ask):
    """Requests that come in together are passed on together, and each gets its own answer."""

    async def infer(number):
        body = BODY.replace(b"7", str(number).encode())
        return json.loads((await ask("POST", "/v2/models/m/infer", body)).body)["outputs"][0]["data"]

    assert await asyncio.gather(*map(infer, range(50))) == [[float(number)] for number in range(50)]


@pytest.mark.parametrize(
    ("parameters", "status", "text"),
    [
        ({"classification": -1}, 400, "Unable to set 'classification': attempt to access JSON non-unsigned-integer as"),
        (
            {"classification": 1.5},
            400,
            "Unable to set 'classification': attempt to access JSON non-unsigned-integer as",
        ),
        (
            {"classification": 1, "shared_memory_region": "r"},
            400,
            "Output can't set both 'shared_memory_region' and 'cl",
        ),
        (
            {"binary_data": True, "shared_memory_region": "r"},
            400,
            "Output can't set both 'shared_memory_region' and 'bi",
        ),
        ({"shared_memory_region": "r"}, 404, "Unable to find shared memory region: 'r'"),
    ],
)
async def test_wishes_for_outputs_are_checked(ask, parameters, status, text):
    """What cannot be had of an output, or not together, is refused."""
    body = json.loads(BODY) | {"outputs": [{"name": "Y", "parameters": parameters}]}
    response = await ask("POST", "/v2/models/m/infer", json.dumps(body).encode())
    assert (response.status, response.content_type) == (status, "application/json")
    assert told(response).startswith(text)


@pytest.mark.parametrize(("count", "datatype"), [(0, "FP32"), (1, "BYTES"), (2**64 - 1, "BYTES")])
async def test_classes_are_for_those_who_ask(ask, count, datatype):
    """An output is classified if its request says how many classes it wants; 0 is none."""
    body = json.loads(BODY) | {"outputs": [{"name": "Y", "parameters": {"classification": count}}]}
    response = await ask("POST", "/v2/models/m/infer", json.dumps(body).encode())
    (output,) = json.loads(response.body)["outputs"]
    assert (output["datatype"], output["data"]) == (datatype, [7.0] if count == 0 else ["7.000000:0"])


async def test_classes_of_a_large_output(ask):
    """An output of many elements is classified like a small one, while the loop goes on with others."""
    tensor = {"name": "X", "shape": [1, 20_000], "datatype": "FP32", "data": list(range(20_000))}
    body = {"inputs": [tensor], "outputs": [{"name": "Y", "parameters": {"classification": 1}}]}
    response = await ask("POST", "/v2/models/m/infer", json.dumps(body).encode())
    assert json.loads(response.body)["outputs"][0]["data"] == ["19999.000000:19999"]


async def test_head_that_came_before_asks_the_model_that_serves_now(running):
    """What was made of a head is made anew for another load of its model, and is not taken for one that has gone."""
    application = HttpApplication(running, running.mailboxes.of(asyncio.get_running_loop()), 1 << 20)
    head = RequestHead("POST", "/v2/models/picky/infer", {})

    async def answer(value):
        document = {"inputs": [{"name": "X", "shape": [1, 1], "datatype": "FP32", "data": [value]}]}
        response = await settled(application.handle(HttpRequest(head, json.dumps(document).encode())))
        return response.status

    assert await answer(8) == 200
    config = json.dumps(config_to_json(model_config("picky", parameters={"fail_on": "8"}, inputs=[X], outputs=[Y])))
    await asyncio.to_thread(running.load, "picky", config=config)
    assert [await answer(7), await answer(8)] == [200, 500]
    await asyncio.to_thread(running.unload, "picky")
    assert await answer(7) == 404
