"""The one response to a request, awaited on an event loop."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from charonia.mailbox import Mailbox
    from charonia.request import InferenceResponse

__all__ = ["Reply"]


class Reply:
    """Where one coroutine awaits the final response to its request. Made on the event loop.

    Args:
        mailbox: the way from other threads into the loop.

    Attributes:
        future: has the response, or the reason why the request was refused.
    """

    __slots__ = ("_mailbox", "_thread", "future")

    def __init__(self, mailbox: Mailbox) -> None:
        self.future: asyncio.Future[InferenceResponse] = asyncio.get_running_loop().create_future()
        self._mailbox = mailbox
        self._thread = threading.get_ident()

    def sink(self, response: InferenceResponse) -> None:
        """Take a response, on whichever thread it was made; those that are not final are dropped."""
        if not response.final:
            return
        if threading.get_ident() == self._thread:
            self._deliver(response)
        else:
            self._mailbox.post(self._deliver, response)

    def _deliver(self, response: InferenceResponse) -> None:
        if not self.future.done():
            self.future.set_result(response)

    def refuse(self, error: BaseException) -> None:
        """Take the reason why the request was refused. On the loop's thread."""
        if not self.future.done():
            self.future.set_exception(error)
