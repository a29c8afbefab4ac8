"""The responses to a call to another model, one after the other."""

from __future__ import annotations

import asyncio
import queue
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Self

from charonia.mailbox import Mailboxes

if TYPE_CHECKING:
    from collections.abc import Callable

    from triton_python_backend_utils.host import Call, Deliver
    from triton_python_backend_utils.responses import InferenceResponse

__all__ = ["ResponseIterator"]

_mailboxes = Mailboxes()  # of the event loops of coroutines that wait for responses


class ResponseIterator:
    """What a call with `decoupled=True` gives: its responses, for a loop, or for an asynchronous one.

    As in the reference, a response that only says that it was the last one comes as one without outputs, and a second loop
    gets all of them again. For one thread, or one event loop.

    Args:
        send: sends the request, which is done at once.
    """

    def __init__(self, send: Callable[[Deliver], Call]) -> None:
        self._arrived: queue.SimpleQueue[tuple[InferenceResponse, bool]] = queue.SimpleQueue()
        self._ring: Callable[[], None] | None = None  # tells the event loop on which somebody waits
        self._received: list[InferenceResponse] = []
        self._ended = False
        self._at = 0
        self._call = send(self._deliver)

    def _deliver(self, response: InferenceResponse, final: bool) -> None:  # noqa: FBT001 - called by the host only
        self._arrived.put((response, final))
        ring = self._ring
        if ring is not None:
            ring()

    def __iter__(self) -> Self:
        self._at = 0
        return self

    def __next__(self) -> InferenceResponse:
        while self._at == len(self._received):
            if self._ended:
                raise StopIteration
            self._receive()
        self._at += 1
        return self._received[self._at - 1]

    def __aiter__(self) -> Self:
        self._at = 0
        return self

    async def __anext__(self) -> InferenceResponse:
        while self._at == len(self._received):
            if self._ended:
                raise StopAsyncIteration
            await self._receive_async()
        self._at += 1
        return self._received[self._at - 1]

    def cancel(self) -> None:
        """Take the request back. Its last response is an error with the code CANCELLED, unless it was already made."""
        self._call.cancel()

    def result(self) -> InferenceResponse:
        """Wait for the end, and give the one response that counts."""
        while not self._ended:
            self._receive()
        return self._the_one()

    async def result_async(self) -> InferenceResponse:
        """Await the end, and give the one response that counts. Cancelling the coroutine takes the request back."""
        try:
            while not self._ended:
                await self._receive_async()
        except asyncio.CancelledError:
            self.cancel()
            raise
        return self._the_one()

    def _the_one(self) -> InferenceResponse:
        """Give the last response, or the one before it where the last only said that it was that."""
        telling = [response for response in self._received if response.has_error() or response.output_tensors()]
        return (telling or self._received)[-1]

    def _receive(self) -> None:
        if self._arrived.empty():
            with self._call.waiting():
                self._take(self._arrived.get())
        else:
            self._take(self._arrived.get())

    async def _receive_async(self) -> None:
        bell = asyncio.Event()
        mailbox = _mailboxes.of(asyncio.get_running_loop())
        self._ring = partial(mailbox.post, _set, bell)
        if self._arrived.empty():
            with self._call.waiting():
                await bell.wait()
        with suppress(queue.Empty):
            self._take(self._arrived.get_nowait())

    def _take(self, arrived: tuple[InferenceResponse, bool]) -> None:
        response, self._ended = arrived
        self._received.append(response)


def _set(bell: asyncio.Event) -> None:
    bell.set()
