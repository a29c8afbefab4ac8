"""The models that serve, and what is known of all that were ever asked to.

The switch from one set of a model's versions to another is one assignment; what was replaced then finishes what it accepted.
Here, models have their keys; see `charonia.model_names`. Requests come with names.
"""

from __future__ import annotations

import threading
from collections import Counter
from types import MappingProxyType
from typing import TYPE_CHECKING

from charonia.departures import Departures
from charonia.errors import InvalidArgumentError, NotFoundError, UnavailableError
from charonia.model_states import UNLOADED, IndexEntry, ModelRecord, VersionRecord, VersionState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from charonia.deadline import Deadline
    from charonia.errors import InferenceError
    from charonia.model import Model
    from charonia.model_names import ModelNames
    from charonia.request import InferenceRequest

__all__ = ["ModelTable"]


class ModelTable:
    """What serves, and the records of all models. Any thread may call; who changes a model holds its record's `loading`.

    Args:
        users: tells the models that use a model, directly or not: each before those that it uses itself.
        names: how models are told apart.

    Attributes:
        serving: the serving versions by key, ascending. Replaced as a whole by each switch, so that it is read without a lock.
        by_name: likewise by name, without names that several models have that serve, or should.
    """

    def __init__(self, users: Callable[[str], Iterable[str]], names: ModelNames) -> None:
        self.serving: Mapping[str, Mapping[int, Model]] = MappingProxyType({})
        self.by_name: Mapping[str, Mapping[int, Model]] = self.serving
        self._users = users
        self._names = names
        self._lock = threading.Lock()  # guards all below, what the records hold, and `serving` as it is replaced
        self._records: dict[str, ModelRecord] = {}
        self._departures = Departures()

    # -- changes

    def record(self, name: str) -> ModelRecord:
        """Give the record of a model, which is made if it is the first time that anybody asks for the model."""
        with self._lock:
            return self._records.setdefault(name, ModelRecord())

    def known(self, name: str) -> ModelRecord | None:
        """Give the record of a model that somebody asked for before."""
        with self._lock:
            return self._records.get(name)

    def note_problem(self, name: str, problem: str) -> None:
        """Keep what is wrong with what is written about a model; "" if nothing is any more."""
        with self._lock:
            self._records[name].problem = problem

    def begin(self, name: str, versions: Iterable[int]) -> None:
        """Take note that versions are loading."""
        with self._lock:
            record = self._records[name]
            record.problem = ""
            for version in versions:
                known = record.versions.setdefault(version, VersionRecord())
                if known.state is not VersionState.READY:  # one that serves goes on serving, and is shown so
                    known.move(VersionState.LOADING)
            record.versionless = not record.versions
            self._name()

    def fail(self, name: str, versions: Iterable[int], failures: Mapping[int, str]) -> None:
        """Take note that versions were loaded in vain, since some of them failed."""
        with self._lock:
            records = self._records[name].versions
            for version in versions:
                reason = failures.get(version, "another version of the model failed to load")
                if records[version].state is VersionState.LOADING:
                    records[version].move(VersionState.UNAVAILABLE, reason)
                elif version in failures:
                    records[version].reason = f"serving; the last load failed: {reason}"
            self._name()

    def switch(self, name: str, models: Mapping[int, Model], reason: str = UNLOADED) -> bool:
        """Have these versions serve from now on, and those that they replace finish and go. False if nothing changed by it.

        Args:
            name: the model's name.
            models: the versions; none takes the model out of service.
            reason: why those go that have no successor.
        """
        with self._lock:
            record = self._records[name]
            old = self.serving.get(name, {})
            leaving = [version for version in old if version not in models]
            if leaving:
                self._departures.announce(name, {version: old[version] for version in leaving})
            for version, model in models.items():
                if version in old and old[version] is not model:
                    model.statistics.follow(old[version].statistics, old[version].gauges)
            self._replace(name, models)
            for version in models:
                known = record.versions[version]
                if known.state is VersionState.LOADING:
                    known.move(VersionState.READY)
                known.reason = ""
            for version, known in record.versions.items():
                if version in leaving:
                    known.move(VersionState.UNLOADING)
                elif version not in models and known.state is VersionState.UNAVAILABLE:
                    known.reason = reason  # it failed once, and is not wanted any more
            if not models:
                record.problem = ""
                record.versionless = False
            self._name()
        replaced = {version: model for version, model in old.items() if models.get(version) is not model}
        self._retire(name, replaced, leaving, reason)
        return old != models

    def _replace(self, name: str, models: Mapping[int, Model]) -> None:
        table = dict(self.serving)
        if models:
            table[name] = MappingProxyType(dict(sorted(models.items())))
        else:
            table.pop(name, None)
        self.serving = MappingProxyType(table)

    def _name(self) -> None:
        """Find out which names are clear."""
        if not self._names.namespaces:
            self.by_name = self.serving
            return
        wanted = Counter(self._names.name(key) for key, record in self._records.items() if record.wanted)
        named = {self._names.name(key): versions for key, versions in self.serving.items()}
        self.by_name = MappingProxyType({name: versions for name, versions in named.items() if wanted[name] == 1})

    def _retire(self, name: str, old: Mapping[int, Model], leaving: Iterable[int], reason: str) -> None:
        """Let old models finish and go; those that leave serve the last requests of their users before."""
        if not old:
            return

        def gone(version: int) -> None:
            with self._lock:
                known = self._records[name].versions[version]
                if version in leaving and known.state is VersionState.UNLOADING:
                    known.move(VersionState.UNAVAILABLE, reason)

        self._departures.close(name, old, self._users(name) if leaving else (), gone)

    def wait(self, deadline: Deadline) -> bool:
        """Wait until all that was replaced is gone. False if some was not when the time was over."""
        return self._departures.wait(deadline)

    # -- what it tells

    def find(self, name: str, namespace: str = "") -> Mapping[int, Model]:
        """Give the versions that serve of the model in this namespace; where there is none, of the only one of this name."""
        key = self._names.key(name, namespace)
        return self.serving.get(key, {}) if namespace and self._known(key) else self.by_name.get(name, {})

    def _known(self, key: str) -> bool:
        record = self._records.get(key)
        return record is not None and record.known

    def namespaced(self) -> list[tuple[str, Model]]:
        """List all versions that serve, each with its namespace; sorted by name, namespace and version."""
        split = sorted((*self._names.split(key), versions) for key, versions in self.serving.items())
        return [(namespace, model) for _, namespace, versions in split for model in versions.values()]

    def departing(self) -> list[tuple[str, Model]]:
        """List the versions that serve no more, and that none replaces, while they finish requests, each with its namespace."""
        last = {(key, version): model for key, version, model in self._departures.closing()}
        return [
            (self._names.split(key)[1], model)
            for (key, version), model in last.items()
            if version not in self.serving.get(key, {}) and not model.idle
        ]

    def serves(self, model: Model) -> bool:
        """Tell whether this very object is in the table."""
        return any(model is serving for versions in self.serving.values() for serving in versions.values())

    def leaving(self, request: InferenceRequest) -> Model | None:
        """Find the version that a request asks for where it serves no more, but for the last requests of its users."""
        keys = self.keys_of(request.model_name, request.model_namespace)
        return next(filter(None, [self._departures.find(key, request.model_version) for key in keys]), None)

    def keys_of(self, name: str, namespace: str = "") -> list[str]:
        """List the models of a name that were ever asked to load; just the one in this namespace if it is among them."""
        with self._lock:
            key = self._names.key(name, namespace)
            if self._known(key):
                return [key]
            return [key for key in self._records if self._known(key) and self._names.name(key) == name]

    def key_of(self, name: str, namespace: str = "") -> str:
        """Give the key of the model that a name means; where several have it, of the one in this namespace."""
        return next(iter(self.keys_of(name, namespace)), self._names.key(name, namespace))

    def explain_absence(self, name: str, version: int | None, namespace: str = "") -> InferenceError:
        """Say why a model, or a version of it, does not serve, with the reference's texts."""
        asked = f"Request for unknown model: '{name}'"
        keys = self.keys_of(name, namespace)
        with self._lock:
            records = [self._records[key] for key in keys]
            wanted = sum(record.wanted for record in records)
            states = {record.versions[version].state for record in records if version in record.versions}
        if wanted > 1:
            return InvalidArgumentError(
                f"There are {wanted} identifiers of model '{name}' in global map, model namespace must be provided to "
                "resolve ambiguity."
            )
        if states & {VersionState.LOADING, VersionState.UNLOADING}:
            return UnavailableError(f"{asked} version {version} is not at ready state")
        if not keys:
            return NotFoundError(f"{asked} is not found")
        if version is not None and self.find(name, namespace):
            return NotFoundError(f"{asked} version {version} is not found")
        return NotFoundError(f"{asked} has no available versions")

    @property
    def settled(self) -> bool:
        """Whether all models serve that were asked to, with every version."""
        with self._lock:
            return all(record.settled for record in self._records.values())

    @property
    def records(self) -> Mapping[str, ModelRecord]:
        """All records as they are now, by model."""
        with self._lock:
            return dict(self._records)

    def index(self, stored: Mapping[str, str]) -> list[IndexEntry]:
        """List what is stored, with all its versions that were ever asked to load; sorted by namespace, name and version.

        Of a model that is not stored, or no more, those versions are among it that are not unloaded.

        Args:
            stored: by model, why its repository cannot be read now; "" where it can.
        """
        rows: list[IndexEntry] = []
        with self._lock:
            told = {
                key: {
                    version: known for version, known in record.versions.items() if key in stored or not known.unloaded
                }
                for key, record in self._records.items()
            }
            for key in sorted({*stored, *(key for key, versions in told.items() if versions)}):
                record = self._records.get(key, ModelRecord())
                problem = record.problem or stored.get(key, "")
                name, namespace = self._names.split(key)
                if problem:
                    rows.append(
                        IndexEntry(name, state=VersionState.UNAVAILABLE.value, reason=problem, namespace=namespace)
                    )
                elif not record.versions:
                    rows.append(IndexEntry(name, namespace=namespace))
                serving = self.serving.get(key, {})
                rows += [
                    IndexEntry(
                        name,
                        str(version),
                        known.state.value,
                        known.reason,
                        serving[version].host_byte_size if version in serving else 0,
                        namespace,
                    )
                    for version, known in sorted(told.get(key, {}).items())
                ]
        return rows
