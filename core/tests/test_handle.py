"""The in-process API of one model where callers come late, leave early, or get several responses."""

from __future__ import annotations

import asyncio
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from charonia import ServerOptions
from charonia.errors import InternalError, NotFoundError
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
