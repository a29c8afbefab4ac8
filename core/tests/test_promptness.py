"""Promptness: which executions an event loop may run by itself, and what such a run does."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest
from charonia import Server
from charonia.backend import ArrayExecution, Backend, LoadedModel
from charonia.errors import InternalError, NotFoundError
from charonia.hookspecs import hookimpl
from charonia.outbox import Outbox
from charonia.plugins import Plugins
from charonia.promptness import Promptness, size_of
from charonia.reply import Reply
from charonia.request import InferenceRequest
from charonia.testing.builders import model_config, write_model
from hypothesis import given
from hypothesis import strategies as st

QUICK, SLOW, STALL = 10_000, 200_000, 5_000_000
PROOF = 100


def inputs(size):
    """Make the inputs of one request, of so many bytes, which take no memory."""
    return [{"x": np.broadcast_to(np.int8(0), (size,))}]


def proven(size=64):
    promptness = Promptness()
    for _ in range(PROOF):
        promptness.note(QUICK, inputs(size))
    return promptness


def test_trust_has_to_be_earned():
    """Nothing is expected of a model that was not quick often enough."""
    promptness = Promptness()
    for _ in range(32):
        promptness.note(QUICK, inputs(64))
    assert not promptness.covers(64)
    assert proven().covers(64)


def test_trust_reaches_as_far_as_the_largest_inputs():
    """What is larger than all that was quick is not expected to be quick."""
    assert proven(64).covers(64)
    assert not proven(64).covers(65)


def test_an_execution_counts_for_all_its_requests():
    """A quick batch proves that as much as all its requests have is quick."""
    promptness = proven(1)
    promptness.note(QUICK, [*inputs(40), *inputs(24)])
    assert promptness.covers(64)
    assert not promptness.covers(65)


def test_stalls_end_the_trust():
    """After a few executions that others would feel, trust is earned anew; a single one, which may be the machine's, is forgiven."""
    promptness = proven()
    promptness.note(SLOW)
    promptness.note(STALL)
    assert promptness.proven
    for _ in range(2):
        promptness.note(STALL)
    assert not promptness.proven


def test_one_long_wait_ends_the_trust():
    """An execution that has held everybody up for long is forgiven only after as many quick ones as at the beginning."""
    promptness = proven()
    promptness.note(60_000_000)
    for _ in range(32):
        promptness.note(QUICK)
    assert not promptness.proven
    for _ in range(PROOF):
        promptness.note(QUICK)
    assert promptness.proven


@given(st.lists(st.sampled_from([QUICK, SLOW, STALL]), max_size=400))
def test_trust_follows_the_recent_past(spent):
    """Whatever came before, a model is not trusted while every second execution is slow, and is again once all are quick."""
    promptness = Promptness()
    for ns in spent:
        promptness.note(ns)
    for _ in range(200):
        promptness.note(QUICK)
        promptness.note(SLOW)
    assert not promptness.proven
    for _ in range(200):
        promptness.note(QUICK)
    assert promptness.proven


def test_size_of_text_cannot_be_told_at_a_glance():
    """Arrays are as large as their memory; BYTES tensors, and what is no array, are larger than anything that was proven."""
    assert size_of({"a": np.zeros((2, 3), np.float32), "b": np.zeros(5, np.int8)}) == 29
    assert not proven(1 << 60).covers(size_of({"a": np.array([b"x"], object)}))
    assert not proven(1 << 60).covers(size_of({"a": object()}))


class Where(ArrayExecution):
    """Tells whether it runs on its instance's thread; fails where the input is negative."""

    def __init__(self, context):
        super().__init__(context)
        self.predictable = "waits" not in context.model.config.parameters

    def run(self, inputs):
        if (inputs["INPUT0"] < 0).any():
            raise ValueError("negative")
        return {
            "OUTPUT0": np.full_like(inputs["INPUT0"], threading.current_thread().name.startswith("charonia-instance"))
        }


class WhereModel(LoadedModel):
    def instantiate(self, context):
        return Where(context)


class WhereBackend(Backend):
    def load(self, context):
        return WhereModel(context)


class WherePlugin:
    @hookimpl
    def charonia_backends(self):
        return {"where": f"{__name__}:WhereBackend"}


@pytest.fixture
def server(tmp_path):
    write_model(tmp_path, model_config("where", backend="where", instance_count=1))
    write_model(tmp_path, model_config("waits", backend="where", instance_count=1, parameters={"waits": "yes"}))
    with Server(tmp_path, plugins=Plugins(entry_points=(), extra=[WherePlugin()])) as server:
        yield server


class Caller:
    """An event loop's side: sends requests through its outbox and awaits the replies."""

    def __init__(self, server, model="where"):
        self.outbox = Outbox(server)
        self.mailbox = server.mailboxes.of(asyncio.get_running_loop())
        self.model = model

    def send(self, value=0.0, batch=1):
        reply = Reply(self.mailbox)
        inputs = {"INPUT0": np.full((batch, 16), value, np.float32)}
        self.outbox.put(InferenceRequest(self.model, inputs, reply.sink), reply.refuse)
        return reply

    async def ask(self, **what):
        """Tell whether the model ran on its instance's thread."""
        return bool((await self.send(**what))["OUTPUT0"][0, 0])

    async def earn_trust(self):
        """Ask until the loop answers by itself; a machine that is busy may take longer for some executions."""
        for _ in range(100_000):
            if not await self.ask():
                return
        pytest.fail("the model is never executed by the loop")


async def test_a_model_that_was_replaced_meanwhile_is_looked_for_again(server):
    """A request that comes with the model that it was meant for is executed by the one that has taken its place."""
    caller = Caller(server)
    await caller.earn_trust()
    earlier = server.get("where")
    await asyncio.to_thread(server.unload, "where")
    await asyncio.to_thread(server.load, "where")
    assert server.get("where") is not earlier
    reply = Reply(caller.mailbox)
    request = InferenceRequest("where", {"INPUT0": np.zeros((1, 16), np.float32)}, reply.sink)
    caller.outbox.put(request, reply.refuse, earlier)
    assert (await reply).error is None


async def test_quick_model_answers_on_the_loop(server):
    """Once it has proved to be quick, a request has its response when it has been put into the outbox."""
    caller = Caller(server)
    assert await caller.ask()
    await caller.earn_trust()
    for _ in range(100_000):  # its instance's thread may still be on its way back to the queue
        if (reply := caller.send()).here:
            break
        await reply
    assert reply.here
    assert (await reply)["OUTPUT0"][0, 0] == 0


async def test_larger_request_goes_to_the_instance(server):
    """What was proved for one element is not believed of eight."""
    caller = Caller(server)
    await caller.earn_trust()
    assert await caller.ask(batch=8)


async def test_model_that_may_wait_stays_off_the_loop(server):
    """Quick as it may be: a model that is not predictable is never executed by an event loop."""
    caller = Caller(server, "waits")
    assert all([await caller.ask() for _ in range(200)])


async def test_failure_on_the_loop_is_the_answer(server):
    """An execution that raises on the loop answers its own request, and the next one is answered well."""
    caller = Caller(server)
    await caller.earn_trust()
    assert isinstance((await caller.send(-1.0)).error, InternalError)
    assert (await caller.send()).error is None


async def test_refusal_reaches_who_waits(server):
    """A request that the server refuses is refused through the outbox, whichever way it would have taken."""
    caller = Caller(server, "unknown")
    with pytest.raises(NotFoundError):
        await caller.send()


async def test_requests_of_one_turn_keep_their_order(server):
    """Nobody overtakes what waits in the outbox."""
    caller = Caller(server, "waits")
    done = []

    async def wait(number, reply):
        await reply
        done.append(number)

    await asyncio.gather(*[wait(number, caller.send()) for number in range(20)])
    assert done == list(range(20))


async def test_coroutines_in_process_take_the_short_way(server):
    """`infer_async` runs a quick model where it stands."""
    await Caller(server).earn_trust()
    for _ in range(100_000):
        response = await server.model("where").infer_async({"INPUT0": np.zeros((1, 16), np.float32)})
        if not response["OUTPUT0"][0, 0]:
            return
    pytest.fail("the model is never executed by the loop")
