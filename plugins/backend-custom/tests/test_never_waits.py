"""Models that promise to wait for nothing, and so may be executed by an event loop."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from charonia.errors import InternalError
from charonia.outbox import Outbox
from charonia.reply import Reply
from charonia.request import InferenceRequest

WHERE = """
on_instance = threading.current_thread().name.startswith("charonia-instance")
return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", np.array([on_instance], np.int32))])]
"""

PROMISE = {"NEVER_WAITS": "1"}


class Caller:
    """An event loop's side of the model "m"."""

    def __init__(self, server):
        self.outbox = Outbox(server)
        self.mailbox = server.mailboxes.of(asyncio.get_running_loop())

    async def ask(self):
        """Tell whether the model ran on its instance's thread."""
        reply = Reply(self.mailbox)
        self.outbox.put(InferenceRequest("m", {"X": np.zeros(1, np.int32)}, reply.sink), reply.refuse)
        response = await reply
        if response.error is not None:
            raise response.error
        return bool(response["Y"][0])


@pytest.fixture
def served(serve):
    """Give a function that writes a model and starts its server."""

    def start(body, **config):
        lines = "".join(f"        {line}\n" for line in body.strip().splitlines())
        serve.write("m", f"class TritonPythonModel:\n    def execute(self, requests):\n{lines}", **config)
        return serve.start()

    return start


async def test_a_promise_takes_a_quick_model_to_the_loop(served):
    """Once it has proved to be quick, the loop executes it; until then its instance's thread does."""
    caller = Caller(served(WHERE, parameters=PROMISE))
    assert await caller.ask()
    for _ in range(100_000):
        if not await caller.ask():
            return
    pytest.fail("the model is never executed by the loop")


@pytest.mark.parametrize("parameters", [{}, {"NEVER_WAITS": "0"}])
async def test_without_it_no_loop_executes_a_model(served, parameters):
    """However quick it was, a model that has not promised it may wait the next time."""
    caller = Caller(served(WHERE, parameters=parameters))
    assert all([await caller.ask() for _ in range(200)])


async def test_a_coroutine_is_no_such_model(serve):
    """An `execute` that is a coroutine waits by its nature: it runs on the instance's own loop, promise or not."""
    source = (
        "class TritonPythonModel:\n    async def execute(self, requests):\n"
        "        here = threading.current_thread().name.startswith('charonia-coroutines')\n"
        "        return [pb_utils.InferenceResponse([pb_utils.Tensor('Y', np.array([here], np.int32))])]\n"
    )
    for at_once in ("1", "4"):
        serve.write("m", source, parameters={**PROMISE, "ASYNC_EXECUTIONS": at_once})
        caller = Caller(serve.start())
        assert all([await caller.ask() for _ in range(200)])


def test_a_call_of_another_model_breaks_the_promise(served, serve):
    """It is an error on whichever thread, that names the parameter."""
    server = served(f"return [{serve.call('m')}]", parameters=PROMISE)
    with pytest.raises(InternalError, match="calls model 'm', but its configuration says that it NEVER_WAITS"):
        server.model("m").infer({"X": [1]})
