"""The way of requests from an event loop to their models."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from charonia.mailbox import Wakeups

if TYPE_CHECKING:
    from collections.abc import Callable

    from charonia.models import Models
    from charonia.request import InferenceRequest

__all__ = ["Outbox"]


class Outbox:
    """Passes on what an event loop has decoded. One per loop; all methods belong to it.

    A model that has proved to be quick answers at once, on the loop's own thread, if an instance is free. Everything else is
    submitted at the end of the loop's turn, in the order in which it was put in: the loop reads from many connections in one
    turn, and an instance's thread then finds all that they brought when it wakes, while the loop sleeps.

    Args:
        models: where requests go: a server.
    """

    def __init__(self, models: Models) -> None:
        self._models = models
        self._waiting: list[tuple[InferenceRequest, Callable[[Exception], None]]] = []
        self._wakeups: Wakeups | None = None  # those of the loop's thread
        self._about_to_wake = False

    def put(self, request: InferenceRequest, refused: Callable[[Exception], None]) -> None:
        """Pass on a request, now or soon. If it is refused, `refused` gets the error, and the sink gets nothing."""
        if not self._waiting:
            try:
                if self._submit_prompt(request):
                    return
            except Exception as error:  # noqa: BLE001 - to the border of requests, which `refused` leads to
                refused(error)
                return
            asyncio.get_running_loop().call_soon(self._send)
        self._waiting.append((request, refused))

    def _submit_prompt(self, request: InferenceRequest) -> bool:
        """Have a quick model answer. Where that is in another process, all that is for it is sent at the end of the turn."""
        wakeups = self._wakeups
        if wakeups is None:
            wakeups = self._wakeups = Wakeups.of_this_thread()
        wakeups.held = True
        try:
            return self._models.submit_prompt(request)
        finally:
            wakeups.held = False
            if wakeups.owed and not self._about_to_wake:
                self._about_to_wake = True
                asyncio.get_running_loop().call_soon(self._wake, wakeups)

    def _wake(self, wakeups: Wakeups) -> None:
        self._about_to_wake = False
        wakeups.send()

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        for request, refused in waiting:
            if request.cancelled:  # the client has gone already
                continue
            try:
                self._models.submit(request)
            except Exception as error:  # noqa: BLE001 - to the border of requests, which `refused` leads to
                refused(error)
