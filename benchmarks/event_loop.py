"""The event loop of the benchmark's own programs: uvloop, as Charonia uses it, or asyncio's where that does not run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ["run"]

Result = TypeVar("Result")


def run(main: Coroutine[object, object, Result]) -> Result:
    """Run a coroutine to its end."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)
