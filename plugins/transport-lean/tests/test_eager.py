"""Running coroutines at once, and going on with them in a task."""

from __future__ import annotations

import asyncio
import contextvars

import pytest
from charonia.mailbox import Mailboxes
from charonia.reply import Reply
from charonia.request import InferenceResponse
from charonia_transport_lean.eager import Rest, run


async def test_what_does_not_wait_needs_no_task():
    """It has ended when the call returns."""
    done = []

    async def work():
        done.append(True)

    assert run(asyncio.get_running_loop(), work()) is None
    assert done == [True]


async def test_it_goes_on_where_it_waited():
    """The coroutine gets what it waited for, and waits again."""
    loop, told = asyncio.get_running_loop(), []
    first, second = loop.create_future(), loop.create_future()

    async def wait():
        await asyncio.sleep(0)
        told.append(await first + await second)

    task = run(loop, wait())
    first.set_result(1)
    await asyncio.sleep(0)
    second.set_result(2)
    await task
    assert told == [3]


async def test_errors_come_through():
    """What is raised at once is raised at once, and what is awaited may fail."""
    loop = asyncio.get_running_loop()
    awaited = loop.create_future()

    async def fail():
        raise KeyError("at once")

    async def wait():
        try:
            await awaited
        except KeyError:
            raise ValueError("told") from None

    with pytest.raises(KeyError):
        run(loop, fail())
    task = run(loop, wait())
    awaited.set_exception(KeyError())
    with pytest.raises(ValueError, match="told"):
        await task


@pytest.mark.parametrize("turns", [0, 1, 2])
async def test_cancellation_reaches_the_coroutine(turns):
    """It is thrown where the coroutine waits, also where the task has made no step yet."""
    seen = []

    async def wait():
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    task = run(asyncio.get_running_loop(), wait())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["cancelled"]


async def test_what_one_sets_is_not_seen_by_others():
    """Each has a context of its own, the same before and after it waits."""
    variable = contextvars.ContextVar("variable", default=0)
    seen = []

    async def work(value):
        variable.set(value)
        await asyncio.sleep(0)
        seen.append(variable.get())

    loop = asyncio.get_running_loop()
    tasks = [run(loop, work(value)) for value in (1, 2)]
    assert variable.get() == 0
    await asyncio.gather(*tasks)
    assert seen == [1, 2]


variable = contextvars.ContextVar("variable")


class Asked:
    """A coroutine that awaits a reply, begun as a transport begins it."""

    def __init__(self, then=None):
        self.loop = asyncio.get_running_loop()
        self.reply = Reply(Mailboxes().of(self.loop))
        self.ended = []
        self.seen = []
        self.rest = run(self.loop, self._work(then))
        assert isinstance(self.rest, Rest)
        self.rest.add_done_callback(self.ended.append)

    async def _work(self, then):
        variable.set(self)
        try:
            response = await self.reply
        except asyncio.CancelledError:
            self.seen.append("cancelled")
            raise
        assert variable.get() is self
        return (await then(self)) if then is not None else response

    def answer(self, **response):
        """Have the response come, on this thread, where no task runs, as it does where a loop reads it."""
        response = InferenceResponse(**response)
        self.loop.call_soon(self.reply.sink, response)
        return response


async def turns(count=1):
    """Let the loop have some turns."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_it_goes_on_in_the_turn_of_its_reply():
    """Whoever waits is told as soon as the response is there, by the time that its sink returns."""
    asked = Asked()
    response, told = InferenceResponse(), []

    def answer():
        asked.reply.sink(response)
        told.extend(asked.ended)

    asked.loop.call_soon(answer)
    await turns()
    assert told == [asked.rest]
    assert asked.rest.result() is response
    assert (asked.rest.cancelled(), asked.rest.exception()) == (False, None)


async def test_it_goes_on_later_where_a_task_runs():
    """A reply that comes while a task makes a step does not run others within it."""
    asked = Asked()
    asked.reply.sink(InferenceResponse())
    assert asked.ended == []
    await turns()
    assert asked.ended == [asked.rest]


async def test_it_becomes_a_task_where_it_waits_for_more():
    """What is awaited after the reply has the task that much of asyncio asks for."""

    async def more(asked):
        await asyncio.sleep(0)
        async with asyncio.timeout(60):
            await asyncio.sleep(0)
        asked.reply = Reply(Mailboxes().of(asked.loop))
        asked.answer()
        return await asked.reply

    asked = Asked(more)
    asked.answer()
    await turns(8)
    assert asked.ended == [asked.rest]
    assert isinstance(asked.rest.result(), InferenceResponse)


async def test_what_it_raises_is_told():
    """An error is the result, be it raised at once or by what is awaited after the reply."""

    async def fail(asked):
        raise KeyError("at once")

    async def fail_later(asked):
        await asyncio.sleep(0)
        raise KeyError("later")

    for failing, text in ((fail, "at once"), (fail_later, "later")):
        asked = Asked(failing)
        asked.answer()
        await turns(4)
        assert asked.ended == [asked.rest]
        assert isinstance(asked.rest.exception(), KeyError)
        with pytest.raises(KeyError, match=text):
            asked.rest.result()


async def test_cancelling_what_waits_for_a_reply():
    """The error is thrown where the coroutine waits, and a response that comes afterwards is nobody's."""
    asked = Asked()
    asked.rest.cancel()
    assert (asked.seen, asked.ended, asked.rest.cancelled()) == (["cancelled"], [asked.rest], True)
    asked.answer()
    await turns(2)
    assert asked.ended == [asked.rest]


async def test_cancelling_what_waits_for_more():
    """It is cancelled as every task is."""

    async def wait(asked):
        await asyncio.get_running_loop().create_future()

    asked = Asked(wait)
    asked.answer()
    await turns(2)
    asked.rest.cancel()
    await turns(2)
    assert asked.rest.cancelled()


async def test_cancelling_itself():
    """Where it just runs, it is cancelled when it next waits, for whatever that is."""

    async def wait(asked):
        asked.rest.cancel()
        asked.seen.append("goes on")
        await asyncio.get_running_loop().create_future()

    async def ask(asked):
        asked.rest.cancel()
        asked.seen.append("goes on")
        await Reply(Mailboxes().of(asked.loop))

    for waiting in (wait, ask):
        asked = Asked(waiting)
        asked.answer()
        await turns(4)
        assert asked.rest.cancelled()
        assert asked.seen == ["goes on"]


async def test_who_is_told_and_fails_harms_nobody():
    """An error of whoever is told of the end goes to the loop's handler, and not to who has brought the reply."""
    asked = Asked()
    reported = []
    asked.loop.set_exception_handler(lambda _, context: reported.append(context["exception"]))

    def fail(rest):
        raise ValueError(rest.result())

    asked.rest.add_done_callback(fail)
    response = asked.answer()
    await turns(2)
    assert [error.args for error in reported] == [(response,)]
