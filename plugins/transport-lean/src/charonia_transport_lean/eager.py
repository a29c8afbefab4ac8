"""Running a coroutine at once, as far as it gets without waiting.

A task costs a turn of the event loop before it even begins. What is answered without waiting needs none.
"""

from __future__ import annotations

from collections.abc import Coroutine
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

if TYPE_CHECKING:
    import asyncio

__all__ = ["run"]


T = TypeVar("T")


def run(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T] | T:
    """Run a coroutine. Gives a task for the rest of it, or what it has returned.

    Raises whatever the coroutine raises before it first waits.
    """
    context = copy_context()  # as a task would: what one request sets is not seen by the next
    try:
        awaited = context.run(coroutine.send, None)
    except StopIteration as end:
        result: T = end.value
        return result
    return loop.create_task(_Resumed(coroutine, awaited), context=context)


class _Resumed(Coroutine[Any, Any, T]):
    """A coroutine that has begun, as a task takes it: it first gives what is already being waited for.

    A task that is cancelled before its first step throws that into the coroutine all the same, at the place where it waits;
    one around it, which had not begun, would swallow it.

    Args:
        coroutine: the coroutine.
        awaited: what it gave to wait for.
    """

    __slots__ = ("_awaited", "_coroutine", "_given")

    def __init__(self, coroutine: Coroutine[Any, Any, T], awaited: object) -> None:
        self._coroutine = coroutine
        self._awaited = awaited
        self._given = False

    def send(self, value: object) -> object:
        """Go on."""
        if self._given:
            return self._coroutine.send(value)
        self._given = True
        awaited, self._awaited = self._awaited, None
        return awaited

    def throw(self, *error: Any) -> object:
        """Go on with an error."""
        self._given = True
        return self._coroutine.throw(*error)

    def close(self) -> None:
        """End."""
        self._coroutine.close()

    def __await__(self) -> NoReturn:
        raise TypeError("only a task goes on with it")
