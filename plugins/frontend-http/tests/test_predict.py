"""The plain front door: values in, values out."""

from __future__ import annotations

import asyncio
import gzip
import io
import json

import numpy as np
import pytest
from charonia.datatypes import DataType
from charonia.header_forwarding import HeaderForwarding
from charonia.http_message import HttpRequest, RequestHead, settled
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import Gate
from charonia_frontend_http.application import HttpApplication
from charonia_frontend_http.npy import read_npy
from hypothesis import given
from hypothesis import strategies as st

NPY = "application/x-npy"
FORM = "multipart/form-data; boundary=b"


@pytest.fixture
def model_repository(model_repository):
    """Add a model for each kind of input."""
    for datatype in ("BOOL", "INT8", "UINT64", "FP16", "BF16", "FP64"):
        tensors = {"inputs": [("X", datatype, [-1])], "outputs": [("Y", datatype, [-1])]}
        write_model(model_repository, model_config(datatype, **tensors))
    text = {"inputs": [("X", "BYTES", [1])], "outputs": [("Y", "BYTES", [1])]}
    write_model(model_repository, model_config("text", **text))
    pair = {
        "inputs": [("A", "FP32", [2]), ("B", "BYTES", [1])],
        "outputs": [("C", "FP32", [2]), ("D", "BYTES", [1])],
    }
    write_model(model_repository, model_config("pair", max_batch_size=0, **pair))
    write_model(model_repository, model_config("countdown", decoupled=True))
    write_model(model_repository, model_config("picky", parameters={"fail_on": "7"}))
    return model_repository


@pytest.fixture
async def predict(running):
    """Send plain requests to an application on the test's loop."""
    application = HttpApplication(running, running.mailboxes.of(asyncio.get_running_loop()), 1 << 16)

    async def send(model, body, query="", **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await settled(
            application.handle(HttpRequest(RequestHead("POST", f"/v2/models/{model}/predict{query}", named), content))
        )

    return send


def saved(value):
    """Write an array as numpy does."""
    stream = io.BytesIO()
    np.save(stream, np.asarray(value))
    return stream.getvalue()


def form(*parts):
    """Write a form of parts, each as (what follows its name, content)."""
    return b"".join(
        b"--b\r\nContent-Disposition: form-data; name=%b\r\n\r\n%b\r\n" % (head.encode(), content)
        for head, content in parts
    ) + (b"--b--\r\n")


def told(response):
    """Give the text of an error."""
    return json.loads(response.body)["error"]


@pytest.mark.parametrize(
    ("model", "value"),
    [
        ("m", [[1.5, -2.0], [0.0, 3.0]]),
        ("BOOL", [[True, False]]),
        ("INT8", [[-128, 127]]),
        ("UINT64", [[0, 2**64 - 1]]),
        ("FP16", [[0.5, -2.0]]),
        ("BF16", [[0.5, -2.0]]),
        ("FP64", [[0.1, 1e300]]),
        ("text", [["häßlich \U0001f41a"]]),
    ],
)
async def test_json_in_and_out_has_the_models_shape(predict, model, value):
    """Nested arrays come back as nested arrays, for every kind of datatype, the short floats included."""
    response = await predict(model, {"X": value}, Content_Type="application/json")
    assert (response.status, response.content_type, json.loads(response.body)) == (
        200,
        "application/json",
        {"Y": value},
    )


async def test_version_may_be_named(predict):
    """The path may have a version; one that is not there is not found."""
    assert (await predict("m/versions/1", {"X": [[1]]})).status == 200
    assert (await predict("m/versions/2", {"X": [[1]]})).status == 404


@pytest.mark.parametrize("content_type", ["", "application/x-www-form-urlencoded", "application/JSON; charset=utf-8"])
async def test_what_tools_call_json_is_json(predict, content_type):
    """A body without a type, and what curl says by itself, are JSON."""
    assert json.loads((await predict("m", {"X": [[1]]}, Content_Type=content_type)).body) == {"Y": [[1.0]]}


async def test_a_bare_value_is_one_element(predict):
    """A number or a text is a tensor with one element, of as many dimensions as the model wants."""
    assert json.loads((await predict("m", {"X": 2})).body) == {"Y": [[2.0]]}
    assert json.loads((await predict("text", {"X": "hello"})).body) == {"Y": [["hello"]]}


async def test_numbers_without_a_word_in_json_pass(predict):
    """NaN and the infinities are read and written as Python does."""
    response = await predict("m", b'{"X": [[NaN, Infinity, -Infinity, 1]]}')
    assert response.body == b'{"Y":[[NaN,Infinity,-Infinity,1.0]]}'


@pytest.mark.parametrize(
    ("accept", "npy"),
    [
        ("", True),
        ("*/*", True),
        (NPY, True),
        ("application/json", False),
        ("application/json;q=0.1, application/x-npy", True),
    ],
)
async def test_npy_is_answered_in_kind(predict, accept, npy):
    """An array comes back as an array, unless JSON is asked for."""
    response = await predict("m", saved([[1, 2]]), Content_Type=NPY, Accept=accept)
    assert response.status == 200
    if npy:
        assert response.content_type == NPY
        array = np.load(io.BytesIO(response.body))
        assert (array.dtype, array.tolist()) == (np.float32, [[1.0, 2.0]])
    else:
        assert json.loads(response.body) == {"Y": [[1.0, 2.0]]}


async def test_json_may_be_answered_with_npy(predict):
    """Accept alone decides, and the query chooses the one output where there are several."""
    body = {"A": [1, 2], "B": ["x"]}
    response = await predict("pair", body, "?outputs=C", Accept=NPY)
    assert np.load(io.BytesIO(response.body)).tolist() == [1.0, 2.0]
    assert json.loads((await predict("pair", body, "?outputs=D")).body) == {"D": ["x"]}
    assert list(json.loads((await predict("pair", body)).body)) == ["C", "D"]
    refused = await predict("pair", body, Accept=NPY)
    assert refused.status == 400
    assert "model 'pair' gives 2 (C, D): name one by the query" in told(refused)


async def test_bf16_is_two_bytes_in_npy(predict):
    """BF16, which the format does not know, passes as it is."""
    response = await predict("BF16", saved([[1.5]]), Content_Type=NPY)
    assert read_npy(response.body, DataType.BF16).astype(float).tolist() == [[1.5]]


async def test_a_form_has_files_and_fields(predict):
    """A file of numpy's, JSON and raw text each fill an input; the answer is JSON."""
    body = form(('"A"; filename="a.npy"', saved([1, 2])), ('"B"', b"raw text"))
    response = await predict("pair", body, Content_Type=FORM)
    assert json.loads(response.body) == {"C": [1.0, 2.0], "D": ["raw text"]}


@pytest.mark.parametrize(
    ("head", "content", "value"),
    [
        ('"X"', b"\xc3\xa4 b", "ä b"),
        ('"X"; filename="a.txt"\r\nContent-Type: text/plain', b"[1]", "[1]"),
        ('"X"\r\nContent-Type: application/json', b'[["a"]]', "a"),
        ('"X"; filename="x.json"', b'"a"', "a"),
        ('"X"; filename="x.npy"', saved([["a"]]), "a"),
        (f'"X"\r\nContent-Type: {NPY}', saved([[b"a"]]), "a"),
    ],
)
async def test_a_part_for_strings_is_raw_unless_it_says_otherwise(predict, head, content, value):
    """Text and files are one element as they are; their type or name may say that they are JSON or an array."""
    response = await predict("text", form((head, content)), Content_Type=FORM)
    assert json.loads(response.body) == {"Y": [[value]]}


@pytest.mark.parametrize("content", [b"[[1, 2]]", saved([[1, 2]])])
async def test_a_part_for_numbers_is_json_or_an_array(predict, content):
    """What a part for numbers holds is plain from its first bytes."""
    response = await predict("m", form(('"X"', content)), Content_Type=FORM)
    assert json.loads(response.body) == {"Y": [[1.0, 2.0]]}


async def test_bytes_that_are_no_text_need_another_form(predict):
    """JSON cannot tell them, the error says what can, and that does."""
    body = form(('"X"', b"\xff\x00\xfe"))
    refused = await predict("text", body, Content_Type=FORM)
    assert refused.status == 400
    assert "send 'Accept: application/x-npy' and name it by the query, '?outputs=Y'" in told(refused)
    response = await predict("text", body, Content_Type=FORM, Accept=NPY)
    assert np.load(io.BytesIO(response.body)).tolist() == [[b"\xff\x00\xfe"]]


@pytest.mark.parametrize(
    ("model", "content_type", "body", "text"),
    [
        ("m", "", b"{", "failed to parse"),
        ("m", "", b"[[1]]", "no object of inputs by name; model 'm' wants 'X' (FP32 [-1, -1])"),
        ("m", "", {"Z": [[1]]}, "unexpected inference input 'Z' for model 'm', which wants 'X' (FP32 [-1, -1])"),
        ("m", "", {}, "missing required input(s) ['X']"),
        ("m", "", {"X": [1]}, "unexpected shape for input 'X'"),
        ("m", "", {"X": [[[1]]]}, "unexpected shape for input 'X'"),
        ("m", "", {"X": [[1]] * 9}, "batch-size must be <= 8"),
        ("m", "", {"X": [[1], [1, 2]]}, "input 'X' of model 'm': cannot make a FP32 tensor"),
        ("m", "", {"X": [["1"]]}, "input 'X' of model 'm': cannot make a FP32 tensor"),
        ("m", "", {"X": None}, "input 'X' of model 'm': cannot make a FP32 tensor"),
        ("m", "", {"X": {"a": 1}}, "input 'X' of model 'm': cannot make a FP32 tensor"),
        ("INT8", "", {"X": [[128]]}, "beyond the range of INT8"),
        ("INT8", "", {"X": [[1.5]]}, "would be changed"),
        ("UINT64", "", {"X": [[-1, 2**63]]}, "would be changed"),
        ("UINT64", "", {"X": [[2**64]]}, "would be changed"),
        ("text", "", {"X": [[1]]}, "holds str or bytes, not int"),
        ("text", "", b'{"X": [["\xff"]]}', "cannot make a BYTES element"),
        ("m", "", b'{"X": [[' + b"1," * 40000 + b"1]]}", "Use --http-max-input-size to increase the limit"),
        ("m", FORM, form(('"X"', b"[[" + b"1," * 40000 + b"1]]")), "Use --http-max-input-size to increase the limit"),
        ("m", FORM, form(('"X"', b"[[1]]"), ('"X"', b"[[1]]")), "several parts for input 'X'"),
        ("m", FORM, form(('"Z"', b"[[1]]")), "unexpected inference input 'Z'"),
        ("m", FORM, b"--b", "breaks off"),
        ("m", "multipart/form-data", b"", "names no boundary"),
        ("m", NPY, b"", "input 'X' of model 'm': this is no .npy data"),
        ("m", NPY, saved([["a"]]), "cannot make a FP32 tensor"),
        ("pair", NPY, saved([1, 2]), ".npy data is for a model with one input"),
    ],
)
async def test_wrong_requests_say_what_is_wrong(predict, model, content_type, body, text):
    """Whatever does not fit is the client's mistake, told in JSON, with what was found and what was expected."""
    response = await predict(model, body, Content_Type=content_type)
    assert (response.status, response.content_type) == (400, "application/json")
    assert text in told(response)


async def test_other_kinds_of_bodies_are_refused(predict):
    """A type that is not read is told with those that are."""
    response = await predict("m", b"<x/>", Content_Type="text/xml")
    assert (response.status, told(response)) == (
        415,
        "'predict' does not read 'text/xml', expected application/json, application/x-npy, multipart/form-data",
    )


async def test_chosen_headers_are_passed_on(running, monkeypatch):
    """Header fields that the pattern chooses are parameters of the request, and reserved ones are refused."""
    forwarding = HeaderForwarding("x-.*|timeout", "--x")
    application = HttpApplication(running, running.mailboxes.of(asyncio.get_running_loop()), 1 << 16, forwarding)
    submitted = []
    submit = running.submit
    monkeypatch.setattr(running, "submit", lambda request: (submitted.append(request), submit(request)))
    target = "/v2/models/m/predict"
    answered = await settled(
        application.handle(HttpRequest(RequestHead("POST", target, {"X-User": "me", "Other": "no"}), b'{"X": [[1]]}'))
    )
    assert (answered.status, submitted[0].parameters) == (200, {"X-User": "me"})
    refused = await settled(
        application.handle(HttpRequest(RequestHead("POST", target, {"Timeout": "1"}), b'{"X": [[1]]}'))
    )
    assert refused.status == 400


async def test_bodies_may_be_compressed(predict):
    """A body in a coding of the protocol's is read, and the answer is in one where that is accepted."""
    body = gzip.compress(b'{"X": [[1]]}')
    response = await predict("m", body, Content_Encoding="gzip", Accept_Encoding="gzip")
    assert response.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(response.body) == b'{"Y":[[1.0]]}'
    assert (await predict("m", {"X": [[1]]}, Content_Encoding="identity")).status == 200
    assert (await predict("m", b"no gzip", Content_Encoding="gzip")).status == 400
    response = await predict("m", body, Content_Encoding="br")
    assert (response.status, told(response)) == (415, "'predict' does not read the coding 'br', expected gzip, deflate")


@pytest.mark.parametrize(
    ("model", "status", "text"),
    [
        ("ghost", 404, "Request for unknown model: 'ghost' is not found"),
        ("countdown", 501, "model 'countdown' is decoupled"),
        ("picky", 500, "has the value 7"),
    ],
)
async def test_what_the_model_cannot_do_has_its_code(predict, model, status, text):
    """No such model, no single answer, and a failure of the model differ."""
    response = await predict(model, {"INPUT0": [[7] * 16]})
    assert response.status == status
    assert text in told(response)


async def test_unknown_output_is_refused(predict):
    """The query can only name outputs that the model has."""
    response = await predict("m", {"X": [[1]]}, "?outputs=Z")
    assert (response.status, told(response)) == (400, "unexpected inference output 'Z' for model 'm'")


async def test_client_that_goes_away_cancels_its_request(running, predict):
    """A request whose caller is cancelled is, too."""
    with Gate("slow") as gate:
        task = asyncio.create_task(predict("slow", {"X": [[1]]}))
        await asyncio.to_thread(gate.wait_entered)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (await predict("slow", {"X": [[1]]})).status == 200  # the one instance has come to the next request
    counted = running.get("slow").snapshot()
    assert (counted.fail.count, counted.success.count) == (1, 1)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=10,
)


@pytest.mark.parametrize("model", ["m", "UINT64", "INT8", "BOOL", "text"])
def test_any_value_is_answered(running, model):
    """No JSON value makes the server fail."""

    async def ask(body):
        application = HttpApplication(running, running.mailboxes.of(asyncio.get_running_loop()), 1 << 16)
        return await settled(
            application.handle(HttpRequest(RequestHead("POST", f"/v2/models/{model}/predict", {}), body))
        )

    with asyncio.Runner() as runner:

        @given(JSON_VALUES)
        def check(value):
            assert runner.run(ask(json.dumps({"X": value}).encode())).status in {200, 400}

        check()
