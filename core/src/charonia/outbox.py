"""The way of requests from an event loop to their models."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from charonia.mailbox import Wakeups

if TYPE_CHECKING:
    from collections.abc import Callable

    from charonia.model import Model
    from charonia.request import InferenceRequest
    from charonia.server import Server

__all__ = ["Outbox"]


class Outbox:
    """Passes on what an event loop has decoded. One per loop; all methods belong to it.

    A model that has proved to be quick answers at once, on the loop's own thread, if an instance is free. Everything else is
    submitted at the end of the loop's turn, in the order in which it was put in: the loop reads from many connections in one
    turn, and an instance's thread then finds all that they brought when it wakes, while the loop sleeps.

    Args:
        server: where requests go.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._waiting: list[tuple[InferenceRequest, Callable[[Exception], None]]] = []
        self._wakeups: Wakeups | None = None  # those of the loop's thread
        self._about_to_wake = False

    def put(self, request: InferenceRequest, refused: Callable[[Exception], None], model: Model | None = None) -> None:
        """Pass on a request, now or soon. If it is refused, `refused` gets the error, and the sink gets nothing.

        Args:
            request: the request.
            refused: see above.
            model: whose it is, where the caller has looked for it in this turn of the loop.
        """
        if not self._waiting:
            try:
                if self._submit_prompt(request, model):
                    return
            except Exception as error:  # noqa: BLE001 - to the border of requests, which `refused` leads to
                refused(error)
                return
            asyncio.get_running_loop().call_soon(self._send)
        self._waiting.append((request, refused))

    def _submit_prompt(self, request: InferenceRequest, model: Model | None) -> bool:
        """Have a quick model answer. Where that is in another process, all that is for it is sent at the end of the turn."""
        wakeups = self._wakeups
        if wakeups is None:
            wakeups = self._wakeups = Wakeups.of_this_thread()
        wakeups.held = True
        try:
            return self._server.submit_prompt(request, model)
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
                self._server.submit(request)
            except Exception as error:  # noqa: BLE001 - to the border of requests, which `refused` leads to
                refused(error)
