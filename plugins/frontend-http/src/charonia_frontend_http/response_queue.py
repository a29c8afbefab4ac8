"""The responses to one request that may have any number of them, as they come to the event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from charonia.flow import Flow

if TYPE_CHECKING:
    from charonia.mailbox import Mailbox
    from charonia.request import InferenceResponse

__all__ = ["ResponseQueue"]


class ResponseQueue:
    """Takes the responses of one request and gives them in their order. Lives on one event loop.

    A model that makes them faster than the client reads them is held up after some, by the request's flow.

    Args:
        mailbox: the way from instance threads into the loop.
        decoupled: whether the model is: its last response may then be no more than the word that it was the last.

    Attributes:
        flow: what holds up the model; to be given to the request.
    """

    def __init__(self, mailbox: Mailbox, *, decoupled: bool) -> None:
        self._mailbox = mailbox
        self._decoupled = decoupled
        self._items: asyncio.Queue[InferenceResponse | BaseException | None] = asyncio.Queue()
        self._closed = False
        self.flow = Flow()

    def sink(self, response: InferenceResponse) -> None:
        """Take a response, on whichever thread it was made."""
        self._mailbox.post(self._deliver, response)

    def _deliver(self, response: InferenceResponse) -> None:
        if self._closed:
            return
        told = response.outputs or response.parameters or response.error is not None
        if told or not response.final or not self._decoupled:
            self._items.put_nowait(response)
        if response.final:
            self._items.put_nowait(None)

    async def next(self) -> InferenceResponse | None:
        """Wait for the next response; None after the last one.

        Raises:
            InferenceError: the server refused the request.
        """
        item = await self._items.get()
        if isinstance(item, BaseException):
            raise item
        self.flow.read()
        return item

    def close(self) -> None:
        """Drop what still comes: nobody reads it."""
        self._closed = True

    def refuse(self, error: BaseException) -> None:
        """Take the reason why the request was refused."""
        self._items.put_nowait(error)
