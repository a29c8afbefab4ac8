"""The event loop of an instance whose `execute` is a coroutine."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from concurrent.futures import Future

__all__ = ["LoopThread"]


class LoopThread:
    """An event loop on a thread of its own. Started by the constructor; `close` ends and joins it.

    Args:
        name: the thread's name.
    """

    def __init__(self, name: str) -> None:
        self._running = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        self._running.wait()

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            serving = runner.get_loop().create_task(self._serve())
            while not serving.done():
                # whoever awaits a task that a model has begun gets what that raises; these two end the loop besides
                with suppress(SystemExit, KeyboardInterrupt):
                    runner.get_loop().run_until_complete(serving)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        self._running.set()
        await self._end.wait()

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> Future[Any]:
        """Run a coroutine beside those that run already, and give its future. Any thread."""
        assert self._loop is not None  # noqa: S101 - it is there when the constructor returns
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def close(self) -> None:
        """Cancel what still runs, and end the thread."""
        if self._thread.is_alive():
            self.start(self._finish())
            self._thread.join()

    async def _finish(self) -> None:
        if self._end is not None:
            self._end.set()
