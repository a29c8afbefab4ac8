"""Answers of quick models, several of which are sent together: none of them is lost, or waits, for what is executed next."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from charonia import promptness
from charonia.errors import UnavailableError
from charonia.outbox import Outbox
from charonia.reply import Reply
from charonia.request import InferenceRequest
from charonia.testing.patience import PATIENCE_SECONDS
from models_apart import APART

SOURCE = """
import os, pathlib

class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(pb_utils.get_input_tensor_by_name(request, "X").as_numpy()) for request in requests]

    def answer(self, x):
        if x[0] == -1:
            os._exit(7)
        if x[0] == -2:
            told, pause = pathlib.Path(pb_utils.get_model_dir()) / "told", threading.Event()
            for _ in range(6_000):
                if told.exists():
                    break
                pause.wait(0.01)
        return pb_utils.InferenceResponse([pb_utils.Tensor("Y", x)])
"""

_WARM = 300
"""After so many quick executions, a process has proved to be quick."""


class Asking:
    """Asks the model from the event loop that runs, as a frontend does."""

    def __init__(self, server):
        self._outbox = Outbox(server)
        self._mailbox = server.mailboxes.of(asyncio.get_running_loop())

    def ask(self, number):
        """Pass a request on, together with all others of this turn, and give the task that waits for its answer."""
        reply = Reply(self._mailbox)
        self._outbox.put(InferenceRequest("m", {"X": np.array([number], np.int32)}, reply.sink), reply.refuse)
        return asyncio.ensure_future(self._answer(reply))

    async def _answer(self, reply):
        response = await asyncio.wait_for(reply, PATIENCE_SECONDS)
        if response.error is not None:
            raise response.error
        return int(response["Y"][0])

    async def warm_up(self):
        """Have the model prove that it is quick."""
        for _ in range(_WARM):
            assert await self.ask(1) == 1


@pytest.fixture
def quick(monkeypatch):
    """Have every execution count as quick in the server's own process."""
    monkeypatch.setattr(promptness, "_QUICK_NS", 1 << 60)
    monkeypatch.setattr(promptness, "_STALL_NS", 1 << 60)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("settings", [{}, APART], ids=["thread", "process"])
def test_an_answer_does_not_wait_for_a_slow_execution_behind_it(serve, settings):
    """The quick one of two requests that come together is answered while the slow one is still executed."""
    serve.write("m", SOURCE, **settings)
    server = serve.start()
    (told,) = (path.parent / "told" for path in serve.repository.glob("m/1/model.py"))

    async def main():
        asking = Asking(server)
        await asking.warm_up()
        for _ in range(3):
            quick, slow = asking.ask(1), asking.ask(-2)
            assert await quick == 1
            assert not slow.done()
            told.touch()
            assert await slow == -2
            told.unlink()

    asyncio.run(main())


@pytest.mark.usefixtures("quick")
def test_an_answer_is_not_lost_with_what_is_executed_next(serve):
    """What was executed when its process ends is answered, although the answer was held back; only the next one is at fault."""
    serve.write("m", SOURCE, **APART)
    server = serve.start()

    async def main():
        asking = Asking(server)
        await asking.warm_up()
        outcomes = await asyncio.gather(*map(asking.ask, (1, 2, -1, 3)), return_exceptions=True)
        assert (outcomes[0], outcomes[1], outcomes[3]) == (1, 2, 3)
        assert isinstance(outcomes[2], UnavailableError)

    asyncio.run(main())
