"""Fields of a call's metadata that go on to the model, as parameters."""

from __future__ import annotations

import asyncio

import pytest
from charonia.errors import InvalidArgumentError
from charonia.header_forwarding import HeaderForwarding
from charonia.request import InferenceRequest
from charonia.rpc import settled
from charonia_frontend_grpc.application import GrpcApplication
from charonia_frontend_grpc.metadata import forward_metadata
from charonia_protos import grpc_service_pb2 as pb

RESERVED = "Header 'timeout' is reserved for Triton usage and cannot be forwarded."


def forwarded(pattern, fields, parameters=()):
    """Give the parameters of a request that came with some fields."""
    request = InferenceRequest("m", {}, lambda response: None, parameters=dict(parameters))
    forward_metadata(HeaderForwarding(pattern, "--x"), lambda: fields, request)
    return request.parameters


def test_chosen_fields_are_parameters():
    """They stand beside the message's own parameters, over which they win; several are a list; a field in bytes is none."""
    fields = [("x-a", "1"), ("x-b", "two"), ("x-c-bin", b"\xff"), ("other", "no"), ("x-a", "2")]
    assert forwarded("x-.*", fields, {"x-b": 3, "n": 1}) == {"x-a": "1, 2", "x-b": "two", "n": 1}


def test_nothing_comes_with_no_metadata():
    """A call without metadata changes nothing."""
    assert forwarded(".*", None, {"n": 1}) == {"n": 1}


@pytest.fixture
def asked(running, monkeypatch):
    """Give an application that forwards, and the parameters of each request that it passes to the server."""
    parameters = []
    submit = running.submit

    def remember(request):
        parameters.append(request.parameters)
        submit(request)

    monkeypatch.setattr(running, "submit", remember)

    async def make():
        mailbox = running.mailboxes.of(asyncio.get_running_loop())
        return GrpcApplication(running, mailbox, None, HeaderForwarding("x-.*|timeout", "--x")), parameters

    return make


def named(infer_request):
    """Make a request with a parameter of its own."""
    message = infer_request()
    message.parameters["n"].int64_param = 1
    return message.SerializeToString()


async def test_a_call_brings_its_fields(asked, infer_request):
    """What the transport read with the call arrives with its request, and a reserved name is the client's mistake."""
    application, parameters = await asked()
    await settled(application.call("ModelInfer", named(infer_request), lambda: [("x-a", "1"), ("y", "2")]))
    assert parameters == [{"n": 1, "x-a": "1"}]
    with pytest.raises(InvalidArgumentError) as caught:
        await settled(application.call("ModelInfer", named(infer_request), lambda: [("timeout", "1")]))
    assert str(caught.value) == RESERVED


async def test_a_stream_brings_its_fields_to_each_request(asked, infer_request):
    """All requests of a stream have the fields with which it was opened."""
    application, parameters = await asked()
    stream = application.open_stream(lambda: [("x-a", "1")])
    for _ in range(2):
        stream.receive(named(infer_request))
        await asyncio.wait_for(stream.next(), 30)
    stream.close()
    assert parameters == [{"n": 1, "x-a": "1"}] * 2


async def test_a_reserved_name_is_told_in_the_stream(asked, infer_request):
    """No request of such a stream is executed."""
    application, parameters = await asked()
    stream = application.open_stream(lambda: [("timeout", "1")])
    stream.receive(infer_request(id="q").SerializeToString())
    told = pb.ModelStreamInferResponse.FromString(await asyncio.wait_for(stream.next(), 30))
    stream.close()
    assert (told.error_message, told.infer_response.id) == (RESERVED, "q")
    assert not parameters
