"""What an event loop makes once for each loaded model, and lets go with it."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from charonia.model import Model

__all__ = ["PerModel"]

T = TypeVar("T")


class PerModel(Generic[T]):
    """One object for each model.

    Args:
        make: makes the object of a model, which must not refer to it.
    """

    def __init__(self, make: Callable[[Model], T]) -> None:
        self._make = make
        self._made: dict[int, T] = {}  # by identity, which is found in a tenth of the time of a weak key

    def __getitem__(self, model: Model) -> T:
        made = self._made.get(id(model))
        if made is None:
            made = self._made[id(model)] = self._make(model)
            weakref.finalize(model, self._made.pop, id(model)).atexit = False
        return made
