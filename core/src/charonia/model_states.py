"""The states of models' versions, and what is remembered of each.

UNAVAILABLE → LOADING → READY → UNLOADING → UNAVAILABLE
"""

from __future__ import annotations

import enum
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from charonia.overrides import OverrideSlot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charonia.model_repositories import Candidate

__all__ = ["UNLOADED", "IndexEntry", "ModelRecord", "VersionRecord", "VersionState"]

UNLOADED = "unloaded"
"""The reason of a version that was unloaded on purpose, which harms nobody's readiness."""


class VersionState(enum.Enum):
    """The state of one version of a model."""

    UNAVAILABLE = "UNAVAILABLE"
    LOADING = "LOADING"
    READY = "READY"
    UNLOADING = "UNLOADING"


_TRANSITIONS: Mapping[VersionState, frozenset[VersionState]] = {
    VersionState.UNAVAILABLE: frozenset({VersionState.LOADING}),
    VersionState.LOADING: frozenset({VersionState.READY, VersionState.UNAVAILABLE}),
    VersionState.READY: frozenset({VersionState.UNLOADING}),
    VersionState.UNLOADING: frozenset({VersionState.UNAVAILABLE, VersionState.LOADING}),
}


@dataclass
class VersionRecord:
    """What is known of a version that was ever asked to load. Guarded by the model table's lock."""

    state: VersionState = VersionState.UNAVAILABLE
    reason: str = ""

    def move(self, state: VersionState, reason: str = "") -> None:
        """Go over to another state, for a reason if there is one to tell."""
        if state not in _TRANSITIONS[self.state]:
            raise AssertionError(f"a version cannot go from {self.state.value} to {state.value}")
        self.state = state
        self.reason = reason

    @property
    def settled(self) -> bool:
        """Whether the version serves, or was unloaded on purpose."""
        return self.state is VersionState.READY or (self.state is VersionState.UNAVAILABLE and self.reason == UNLOADED)


@dataclass
class ModelRecord:
    """What is known of a model.

    `loading` serialises its loads and unloads, and guards `overrides` and `loaded`, which the versions that serve were made of;
    the rest is guarded by the model table's lock.
    """

    loading: threading.Lock = field(default_factory=threading.Lock)
    versions: dict[int, VersionRecord] = field(default_factory=dict)
    problem: str = ""
    overrides: OverrideSlot = field(default_factory=OverrideSlot)
    loaded: Candidate | None = None

    @property
    def wanted(self) -> bool:
        """Whether a version serves, or should: it is loading, or has failed to load."""
        return any(
            known.state is not VersionState.UNLOADING and (known.state is VersionState.READY or not known.settled)
            for known in self.versions.values()
        )


@dataclass(frozen=True)
class IndexEntry:
    """A row of the repository's index. `version`, `state` and `reason` are "" where there is nothing to say.

    `host_byte_size` is how much of this machine's memory the version takes; 0 where it does not serve. `namespace` is the
    repository, where that tells models apart.
    """

    name: str
    version: str = ""
    state: str = ""
    reason: str = ""
    host_byte_size: int = 0
    namespace: str = ""
