"""Which models use which, as their configurations say, and which were asked for by somebody."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING

from charonia.composition import CompositionError
from charonia.errors import ConfigProblem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Dependencies", "LoadRun"]


class Dependencies:
    """The models that use others. Any thread may ask.

    Who loads or unloads a model holds no lock of its users meanwhile: locks are taken from users to the used, never back.
    `declare` lets no circle come to be, so that nobody waits for himself.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards all below
        self._uses: dict[str, tuple[str, ...]] = {}  # a model → those that it uses directly
        self._wanted: set[str] = set()

    def want(self, names: Iterable[str]) -> None:
        """Take note that models were asked for by name, and not only loaded because others use them."""
        with self._lock:
            self._wanted.update(names)

    def wanted(self, name: str) -> bool:
        """Tell whether a model was asked for by name, and not unloaded by name since."""
        with self._lock:
            return name in self._wanted

    def declare(self, name: str, uses: Iterable[str]) -> None:
        """Say which models a model uses from now on.

        Raises:
            CompositionError: one of them uses this one; nothing is changed.
        """
        used = tuple(dict.fromkeys(uses))
        with self._lock:
            for other in used:
                if other == name or name in self._closure(other):
                    text = f"circular dependency between ensembles: {name} -> ... -> {other} -> {name}"
                    raise CompositionError(name, [ConfigProblem(text, "ensemble_scheduling")])
            self._uses[name] = used
            if not used:
                del self._uses[name]

    def leave(self, name: str) -> None:
        """Take note that a model is not wanted any more."""
        with self._lock:
            self._wanted.discard(name)

    def used(self, name: str) -> list[str]:
        """List the models that a model uses, directly or not: each before those that it uses itself."""
        with self._lock:
            return self._ordered(self._closure(name))

    def users(self, name: str) -> list[str]:
        """List the models that use a model, directly or not: each before those that it uses itself."""
        with self._lock:
            return self._ordered({user for user in self._uses if name in self._closure(user)})

    def from_users_to_used(self, names: Iterable[str]) -> list[str]:
        """Order models so that each comes before those that it uses."""
        with self._lock:
            return self._ordered(names)

    def _closure(self, name: str) -> set[str]:
        found: set[str] = set()
        left = list(self._uses.get(name, ()))
        while left:
            one = left.pop()
            if one not in found:
                found.add(one)
                left += self._uses.get(one, ())
        return found

    def _ordered(self, names: Iterable[str]) -> list[str]:
        heights: dict[str, int] = {}
        return sorted(names, key=lambda name: (-self._height(name, heights), name))

    def _height(self, name: str, known: dict[str, int]) -> int:
        if name not in known:
            known[name] = 1 + max([self._height(used, known) for used in self._uses.get(name, ())], default=0)
        return known[name]


class LoadRun:
    """Loads that belong together: however many of them need a model, it is loaded once, and all learn how it went.

    Args:
        names: the models that are to be loaded, whether they serve already or not.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = frozenset(names)
        self._lock = threading.Lock()  # guards `_outcomes`
        self._outcomes: dict[str, Future[bool]] = {}

    def once(self, name: str, load: Callable[[], bool]) -> None:
        """Load a model, or wait until another thread of this run has loaded it. Raises what the load raised.

        Args:
            name: the model's name.
            load: loads it, and tells whether there was anything to do.
        """
        with self._lock:
            mine = name not in self._outcomes
            outcome = self._outcomes.setdefault(name, Future())
        if mine:
            try:
                outcome.set_result(load())
            except BaseException as error:
                outcome.set_exception(error)
                raise
        outcome.result()

    @property
    def loaded(self) -> list[str]:
        """The models that were loaded, or tried, in this run, save those that had not changed."""
        with self._lock:
            outcomes = dict(self._outcomes)
        return [name for name, outcome in outcomes.items() if outcome.exception() is not None or outcome.result()]
