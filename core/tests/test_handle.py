"""The in-process API of one model: for threads and coroutines, also where they leave early or get several responses."""

from __future__ import annotations

import asyncio
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from charonia import Server, ServerOptions
from charonia.errors import InternalError, InvalidArgumentError, NotFoundError, UnavailableError, UnsupportedError
from charonia.plugins import Plugins
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticPlugin, Gate

ONE = {"inputs": [("INPUT0", "FP32", [1])], "outputs": [("OUTPUT0", "FP32", [1])], "max_batch_size": 0}


@pytest.fixture
def started(server, model_repository):
    write_model(model_repository, model_config("plain", **ONE, parameters={"gate": "handle", "fail_on": "13"}))
    write_model(model_repository, model_config("countdown", **ONE, decoupled=True, parameters={"gate": "handle"}))
    return server(
        model_repository,
        options=ServerOptions(),
        plugins=Plugins(entry_points=(), extra=[ArithmeticPlugin()]),
    )


async def test_coroutines_ask_side_by_side(started):
    """Many coroutines can await answers at once."""
    model = started.model("plain")
    answers = await asyncio.gather(*(model.infer_async({"INPUT0": [float(value)]}) for value in range(12)))
    assert [response["OUTPUT0"].tolist() for response in answers] == [[float(value)] for value in range(12)]


async def test_cancelled_coroutine_cancels_its_request(started):
    """A coroutine that is cancelled takes its request back: it is not executed if it still waits."""
    model = started.model("plain")
    with Gate("handle") as gate:
        first = asyncio.ensure_future(model.infer_async({"INPUT0": [1.0]}))
        await asyncio.to_thread(gate.wait_entered)
        second = asyncio.ensure_future(model.infer_async({"INPUT0": [1.0]}))
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
    assert (await first)["OUTPUT0"].tolist() == [1.0]
    assert (await model.infer_async({"INPUT0": [2.0]}))["OUTPUT0"].tolist() == [2.0]
    assert (model.statistics().execution_count, model.statistics().fail.count) == (2, 1)


def test_stream_gives_each_response(started):
    """A decoupled model's responses come one by one; one that only ends the stream is not shown."""
    model = started.model("countdown")
    assert [response["OUTPUT0"].tolist() for response in model.stream({"INPUT0": [3.0]})] == [[3.0], [2.0], [1.0]]
    assert list(model.stream({"INPUT0": [0.0]})) == []


async def test_stream_gives_each_response_to_a_coroutine(started):
    """The same, awaited."""
    stream = started.model("countdown").stream_async({"INPUT0": [2.0]})
    assert [response["OUTPUT0"].tolist() async for response in stream] == [[2.0], [1.0]]


def test_unary_call_of_a_decoupled_model_names_the_way_out(started):
    """infer() on a decoupled model is refused, and says to use stream()."""
    with pytest.raises(UnsupportedError, match=r"use stream\(\)"):
        started.model("countdown").infer({"INPUT0": [1.0]})


@pytest.mark.parametrize(
    "value", [[1], np.array([1.0], np.float32), np.array([1.0], np.float64), np.array([1], np.int8), (1.0,)]
)
def test_inputs_are_converted_where_nothing_is_lost(started, value):
    """Lists, tuples and arrays of a kindred dtype are taken."""
    assert started.model("plain").infer({"INPUT0": value})["OUTPUT0"].tolist() == [1.0]


@pytest.mark.parametrize("datatype", ["INT8", "UINT64", "FP16", "BF16", "FP32", "FP64"])
def test_lists_are_taken_for_any_kind_of_number(server, model_repository, datatype):
    """What has no dtype of its own gets that of the input."""
    write_model(
        model_repository,
        model_config("m", inputs=[("INPUT0", datatype, [1])], outputs=[("OUTPUT0", datatype, [1])], max_batch_size=0),
    )
    plugins = Plugins(entry_points=(), extra=[ArithmeticPlugin()])
    model = server(model_repository, options=ServerOptions(), plugins=plugins).model("m")
    assert model.infer({"INPUT0": [1]})["OUTPUT0"].tolist() == [1]


@pytest.mark.parametrize("value", [["one"], [1 + 2j], [[1.0], [2.0, 3.0]]])
def test_inputs_that_cannot_be_converted_name_the_input(started, value):
    """What cannot become the input's datatype is refused with the input's name."""
    with pytest.raises(InvalidArgumentError, match="input 'INPUT0' of model 'plain'"):
        started.model("plain").infer({"INPUT0": value})


def test_a_server_that_was_not_started_says_so(model_repository):
    """No model is there yet, and none is missing."""
    server = Server(model_repository, plugins=Plugins(entry_points=()))
    with pytest.raises(UnavailableError, match="has not been started: enter it with `with`, or call `start`"):
        server.model("plain").infer({"INPUT0": [1]})
    server.close()
    with pytest.raises(UnavailableError, match="exiting"):
        server.model("plain").infer({"INPUT0": [1]})


def test_inputs_without_names_are_told_what_they_lack(started):
    """A bare array, or a list, is no input of any name."""
    told = "are of type list: they must be a mapping from names, 'INPUT0', to values"
    with pytest.raises(InvalidArgumentError, match=told):
        started.model("plain").infer([1, 2])


def test_model_errors_are_raised(started):
    """What the model raises reaches the caller as INTERNAL, with its text."""
    model = started.model("plain")
    with pytest.raises(InternalError, match="ValueError: INPUT0 has the value 13"):
        model.infer({"INPUT0": [13.0]})
    assert model.infer({"INPUT0": [2.0]})["OUTPUT0"].tolist() == [2.0]
    assert model.statistics().fail.count == 1


def test_failure_of_a_model_keeps_its_cause(started):
    """Whoever embeds the server finds the model's own exception behind the error."""
    with pytest.raises(InternalError) as caught:
        started.model("plain").infer({"INPUT0": [13]})
    assert isinstance(caught.value.__cause__, ValueError)


def test_stream_that_is_never_read_can_be_taken_back(started):
    """Closing a stream cancels its request, whether or not anybody has read from it."""
    with Gate("handle") as gate:
        stream = started.model("countdown").stream({"INPUT0": [3]})
        gate.wait_entered()
        stream.close()
    wait_until_idle(started, "countdown")
    assert started.model("countdown").statistics().fail.count == 1


def wait_until_idle(started, model):
    """Send a request behind all others and wait for it: the model has one instance."""
    list(started.model(model).stream({"INPUT0": [0]}))


async def test_stream_of_a_coroutine_sends_at_the_call(started):
    """As with threads, the request is on its way before anybody awaits a response, and its mistakes are told at once."""
    with pytest.raises(NotFoundError):
        started.model("nobody").stream_async({"INPUT0": [1]})
    with Gate("handle") as gate:
        stream = started.model("countdown").stream_async({"INPUT0": [2]})
        await asyncio.to_thread(gate.wait_entered)
    assert [response["OUTPUT0"].tolist() async for response in stream] == [[2.0], [1.0]]


async def test_stream_of_a_coroutine_can_be_taken_back(started):
    """Closing it cancels the request, whether or not anybody has read from it."""
    with Gate("handle") as gate:
        stream = started.model("countdown").stream_async({"INPUT0": [2]})
        await asyncio.to_thread(gate.wait_entered)
        await stream.aclose()
    await asyncio.to_thread(wait_until_idle, started, "countdown")
    assert started.model("countdown").statistics().fail.count == 1


@pytest.fixture
def interrupted():
    """Set by the first Ctrl-C, which interrupts the main thread; those after it do nothing."""
    come = threading.Event()

    def on_signal(*_):
        if not come.is_set():
            come.set()
            raise KeyboardInterrupt

    usual = signal.signal(signal.SIGINT, on_signal)
    yield come
    signal.signal(signal.SIGINT, usual)


def test_interrupted_wait_cancels_the_request(started, interrupted):
    """Ctrl-C while `infer` waits for its response takes the request back, like the cancellation of a coroutine."""
    handle = started.model("plain")

    def interrupt():
        while not handle.statistics().pending:  # until the main thread waits
            pass
        while not interrupted.wait(
            0.01
        ):  # again, since Python overlooks a signal that comes just before a thread waits
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    with Gate("handle") as gate, ThreadPoolExecutor(2) as pool:
        first = pool.submit(handle.infer, {"INPUT0": [1]})
        gate.wait_entered()
        pool.submit(interrupt)
        with pytest.raises(KeyboardInterrupt):
            handle.infer({"INPUT0": [2]})
        gate.open()
        assert first.result(30)["OUTPUT0"].tolist() == [1.0]
    assert handle.infer({"INPUT0": [3]})["OUTPUT0"].tolist() == [3.0]
    assert handle.statistics().fail.count == 1
