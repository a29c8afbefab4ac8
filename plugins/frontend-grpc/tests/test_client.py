"""The unmodified client, blocking and asyncio: every method whose call the server has, in the process of the server."""

from __future__ import annotations

import queue

import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from charonia.testing.fakes import Gate
from tritonclient.utils import InferenceServerException

ROW = np.array([[0.1, -2.5, 3e38]], np.float32)


def inputs_of(array=ROW, datatype="FP32"):
    """Make the client's input; both clients take the same one."""
    tensor = triton.InferInput("X", list(array.shape), datatype)
    tensor.set_data_from_numpy(array)
    return [tensor]


@pytest.fixture
def client(serve):
    """Give a blocking client."""
    with triton.InferenceServerClient(serve()) as opened:
        yield opened


@pytest.fixture
async def aio_client(serve):
    """Give an asyncio client."""
    async with triton_aio.InferenceServerClient(serve()) as opened:
        yield opened


def refused(call):
    """Give the status and text of a refusal."""
    with pytest.raises(InferenceServerException) as caught:
        call()
    return caught.value.status(), caught.value.message()


def test_health(client):
    """Server and models tell that they are ready; a model that is not there is an error."""
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("m", "1")
    assert refused(lambda: client.is_model_ready("ghost"))[0] == "StatusCode.NOT_FOUND"


def test_what_the_server_tells(client):
    """Metadata, configuration, statistics and index are read by the client's own messages."""
    assert client.get_server_metadata().name == "charonia"
    assert client.get_model_metadata("m", as_json=True)["inputs"][0]["shape"] == ["-1", "-1"]
    assert client.get_model_config("m").config.max_batch_size == 8
    assert len(client.get_inference_statistics().model_stats) == 7
    assert "m" in [entry.name for entry in client.get_model_repository_index().models]


def test_control_is_refused(client):
    """Loading needs the control mode, and what is not there says so."""
    assert refused(lambda: client.load_model("m"))[0] == "StatusCode.UNAVAILABLE"
    assert refused(lambda: client.unload_model("m"))[0] == "StatusCode.UNAVAILABLE"
    for call in (
        lambda: client.register_system_shared_memory("r", "/r", 8),
        client.unregister_system_shared_memory,
        lambda: client.register_cuda_shared_memory("r", b"", 0, 8),
        client.unregister_cuda_shared_memory,
    ):
        assert refused(call)[0] == "StatusCode.UNIMPLEMENTED"
    assert not client.get_system_shared_memory_status().regions
    assert not client.get_cuda_shared_memory_status().regions


def test_settings(client):
    """Trace and log settings are changed by the client's own messages."""
    assert client.update_trace_settings(settings={"trace_rate": "7"}, as_json=True)["settings"]["trace_rate"] == {
        "value": ["7"]
    }
    client.update_trace_settings(settings={"trace_rate": None})
    assert client.get_trace_settings().settings["trace_rate"].value == ["1000"]
    assert client.update_log_settings({"log_info": False}).settings["log_info"].bool_param is False
    assert not client.get_log_settings().settings["log_info"].bool_param


@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_inference(client, compression):
    """Arrays come back as they went, with everything that a request can say."""
    answer = client.infer(
        "m",
        inputs_of(),
        model_version="1",
        outputs=[triton.InferRequestedOutput("Y")],
        request_id="q",
        priority=1,
        timeout=1000,
        sequence_id=5,
        sequence_start=True,
        parameters={"s": "t", "i": 1, "b": True, "d": 0.5},
        compression_algorithm=compression,
    )
    assert answer.as_numpy("Y").tolist() == ROW.tolist()
    assert answer.get_response().id == "q"


def test_strings(client):
    """BYTES come back as they went."""
    words = np.array([["one", "zwei", ""]], dtype=object)
    answer = client.infer("text", inputs_of(words, "BYTES"))
    assert answer.as_numpy("Y").tolist() == [[b"one", b"zwei", b""]]


def test_errors_have_status_and_text(client):
    """The client tells the code and the reference's text."""
    assert refused(lambda: client.infer("ghost", inputs_of())) == (
        "StatusCode.NOT_FOUND",
        "Request for unknown model: 'ghost' is not found",
    )


def test_inference_in_the_background(client):
    """A callback gets the result."""
    results = queue.SimpleQueue()
    client.async_infer("m", inputs_of(), lambda result, error: results.put((result, error)))
    result, error = results.get(timeout=30)
    assert error is None
    assert result.as_numpy("Y").tolist() == ROW.tolist()


def test_inference_in_the_background_can_be_cancelled(client):
    """The callback gets the client's own error."""
    results = queue.SimpleQueue()
    with Gate("slow") as gate:
        call = client.async_infer("slow", inputs_of(), lambda result, error: results.put((result, error)))
        gate.wait_entered()
        call.cancel()
        result, error = results.get(timeout=30)
    assert result is None
    assert error.status() == "StatusCode.CANCELLED"


def test_a_stream(client):
    """Decoupled responses, the empty final one, and an error come in their order."""
    results = queue.SimpleQueue()
    client.start_stream(lambda result, error: results.put((result, error)))
    client.async_stream_infer("countdown", inputs_of(np.array([[2.0]], np.float32)), enable_empty_final_response=True)
    values = [results.get(timeout=30)[0] for _ in range(3)]
    assert [result.as_numpy("Y").tolist() for result in values[:2]] == [[[2.0]], [[1.0]]]
    finals = [result.get_response().parameters["triton_final_response"].bool_param for result in values]
    assert finals == [False, False, True]
    client.async_stream_infer("ghost", inputs_of())
    _, error = results.get(timeout=30)
    assert error.message() == "Request for unknown model: 'ghost' is not found"
    client.stop_stream()


async def test_asyncio_inference(aio_client):
    """The asyncio client sees the same server."""
    assert await aio_client.is_server_ready()
    assert (await aio_client.get_model_metadata("m")).platform == "arithmetic"
    assert (await aio_client.get_model_config("m", as_json=True))["config"]["name"] == "m"
    assert len((await aio_client.get_inference_statistics("m")).model_stats) == 1
    answer = await aio_client.infer("m", inputs_of(), request_id="q")
    assert answer.as_numpy("Y").tolist() == ROW.tolist()
    with pytest.raises(InferenceServerException, match="is not found"):
        await aio_client.infer("ghost", inputs_of())


async def test_an_asyncio_stream(aio_client):
    """Requests from an asynchronous generator are answered by an asynchronous iterator."""

    async def requests():
        for value in (3.0, 1.0):
            yield {"model_name": "countdown", "inputs": inputs_of(np.array([[value]], np.float32))}

    told = [(result.as_numpy("Y").item(), error) async for result, error in aio_client.stream_infer(requests())]
    assert told == [(3.0, None), (2.0, None), (1.0, None), (1.0, None)]
