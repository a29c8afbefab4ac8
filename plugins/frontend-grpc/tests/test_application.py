"""The application without any transport: every call, and the border where nothing else may become INTERNAL."""

from __future__ import annotations

import asyncio
import logging

import numpy as np
import pytest
from charonia import Server, ServerOptions
from charonia.errors import InferenceError, InternalError, InvalidArgumentError
from charonia.plugins import Plugins
from charonia.rpc import settled
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticPlugin, Gate
from charonia_frontend_grpc.application import SERVICE, GrpcApplication
from charonia_protos import grpc_service_pb2 as pb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

UNARY = [method for method in SERVICE.methods if not method.client_streaming]


@pytest.fixture
def ask(application):
    """Make a call, and give the message that answers it."""

    async def send(name, /, **fields):
        method = SERVICE.methods_by_name[name]
        body = getattr(pb, method.input_type.name)(**fields).SerializeToString()
        return getattr(pb, method.output_type.name).FromString(await settled((await application()).call(name, body)))

    return send


async def test_health(ask):
    """Server and models tell that they are ready."""
    assert (await ask("ServerLive")).live
    assert (await ask("ServerReady")).ready
    assert (await ask("ModelReady", name="m", version="1")).ready
    assert not (await ask("ModelReady", name="m", version="9")).ready


async def test_health_of_a_server_that_stops(ask, application, running):
    """A server that stops is neither live nor ready, and takes no requests."""
    assert (await application()).serving()
    running.begin_shutdown()
    assert not (await ask("ServerLive")).live
    assert not (await ask("ServerReady")).ready
    assert not (await application()).serving()


async def test_what_the_server_tells(ask):
    """Metadata, configuration, statistics and index are those of the server."""
    metadata = await ask("ServerMetadata")
    assert metadata.name == "charonia"
    assert "statistics" in metadata.extensions
    model = await ask("ModelMetadata", name="m")
    assert (model.name, model.versions, model.platform) == ("m", ["1"], "arithmetic")
    assert [(item.name, item.datatype, item.shape) for item in model.inputs] == [("X", "FP32", [-1, -1])]
    assert (await ask("ModelConfig", name="m")).config.max_batch_size == 8
    index = await ask("RepositoryIndex", ready=True)
    assert ("m", "1", "READY") in [(entry.name, entry.version, entry.state) for entry in index.models]


async def test_statistics_count(ask, infer_request, application):
    """Each duration is there, and the batch sizes, too."""
    app = await application()
    await settled(app.call("ModelInfer", infer_request().SerializeToString()))
    (told,) = (await ask("ModelStatistics", name="m")).model_stats
    assert (told.name, told.version, told.inference_count, told.execution_count) == ("m", "1", 1, 1)
    assert told.inference_stats.success.count == 1
    assert told.inference_stats.HasField("cache_hit")
    assert [batch.batch_size for batch in told.batch_stats] == [1]
    assert len((await ask("ModelStatistics")).model_stats) == 7


@pytest.mark.parametrize(
    ("name", "fields", "code", "text"),
    [
        ("ModelReady", {"name": "ghost"}, "NOT_FOUND", "Request for unknown model: 'ghost' is not found"),
        ("ModelMetadata", {"name": "ghost"}, "NOT_FOUND", "Request for unknown model: 'ghost' is not found"),
        (
            "ModelConfig",
            {"name": "m", "version": "9"},
            "NOT_FOUND",
            "Request for unknown model: 'm' version 9 is not found",
        ),
        ("ModelInfer", {}, "NOT_FOUND", "Request for unknown model: '' is not found"),
        (
            "ModelInfer",
            {"model_name": "countdown"},
            "UNSUPPORTED",
            "ModelInfer RPC doesn't support models with decoupled transaction policy",
        ),
        ("ModelStatistics", {"name": "ghost"}, "INVALID_ARG", "requested model 'ghost' is not available"),
        (
            "RepositoryIndex",
            {"repository_name": "r"},
            "UNSUPPORTED",
            "'repository_name' specification is not supported",
        ),
        (
            "RepositoryModelLoad",
            {"model_name": "m"},
            "UNAVAILABLE",
            "explicit model load / unload is not allowed if polling is enabled",
        ),
        (
            "RepositoryModelUnload",
            {"model_name": "m"},
            "UNAVAILABLE",
            "explicit model load / unload is not allowed if polling is enabled",
        ),
        (
            "SystemSharedMemoryRegister",
            {"name": "r"},
            "UNSUPPORTED",
            "Client shared memory is disabled. Start the server with '--allow-client-shm=true' to enable.",
        ),
        ("SystemSharedMemoryStatus", {"name": "r"}, "NOT_FOUND", "Unable to find system shared memory region: 'r'"),
        ("CudaSharedMemoryStatus", {"name": "r"}, "NOT_FOUND", "Unable to find cuda shared memory region: 'r'"),
    ],
)
async def test_refusals_have_the_references_codes_and_texts(ask, name, fields, code, text):
    """What cannot be done is told with its code."""
    with pytest.raises(InferenceError) as caught:
        await ask(name, **fields)
    assert (caught.value.code.name, str(caught.value)) == (code, text)


async def test_status_of_shared_memory_is_empty(ask):
    """There are no regions."""
    assert not (await ask("SystemSharedMemoryStatus")).regions
    assert not (await ask("CudaSharedMemoryStatus")).regions


async def test_load_and_unload(tmp_path):
    """With explicit control a client loads and unloads models; unloading what is not there is fine."""
    write_model(tmp_path, model_config("m"))
    options = ServerOptions(model_control_mode="explicit")
    with Server(tmp_path, options=options, plugins=Plugins(entry_points=(), extra=[ArithmeticPlugin()])) as server:
        app = GrpcApplication(server, server.mailboxes.of(asyncio.get_running_loop()))
        message = pb.RepositoryModelLoadRequest(model_name="m")
        await settled(app.call("RepositoryModelLoad", message.SerializeToString()))
        assert server.can_serve("m")
        for name in ("m", "ghost"):
            unload = pb.RepositoryModelUnloadRequest(
                model_name=name, parameters={"unload_dependents": {"bool_param": True}}
            )
            await settled(app.call("RepositoryModelUnload", unload.SerializeToString()))
        assert not server.can_serve("m")


async def test_inference(application, infer_request, rows_of):
    """Rows go to the model and come back, with the request's id."""
    body = await settled(
        (await application()).call("ModelInfer", infer_request(row=(1, 2, 3), id="q").SerializeToString())
    )
    response = pb.ModelInferResponse.FromString(body)
    assert (response.id, rows_of(response)) == ("q", [[1.0, 2.0, 3.0]])


async def test_requests_of_one_turn_share_an_execution(running, application, infer_request):
    """What the loop reads in one turn reaches the model together."""
    app = await application()
    body = infer_request("slow").SerializeToString()
    with Gate("slow") as gate:
        first = asyncio.ensure_future(settled(app.call("ModelInfer", body)))
        await asyncio.to_thread(gate.wait_entered)
        gate.open()
        await asyncio.gather(first, *(settled(app.call("ModelInfer", body)) for _ in range(4)))
    (statistics,) = running.statistics("slow")
    assert statistics.counters.success.count == 5


async def test_a_cancelled_call_takes_its_request_back(running, application, infer_request):
    """The request of a client that has gone is not executed."""
    app = await application()
    body = infer_request("slow").SerializeToString()
    with Gate("slow") as gate:
        running_call = asyncio.ensure_future(settled(app.call("ModelInfer", body)))
        await asyncio.to_thread(gate.wait_entered)
        queued_call = asyncio.ensure_future(settled(app.call("ModelInfer", body)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        queued_call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await queued_call
        gate.open()
        await running_call
        await settled(app.call("ModelInfer", body))  # by now the cancelled one has been picked up
    (statistics,) = running.statistics("slow")
    assert (statistics.counters.success.count, statistics.counters.fail.count) == (2, 1)


async def test_failures_of_the_model_are_internal(application, infer_request):
    """A backend's exception is told, with its text."""
    with pytest.raises(InternalError, match="X has the value 7"):
        await settled((await application()).call("ModelInfer", infer_request("picky", (7.0,)).SerializeToString()))


async def test_a_fault_of_ours_is_told_and_logged(application, running, monkeypatch, caplog):
    """What nobody foresaw is INTERNAL and in the log, and the next call is answered."""
    monkeypatch.setattr(running, "metadata", lambda: 1 / 0)
    app = await application()
    with caplog.at_level(logging.ERROR), pytest.raises(InternalError, match="ZeroDivisionError"):
        await settled(app.call("ServerMetadata", b""))
    assert "failed to answer ServerMetadata" in caplog.text
    assert await settled(app.call("ServerLive", b""))


@pytest.mark.parametrize("method", UNARY, ids=lambda method: method.name)
async def test_what_is_no_message_is_the_clients_mistake(application, method):
    """Bytes that cannot be decoded are refused by every call."""
    with pytest.raises(InvalidArgumentError, match="Unable to parse request"):
        await settled((await application()).call(method.name, b"\xff\xff"))


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_bytes_get_an_answer(running, data):
    """Whatever bytes come to whatever call, the answer is a message or an error that is not INTERNAL."""
    name = data.draw(st.sampled_from([method.name for method in UNARY]))
    body = data.draw(st.binary(max_size=40) | infer_messages())

    async def send():
        app = GrpcApplication(running, running.mailboxes.of(asyncio.get_running_loop()))
        await settled(app.call(name, body))

    try:
        asyncio.run(send())
    except InferenceError as error:
        assert error.code.name != "INTERNAL", error  # noqa: PT017 - an error is only one of the two good ends


@st.composite
def infer_messages(draw):
    """Make messages that come near to being right."""
    message = pb.ModelInferRequest(model_name=draw(st.sampled_from(["m", "text", "countdown", "ghost"])))
    message.model_version = draw(st.sampled_from(["", "1", "x", "-1"]))
    for name in draw(st.lists(st.sampled_from(["X", "Y"]), max_size=2)):
        shape = draw(st.lists(st.integers(-1, 3), max_size=3))
        message.inputs.add(name=name, datatype=draw(st.sampled_from(["FP32", "BYTES", "INT8", "?"])), shape=shape)
        count = max(0, int(np.prod(shape))) if draw(st.booleans()) else draw(st.integers(0, 4))
        message.raw_input_contents.append(b"\0" * 4 * count)
    return message.SerializeToString()
