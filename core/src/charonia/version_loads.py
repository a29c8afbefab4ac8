"""Loading the versions of a model beside those that serve, which they replace as a whole or not at all."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from charonia.errors import CharoniaError, InvalidArgumentError, describe_cause
from charonia.load_attempt import LoadAttempt
from charonia.load_teller import LoadTeller, Phase
from charonia.model_changes import unchanged_versions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from charonia.loader import Loader
    from charonia.model import Model
    from charonia.model_repositories import Candidate
    from charonia.model_states import ModelRecord
    from charonia.model_table import ModelTable

__all__ = ["VersionLoads"]

_log = logging.getLogger(__name__)


class VersionLoads:
    """Loads versions, and has the table of models switch to them.

    Args:
        loader: makes models; not owned.
        models: those that serve, and what is known of all; not owned.
        check_open: raises an UnavailableError where nothing may be loaded any more.
    """

    def __init__(self, loader: Loader, models: ModelTable, check_open: Callable[[], None]) -> None:
        self._loader = loader
        self._models = models
        self._check_open = check_open

    def load(self, record: ModelRecord, candidate: Candidate, tell: LoadTeller, *, anew: bool, at_once: bool) -> bool:
        """Load what has changed of the versions that a model is to have, and switch to them. False if there was nothing to do.

        Args:
            record: what is known of the model; the caller holds its lock `loading`.
            candidate: what is written of it.
            tell: told each step.
            anew: load also what has not changed.
            at_once: whether all of it is in memory then, whatever the memory budget.

        Raises:
            InvalidArgumentError: a version failed to load, and what served goes on; the text tells each version's reason.
            UnavailableError: nothing may be loaded any more.
        """
        name = candidate.key
        unchanged = {} if anew else self._unchanged(record, candidate)
        self._models.begin(name, candidate.versions)
        as_before = record.loaded is not None and record.loaded.parsed.config == candidate.parsed.config
        attempt = LoadAttempt()
        failures: dict[int, BaseException] = {}
        for version in candidate.versions:
            try:
                serving = unchanged.get(version)
                if serving and at_once:
                    serving.bring_in()
                if serving and as_before:
                    attempt.keep(version, serving)
                else:
                    self._load_one(attempt, candidate, version, serving, tell, at_once=at_once)
                self._check_open()
            except (Exception, SystemExit) as error:  # noqa: BLE001 - the border of loading: a model's failure is its own
                _log.debug('model "%s" version %d failed to load', name, version, exc_info=error)
                failures[version] = error
            except BaseException as error:  # Ctrl-C in a program that loads by call, which goes on with it
                with suppress(CharoniaError):
                    self._abandon(candidate, attempt, {version: error}, tell)
                raise
        if failures or not candidate.versions:
            self._abandon(candidate, attempt, failures, tell)
        record.loaded = candidate
        attempt.settle()
        changed = self._models.switch(name, attempt.models)
        tell(Phase.READY)
        return changed

    def _unchanged(self, record: ModelRecord, candidate: Candidate) -> Mapping[int, Model]:
        """Give the versions that serve and whose weights need not be loaded again."""
        serving = self._models.serving.get(candidate.key, {})
        unchanged = unchanged_versions(record.loaded if serving else None, candidate)
        return {version: model for version, model in serving.items() if version in unchanged}

    def _load_one(
        self,
        attempt: LoadAttempt,
        candidate: Candidate,
        version: int,
        serving: Model | None,
        tell: LoadTeller,
        *,
        at_once: bool,
    ) -> None:
        """Load a version, or where only the number of its instances has changed, make those that it lacks."""
        lineup = serving and self._loader.prepare(candidate, serving, tell)
        if serving and lineup:
            attempt.keep(version, serving, lineup)
            return
        begun = time.monotonic()
        model = self._loader.load(candidate, version, tell)
        model.load_seconds = time.monotonic() - begun
        attempt.add(version, model)
        if at_once:
            model.bring_in()

    def _abandon(
        self, candidate: Candidate, attempt: LoadAttempt, errors: Mapping[int, BaseException], tell: LoadTeller
    ) -> None:
        failures = {version: describe_cause(error) for version, error in errors.items()}
        attempt.discard()
        self._models.fail(candidate.key, candidate.versions, failures)
        if not candidate.versions:
            text = f"at least one version must be available under the version policy of model '{candidate.name}'"
            if not candidate.available:
                text += f" (there is none: a version is a directory named by a number, such as {candidate.name}/1)"
            reason = f"Invalid argument: {text}"
            self._models.note_problem(candidate.key, "" if candidate.overridden else reason)
            tell(Phase.FAILED, reason=reason)
            raise InvalidArgumentError(f"load failed for model '{candidate.key}': {text}")
        self._check_open()
        told = "".join(
            f"version {version} is at UNAVAILABLE state: {reason};\n" for version, reason in sorted(failures.items())
        )
        tell(Phase.FAILED, reason="; ".join(dict.fromkeys(failures.values())), errors=tuple(errors.values()))
        raise InvalidArgumentError(f"load failed for model '{candidate.key}': {told}")
