"""Shared memory over HTTP: its endpoints, and inference with inputs and outputs in it."""

from __future__ import annotations

import asyncio
import base64

import numpy as np
import pytest
from charonia.testing.fakes import Gate
from charonia.testing.patience import wait_until

SYSTEM, CUDA = "/v2/systemsharedmemory", "/v2/cudasharedmemory"
HANDLE = base64.b64encode(bytes(64)).decode()
DONE = (200, "application/json", None)
ROW = np.array([1, 2, 3, 4], np.float32)


def refused(text, status=400):
    """The answer to a request that is refused."""
    return status, "application/json", {"error": text}


@pytest.fixture(params=[True])
async def ask(request, asking, objects):
    """Send requests to an application whose option about shared memory is the parameter; it ends before the objects do."""
    async with asking(allow_client_shm=request.param) as ask:
        yield ask


@pytest.fixture
async def region(ask, objects):
    """Register 64 bytes as `r`, which begin with a row, and give the file that they are."""
    key = objects.make("a", ROW.tobytes() + bytes(48))
    assert await ask("POST", f"{SYSTEM}/region/r/register", {"key": key, "byte_size": 64}) == DONE
    return objects.path("a")


def infer(ask, tensor, outputs=None, model="m", **more):
    """Ask a model about a row that is where the parameters say."""
    wanted = {"inputs": [{"name": "X", "shape": [1, 4], "datatype": "FP32", "parameters": tensor, **more}]}
    if outputs is not None:
        wanted["outputs"] = [{"name": "Y", "parameters": outputs}]
    return ask("POST", f"/v2/models/{model}/infer", wanted)


def place(**parameters):
    """Name the place of a row in the region, or another one."""
    told = {"region": "r", "byte_size": 16} | parameters
    return {f"shared_memory_{name}": value for name, value in told.items() if value is not None}


async def test_regions_come_and_go(ask, objects):
    """A region is told as it was registered until it is unregistered, by its name or with all others; names are decoded."""
    key = objects.make("a", bytes(64))
    assert await ask("GET", f"{SYSTEM}/status") == (200, "application/json", [])
    for name in ("b", "a%20a"):
        wanted = {"key": key, "offset": 8, "byte_size": 16}
        assert await ask("POST", f"{SYSTEM}/region/{name}/register", wanted) == DONE
    rows = [{"name": name, "key": key, "offset": 8, "byte_size": 16} for name in ("a a", "b")]
    assert await ask("GET", f"{SYSTEM}/status") == (200, "application/json", rows)
    assert await ask("GET", f"{SYSTEM}/region/b/status") == (200, "application/json", rows[1:])
    assert await ask("POST", f"{CUDA}/region/b/unregister") == DONE
    assert await ask("POST", f"{SYSTEM}/region/b/unregister") == DONE
    assert await ask("GET", f"{SYSTEM}/status") == (200, "application/json", rows[:1])
    assert await ask("POST", f"{CUDA}/unregister") == DONE
    assert await ask("POST", f"{SYSTEM}/unregister") == DONE
    assert await ask("GET", f"{SYSTEM}/region/b/status") == refused(
        "Unable to find system shared memory region: 'b'", 404
    )


@pytest.mark.parametrize(
    ("document", "text"),
    [
        (b"", "failed to parse the request JSON buffer: The document is empty. at 0"),
        (b"[]", "Shared memory register request has no 'key' field"),
        ({"byte_size": 8}, "Shared memory register request has no 'key' field"),
        ({"key": "/k"}, "Shared memory register request has no 'byte_size' field"),
        ({"key": 5, "byte_size": 8}, "attempt to access JSON non-string as string"),
        ({"key": "/k", "byte_size": "8"}, "attempt to access JSON non-unsigned-integer as unsigned-integer"),
        (
            {"key": "/k", "byte_size": 8, "offset": -1},
            "attempt to access JSON non-unsigned-integer as unsigned-integer",
        ),
    ],
)
async def test_registrations_that_are_malformed(ask, document, text):
    """What is wrong with a registration is told in the reference's words, and is the client's mistake."""
    assert await ask("POST", f"{SYSTEM}/region/r/register", document) == refused(text)


@pytest.mark.parametrize(
    ("document", "text"),
    [
        (b"", "failed to parse the request JSON buffer: The document is empty. at 0"),
        ({}, "Shared memory register request has no 'raw_handle' field"),
        ({"raw_handle": 5}, "attempt to access non-existing object member 'b64'"),
        ({"raw_handle": {"b64": 5}}, "attempt to access JSON non-string as string"),
        ({"raw_handle": {"b64": HANDLE}}, "attempt to access non-existing object member 'byte_size'"),
        ({"raw_handle": {"b64": HANDLE}, "byte_size": 8}, "attempt to access non-existing object member 'device_id'"),
        (
            {"raw_handle": {"b64": HANDLE}, "byte_size": 8, "device_id": -1},
            "attempt to access JSON non-unsigned-integer as unsigned-integer",
        ),
        *(
            (
                {"raw_handle": {"b64": handle}, "byte_size": 8, "device_id": 0},
                "'raw_handle' must be a valid base64 encoded cudaIpcMemHandle_t",
            )
            for handle in ("", "AAAA", "!!", "\u00e9")
        ),
        (
            {"raw_handle": {"b64": HANDLE}, "byte_size": 8, "device_id": 0},
            "failed to register CUDA shared memory region: 'c', GPUs not supported",
        ),
    ],
)
async def test_memory_of_gpus_is_refused(ask, document, text):
    """A registration of a GPU's memory is checked as in the reference, and then refused: there is no GPU's memory here."""
    assert await ask("POST", f"{CUDA}/region/c/register", document) == refused(text)


@pytest.mark.parametrize(("base", "kind"), [(SYSTEM, "system"), (CUDA, "cuda")])
async def test_paths_without_a_name(ask, base, kind):
    """Registering needs a name, and status without one tells all."""
    assert await ask("POST", f"{base}/register", b"{}") == refused(
        f"'region name' is necessary to register {kind} shared memory region"
    )
    assert await ask("GET", f"{base}/status") == (200, "application/json", [])
    assert (await ask("POST", f"{base}/status"))[0] == 405
    assert (await ask("GET", f"{base}/region/r/register"))[0] == 405
    assert (await ask("POST", f"{base}/region//register"))[0] == 404


async def test_kinds_are_told_apart(ask, region):
    """A system region that is asked for as a GPU's is told to be one."""
    text = "The region named 'r' is registered as system shared memory, not CUDA shared memory"
    assert await ask("GET", f"{CUDA}/region/r/status") == refused(text, 404)


@pytest.mark.parametrize("ask", [False], indirect=True)
@pytest.mark.parametrize("base", [SYSTEM, CUDA])
async def test_shared_memory_that_is_not_allowed(ask, base):
    """Without the option only status answers, and the refusal comes before a look at the body, and names the option."""
    text = "Client shared memory is disabled. Start the server with '--allow-client-shm=true' to enable."
    for path in ("/register", "/region/r/register", "/unregister", "/region/r/unregister"):
        assert await ask("POST", base + path, b"no JSON") == refused(text, 501)
    assert await ask("GET", f"{base}/status") == (200, "application/json", [])
    assert await infer(ask, place()) == refused("Unable to find shared memory region: 'r'", 404)


async def test_inference_in_place(ask, region):
    """An input is read and an output is written where the request says; the response tells what is elsewhere not."""
    status, _, answer = await infer(ask, place(), place(offset=32, byte_size=32))
    assert (status, answer["outputs"]) == (200, [{"name": "Y", "datatype": "FP32", "shape": [1, 4]}])
    assert region.read_bytes() == ROW.tobytes() + bytes(16) + ROW.tobytes() + bytes(16)
    _, _, answer = await infer(ask, place(offset=32))
    assert answer["outputs"][0]["data"] == ROW.tolist()


async def test_output_that_does_not_fit(ask, region):
    """An output that is larger than its place is the model's failure, as in the reference, and nothing is written."""
    text = "shared memory size specified with the request for output 'Y' (8 bytes) should be at least 16 bytes to hold the results"
    assert await infer(ask, place(), place(offset=32, byte_size=8)) == (500, "text/plain", {"error": text})
    assert region.read_bytes() == ROW.tobytes() + bytes(48)


@pytest.mark.parametrize(
    ("parameters", "status", "text"),
    [
        (place(region="zz"), 404, "Unable to find shared memory region: 'zz'"),
        (place(region=5), 400, "Unable to parse 'shared_memory_region': attempt to access JSON non-string as string"),
        (place(offset=64), 400, "Invalid offset for shared memory region: 'r'"),
        (place(offset=60), 400, "Invalid offset + byte size for shared memory region: 'r'"),
        (place(byte_size=None), 400, "Invalid offset + byte size for shared memory region: 'r'"),
        (place(byte_size=2**64 - 1), 400, "Invalid offset + byte size for shared memory region: 'r'"),
        *(
            (
                place(**{name: "5"}),
                400,
                f"Unable to parse 'shared_memory_{name}': attempt to access JSON non-unsigned-integer as unsigned-integer",
            )
            for name in ("offset", "byte_size")
        ),
    ],
)
async def test_places_that_are_none(ask, region, parameters, status, text):
    """A wrong place is told in the same words for an input and for an output."""
    assert await infer(ask, parameters) == refused(text, status)
    assert await infer(ask, place(), parameters) == refused(text, status)


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ({"data": [1, 2, 3, 4]}, "'data' 'shared_memory_region'"),
        ({"parameters": {**place(), "binary_data_size": 16}}, "'binary_data_size' 'shared_memory_region'"),
    ],
)
async def test_input_has_one_source(ask, region, more, found):
    """An input that is in shared memory comes in no other way, too."""
    text = (
        "Input must set only one of the following fields: 'data', 'binary_data_size' in 'parameters', "
        f"'shared_memory_region' in 'parameters'. But set {found}"
    )
    assert await infer(ask, place(), **more) == refused(text)


async def test_input_of_another_size(ask, region):
    """An input has exactly the bytes of its shape, as with every other source."""
    text = "[request id: <id_unknown>] input byte size mismatch for input 'X' for model 'm'. Expected 16, got 12"
    assert await infer(ask, place(byte_size=12)) == refused(text)


@pytest.mark.parametrize("other", [{"classification": 1}, {"classification": 0}, {"binary_data": True}])
async def test_output_goes_to_one_place(ask, region, other):
    """An output in shared memory is neither classified nor sent."""
    (name,) = other
    text = f"Output can't set both 'shared_memory_region' and '{name}'"
    assert await infer(ask, place(), {**place(), **other}) == refused(text)


async def test_input_is_not_copied(ask, region):
    """What a model gets is the client's own memory: it sees what the client has changed since it asked."""
    with Gate("slow") as gate:
        running = asyncio.ensure_future(infer(ask, place(), model="slow"))
        await asyncio.to_thread(gate.wait_entered)
        with region.open("r+b") as memory:
            memory.write((ROW * 10).tobytes())
        gate.open()
        _, _, answer = await running
    assert answer["outputs"][0]["data"] == (ROW * 10).tolist()


async def test_region_in_use_may_be_unregistered(ask, region, objects):
    """A request that is executed goes on with its memory when the region is unregistered; then the memory is let go."""
    with Gate("slow") as gate:
        running = asyncio.ensure_future(infer(ask, place(), place(offset=32), model="slow"))
        await asyncio.to_thread(gate.wait_entered)
        assert await ask("POST", f"{SYSTEM}/region/r/unregister") == DONE
        assert await infer(ask, place()) == refused("Unable to find shared memory region: 'r'", 404)
        assert objects.mapped == 1
        gate.open()
        assert (await running)[0] == 200
    del running
    assert region.read_bytes()[32:48] == ROW.tobytes()
    # the instance's thread has answered before it lets go
    await asyncio.to_thread(wait_until, lambda: (objects.mapped, objects.opened) == (0, 0))


@pytest.mark.parametrize("parameters", [place(offset=60), {}])
async def test_refused_requests_hold_nothing(ask, region, objects, parameters):
    """A request that is refused, for its input or for its output, keeps no memory."""
    assert (await infer(ask, place(), parameters, shape=[1, 5]))[0] == 400
    assert await ask("POST", f"{SYSTEM}/unregister") == DONE
    await asyncio.sleep(0)  # the loop itself still holds what it has delivered in this turn
    assert (objects.mapped, objects.opened) == (0, 0)
