"""What keeps the event loop is seen."""

from __future__ import annotations

import asyncio
import threading

import pytest
import uvloop
from charonia_metrics_prometheus.loop_lag import LoopLag

BLOCKED_SECONDS = 0.2


def worst(lag):
    """Read the value."""
    (sample,) = lag.metric().samples
    return sample.value


@pytest.mark.parametrize("make_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_callback_that_blocks_is_told_to_everybody(make_loop):
    """It is told how long everybody else had to wait, however often somebody reads it."""

    async def block():
        lag = LoopLag()
        lag.start()
        assert worst(lag) == 0
        await hold_up()
        lag.stop()
        lag.stop()
        assert BLOCKED_SECONDS / 2 < worst(lag) == worst(lag) < 60

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(block())


async def hold_up():
    """Block the loop, and come back when it has run on."""
    threading.Event().wait(BLOCKED_SECONDS)
    ticked = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0.1, ticked.set_result, None)
    await ticked


def test_what_is_long_ago_is_told_no_more():
    """When two windows are over, only what came in them is told."""

    async def block():
        lag = LoopLag(window_seconds=0.0)
        lag.start()
        await hold_up()
        while worst(lag) > BLOCKED_SECONDS / 2:  # noqa: ASYNC110 - nobody tells that two looks in a row came in time
            await asyncio.sleep(0.01)
        lag.stop()

    asyncio.run(asyncio.wait_for(block(), 60))
