"""The life of models: loading beside what serves, and taking out of service.

A new set of versions is loaded while the old one serves, and takes its place when all of it is ready. A load that fails leaves
the serving set untouched. Inside, models have their keys for names; see `charonia.model_names`.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from charonia.composition import CircleError, CompositionError
from charonia.config import composing_models
from charonia.deadline import Deadline
from charonia.dependencies import Dependencies, LoadRun
from charonia.errors import (
    CharoniaError,
    InternalError,
    UnavailableError,
    describe_cause,
)
from charonia.load_teller import LoadTeller, Phase
from charonia.model_states import UNLOADED, ModelRecord
from charonia.model_table import ModelTable
from charonia.version_loads import VersionLoads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from charonia.load_teller import LoadEvent
    from charonia.loader import Loader
    from charonia.model_repositories import Candidate, ModelRepositories
    from charonia.overrides import LoadParameters

__all__ = ["Lifecycle"]

_log = logging.getLogger(__name__)


class Lifecycle:
    """All models of a server. Its methods may be called from any thread; loads of one model are serialised.

    Attributes:
        models: those that serve, and what is known of all.

    Args:
        repositories: where models lie; not owned.
        loader: makes models; not owned.
        thread_count: how many models load side by side.
    """

    def __init__(self, repositories: ModelRepositories, loader: Loader, thread_count: int) -> None:
        self._repositories = repositories
        self._loader = loader
        self._dependencies = Dependencies()
        self.models = ModelTable(self._dependencies.past_users, repositories.model_names)
        self._versions = VersionLoads(loader, self.models, self._check_open)
        self._lock = threading.Lock()  # guards `_closing`, and that nothing is given to `_pool` once it is True
        self._closing = False
        self._pool = ThreadPoolExecutor(thread_count, thread_name_prefix="charonia-loader")

    def load_all(
        self, keys: Iterable[str], listener: Callable[[LoadEvent], None] | None = None
    ) -> dict[str, CharoniaError]:
        """Load models side by side and wait for all. Gives the failures by key; the others serve.

        Raises:
            UnavailableError: the lifecycle is closed, or was closed meanwhile.
        """
        run = LoadRun(keys)
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
        """Load the versions of a model that its configuration selects, and switch to them; of each, if several have the name.

        What has changed of the models that an ensemble uses is loaded, too.

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
        keys = self.keys_of(name)
        run = LoadRun(keys, with_used=True)
        self._dependencies.want(keys)
        failures: list[CharoniaError] = []
        for key in keys:
            try:
                run.once(key, partial(self._load, key, run, listener, parameters, at_once=True))
            except CharoniaError as error:
                failures.append(error)
        gone = self._follow(run, listener) if run.loaded else {}  # it may be that the model fails, but not what it uses
        failures += [gone[used] for key in keys for used in self._dependencies.used(key) if used in gone]
        for failure in failures:
            raise failure

    def keys_of(self, name: str) -> list[str]:
        """List the models that a client means by a name: those that are stored, else those that are known, else a new one."""
        return self._repositories.keys_of(name) or self.models.keys_of(name) or [name]

    def _load_once(
        self, name: str, run: LoadRun, listener: Callable[[LoadEvent], None] | None, *, anew: bool = False
    ) -> None:
        run.once(name, lambda: self._load(name, run, listener, anew=anew))

    def _load(
        self,
        name: str,
        run: LoadRun,
        listener: Callable[[LoadEvent], None] | None,
        parameters: LoadParameters | None = None,
        *,
        anew: bool = False,
        at_once: bool = False,
    ) -> bool:
        """Load what has changed of a model, or with `anew` all of it. False if there was nothing to do.

        With `at_once`, it is in memory then, whatever the memory budget; as it is where it was in memory before.
        """
        record = self.models.record(name)
        tell = LoadTeller(name, listener)
        with record.loading:
            self._check_open()
            with self._polling(name, tell, stored=not parameters):
                override = (
                    self._repositories.override(name, parameters)
                    if parameters
                    else self._repositories.in_force(name, record.overrides.current)
                )
            with record.overrides.trying(override):
                with self._polling(name, tell, stored=not parameters):
                    candidate = self._repositories.read(name, tell, override)
                    candidate = self._with_models(candidate, run, listener, with_used=run.with_used and not anew)
                at_once = at_once or any(model.resident for model in self.models.serving.get(name, {}).values())
                changed = self._versions.load(record, candidate, tell, anew=anew, at_once=at_once)
                self._dependencies.settle(name)
                return changed

    @contextmanager
    def _polling(self, name: str, tell: LoadTeller, *, stored: bool) -> Iterator[None]:
        """Tell what goes wrong in the block; where it is about what is stored, the model keeps it as its problem."""
        try:
            yield
        except (Exception, SystemExit) as error:  # the border of loading: a model's failure is its own
            why = f"{error.code.value}: {error.told}" if isinstance(error, CompositionError) else describe_cause(error)
            if stored:
                self.models.note_problem(name, why)
            tell(Phase.FAILED, reason=why, errors=(error,))
            if isinstance(error, CompositionError):
                raise
            raise InternalError(f"failed to load '{name}', failed to poll from model repository: {error}") from error

    def _with_models(
        self, candidate: Candidate, run: LoadRun, listener: Callable[[LoadEvent], None] | None, *, with_used: bool
    ) -> Candidate:
        """See to it that the models that a model uses serve, and fill in what follows from them.

        With `with_used`, what has changed of those that serve is loaded; what fails goes on as after a load of its own.
        """
        if not candidate.parsed.config.HasField("ensemble_scheduling"):
            self._dependencies.declare(candidate.key, ())
            return candidate
        used: dict[str, str] = {}
        failures: dict[str, CharoniaError] = {}
        for name in dict.fromkeys(name for name, _ in composing_models(candidate.parsed.config) if name):
            try:
                used[name] = self._used_key(name, candidate.namespace)
            except InternalError as error:
                failures[name] = error
        circular = self._dependencies.declare(candidate.key, used.values())
        homes: dict[str, str] = {}
        for name, key in used.items():
            if key in circular:
                failures[name] = CircleError(candidate.key, key)
                continue
            homes[name] = self._repositories.model_names.split(key)[1]
            if with_used or key in run.names or key not in self.models.serving:
                try:
                    self._load_once(key, run, listener)
                except CharoniaError as error:
                    failures[name] = error
        return self._loader.compose(replace(candidate, homes=homes), failures)

    def _used_key(self, name: str, namespace: str) -> str:
        """Find the model that another one means: of those that serve, or could, as `ModelNames.meant` does; raises the same."""
        own = self._repositories.model_names.key(name, namespace)
        keys = [own] if own in self.models.serving else self.keys_of(name)
        return self._repositories.model_names.meant(name, namespace, keys)

    def _follow(self, run: LoadRun, listener: Callable[[LoadEvent], None] | None) -> Mapping[str, CharoniaError]:
        """Load the users of what has been loaded anew, with what they use now; those that do not fit any more go.

        Gives why they do not fit.
        """
        self._check_open()
        gone: dict[str, CharoniaError] = {}
        loaded, failed = run.loaded, run.failed
        users = (self._users(loaded) | (self._users(failed) - failed)) - loaded
        serving = [user for user in users if user in self.models.serving or self._dependencies.wanted(user)]
        for user in reversed(self._dependencies.from_users_to_used(serving)):
            try:
                self._load_once(user, run, listener, anew=True)
            except CharoniaError as error:
                if user in self.models.serving and not self._renewed(user, listener):
                    _log.error('model "%s" does not go with what it uses any more', user)
                    self._take_out(user, reason=describe_cause(error))
                    gone[user] = error
        return gone

    def _users(self, names: Iterable[str]) -> set[str]:
        return {user for name in names for user in self._dependencies.users(name)}

    def _renewed(self, name: str, listener: Callable[[LoadEvent], None] | None) -> bool:
        """Load a model anew as it serves, since it cannot be loaded as it is written. False if that does not fit either."""
        record, tell = self.models.record(name), LoadTeller(name, listener)
        with record.loading, suppress(CharoniaError):
            problem, serving = record.problem, record.loaded
            if serving is not None:
                self._versions.load(record, self._loader.compose(serving, {}), tell, anew=True, at_once=False)
                self.models.note_problem(name, problem)
                return True
        return False

    def unload(self, name: str, *, unload_dependents: bool = False) -> None:
        """Take the models of a name, and their users, out of service.

        Returns once nobody new can reach them; accepted requests still finish.

        As in the reference, unloading what is not loaded, or not known, is no error.

        Args:
            name: the model's name.
            unload_dependents: whether the models that it uses go, too, unless they were asked for by name, or others use them.
        """
        for key in sorted({*self.models.keys_of(name), *self._repositories.keys_of(name)}):
            self.withdraw(key, unload_dependents=unload_dependents)

    def withdraw(self, key: str, *, unload_dependents: bool = False) -> None:
        """Do as `unload` with a single model."""
        self._dependencies.leave(key)
        self._take_out(key)
        for used in self._dependencies.used(key) if unload_dependents else ():
            if not self._dependencies.wanted(used) and not any(
                it in self.models.serving for it in self._dependencies.users(used)
            ):
                self._take_out(used)

    def _take_out(self, name: str, reason: str = UNLOADED) -> None:
        for user in self._dependencies.users(name):
            self._unload_alone(user, UNLOADED)
        self._unload_alone(name, reason)
        for user in self._dependencies.users(name):  # once more: one may have been loaded meanwhile
            self._unload_alone(user, UNLOADED)

    def _unload_alone(self, name: str, reason: str) -> None:
        record = self.models.known(name)
        if record is not None:
            with record.loading:
                served = name in self.models.serving
                self._let_go(name, record, reason)
            if served:
                _log.info('model "%s" is unloaded', name)

    def _let_go(self, name: str, record: ModelRecord, reason: str = UNLOADED) -> None:
        self.models.switch(name, {}, reason)
        record.loaded = None
        record.overrides.clear()

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
        records = self.models.records
        loads_ended = True
        for name in self._in_order_of_leaving(records):
            record = records[name]
            if record.loading.acquire(timeout=deadline.left):
                self._let_go(name, record)
                record.loading.release()
            else:
                loads_ended = False
        self._pool.shutdown(wait=loads_ended, cancel_futures=False)  # those that wait end by themselves
        return self.models.wait(deadline) and loads_ended

    def _in_order_of_leaving(self, records: Mapping[str, ModelRecord]) -> list[str]:
        """Put users before what they use; who loads, which has to be waited for, comes last, with what it uses."""
        loading = {name for name, record in records.items() if record.loading.locked()}
        late = loading.union(*map(self._dependencies.used, loading))
        return sorted(self._dependencies.from_users_to_used(records), key=late.__contains__)
