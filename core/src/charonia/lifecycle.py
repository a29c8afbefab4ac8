"""The life of models: loading beside what serves, the switch, draining.

A new set of versions is loaded while the old one serves; the switch is one assignment; the old set then finishes what it
accepted and is let go. A load that fails leaves the serving set untouched.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import TYPE_CHECKING

from charonia.composition import CompositionError
from charonia.config import composing_models
from charonia.deadline import Deadline
from charonia.departures import Departures
from charonia.dependencies import Dependencies, LoadRun
from charonia.errors import (
    CharoniaError,
    InternalError,
    InvalidArgumentError,
    UnavailableError,
    describe_cause,
)
from charonia.load_teller import LoadTeller, Phase
from charonia.model_states import UNLOADED, IndexEntry, ModelRecord, VersionRecord, VersionState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from charonia.load_teller import LoadEvent
    from charonia.loader import Loader
    from charonia.model import Model
    from charonia.model_repositories import Candidate, ModelRepositories
    from charonia.overrides import LoadParameters

__all__ = ["Lifecycle"]

_log = logging.getLogger(__name__)


class Lifecycle:
    """All models of a server. Its methods may be called from any thread; loads of one model are serialised.

    Attributes:
        table: the serving versions by model, ascending. Replaced as a whole by each switch, so that it is read without a lock.

    Args:
        repositories: where models lie; not owned.
        loader: makes models; not owned.
        thread_count: how many models load side by side.
    """

    def __init__(self, repositories: ModelRepositories, loader: Loader, thread_count: int) -> None:
        self.table: Mapping[str, Mapping[int, Model]] = MappingProxyType({})
        self._repositories = repositories
        self._loader = loader
        self._lock = threading.Lock()  # guards all here, what the records hold, and `table` as it is replaced
        self._records: dict[str, ModelRecord] = {}
        self._departures = Departures()
        self._dependencies = Dependencies()
        self._closing = False
        self._pool = ThreadPoolExecutor(thread_count, thread_name_prefix="charonia-loader")

    def load_all(
        self, names: Iterable[str], listener: Callable[[LoadEvent], None] | None = None
    ) -> dict[str, CharoniaError]:
        """Load models side by side and wait for all. Gives the failures by model; the others serve.

        Raises:
            UnavailableError: the lifecycle is closed, or was closed meanwhile.
        """
        run = LoadRun(names)
        self._dependencies.want(run.names)
        with self._lock:
            self._check_open()
            futures = {name: self._pool.submit(self._load_once, name, run, listener) for name in sorted(run.names)}
        failures: dict[str, CharoniaError] = {}
        for name, future in futures.items():
            try:
                future.result()
            except CharoniaError as error:
                failures[name] = error
        self._check_open()
        self._follow(run, listener)
        return failures

    def _check_open(self) -> None:
        if self._closing:
            raise UnavailableError("Server exiting: it loads no more models")

    def load(
        self,
        name: str,
        listener: Callable[[LoadEvent], None] | None = None,
        parameters: LoadParameters | None = None,
    ) -> None:
        """Load the versions of a model that its configuration selects, and switch to them.

        Args:
            name: the model's name.
            listener: told each step.
            parameters: what stands in for the stored configuration or files. Files do so until the next load; a configuration
                that came alone also for later loads without parameters, until the model is unloaded or its stored files change.

        Raises:
            InternalError: there is no such model, or its configuration is wrong. The cause is chained.
            InvalidArgumentError: a version failed to load; the text tells each version's reason.
            UnavailableError: the lifecycle is closed, or was closed meanwhile.
        """
        run = LoadRun([name])
        self._dependencies.want([name])
        run.once(name, lambda: self._load(name, run, listener, parameters))
        self._follow(run, listener)

    def _load_once(self, name: str, run: LoadRun, listener: Callable[[LoadEvent], None] | None) -> None:
        run.once(name, lambda: self._load(name, run, listener))

    def _load(
        self,
        name: str,
        run: LoadRun,
        listener: Callable[[LoadEvent], None] | None,
        parameters: LoadParameters | None = None,
    ) -> None:
        with self._lock:
            record = self._records.setdefault(name, ModelRecord())
        tell = LoadTeller(name, listener)
        with record.loading:
            self._check_open()
            with self._polling(name, record, tell, stored=not parameters):
                override = (
                    self._repositories.override(name, parameters)
                    if parameters
                    else self._repositories.in_force(name, record.overrides.current)
                )
            with record.overrides.trying(override):
                with self._polling(name, record, tell, stored=not parameters):
                    candidate = self._repositories.read(name, tell, override)
                with self._composing(record, tell):
                    candidate = self._with_models(candidate, run, listener)
                self._load_versions(record, candidate, tell)

    @contextmanager
    def _polling(self, name: str, record: ModelRecord, tell: LoadTeller, *, stored: bool) -> Iterator[None]:
        """Tell what goes wrong in the block; where it is about what is stored, the model keeps it as its problem."""
        try:
            yield
        except (Exception, SystemExit) as error:  # the border of loading: a model's failure is its own
            reason = describe_cause(error)
            if stored:
                with self._lock:
                    record.problem = reason
            tell(Phase.FAILED, reason=reason, errors=(error,))
            raise InternalError(f"failed to load '{name}', failed to poll from model repository: {error}") from error

    @contextmanager
    def _composing(self, record: ModelRecord, tell: LoadTeller) -> Iterator[None]:
        """Tell what is wrong with what a model wants of others, and keep it as the model's problem."""
        try:
            yield
        except CompositionError as error:
            reason = f"{error.code.value}: {error.told}"
            with self._lock:
                record.problem = reason
            tell(Phase.FAILED, reason=reason, errors=(error,))
            raise

    def _with_models(
        self, candidate: Candidate, run: LoadRun, listener: Callable[[LoadEvent], None] | None
    ) -> Candidate:
        """See to it that the models that a model uses serve, and fill in what follows from them."""
        used = list(dict.fromkeys(name for name, _ in composing_models(candidate.parsed.config)))
        self._dependencies.declare(candidate.name, used)
        failures: dict[str, CharoniaError] = {}
        for name in used:
            if name in run.names or name not in self.table:
                try:
                    self._load_once(name, run, listener)
                except CharoniaError as error:
                    failures[name] = error
        return self._loader.compose(candidate, failures) if used else candidate

    def _follow(self, run: LoadRun, listener: Callable[[LoadEvent], None] | None) -> None:
        """Load the users of what has been loaded anew, with what they use now; those that do not fit any more go."""
        loaded = run.loaded
        users = {user for name in loaded for user in self._dependencies.users(name)} - set(loaded)
        serving = [user for user in users if user in self.table or self._dependencies.wanted(user)]
        for user in reversed(self._dependencies.from_users_to_used(serving)):
            try:
                self._load_once(user, run, listener)
            except CharoniaError as error:
                if user in self.table:
                    _log.error('model "%s" does not go with what it uses any more, and is unloaded: %s', user, error)
                    self._take_out(user, reason=describe_cause(error))

    def _load_versions(self, record: ModelRecord, candidate: Candidate, tell: LoadTeller) -> None:
        with self._lock:
            record.problem = ""
            for version in candidate.versions:
                known = record.versions.setdefault(version, VersionRecord())
                if known.state is not VersionState.READY:  # one that serves goes on serving, and is shown so
                    known.move(VersionState.LOADING)
        models: dict[int, Model] = {}
        failures: dict[int, BaseException] = {}
        for version in candidate.versions:
            try:
                models[version] = self._loader.load(candidate, version, tell)
                self._check_open()
            except (Exception, SystemExit) as error:  # noqa: BLE001 - the border of loading: a model's failure is its own
                _log.debug('model "%s" version %d failed to load', candidate.name, version, exc_info=error)
                failures[version] = error
            except BaseException as error:  # Ctrl-C in a program that loads by call, which goes on with it
                with suppress(CharoniaError):
                    self._abandon(record, candidate, models, {version: error}, tell)
                raise
        if failures or not models:
            self._abandon(record, candidate, models, failures, tell)
        self._switch(record, candidate.name, models)
        tell(Phase.READY)

    def _abandon(
        self,
        record: ModelRecord,
        candidate: Candidate,
        models: Mapping[int, Model],
        errors: Mapping[int, BaseException],
        tell: LoadTeller,
    ) -> None:
        failures = {version: describe_cause(error) for version, error in errors.items()}
        for model in models.values():
            model.close()  # waits for its threads only: nobody could send it a request
        with self._lock:
            for version in candidate.versions:
                known = record.versions[version]
                reason = failures.get(version, "another version of the model failed to load")
                if known.state is VersionState.LOADING:
                    known.move(VersionState.UNAVAILABLE, reason)
                elif version in failures:
                    known.reason = f"serving; the last load failed: {reason}"
        if not candidate.versions:
            text = f"at least one version must be available under the version policy of model '{candidate.name}'"
            reason = f"Invalid argument: {text}"
            record.problem = "" if candidate.overridden else reason
            tell(Phase.FAILED, reason=reason)
            raise InvalidArgumentError(f"load failed for model '{candidate.name}': {text}")
        self._check_open()
        told = "".join(
            f"version {version} is at UNAVAILABLE state: {reason};\n" for version, reason in sorted(failures.items())
        )
        tell(Phase.FAILED, reason="; ".join(dict.fromkeys(failures.values())), errors=tuple(errors.values()))
        raise InvalidArgumentError(f"load failed for model '{candidate.name}': {told}")

    def _switch(self, record: ModelRecord, name: str, models: Mapping[int, Model], reason: str = UNLOADED) -> None:
        with self._lock:
            old = self.table.get(name, {})
            leaving = [version for version in old if version not in models]
            if leaving:
                self._departures.announce(name, {version: old[version] for version in leaving})
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
        self._retire(record, old, leaving, reason)

    def _replace(self, name: str, models: Mapping[int, Model]) -> None:
        table = dict(self.table)
        if models:
            table[name] = MappingProxyType(dict(sorted(models.items())))
        else:
            table.pop(name, None)
        self.table = MappingProxyType(table)

    def _retire(self, record: ModelRecord, old: Mapping[int, Model], leaving: Sequence[int], reason: str) -> None:
        """Let old models finish and go; those that leave serve the last requests of their users before."""
        if not old:
            return

        def gone(version: int) -> None:
            with self._lock:
                known = record.versions[version]
                if version in leaving and known.state is VersionState.UNLOADING:
                    known.move(VersionState.UNAVAILABLE, reason)

        name = next(iter(old.values())).name
        self._departures.close(name, old, self._dependencies.users(name) if leaving else (), gone)

    def unload(self, name: str, *, unload_dependents: bool = False) -> None:
        """Take a model and its users out of service. Returns once nobody new can reach them; accepted requests still finish.

        As in the reference, unloading what is not loaded, or not known, is no error.

        Args:
            name: the model's name.
            unload_dependents: whether the models that it uses go, too, unless they were asked for by name, or others use them.
        """
        self._dependencies.leave(name)
        self._take_out(name)
        for used in self._dependencies.used(name) if unload_dependents else ():
            if not self._dependencies.wanted(used) and not any(
                it in self.table for it in self._dependencies.users(used)
            ):
                self._take_out(used)

    def _take_out(self, name: str, reason: str = UNLOADED) -> None:
        for user in self._dependencies.users(name):
            self._unload_alone(user, UNLOADED)
        self._unload_alone(name, reason)
        for user in self._dependencies.users(name):  # once more: one may have been loaded meanwhile
            self._unload_alone(user, UNLOADED)

    def _unload_alone(self, name: str, reason: str) -> None:
        with self._lock:
            record = self._records.get(name)
        if record is None:
            return
        with record.loading:
            self._let_go(record, name, reason)

    def _let_go(self, record: ModelRecord, name: str, reason: str = UNLOADED) -> None:
        self._switch(record, name, {}, reason)
        record.overrides.clear()

    def leaving(self, name: str, version: int | None = None) -> Model | None:
        """Find a version that has left the table, but still serves the last requests of its users; None if none does."""
        return self._departures.find(name, version)

    def knows(self, name: str) -> bool:
        """Tell whether any version of the model was ever asked to load."""
        with self._lock:
            record = self._records.get(name)
            return record is not None and bool(record.versions)

    def state(self, name: str, version: int) -> VersionState | None:
        """Tell the state of a version; None if it was never asked to load."""
        with self._lock:
            record = self._records.get(name)
            known = record.versions.get(version) if record else None
            return known.state if known else None

    @property
    def settled(self) -> bool:
        """Whether every version that was asked to load is READY, or was unloaded on purpose."""
        with self._lock:
            return all(known.settled for record in self._records.values() for known in record.versions.values())

    def index(self, stored: Mapping[str, str]) -> list[IndexEntry]:
        """List all versions that were ever asked to load, and the rest of what is stored; sorted by name and version.

        Args:
            stored: by model, why its repository cannot be read now; "" where it can.
        """
        rows: list[IndexEntry] = []
        with self._lock:
            known_names = {name for name, record in self._records.items() if record.versions}
            for name in sorted({*stored, *known_names}):
                record = self._records.get(name, ModelRecord())
                problem = record.problem or stored.get(name, "")
                if problem:
                    rows.append(IndexEntry(name, state=VersionState.UNAVAILABLE.value, reason=problem))
                elif not record.versions:
                    rows.append(IndexEntry(name))
                rows += [
                    IndexEntry(name, str(version), known.state.value, known.reason)
                    for version, known in sorted(record.versions.items())
                ]
        return rows

    def refuse_loads(self) -> None:
        """Load nothing any more; what is loading now is let go when it ends. Idempotent."""
        with self._lock:
            self._closing = True

    def close(self, timeout_seconds: float | None = None) -> bool:
        """Load nothing any more, unload everything, and wait for it. Idempotent.

        Gives False if something was not done after `timeout_seconds`.
        """
        deadline = Deadline(timeout_seconds)
        self.refuse_loads()
        with self._lock:
            names = self._dependencies.from_users_to_used(self._records)
            names.sort(key=lambda name: self._records[name].loading.locked())  # who loads comes last
        loads_ended = True
        for name in names:
            record = self._records[name]
            if record.loading.acquire(timeout=deadline.left):
                self._let_go(record, name)
                record.loading.release()
            else:
                loads_ended = False
        self._pool.shutdown(wait=loads_ended, cancel_futures=False)  # those that wait end by themselves
        return self._departures.wait(deadline) and loads_ended
