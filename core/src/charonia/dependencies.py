"""Which models use which, as their configurations say, and which were asked for by somebody."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING

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
        self._written: dict[str, tuple[str, ...]] = {}  # a model → those that it uses directly, as it is written now
        self._settled: dict[str, tuple[str, ...]] = {}  # the same, as it was loaded last
        self._ever: dict[str, set[str]] = {}  # a model → all that it ever used directly
        self._wanted: set[str] = set()

    def want(self, names: Iterable[str]) -> None:
        """Take note that models were asked for by name, and not only loaded because others use them."""
        with self._lock:
            self._wanted.update(names)

    def wanted(self, name: str) -> bool:
        """Tell whether a model was asked for by name, and not unloaded by name since."""
        with self._lock:
            return name in self._wanted

    def declare(self, name: str, uses: Iterable[str]) -> list[str]:
        """Say which models a model uses as it is written now; those of what serves stay, until `settle`.

        Gives those that use this one themselves; they are not taken up.
        """
        with self._lock:
            used = dict.fromkeys(uses)
            circular = [other for other in used if other == name or name in self._closure(other)]
            self._written[name] = tuple(other for other in used if other not in circular)
            self._ever.setdefault(name, set()).update(self._written[name])
            return circular

    def settle(self, name: str) -> None:
        """Take note that a model was loaded as it is written."""
        with self._lock:
            self._settled[name] = self._written[name]

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
            return self._ordered({user for user in self._written if name in self._closure(user)})

    def past_users(self, name: str) -> set[str]:
        """Give the models that use a model, or did in some version that may still have requests; directly or not."""
        with self._lock:
            return {user for user in self._ever if name in _reachable(user, lambda it: self._ever.get(it, ()))}

    def from_users_to_used(self, names: Iterable[str]) -> list[str]:
        """Order models so that each comes before those that it uses."""
        with self._lock:
            return self._ordered(names)

    def _uses(self, name: str) -> tuple[str, ...]:
        return self._written.get(name, ()) + self._settled.get(name, ())

    def _closure(self, name: str) -> set[str]:
        return _reachable(name, self._uses)

    def _ordered(self, names: Iterable[str]) -> list[str]:
        heights: dict[str, int] = {}
        return sorted(names, key=lambda name: (-self._height(name, heights), name))

    def _height(self, name: str, known: dict[str, int]) -> int:
        if name not in known:
            known[name] = 1 + max([self._height(used, known) for used in self._uses(name)], default=0)
        return known[name]


def _reachable(name: str, uses: Callable[[str], Iterable[str]]) -> set[str]:
    found: set[str] = set()
    left = list(uses(name))
    while left:
        one = left.pop()
        if one not in found:
            found.add(one)
            left += uses(one)
    return found


class LoadRun:
    """Loads that belong together: however many of them need a model, it is loaded once, and all learn how it went.

    Args:
        names: the models that are to be loaded, whether they serve already or not.
        with_used: whether that is so of the models that they use, too.
    """

    def __init__(self, names: Iterable[str], *, with_used: bool = False) -> None:
        self.names = frozenset(names)
        self.with_used = with_used
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
    def loaded(self) -> set[str]:
        """The models that were loaded in this run, save those that had not changed."""
        return {name for name, outcome in self._told.items() if outcome.exception() is None and outcome.result()}

    @property
    def failed(self) -> set[str]:
        """The models whose load failed in this run."""
        return {name for name, outcome in self._told.items() if outcome.exception() is not None}

    @property
    def _told(self) -> dict[str, Future[bool]]:
        with self._lock:
            return dict(self._outcomes)
