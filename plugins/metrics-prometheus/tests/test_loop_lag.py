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
def test_a_callback_that_blocks_is_told_once(make_loop):
    """It is told how long everybody else had to wait, until somebody has read it; what comes next begins anew."""

    async def block():
        lag = LoopLag()
        lag.start()
        assert worst(lag) == 0
        threading.Event().wait(BLOCKED_SECONDS)
        ticked = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.1, ticked.set_result, None)
        await ticked
        lag.stop()
        lag.stop()
        assert BLOCKED_SECONDS / 2 < worst(lag) < 60
        assert worst(lag) == 0

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(block())
