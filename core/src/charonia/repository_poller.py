"""The control mode "poll": models follow what lies in the repositories."""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

from charonia.errors import UnavailableError
from charonia.repository_watch import RepositoryWatch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from charonia.clock import Clock
    from charonia.lifecycle import Lifecycle
    from charonia.model_repositories import ModelRepositories
    from charonia.options import ServerOptions
    from charonia.repository_watch import Stored

__all__ = ["RepositoryPoller"]

_log = logging.getLogger(__name__)

_PAUSE_NS = 100_000_000
"""How long it rests after a look, however much is going on in the repositories."""


class RepositoryPoller:
    """Looks at the repositories from time to time, and at local ones when something changes there; loads and unloads models.

    Its one thread runs from `start` to `stop`, and is joined by `join`. What goes wrong with a model is logged and tried again
    at the next poll; a repository that cannot be read changes nothing.

    Args:
        repositories: where to look; not owned.
        lifecycle: loads and unloads; not owned.
        options: how often to look, and how long a change must hold still.
        clock: tells the time.
    """

    def __init__(
        self, repositories: ModelRepositories, lifecycle: Lifecycle, options: ServerOptions, clock: Clock
    ) -> None:
        self._repositories = repositories
        self._lifecycle = lifecycle
        self._poll_ns = round(options.repository_poll_secs * 1e9)
        self._settle_ns = round(options.repository_settle_secs * 1e9)
        self._clock = clock
        self._changed = threading.Condition()  # guards `_woken` and `_stopped`
        self._woken = False
        self._stopped = False
        self._thread: threading.Thread | None = None
        self._watched = ExitStack()

    def start(self, stored: Stored, failed: Iterable[str]) -> None:
        """Begin to look.

        Args:
            stored: what lay in the repositories before the models were loaded.
            failed: the models whose load failed.
        """
        watch = RepositoryWatch(self._settle_ns, stored)
        watch.note_failures(failed)
        for storage in self._repositories.storages:
            self._watched.callback(storage.watch(self.wake))
        self._thread = threading.Thread(target=self._run, args=(watch,), name="charonia-poll", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Look soon, since something has changed."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def stop(self) -> None:
        """Look no more. Idempotent."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def join(self, timeout_seconds: float) -> None:
        """Wait until the thread has ended, but no longer than this: it may be loading."""
        self.stop()
        self._watched.close()
        if self._thread is not None:
            self._thread.join(timeout_seconds)

    def _run(self, watch: RepositoryWatch) -> None:
        now_ns = self._clock.now_ns()
        poll_ns = now_ns + self._poll_ns
        while self._wait(now_ns + _PAUSE_NS, min(poll_ns, watch.next_ns or poll_ns)):
            now_ns = self._clock.now_ns()
            retry = now_ns >= poll_ns
            if retry:
                poll_ns = now_ns + self._poll_ns
            try:
                self._follow(watch, now_ns, retry=retry)
            except UnavailableError:  # the server is stopping
                return
            except Exception:  # noqa: BLE001 - the next look must come, whatever a storage's client raises
                _log.exception("the model repositories could not be followed; this is tried again at the next poll")

    def _wait(self, earliest_ns: int, until_ns: int) -> bool:
        """Wait until a time, or until something has changed and some rest was had. False when it is to stop."""
        with self._changed:
            while not self._stopped:
                now_ns = self._clock.now_ns()
                if now_ns >= until_ns or (self._woken and now_ns >= earliest_ns):
                    self._woken = False
                    return True
                self._clock.wait(self._changed, min(earliest_ns, until_ns) if self._woken else until_ns)
            return False

    def _follow(self, watch: RepositoryWatch, now_ns: int, *, retry: bool) -> None:
        stored = self._repositories.survey_files()
        due = watch.look(now_ns, stored, retry=retry)
        for name in sorted(due - set(stored)):
            _log.info('model "%s" is not in its repository any more', name)
            self._lifecycle.withdraw(name)
        failures = self._lifecycle.load_all(due & set(stored)) if due & set(stored) else {}
        watch.note_failures(failures)
