"""The rules of polling: which models are to be loaded, or taken out, from how their files look as time passes."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["RepositoryWatch", "Stored"]

Stored: TypeAlias = "Mapping[str, Mapping[str, str]]"
"""The models of all repositories: by name, the state of each of their files."""


class RepositoryWatch:
    """Remembers what was done about each model, and finds out what is to be done next. Not thread-safe; it never waits.

    A change counts once it has held still for the settle time, so that nobody loads what is still being copied.

    Args:
        settle_ns: that time in nanoseconds; with 0, every change counts at once.
        stored: what lies there, all of which is taken care of already.
    """

    def __init__(self, settle_ns: int, stored: Stored) -> None:
        self._settle_ns = settle_ns
        self._done: dict[str, Mapping[str, str]] = dict(stored)
        self._changing: dict[
            str, tuple[Mapping[str, str] | None, int]
        ] = {}  # the newest state, and since when it holds
        self._failed: set[str] = set()

    def look(self, now_ns: int, stored: Stored, *, retry: bool) -> set[str]:
        """Give the models that are to be loaded, or taken out if they are not stored any more, and take that for done.

        Args:
            now_ns: the time.
            stored: what lies there now.
            retry: whether models whose load failed are to be tried again though nothing has changed.
        """
        due = {name for name in {*stored, *self._done} if self._has_settled(name, stored.get(name), now_ns)}
        if retry:
            due |= {name for name in self._failed if name in stored and name not in self._changing}
        self._failed -= due
        for name in due:
            if name in stored:
                self._done[name] = stored[name]
            else:
                del self._done[name]
        return due

    def _has_settled(self, name: str, state: Mapping[str, str] | None, now_ns: int) -> bool:
        """Tell whether a model has changed, and not since the settle time began."""
        if state == self._done.get(name):
            self._changing.pop(name, None)
            return False
        newest, since_ns = self._changing.get(name, (None, now_ns))
        if name not in self._changing or newest != state:
            since_ns = now_ns
        if now_ns - since_ns < self._settle_ns:
            self._changing[name] = (state, since_ns)
            return False
        self._changing.pop(name, None)
        return True

    def note_failures(self, names: Iterable[str]) -> None:
        """Take note of models whose load failed."""
        self._failed.update(names)

    @property
    def next_ns(self) -> int | None:
        """When the first of the changes that were seen may have settled; None where there is none."""
        return min((since + self._settle_ns for _, since in self._changing.values()), default=None)
