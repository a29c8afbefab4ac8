"""Running coroutines at once, and going on with them in a task."""

from __future__ import annotations

import asyncio

import pytest
from charonia_transport_lean.eager import go_on


def begin(coroutine):
    """Run a coroutine up to its first wait, and give what it waits for."""
    return coroutine, coroutine.send(None)


async def test_it_goes_on_where_it_waited():
    """The coroutine gets what it waited for, waits again, and its result is given."""
    first, second = (asyncio.get_running_loop().create_future() for _ in range(2))

    async def wait():
        await asyncio.sleep(0)
        return await first + await second

    task = asyncio.create_task(go_on(*begin(wait())))
    first.set_result(1)
    await asyncio.sleep(0)
    second.set_result(2)
    assert await task == 3


async def test_errors_come_through():
    """What is awaited may fail, and what the coroutine raises is raised."""
    awaited = asyncio.get_running_loop().create_future()

    async def wait():
        try:
            await awaited
        except KeyError:
            raise ValueError("told") from None

    task = asyncio.create_task(go_on(*begin(wait())))
    awaited.set_exception(KeyError())
    with pytest.raises(ValueError, match="told"):
        await task


async def test_cancellation_reaches_the_coroutine():
    """A task that is cancelled cancels the coroutine at the place where it waits."""
    seen = []

    async def wait():
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    task = asyncio.create_task(go_on(*begin(wait())))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["cancelled"]


def test_what_is_dropped_is_closed():
    """Where nobody goes on, the coroutine ends in good order."""
    seen = []

    class Never:
        def __await__(self):
            yield self

    async def wait():
        try:
            await Never()
        finally:
            seen.append("closed")

    going = go_on(*begin(wait()))
    going.send(None)
    going.close()
    assert seen == ["closed"]
