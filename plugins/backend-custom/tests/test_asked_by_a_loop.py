"""Quick models in processes of their own, asked by an event loop as a frontend asks: it passes requests on, and reads the answers."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest
from charonia import promptness
from charonia.errors import UnavailableError
from charonia.outbox import Outbox
from charonia.reply import Reply
from charonia.request import InferenceRequest
from models_apart import APART

SOURCE = """
import os, time

class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            x = pb_utils.get_input_tensor_by_name(request, "X").as_numpy()
            if x[0] == -1:
                os._exit(7)
            while x[0] == -2 and not os.path.exists(pb_utils.get_model_dir() + "/go"):
                time.sleep(0.01)
            answers.append(pb_utils.InferenceResponse([pb_utils.Tensor("Y", x)]))
        return answers
"""


class Asking:
    """Asks a model from the event loop that runs, as a frontend does."""

    def __init__(self, server):
        self._outbox = Outbox(server)
        self._mailbox = server.mailboxes.of(asyncio.get_running_loop())
        self.threads = set()

    async def ask(self, number, **options):
        """Ask once; notes the thread on which the answer was made."""
        reply = Reply(self._mailbox)

        def sink(response):
            self.threads.add(threading.current_thread())
            reply.sink(response)

        request = InferenceRequest("m", {"X": np.array([number], np.int32)}, sink, **options)
        self._outbox.put(request, reply.refuse)
        response = await reply
        if response.error is not None:
            raise response.error
        return response["Y"].tolist()


@pytest.fixture
def server(serve, monkeypatch):
    """A server with the model, every execution of which counts as quick in the server's own process."""
    monkeypatch.setattr(promptness, "_QUICK_NS", 1 << 60)
    monkeypatch.setattr(promptness, "_STALL_NS", 1 << 60)
    serve.write("m", SOURCE, **APART)
    return serve.start()


def test_many_at_once(server):
    """Each gets its own answer, be they few or more than there is room for; the loop itself comes to read them."""

    async def main():
        asking = Asking(server)
        for _ in range(20):
            for count in (1, 2, 16, 300):
                answers = await asyncio.gather(*[asking.ask(number) for number in range(count)])
                assert answers == [[number] for number in range(count)]
        return asking.threads

    assert threading.main_thread() in asyncio.run(main())


def test_what_may_be_large_takes_the_other_way(server):
    """Requests with parameters, or with long names, are answered among the others."""

    async def main():
        asking = Asking(server)
        kinds = [{}, {"parameters": {"a": 50_000 * "b"}}, {"id": 1_000 * "x"}]
        for _ in range(10):
            answers = await asyncio.gather(*[asking.ask(number, **kinds[number % 3]) for number in range(30)])
            assert answers == [[number] for number in range(30)]

    asyncio.run(main())


def test_a_loop_that_waits_itself(server):
    """Who calls on the loop's own thread, and waits there, gets an answer, although the loop cannot read it."""

    async def main():
        asking = Asking(server)
        await asyncio.gather(*[asking.ask(number) for number in range(50)])
        for number in range(3):
            assert server.model("m").infer({"X": [number]})["Y"].tolist() == [number]
            assert await asking.ask(number) == [number]

    asyncio.run(main())


def test_a_process_that_ends_while_a_loop_reads(server):
    """What it executes is UNAVAILABLE, what it has not begun with is executed by the next one."""

    async def main():
        asking = Asking(server)
        await asyncio.gather(*[asking.ask(number) for number in range(50)])
        outcomes = await asyncio.gather(*[asking.ask(number) for number in (1, -1, 2, 3)], return_exceptions=True)
        assert isinstance(outcomes[1], UnavailableError)
        assert "status 7" in str(outcomes[1])
        assert [outcomes[0], *outcomes[2:]] == [[1], [2], [3]]

    asyncio.run(main())


def test_a_slow_one_holds_up_the_model_only(server, model_repository):
    """While an execution takes long, the loop goes on, and nobody is forgotten."""

    async def main():
        asking = Asking(server)
        await asyncio.gather(*[asking.ask(number) for number in range(50)])
        slow = asyncio.ensure_future(asking.ask(-2))
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert not slow.done()
        (model_repository / "m" / "1" / "go").touch()
        assert await slow == [-2]
        assert await asking.ask(1) == [1]

    asyncio.run(main())


def test_loops_come_and_go(server):
    """A loop that has been closed is not waited for."""
    for _ in range(3):

        async def main():
            asking = Asking(server)
            assert await asyncio.gather(*[asking.ask(number) for number in range(20)]) == [[n] for n in range(20)]

        asyncio.run(main())
        assert server.model("m").infer({"X": [4]})["Y"].tolist() == [4]
