"""The one response to a request, awaited on an event loop."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from charonia.mailbox import Mailbox
    from charonia.request import InferenceResponse

__all__ = ["Reply", "Waiting"]


class Waiting(asyncio.Future[None]):
    """What a coroutine that awaits a reply waits for.

    A task goes on in one of the loop's next turns, as with every future. Whoever runs a coroutine without one can go on in the
    turn in which the response comes.

    Attributes:
        at_once: called when it has come, on the loop's thread while no task runs; None if nobody wants that.
    """

    at_once: Callable[[], object] | None = None

    def settle(self) -> None:
        """Say that it has come. On the loop's thread."""
        if self.done():
            return
        self.set_result(None)
        if self.at_once is None:
            return
        loop = self.get_loop()
        if asyncio.current_task(loop) is None:
            self.at_once()
        else:
            loop.call_soon(self.at_once)


class Reply:
    """Where one coroutine awaits the final response to its request. Made on the event loop.

    Awaiting it gives the response, or raises the reason why the request was refused. A response that is there already is not
    waited for.

    Args:
        mailbox: the way from other threads into the loop.
    """

    __slots__ = ("_mailbox", "_outcome", "_thread", "_waiting")

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._thread = threading.get_ident()
        self._outcome: InferenceResponse | BaseException | None = None
        self._waiting: Waiting | None = None

    def sink(self, response: InferenceResponse) -> None:
        """Take a response, on whichever thread it was made; those that are not final are dropped."""
        if not response.final:
            return
        if threading.get_ident() == self._thread:
            self._settle(response)
        else:
            self._mailbox.post(self._settle, response)

    def refuse(self, error: BaseException) -> None:
        """Take the reason why the request was refused. On the loop's thread."""
        self._settle(error)

    def _settle(self, outcome: InferenceResponse | BaseException) -> None:
        self._outcome = outcome
        if self._waiting is not None:
            self._waiting.settle()

    @property
    def here(self) -> bool:
        """Whether it has come, so that awaiting it does not wait."""
        return self._outcome is not None

    def __await__(self) -> Generator[asyncio.Future[None], None, InferenceResponse]:
        if self._outcome is None:
            self._waiting = Waiting(loop=asyncio.get_running_loop())
            yield from self._waiting
        return self.outcome()

    def outcome(self) -> InferenceResponse:
        """Give the response, which has come, or raise the reason why the request was refused. To be called once."""
        outcome = self._outcome
        assert outcome is not None  # noqa: S101 - whoever asks has looked, or waited
        if isinstance(outcome, BaseException):
            self._outcome = None
            try:
                raise outcome
            finally:
                del outcome  # it leads to this frame now, which must not lead back
        return outcome
