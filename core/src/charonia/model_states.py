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
        return self.state is VersionState.READY or self.unloaded

    @property
    def unloaded(self) -> bool:
        """Whether the version was unloaded on purpose, and has gone."""
        return self.state is VersionState.UNAVAILABLE and self.reason == UNLOADED


@dataclass
class ModelRecord:
    """What is known of a model.

    `loading` serialises its loads and unloads, and guards `overrides` and `loaded`, which the versions that serve were made of;
    the rest is guarded by the model table's lock. `versionless` is True while the model is asked to serve and never had a version
    that could.
    """

    loading: threading.Lock = field(default_factory=threading.Lock)
    versions: dict[int, VersionRecord] = field(default_factory=dict)
    versionless: bool = False
    problem: str = ""
    overrides: OverrideSlot = field(default_factory=OverrideSlot)
    loaded: Candidate | None = None

    @property
    def known(self) -> bool:
        """Whether the model was ever asked to load: one that never had a version is forgotten when it is unloaded."""
        return self.versionless or bool(self.versions)

    @property
    def settled(self) -> bool:
        """Whether every version that was asked to load is READY, or was unloaded on purpose; and that there was one."""
        return not self.versionless and all(known.settled for known in self.versions.values())

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
