"""Running a coroutine at once, as far as it gets without waiting.

A task costs a turn of the event loop before it even begins, and another one when it ends. What is answered without waiting needs
none, nor does what only waits for a model's reply.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeAlias, TypeVar

from charonia.reply import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

__all__ = ["Progress", "Rest", "run"]


T = TypeVar("T")


def run(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> Progress[T] | T:
    """Run a coroutine. Gives what has the rest of it, or what it has returned.

    Raises whatever the coroutine raises before it first waits.
    """
    context = copy_context()  # as a task would: what one request sets is not seen by the next
    try:
        awaited = context.run(coroutine.send, None)
    except StopIteration as end:
        result: T = end.value
        return result
    if isinstance(awaited, Waiting):
        return Rest(loop, coroutine, context, awaited)
    return loop.create_task(_Resumed(coroutine, awaited), context=context)


class Rest(Generic[T]):
    """The rest of a coroutine that waits for a reply, with which it goes on as soon as that comes.

    It has what is used here of a task, and becomes one where the coroutine waits for anything else. All methods belong to the
    loop's thread.

    Args:
        loop: the event loop.
        coroutine: the coroutine, which has begun.
        context: where it runs.
        awaited: what it waits for.
    """

    __slots__ = ("_awaited", "_cancelled", "_context", "_coroutine", "_done", "_error", "_loop", "_result")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T], context: Context, awaited: Waiting
    ) -> None:
        self._loop = loop
        self._coroutine = coroutine
        self._context = context
        self._done: Callable[[Rest[T]], object] | None = None
        self._cancelled = False
        self._error: BaseException | None = None
        self._result: T
        self._awaited: Waiting | asyncio.Task[T] | None
        self._wait_for(awaited)

    def _wait_for(self, awaited: object) -> None:
        if isinstance(awaited, Waiting):
            self._awaited = awaited
            awaited.at_once = self._go_on
        else:
            task = self._loop.create_task(_Resumed(self._coroutine, awaited), context=self._context)
            self._awaited = task
            task.add_done_callback(self._end_as)
        if self._cancelled:
            self._cancelled = False
            self.cancel()

    def _go_on(self) -> None:
        self._step(self._coroutine.send, None)

    def _step(self, step: Callable[[Any], object], value: object) -> None:
        self._awaited = None
        try:
            awaited = self._context.run(step, value)
        except StopIteration as end:
            self._result = end.value
        except (KeyboardInterrupt, SystemExit) as error:
            self._error = error
            self._end()
            raise
        except BaseException as error:  # noqa: BLE001 - whoever asks for the result gets it
            self._error = error
        else:
            self._wait_for(awaited)
            return
        self._end()

    def _end_as(self, task: asyncio.Task[T]) -> None:
        self._awaited = None
        try:
            self._result = task.result()
        except BaseException as error:  # noqa: BLE001 - as above
            self._error = error
        self._end()

    def _end(self) -> None:
        done, self._done = self._done, None
        if done is None:
            return
        try:
            done(self)
        except Exception as error:  # noqa: BLE001 - as of a task: it is none of those who brought the reply
            self._loop.call_exception_handler({"message": f"{done} failed", "exception": error})

    def add_done_callback(self, done: Callable[[Rest[T]], object]) -> None:
        """Have the one who wants to know told of the end. To be called before it comes."""
        self._done = done

    def cancel(self) -> None:
        """Throw a CancelledError into the coroutine where it waits, now or the next time that it does."""
        awaited = self._awaited
        if awaited is None:
            self._cancelled = True
        elif isinstance(awaited, Waiting):
            awaited.at_once = None
            awaited.cancel()
            self._step(self._coroutine.throw, asyncio.CancelledError())
        else:
            awaited.cancel()

    def cancelled(self) -> bool:
        """Tell whether it has ended by being cancelled."""
        return isinstance(self._error, asyncio.CancelledError)

    def exception(self) -> BaseException | None:
        """Give what the coroutine has raised. It has ended."""
        return self._error

    def result(self) -> T:
        """Give what the coroutine has returned, or raise what it has raised. It has ended."""
        if self._error is not None:
            raise self._error
        return self._result


Progress: TypeAlias = "asyncio.Task[T] | Rest[T]"
"""What has the rest of a coroutine."""


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
