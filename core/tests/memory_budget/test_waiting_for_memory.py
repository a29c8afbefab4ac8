"""Requests that wait until their model is in memory: for its load, and for the room that others take."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from charonia.errors import CancelledError, UnavailableError
from charonia.testing.patience import wait_until
from weighty_models import ROW, ask, resident, send


def test_first_requests_load_once(serve, write, memory):
    """However many requests want a model that is not there, it is loaded once, and all are answered."""
    write("m", 100)
    server = serve(100)
    memory.load_gate = threading.Event()
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, server, "m") for _ in range(8)]
        assert memory.entered.get(timeout=30) == "m"
        memory.load_gate.set()
        for one in asked:
            one.result(30)
    assert memory.loads == ["m"]


async def test_an_event_loop_is_not_held_up(serve, write, memory):
    """While a model is loaded for a coroutine, the loop does other things."""
    write("m", 100)
    server = serve(100)
    memory.load_gate = threading.Event()
    answer = asyncio.create_task(server.model("m").infer_async({"INPUT0": ROW}))
    await asyncio.to_thread(memory.entered.get, timeout=30)
    memory.load_gate.set()
    assert (await answer)["OUTPUT0"].shape == (1, 16)


def test_a_model_in_use_stays(serve, write, memory):
    """A load waits until a request of what takes the room has ended."""
    write("busy", 100)
    write("m", 100)
    server = serve(100)
    memory.run_gates["busy"] = threading.Event()
    _, first = send(server, "busy")
    assert memory.entered.get(timeout=30) == "busy"
    _, second = send(server, "m")
    assert resident(server) == {"busy"}
    memory.run_gates["busy"].set()
    assert first.get(timeout=30).error is None
    assert second.get(timeout=30).error is None
    assert resident(server) == {"m"}


def test_who_waits_for_room_too_long_is_told(serve, write, memory):
    """The error is that it is not possible now, with when to ask again, and names what takes the room."""
    write("busy", 100)
    write("m", 100)
    server = serve(100, memory_wait_secs=0.01)
    memory.run_gates["busy"] = threading.Event()
    _, first = send(server, "busy")
    assert memory.entered.get(timeout=30) == "busy"
    with pytest.raises(UnavailableError) as refusal:
        ask(server, "m")
    assert refusal.value.retry_after_seconds == 1
    assert str(refusal.value) == (
        "model 'm' version 1 has no room in the memory budget of 100 bytes, since all that is loaded is in use or pinned: "
        "model 'busy' version 1. Ask again later, or raise --memory-budget"
    )
    memory.run_gates["busy"].set()
    assert first.get(timeout=30).error is None
    ask(server, "m")


@pytest.mark.parametrize("early", [True, False])
def test_who_went_away_has_nothing_loaded(serve, write, memory, early):
    """Where all requests that waited for a model were taken back, it is not loaded, and pushes nobody out."""
    write("busy", 100)
    write("m", 100)
    server = serve(100)
    memory.run_gates["busy"] = threading.Event()
    _, first = send(server, "busy")
    assert memory.entered.get(timeout=30) == "busy"
    request, answers = send(server, "m")
    if not early:
        wait_until(lambda: server._loader._budget._waiting)
    request.cancel()
    assert isinstance(answers.get(timeout=30).error, CancelledError)
    memory.run_gates["busy"].set()
    assert first.get(timeout=30).error is None
    assert memory.loads == ["busy"]


def test_a_time_out_ends_the_wait(serve, write, memory):
    """A request waits for a load no longer than it says itself; the load goes on for those that come."""
    write("m", 100)
    server = serve(100)
    memory.load_gate = threading.Event()
    _, answers = send(server, "m", timeout_us=1000)
    error = answers.get(timeout=30).error
    assert isinstance(error, UnavailableError)
    assert str(error) == "request timed out after 1000 us, while its model was brought into memory"
    memory.load_gate.set()
    ask(server, "m")


def test_a_load_that_fails_is_told_for_a_while(serve, write, memory):
    """Who waits is told why; the model is not ready, and is not tried again at each request."""
    write("m", 100)
    memory.broken.add("m")
    server = serve(100)
    for _ in range(3):
        with pytest.raises(UnavailableError) as refusal:
            ask(server, "m")
        assert str(refusal.value) == (
            "model 'm' version 1 could not be brought into memory: Internal: ValueError: broken"
        )
        assert refusal.value.retry_after_seconds == 5
    assert memory.loads == ["m"]
    assert not server.model_ready("m")
    memory.broken.clear()
    server.load("m")
    ask(server, "m")


def test_an_unload_lets_requests_finish_that_wait(serve, write, memory):
    """A request that waits for its model was accepted, and is answered though the model is unloaded."""
    write("m", 100)
    server = serve(100)
    memory.load_gate = threading.Event()
    _, answers = send(server, "m")
    server.unload("m")
    memory.load_gate.set()
    assert answers.get(timeout=30).error is None


def test_a_server_that_closes_finishes_what_waits(serve, write, memory):
    """A request that waits for a load when the server is closed is answered."""
    write("m", 100)
    server = serve(100)
    memory.load_gate = threading.Event()
    _, answers = send(server, "m")
    assert memory.entered.get(timeout=30) == "m"
    threading.Timer(0, memory.load_gate.set).start()
    assert server.close()
    assert answers.get(timeout=30).error is None


def test_a_load_that_nobody_needs_any_more_leaves_nothing(serve, write, memory):
    """A model that is unloaded while it is loaded, for a request that has given up, goes as soon as it is there."""
    write("m", 100)
    server = serve(100)
    memory.load_gate = threading.Event()
    while memory.entered.empty():  # the load begins before the request gives up, or another one has to want it
        _, answers = send(server, "m", timeout_us=10_000)
        assert isinstance(answers.get(timeout=30).error, UnavailableError)
    server.unload("m")
    memory.load_gate.set()
    wait_until(lambda: memory.taken == 0 and server.index()[0].state == "UNAVAILABLE")
    assert memory.loads == ["m"]
