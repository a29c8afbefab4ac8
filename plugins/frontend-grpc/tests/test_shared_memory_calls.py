"""Shared memory over gRPC: its calls, and inference with inputs and outputs in it."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from charonia import Server, ServerOptions
from charonia.errors import InferenceError
from charonia.plugins import Plugins
from charonia.rpc import settled
from charonia.testing.fakes import ArithmeticPlugin, Gate
from charonia.testing.patience import wait_until
from charonia_frontend_grpc.application import SERVICE, GrpcApplication
from charonia_protos import grpc_service_pb2 as pb

ROW = np.array([1, 2, 3, 4], np.float32)
DISABLED = "Client shared memory is disabled. Start the server with '--allow-client-shm=true' to enable."


@pytest.fixture(params=[True])
async def application(request, model_repository, objects):
    """Give an application whose option about shared memory is the parameter; it ends before the objects do."""
    options = ServerOptions(allow_client_shm=request.param)
    plugins = Plugins(entry_points=(), extra=[ArithmeticPlugin()])
    with Server(model_repository, options=options, plugins=plugins) as server:
        yield GrpcApplication(server, server.mailboxes.of(asyncio.get_running_loop()))


@pytest.fixture
def ask(application):
    """Make a call, and give the message that answers it."""

    async def send(name, /, **fields):
        method = SERVICE.methods_by_name[name]
        body = getattr(pb, method.input_type.name)(**fields).SerializeToString()
        return getattr(pb, method.output_type.name).FromString(await settled(application.call(name, body)))

    return send


@pytest.fixture
async def region(ask, objects):
    """Register 64 bytes as `r`, which begin with a row, and give the file that they are."""
    key = objects.make("a", ROW.tobytes() + bytes(48))
    await ask("SystemSharedMemoryRegister", name="r", key=key, byte_size=64)
    return objects.path("a")


async def refusal(call):
    """Give the code and the text with which a call is refused."""
    with pytest.raises(InferenceError) as caught:
        await call
    return caught.value.code.name, str(caught.value)


def place(**parameters):
    """Name the place of a row in the region, or another one."""
    told = {"region": "r", "byte_size": 16} | parameters
    kinds = {str: "string_param", int: "int64_param", bool: "bool_param"}
    return {f"shared_memory_{name}": {kinds[type(value)]: value} for name, value in told.items() if value is not None}


def message(tensor=None, outputs=None, model="m", **more):
    """Make the message that asks a model about a row that is where the parameters say."""
    item = {"name": "X", "datatype": "FP32", "shape": [1, 4], "parameters": tensor or {}, **more}
    wanted = [] if outputs is None else [{"name": "Y", "parameters": outputs}]
    return {"model_name": model, "inputs": [item], "outputs": wanted}


async def test_regions_come_and_go(ask, objects):
    """A region is told as it was registered until it is unregistered, by its name or with all others."""
    key = objects.make("a", bytes(64))
    for name in ("b", ""):  # as in the reference, the empty name is a name
        await ask("SystemSharedMemoryRegister", name=name, key=key, offset=8, byte_size=16)
    told = (await ask("SystemSharedMemoryStatus")).regions
    assert {name: (row.name, row.key, row.offset, row.byte_size) for name, row in told.items()} == {
        "": ("", key, 8, 16),
        "b": ("b", key, 8, 16),
    }
    assert list((await ask("SystemSharedMemoryStatus", name="b")).regions) == ["b"]
    await ask("CudaSharedMemoryUnregister", name="b")
    await ask("SystemSharedMemoryUnregister", name="b")
    assert list((await ask("SystemSharedMemoryStatus")).regions) == [""]
    await ask("CudaSharedMemoryUnregister")
    await ask("SystemSharedMemoryUnregister")
    assert not (await ask("SystemSharedMemoryStatus")).regions
    assert not (await ask("CudaSharedMemoryStatus")).regions


@pytest.mark.parametrize(
    ("name", "fields", "code", "text"),
    [
        ("SystemSharedMemoryRegister", {"name": "r"}, "ALREADY_EXISTS", "shared memory region 'r' already in manager"),
        (
            "SystemSharedMemoryRegister",
            {"name": "x", "byte_size": 1},
            "INTERNAL",
            "Unable to open shared memory region: ''",
        ),
        ("SystemSharedMemoryStatus", {"name": "x"}, "NOT_FOUND", "Unable to find system shared memory region: 'x'"),
        ("CudaSharedMemoryRegister", {"name": "r"}, "ALREADY_EXISTS", "shared memory region 'r' already in manager"),
        (
            "CudaSharedMemoryRegister",
            {"name": "c", "raw_handle": bytes(64), "byte_size": 8},
            "INVALID_ARG",
            "failed to register CUDA shared memory region: 'c', GPUs not supported",
        ),
        ("CudaSharedMemoryStatus", {"name": "x"}, "NOT_FOUND", "Unable to find cuda shared memory region: 'x'"),
        (
            "CudaSharedMemoryStatus",
            {"name": "r"},
            "NOT_FOUND",
            "The region named 'r' is registered as system shared memory, not CUDA shared memory",
        ),
    ],
)
async def test_refusals_have_the_references_codes_and_texts(ask, region, name, fields, code, text):
    """What cannot be done with regions is told as over HTTP."""
    assert await refusal(ask(name, **fields)) == (code, text)


@pytest.mark.parametrize("application", [False], indirect=True)
async def test_shared_memory_that_is_not_allowed(ask):
    """Without the option only status answers, and the refusal names the option."""
    for kind in ("System", "Cuda"):
        for wish in ("Register", "Unregister"):
            assert await refusal(ask(f"{kind}SharedMemory{wish}", name="r")) == ("UNSUPPORTED", DISABLED)
        assert not (await ask(f"{kind}SharedMemoryStatus")).regions
    refused = await refusal(ask("ModelInfer", **message(place())))
    assert refused == ("NOT_FOUND", "Unable to find shared memory region: 'r'")


async def test_inference_in_place(ask, region):
    """An input is read and an output is written where the request says; the response has an empty entry for it."""
    answer = await ask("ModelInfer", **message(place(), place(offset=32, byte_size=32)))
    assert [(output.name, output.datatype, list(output.shape)) for output in answer.outputs] == [("Y", "FP32", [1, 4])]
    assert not answer.outputs[0].parameters
    assert list(answer.raw_output_contents) == [b""]
    assert region.read_bytes() == ROW.tobytes() + bytes(16) + ROW.tobytes() + bytes(16)
    answer = await ask("ModelInfer", **message(place(offset=32)))
    assert list(answer.raw_output_contents) == [ROW.tobytes()]


async def test_stream_in_place(application, region):
    """A decoupled model writes each of its responses to the place of the output, the last one at last."""
    region.write_bytes(np.array([2], np.float32).tobytes() + bytes(60))
    tensor = {**message(place(byte_size=4), place(offset=32), model="countdown")}
    tensor["inputs"][0]["shape"] = [1, 1]
    stream = application.open_stream()
    stream.receive(pb.ModelInferRequest(**tensor).SerializeToString())
    stream.end()
    told = []
    while (body := await stream.next()) is not None:
        told.append(pb.ModelStreamInferResponse.FromString(body))
    assert [list(answer.infer_response.raw_output_contents) for answer in told] == [[b""], [b""]]
    assert np.frombuffer(region.read_bytes()[32:36], np.float32) == [1]


async def test_output_that_does_not_fit(ask, region):
    """An output that is larger than its place is the model's failure, as in the reference, and nothing is written."""
    text = "shared memory size specified with the request for output 'Y' (8 bytes) should be at least 16 bytes to hold the results"
    assert await refusal(ask("ModelInfer", **message(place(), place(offset=32, byte_size=8)))) == ("INTERNAL", text)
    assert region.read_bytes() == ROW.tobytes() + bytes(48)


@pytest.mark.parametrize(
    ("parameters", "code", "text"),
    [
        (place(region="zz"), "NOT_FOUND", "Unable to find shared memory region: 'zz'"),
        (place(offset=64), "INVALID_ARG", "Invalid offset for shared memory region: 'r'"),
        (place(offset=-1), "INVALID_ARG", "Invalid offset for shared memory region: 'r'"),
        (place(offset=60), "INVALID_ARG", "Invalid offset + byte size for shared memory region: 'r'"),
        (place(byte_size=-1), "INVALID_ARG", "Invalid offset + byte size for shared memory region: 'r'"),
        (place(byte_size=0), "INVALID_ARG", "Invalid offset + byte size for shared memory region: 'r'"),
    ],
)
async def test_places_that_are_none(ask, region, parameters, code, text):
    """A wrong place is told in the same words for an input and for an output."""
    assert await refusal(ask("ModelInfer", **message(parameters))) == (code, text)
    assert await refusal(ask("ModelInfer", **message(place(), parameters))) == (code, text)


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        (
            place(region=1),
            "invalid value type for 'shared_memory_region' parameter for tensor '{}', expected string_param.",
        ),
        (
            place(byte_size="1"),
            "invalid value type for 'shared_memory_byte_size' parameter for tensor '{}', expected int64_param.",
        ),
        (
            place(offset=True),
            "invalid value type for 'shared_memory_offset' parameter for tensor '{}', expected int64_param.",
        ),
        (
            place(byte_size=None),
            "'shared_memory_byte_size' must be specified along with 'shared_memory_region' parameter for tensor '{}'",
        ),
        (
            place(region=None),
            "'shared_memory_byte_size' can not be specified without 'shared_memory_region' parameter for tensor '{}'",
        ),
        (
            place(region=None, byte_size=None, offset=0),
            "'shared_memory_offset' can not be specified without 'shared_memory_region' parameter for tensor '{}'",
        ),
    ],
)
async def test_parameters_that_are_wrong(ask, region, parameters, text):
    """Parameters of the wrong type, or without the others, are told in the reference's words."""
    assert await refusal(ask("ModelInfer", **message(parameters))) == ("INVALID_ARG", text.format("X"))
    assert await refusal(ask("ModelInfer", **message(place(), parameters))) == ("INVALID_ARG", text.format("Y"))


async def test_sources_that_contradict_each_other(ask, region):
    """An input in shared memory has no contents, and takes none of the raw ones; an output there is not classified."""
    contents = message(place(), contents={"fp32_contents": [1, 2, 3, 4]})
    assert await refusal(ask("ModelInfer", **contents)) == (
        "INVALID_ARG",
        "unexpected 'content' provided when using shared memory for input tensor 'X' for model 'm'",
    )
    answer = await ask("ModelInfer", **message(place()), raw_input_contents=[bytes(16)])
    assert list(answer.raw_output_contents) == [ROW.tobytes()]
    classified = message(place(), {**place(), "classification": {"int64_param": 1}})
    assert await refusal(ask("ModelInfer", **classified)) == (
        "INVALID_ARG",
        "output can't set both 'shared_memory_region' and 'classification'",
    )


async def test_input_is_not_copied(ask, region):
    """What a model gets is the client's own memory: it sees what the client has changed since it asked."""
    with Gate("slow") as gate:
        running = asyncio.ensure_future(ask("ModelInfer", **message(place(), model="slow")))
        await asyncio.to_thread(gate.wait_entered)
        with region.open("r+b") as memory:
            memory.write((ROW * 10).tobytes())
        gate.open()
        answer = await running
    assert list(answer.raw_output_contents) == [(ROW * 10).tobytes()]


async def test_region_in_use_may_be_unregistered(ask, region, objects):
    """A request that is executed goes on with its memory when the region is unregistered; then the memory is let go."""
    with Gate("slow") as gate:
        running = asyncio.ensure_future(ask("ModelInfer", **message(place(), place(offset=32), model="slow")))
        await asyncio.to_thread(gate.wait_entered)
        await ask("SystemSharedMemoryUnregister", name="r")
        assert objects.mapped == 1
        gate.open()
        await running
    del running
    assert region.read_bytes()[32:48] == ROW.tobytes()
    # the instance's thread has answered before it lets go
    await asyncio.to_thread(wait_until, lambda: (objects.mapped, objects.opened) == (0, 0))
