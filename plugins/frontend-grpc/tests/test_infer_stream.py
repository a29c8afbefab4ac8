"""A stream without any transport: orders, flags, errors in the stream and strict ones, a slow reader, and both ends."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest
from charonia.errors import InferenceError, UnavailableError
from charonia.request import InferenceResponse
from charonia.testing.fakes import Gate
from charonia_frontend_grpc import infer_response, infer_stream
from charonia_protos import grpc_service_pb2 as pb

FINAL = "triton_final_response"


@pytest.fixture
async def open_stream(application):
    """Open streams of one application; all are closed at the end."""
    app = await application()
    opened = []

    def start(*, strict=False):
        opened.append(app.open_stream(lambda: [("triton_grpc_error", "true")] if strict else None))
        return opened[-1]

    yield start
    for stream in opened:
        stream.close()


async def answers(stream):
    """Read a stream to its end."""
    told = []
    while (body := await asyncio.wait_for(stream.next(), 30)) is not None:
        told.append(pb.ModelStreamInferResponse.FromString(body))
    return told


def ids(told):
    """Give the ids of responses in their order."""
    return [response.infer_response.id for response in told]


def finals(told):
    """Give the final flags of responses, None where a response has none."""
    parameters = [response.infer_response.parameters for response in told]
    return [item[FINAL].bool_param if FINAL in item else None for item in parameters]


async def executed(server, model):
    """Wait until a model has executed all that streams have passed on: its one instance takes this request after them."""
    await asyncio.sleep(0)  # the outbox empties at the end of the turn
    request = {"X": np.zeros((1, 1), np.float32)}
    await asyncio.to_thread(lambda: list(server.model(model).stream(request)))


async def test_nothing_asked_is_nothing_answered(open_stream):
    """A stream without requests ends well."""
    stream = open_stream()
    stream.end()
    assert await answers(stream) == []


async def test_responses_of_plain_models_keep_the_order(open_stream, infer_request, rows_of):
    """A slow request holds up those after it, and each response is final."""
    stream = open_stream()
    with Gate("slow") as gate:
        for name, model in (("1", "m"), ("2", "slow"), ("3", "m"), ("4", "ghost"), ("5", "m")):
            stream.receive(infer_request(model, (float(name),), id=name).SerializeToString())
        stream.end()
        await asyncio.to_thread(gate.wait_entered)
        first = await asyncio.wait_for(stream.next(), 30)
        late = asyncio.ensure_future(answers(stream))
        await asyncio.sleep(0)
        assert not late.done()
        gate.open()
        told = [pb.ModelStreamInferResponse.FromString(first), *await late]
    assert ids(told) == ["1", "2", "3", "4", "5"]
    assert finals(told) == [True, True, True, None, True]
    assert told[3].error_message == "Request for unknown model: 'ghost' is not found"
    assert [rows_of(item.infer_response) for item in told if not item.error_message] == [[[1]], [[2]], [[3]], [[5]]]


async def test_large_outputs_are_classified_beside_the_loop(open_stream, infer_request, rows_of, monkeypatch):
    """The loop serves others meanwhile, and what was asked later is answered later."""
    threads = []
    classify = infer_response.classify

    def watched(*args, **options):
        threads.append(threading.current_thread())
        return classify(*args, **options)

    monkeypatch.setattr(infer_response, "classify", watched)
    stream = open_stream()
    for name, size in (("large", 20_000), ("small", 3)):
        request = infer_request("m", np.arange(size), id=name)
        request.outputs.add(name="Y").parameters["classification"].int64_param = 1
        stream.receive(request.SerializeToString())
    stream.receive(infer_request("m", (5.0,), id="plain").SerializeToString())
    stream.end()
    told = await answers(stream)
    assert ids(told) == ["large", "small", "plain"]
    assert b"19999.000000:19999" in told[0].infer_response.raw_output_contents[0]
    assert rows_of(told[2].infer_response) == [[5]]
    assert len(threads) == 2
    assert [thread is threading.main_thread() for thread in threads].count(False) == 1


async def test_responses_behind_a_large_classification_wait_for_it(open_stream, infer_request):
    """The responses of one request stay in their order, whichever thread writes them, and a stream that closes drops them."""
    request = infer_request("countdown", (3.0,), id="d")
    stream = open_stream()
    stream.receive(request.SerializeToString())
    (call,) = stream._open
    call.decoded.classes = {"Y": 1}
    sizes = (20_000, 2, 20_001)
    for size in sizes:
        outputs = {"Y": np.arange(size, dtype=np.float32).reshape(1, -1)}
        stream._deliver((call, InferenceResponse(outputs, final=size == sizes[-1])))
    stream.end()
    told = await answers(stream)
    assert [item.infer_response.raw_output_contents[0][4:].partition(b".")[0] for item in told] == [
        b"19999",
        b"1",
        b"20000",
    ]
    closing = open_stream()
    closing.receive(request.SerializeToString())
    (call,) = closing._open
    call.decoded.classes = {"Y": 1}
    closing._deliver((call, InferenceResponse(outputs, final=False)))
    closing.close()
    assert await closing.next() is None


async def test_responses_of_decoupled_models_overtake(open_stream, infer_request, rows_of):
    """They leave as they are made, in the order of their own request."""
    stream = open_stream()
    with Gate("slow") as gate:
        stream.receive(infer_request("slow", id="slow").SerializeToString())
        stream.receive(infer_request("countdown", (2.0,), id="quick").SerializeToString())
        stream.end()
        told = [pb.ModelStreamInferResponse.FromString(await asyncio.wait_for(stream.next(), 30)) for _ in range(2)]
        gate.open()
        told += await answers(stream)
    assert ids(told) == ["quick", "quick", "slow"]
    assert finals(told) == [False, False, True]
    assert [rows_of(item.infer_response) for item in told[:2]] == [[[2]], [[1]]]


@pytest.mark.parametrize("count", [0.0, 2.0])
async def test_an_empty_final_response_comes_only_if_it_is_wanted(open_stream, infer_request, count):
    """It has the names that the request used, the version included, and no outputs."""
    wanted = {"triton_enable_empty_final_response": {"bool_param": True}}
    for parameters, extra in (({}, 0), (wanted, 1)):
        stream = open_stream()
        stream.receive(infer_request("countdown", (count,), id="d", parameters=parameters).SerializeToString())
        stream.end()
        told = await answers(stream)
        assert len(told) == count + extra
        if extra:
            expected = pb.ModelInferResponse(model_name="countdown", id="d")
            expected.parameters[FINAL].bool_param = True
            assert told[-1].infer_response == expected


async def test_an_empty_final_response_of_a_plain_model_is_its_response(open_stream, infer_request):
    """Models that answer once have nothing to add."""
    stream = open_stream()
    parameters = {"triton_enable_empty_final_response": {"bool_param": True}}
    stream.receive(infer_request(parameters=parameters).SerializeToString())
    stream.end()
    assert finals(await answers(stream)) == [True]


@pytest.mark.parametrize("model", ["picky", "picky_countdown"])
async def test_a_failing_execution_is_told_in_the_stream(open_stream, infer_request, model):
    """The message names request and model, and the stream goes on."""
    stream = open_stream()
    stream.receive(infer_request(model, (7.0,), id="f", model_version="1").SerializeToString())
    first = pb.ModelStreamInferResponse.FromString(await asyncio.wait_for(stream.next(), 30))
    stream.receive(infer_request(id="ok").SerializeToString())
    stream.end()
    assert "X has the value 7" in first.error_message
    assert (first.infer_response.id, first.infer_response.model_name, first.infer_response.model_version) == (
        "f",
        model,
        "1",
    )
    assert finals([first]) == [True]
    assert ids(await answers(stream)) == ["ok"]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"\xff\xff", "Unable to parse request"),
        (
            pb.ModelInferRequest(model_name="countdown", id="b").SerializeToString(),
            "[request id: b] expected 1 inputs but got 0 inputs for model 'countdown'. Got input(s) [], but missing required",
        ),
        (
            pb.ModelInferRequest(model_name="m", id="b", model_version="x").SerializeToString(),
            "failed to get model version",
        ),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
async def test_what_is_not_executed_is_told_with_its_id_alone(open_stream, infer_request, body, text, strict):
    """Refusals stay in the stream, which goes on, in the strict mode, too."""
    stream = open_stream(strict=strict)
    stream.receive(body)
    stream.receive(infer_request(id="ok").SerializeToString())
    stream.end()
    told = sorted(await answers(stream), key=lambda response: not response.error_message)
    assert told[0].error_message.startswith(text)
    assert finals(told) == [None, True]
    assert told[0].infer_response == pb.ModelInferResponse(id=told[0].infer_response.id)
    assert told[1].infer_response.id == "ok"


async def test_a_strict_stream_ends_with_the_first_failing_execution(open_stream, infer_request):
    """What came before is sent, and the status is that of the failure."""
    stream = open_stream(strict=True)
    for model, value in (("m", 1.0), ("picky", 7.0), ("m", 2.0)):
        stream.receive(infer_request(model, (value,)).SerializeToString())
    assert await asyncio.wait_for(stream.next(), 30)
    with pytest.raises(InferenceError, match="X has the value 7"):
        await asyncio.wait_for(stream.next(), 30)


async def test_a_slow_reader_stops_the_reading_of_requests(open_stream, infer_request, running, monkeypatch):
    """While too much is unsent there is no room, and there is again when it was sent."""
    monkeypatch.setattr(infer_stream, "MAX_UNSENT_MESSAGES", 3)
    stream = open_stream()
    await stream.wait_for_room()
    stream.receive(infer_request("countdown", (5.0,)).SerializeToString())
    first = await asyncio.wait_for(stream.next(), 30)
    assert first is not None
    stream.end()
    await executed(running, "countdown")
    waiting = asyncio.ensure_future(stream.wait_for_room())
    await asyncio.sleep(0)
    assert not waiting.done()
    assert len(await answers(stream)) == 4
    await asyncio.wait_for(waiting, 30)


async def test_a_large_response_counts_by_its_bytes(open_stream, infer_request, running, monkeypatch):
    """One response can be too much by itself."""
    monkeypatch.setattr(infer_stream, "MAX_UNSENT_BYTES", 1000)
    stream = open_stream()
    stream.receive(infer_request(row=[1.0] * 1000).SerializeToString())
    await executed(running, "m")
    waiting = asyncio.ensure_future(stream.wait_for_room())
    await asyncio.sleep(0)
    assert not waiting.done()
    await stream.next()
    await asyncio.wait_for(waiting, 30)


@pytest.mark.parametrize("model", ["slow", "slowdown"])
async def test_closing_takes_the_requests_back(open_stream, infer_request, running, model):
    """Requests in the queue are not executed, the one that executes is told, and nothing more is sent."""
    stream = open_stream()
    with Gate(model) as gate:
        stream.receive(infer_request(model).SerializeToString())
        await asyncio.to_thread(gate.wait_entered)
        stream.receive(infer_request(model).SerializeToString())
        await asyncio.sleep(0)
        stream.close()
        assert await stream.next() is None
        gate.open()
    await executed(running, model)
    assert await stream.next() is None
    (statistics,) = running.statistics(model)
    assert statistics.counters.fail.count == 2


async def test_a_stream_that_the_server_ends_finishes_what_it_has(open_stream, infer_request):
    """Requests that were taken are answered, later ones are not taken, and then the stream ends with the reason."""
    stream = open_stream()
    with Gate("slow") as gate:
        stream.receive(infer_request("slow", id="taken").SerializeToString())
        await asyncio.to_thread(gate.wait_entered)
        stream.end(UnavailableError("leaving"))
        stream.receive(infer_request(id="late").SerializeToString())
        gate.open()
        told = pb.ModelStreamInferResponse.FromString(await asyncio.wait_for(stream.next(), 30))
        assert told.infer_response.id == "taken"
        with pytest.raises(UnavailableError, match="leaving"):
            await asyncio.wait_for(stream.next(), 30)


async def test_a_fault_of_ours_is_told_in_the_stream(open_stream, infer_request, running, monkeypatch, caplog):
    """What nobody foresaw is told, logged, and survived."""
    stream = open_stream()
    with monkeypatch.context() as patch:
        patch.setattr(running, "get", lambda *_: 1 / 0)
        stream.receive(infer_request(id="b").SerializeToString())
    stream.receive(infer_request(id="ok").SerializeToString())
    stream.end()
    told = await answers(stream)
    assert told[0].error_message == "ZeroDivisionError: division by zero"
    assert ids(told) == ["b", "ok"]
    assert "failed to answer a request of a stream" in caplog.text
