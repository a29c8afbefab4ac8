"""The unmodified client, blocking and asyncio: what it asks beside inference, inference in its ways, and errors as it tells them."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from charonia.testing.fakes import Gate
from tritonclient.utils import InferenceServerException

ROW = np.array([[0.1, -2.5, 3e38]], np.float32)


def row_input(client, array=ROW, *, binary=True):
    """Make the client's input."""
    tensor = client.InferInput("X", list(array.shape), "FP32")
    tensor.set_data_from_numpy(array, binary_data=binary)
    return [tensor]


@pytest.fixture
def client(serve):
    """Give a blocking client."""
    with triton.InferenceServerClient(f"127.0.0.1:{serve()}") as opened:
        yield opened


@pytest.fixture
async def aio_client(serve):
    """Give an asyncio client."""
    async with triton_aio.InferenceServerClient(f"127.0.0.1:{serve()}") as opened:
        yield opened


def test_health(client):
    """Server and models tell that they are ready, and a model that is not there that it is not."""
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("m")
    assert client.is_model_ready("m", "1")
    assert not client.is_model_ready("m", "7")
    assert not client.is_model_ready("ghost")


def test_health_of_a_server_that_stops(client, running):
    """A server that stops is neither live nor ready, says so with an empty 400, and takes no requests."""
    running.begin_shutdown()
    assert not client.is_server_live()
    assert not client.is_server_ready()
    with pytest.raises(InferenceServerException) as caught:
        client.infer("m", row_input(triton))
    assert caught.value.status() == "503"


def test_metadata(client):
    """The server and its models describe themselves."""
    assert client.get_server_metadata()["name"] == "charonia"
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    assert client.get_model_metadata("m") == {
        "name": "m",
        "versions": ["1"],
        "platform": "arithmetic",
        "inputs": [{"name": "X", "datatype": "FP32", "shape": [-1, -1]}],
        "outputs": [{"name": "Y", "datatype": "FP32", "shape": [-1, -1]}],
    }
    config = client.get_model_config("m", "1")
    assert config["max_batch_size"] == 8
    assert config["input"][0]["dims"] == [-1]


def test_index(client):
    """The index lists the models in the order of their names; what memory they take depends on what else happens in the process."""
    rows = [(row["name"], row["version"], row["state"]) for row in client.get_model_repository_index()]
    assert rows == [("m", "1", "READY"), ("slow", "1", "READY")]


@pytest.mark.parametrize("sent_binary", [False, True])
@pytest.mark.parametrize("wanted", [None, False, True])
def test_inference(client, sent_binary, wanted):
    """Tensors pass in JSON and in binary, mixed, and with no word about the outputs; the id comes back."""
    outputs = None if wanted is None else [triton.InferRequestedOutput("Y", binary_data=wanted)]
    answer = client.infer("m", row_input(triton, binary=sent_binary), outputs=outputs, request_id="seven")
    assert answer.as_numpy("Y").tobytes() == ROW.tobytes()
    response = answer.get_response()
    assert (response["id"], response["model_name"], response["model_version"]) == ("seven", "m", "1")


def test_inference_in_the_background(client):
    """Requests that the client keeps in flight together are each answered."""
    rows = [ROW + number for number in range(8)]
    waiting = [client.async_infer("m", row_input(triton, row)) for row in rows]
    assert [answer.get_result().as_numpy("Y").tobytes() for answer in waiting] == [row.tobytes() for row in rows]


@pytest.mark.parametrize("request_coding", [None, "gzip", "deflate"])
@pytest.mark.parametrize("response_coding", [None, "gzip", "deflate"])
def test_compression(client, request_coding, response_coding):
    """Each direction may be compressed by itself."""
    result = client.infer(
        "m",
        row_input(triton),
        request_compression_algorithm=request_coding,
        response_compression_algorithm=response_coding,
    )
    assert result.as_numpy("Y").tolist() == ROW.tolist()


def test_classes(client):
    """The client asks for classes and gets them as text."""
    result = client.infer("m", row_input(triton), outputs=[triton.InferRequestedOutput("Y", class_count=2)])
    assert result.as_numpy("Y").tolist() == [[b"300000000549775575777803994281145270272.000000:2", b"0.100000:0"]]


def test_statistics(client):
    """The client reads what a model has done."""
    client.infer("m", row_input(triton))
    (row,) = client.get_inference_statistics("m")["model_stats"]
    assert (row["name"], row["inference_count"]) == ("m", 1)


def test_large_tensors(client):
    """Megabytes pass both ways."""
    large = np.arange(2_000_000, dtype=np.float32).reshape(4, -1)
    assert np.array_equal(client.infer("m", row_input(triton, large)).as_numpy("Y"), large)


def test_nothing_is_a_tensor(client):
    """A tensor without elements passes, too."""
    empty = np.zeros((1, 0), np.float32)
    assert client.infer("m", row_input(triton, empty)).as_numpy("Y").shape == (1, 0)


@pytest.mark.parametrize(
    ("model", "version", "status", "text"),
    [
        ("ghost", "", "404", "Request for unknown model: 'ghost' is not found"),
        ("m", "7", "404", "Request for unknown model: 'm' version 7 is not found"),
    ],
)
def test_unknown_models(client, model, version, status, text):
    """The client gets status and text of the protocol."""
    with pytest.raises(InferenceServerException) as caught:
        client.infer(model, row_input(triton), model_version=version)
    assert caught.value.status() == status
    assert caught.value.message() == text
    with pytest.raises(InferenceServerException, match="Request for unknown model"):
        client.get_model_metadata(model, version)


def test_request_that_does_not_fit(client):
    """What the model's own check refuses is the client's mistake."""
    with pytest.raises(InferenceServerException) as caught:
        client.infer("m", row_input(triton, np.zeros((9, 1), np.float32)), request_id="nine")
    assert caught.value.status() == "400"
    assert caught.value.message() == "[request id: nine] inference request batch-size must be <= 8 for 'm'"


async def test_asyncio_client(aio_client):
    """The asyncio client, which would take compressed answers, asks and infers as the blocking one."""
    assert await aio_client.is_server_ready()
    assert (await aio_client.get_model_metadata("m"))["platform"] == "arithmetic"
    answers = await asyncio.gather(
        *(aio_client.infer("m", row_input(triton_aio, ROW + number)) for number in range(20))
    )
    assert [answer.as_numpy("Y").tobytes() for answer in answers] == [(ROW + n).tobytes() for n in range(20)]
    with pytest.raises(InferenceServerException, match="is not found"):
        await aio_client.infer("ghost", row_input(triton_aio))


async def test_client_that_gives_up(aio_client, running):
    """A request that the client gives up is cancelled in the server; the client goes on with others."""
    with Gate("slow") as gate:
        waiting = asyncio.ensure_future(aio_client.infer("slow", row_input(triton_aio)))
        await asyncio.to_thread(gate.wait_entered)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await aio_client.infer("m", row_input(triton_aio))
        gate.open()
        await aio_client.infer("slow", row_input(triton_aio))
    assert running.statistics("slow")[0].counters.fail.count == 1
