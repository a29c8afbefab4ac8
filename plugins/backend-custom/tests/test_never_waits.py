"""Models that wait for nothing, by their authors' promise or by what their code shows, and so may be executed by an event loop."""

from __future__ import annotations

import asyncio
import logging

import numpy as np
import pytest
from charonia.errors import InternalError
from charonia.outbox import Outbox
from charonia.reply import Reply
from charonia.request import InferenceRequest

ECHO = """
return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", request.inputs()[0].as_numpy())]) for request in requests]
"""

UNSEEN = "lock = threading.Lock()" + ECHO

ADDING = """
total = sum(range(int(requests[0].inputs()[0].as_numpy()[0])))
return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", np.array([total % 7], np.int32))])]
"""

PROMISE = {"NEVER_WAITS": "1"}

HEAD = "import numpy as np\nimport triton_python_backend_utils as pb_utils\n"


class Caller:
    """An event loop's side of models."""

    def __init__(self, server):
        self.outbox = Outbox(server)
        self.mailbox = server.mailboxes.of(asyncio.get_running_loop())

    async def ask(self, x=0, model="m"):
        """Tell whether the model was executed here, on the loop's thread: then the request is answered when it is passed on."""
        reply = Reply(self.mailbox)
        request = InferenceRequest(model, {"X": np.array([x], np.int32)}, reply.sink)
        self.outbox.put(request, reply.refuse)
        here = request.done
        response = await reply
        if response.error is not None:
            raise response.error
        return here

    async def prove(self, model="m", times=1):
        """Ask until the model is executed here, so many times in a row."""
        row = 0
        for _ in range(100_000):
            row = row + 1 if await self.ask(model=model) else 0
            if row == times:
                return
        pytest.fail(f"the model {model} is never executed by the loop")


@pytest.fixture
def served(serve):
    """Give a function that writes a model and starts its server."""

    def start(body, **config):
        lines = "".join(f"        {line}\n" for line in body.strip().splitlines())
        serve.write("m", f"class TritonPythonModel:\n    def execute(self, requests):\n{lines}", **config)
        return serve.start()

    return start


@pytest.mark.parametrize(
    ("body", "written"), [(ECHO, {"head": HEAD}), (UNSEEN, {"parameters": PROMISE})], ids=["seen", "promised"]
)
async def test_a_quick_model_that_never_waits_comes_to_the_loop(served, body, written):
    """Once it has proved to be quick, the loop executes it; until then its instance's thread does."""
    caller = Caller(served(body, **written))
    assert not await caller.ask()
    await caller.prove()


@pytest.mark.parametrize(
    ("body", "written"),
    [
        (UNSEEN, {}),
        (UNSEEN, {"parameters": {"NEVER_WAITS": "0"}}),
        (ECHO, {"head": HEAD, "parameters": {"NEVER_WAITS": "false"}}),
    ],
    ids=["unseen", "refused", "seen but refused"],
)
async def test_no_loop_executes_a_model_that_may_wait(served, body, written):
    """However quick it was, it may wait the next time; its author's word counts more than what can be seen."""
    caller = Caller(served(body, **written))
    assert not any([await caller.ask() for _ in range(200)])


@pytest.mark.parametrize("written", [{"head": HEAD}, {"parameters": PROMISE}], ids=["seen", "promised"])
async def test_a_model_that_holds_the_loop_up_leaves_it(serve, served, written):
    """After one slow execution its own thread executes it, with every request answered; another model stays where it is."""
    lines = "".join(f"        {line}\n" for line in ECHO.strip().splitlines())
    serve.write("other", f"class TritonPythonModel:\n    def execute(self, requests):\n{lines}", head=HEAD)
    caller = Caller(served(ADDING, **written))
    await caller.prove("other")
    await caller.prove(times=100)  # so that its average can bear what else the machine has to do just now
    assert await caller.ask(3_000_000)
    assert not any([await caller.ask() for _ in range(100)])
    assert not await caller.ask(3_000_000)
    await caller.prove("other")


async def test_several_instances_come_to_the_loop_one_at_a_time(served):
    """Requests from threads and from the loop get answers of their own, while instances change hands."""
    server = served(ECHO, head=HEAD, instance_count=3)
    caller = Caller(server)
    handle = server.model("m")

    def ask_all(numbers):
        return [int(handle.infer({"X": [number]})["Y"][0]) for number in numbers]

    wanted = list(range(400))
    beside = [asyncio.to_thread(ask_all, wanted) for _ in range(2)]
    here = [caller.ask(number) for number in wanted]
    *answers, _ = await asyncio.gather(*beside, asyncio.gather(*here))
    assert answers == [wanted, wanted]


def test_it_is_told_why_a_model_may_wait(served, caplog):
    """A verbose log names the place in the model's code, and says so where there is none."""
    caplog.set_level(logging.DEBUG)
    served(UNSEEN)
    assert 'model "m": only its own threads execute it, since it may wait' in caplog.text
    assert "line 2: imports threading" in caplog.text
    served(ECHO, head=HEAD)
    assert 'model "m": its code waits for nothing' in caplog.text


async def test_a_coroutine_is_no_such_model(serve):
    """An `execute` that is a coroutine waits by its nature: it runs on the instance's own loop, promise or not."""
    source = (
        "class TritonPythonModel:\n    async def execute(self, requests):\n"
        "        return [pb_utils.InferenceResponse(requests[0].inputs())]\n"
    )
    for at_once in ("1", "4"):
        serve.write("m", source, parameters={**PROMISE, "ASYNC_EXECUTIONS": at_once})
        caller = Caller(serve.start())
        assert not any([await caller.ask() for _ in range(200)])


def test_a_call_of_another_model_breaks_the_promise(served, serve):
    """It is an error on whichever thread, that names the parameter."""
    server = served(f"return [{serve.call('m')}]", parameters=PROMISE)
    with pytest.raises(
        InternalError, match="calls model 'm', but is taken for one that NEVER_WAITS: set that parameter to 0"
    ):
        server.model("m").infer({"X": [1]})
