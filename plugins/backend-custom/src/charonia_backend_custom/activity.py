"""What a thread, or a coroutine, of a model is busy with: how calls know the execution that they belong to."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from contextvars import Token

__all__ = ["Activity", "busy_with", "current_activity"]


class Activity(NamedTuple):
    """What a model is doing.

    Attributes:
        model: the model's name.
        instance: the instance's name.
        task: what the server knows the execution by; None while it executes nothing.
    """

    model: str
    instance: str
    task: object = None


_current: ContextVar[Activity | None] = ContextVar("charonia_model_activity", default=None)


def current_activity() -> Activity | None:
    """Tell what the calling thread or coroutine is busy with. None on a thread that a model has started itself."""
    return _current.get()


class busy_with:  # noqa: N801 - a context manager, used as a function; a generator would cost several times as much
    """Be busy with something for the time of the block; coroutines that are started in it are so to their end."""

    __slots__ = ("_activity", "_token")

    def __init__(self, activity: Activity) -> None:
        self._activity = activity
        self._token: Token[Activity | None]

    def __enter__(self) -> None:
        self._token = _current.set(self._activity)

    def __exit__(self, *error: object) -> None:
        _current.reset(self._token)
