"""What a thread, or a coroutine, of a model is busy with: how calls know the execution that they belong to."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Activity", "busy_with", "current_activity"]


@dataclass(frozen=True)
class Activity:
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


@contextmanager
def busy_with(activity: Activity) -> Iterator[None]:
    """Be busy with something for the time of the block; coroutines that are started in it are so to their end."""
    token = _current.set(activity)
    try:
        yield
    finally:
        _current.reset(token)
