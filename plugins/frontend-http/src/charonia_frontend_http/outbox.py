"""Where decoded requests wait for the end of the event loop's turn.

The loop reads from many connections in one turn. Passing what they brought to the models together, instead of one by one, lets
an instance's thread find all of it when it wakes, and lets the loop sleep while that thread has the interpreter.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from charonia.request import InferenceRequest
    from charonia.server import Server

__all__ = ["Answer", "Outbox"]


class Answer(Protocol):
    """Where the answer to a request is awaited: a future, or a queue of several responses."""

    def done(self) -> bool:
        """Tell whether nobody waits any more."""

    def set_exception(self, error: BaseException, /) -> None:
        """Take the reason why the request was refused."""


class Outbox:
    """Submits requests at the end of the loop's turn, in the order in which they were put in.

    Args:
        server: where they go.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._waiting: list[tuple[InferenceRequest, Answer]] = []

    def put(self, request: InferenceRequest, answer: Answer) -> None:
        """Have a request submitted soon. If the server refuses it, `answer` gets the error."""
        self._waiting.append((request, answer))
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._send)

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        for request, answer in waiting:
            if answer.done():  # the client has gone already
                continue
            try:
                self._server.submit(request)
            except Exception as error:  # noqa: BLE001 - to the border of requests, where `answer` is awaited
                answer.set_exception(error)
