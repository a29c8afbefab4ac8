"""Running coroutines at once, and going on with them in a task."""

from __future__ import annotations

import asyncio
import contextvars

import pytest
from charonia_transport_lean.eager import run


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
