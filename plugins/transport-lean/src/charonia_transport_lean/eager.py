"""Running a coroutine at once, as far as it gets without waiting.

A task costs a turn of the event loop before it even begins. What is answered without waiting needs none.
"""

from __future__ import annotations

from types import coroutine
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

__all__ = ["go_on"]

T = TypeVar("T")


@coroutine
def go_on(begun: Coroutine[Any, Any, T], awaited: object) -> Generator[Any, Any, T]:
    """Go on with a coroutine that has been sent its first None and gave `awaited` to wait for; to be awaited in a task.

    Gives and raises what the coroutine does.
    """
    try:
        while True:
            try:
                sent = yield awaited
            except GeneratorExit:
                begun.close()
                raise
            except BaseException as error:  # noqa: BLE001 - the coroutine's matter, a cancellation included
                awaited = begun.throw(error)
            else:
                awaited = begun.send(sent)
    except StopIteration as stop:
        result: T = stop.value
        return result
