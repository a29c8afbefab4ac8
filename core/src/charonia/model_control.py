"""The control mode: which models a server loads by itself, at its start and later, and whether its clients have others loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charonia.clock import Clock
from charonia.errors import UnavailableError
from charonia.repository_poller import RepositoryPoller

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from charonia.errors import CharoniaError
    from charonia.lifecycle import Lifecycle
    from charonia.load_teller import LoadEvent
    from charonia.model_repositories import ModelRepositories
    from charonia.options import ServerOptions
    from charonia.repository_watch import Stored

__all__ = ["ModelControl"]


class ModelControl:
    """Has models loaded as the control mode says.

    Args:
        repositories: where models lie; not owned.
        lifecycle: loads and unloads; not owned.
        options: the mode, what it loads at the start, and how often it looks.
    """

    def __init__(self, repositories: ModelRepositories, lifecycle: Lifecycle, options: ServerOptions) -> None:
        self._repositories = repositories
        self._lifecycle = lifecycle
        self._options = options
        self._poller = RepositoryPoller(repositories, lifecycle, options, Clock())
        self._polls = options.model_control_mode == "poll" and options.repository_poll_secs > 0
        self._stored: Stored = {}

    def load_first(self, listener: Callable[[LoadEvent], None] | None) -> dict[str, CharoniaError]:
        """Load what is wanted at the start. Gives the failures by key; the others serve.

        Raises:
            RepositoryError: a repository cannot be read.
            UnavailableError: the lifecycle is closed, or was closed meanwhile.
        """
        wanted = self._repositories.keys()
        if self._options.model_control_mode == "explicit" and list(self._options.load_model) != ["*"]:
            wanted = [key for name in self._options.load_model for key in self._lifecycle.keys_of(name)]
        if self._polls:
            self._stored = self._repositories.survey_files()
        return self._lifecycle.load_all(wanted, listener)

    def follow(self, failed: Iterable[str]) -> None:
        """Begin to follow what changes in the repositories, in the mode that does.

        Args:
            failed: the models that the first load did not bring.
        """
        if self._polls:
            self._poller.start(self._stored, failed)

    def stop(self) -> None:
        """Follow no more. Idempotent."""
        self._poller.stop()

    def join(self, timeout_seconds: float) -> None:
        """Wait until nothing follows any more, but no longer than this: it may be loading."""
        self._poller.join(timeout_seconds)

    def require_explicit(self) -> None:
        """Refuse a client's wish to load or unload, unless the mode lets clients have it.

        Raises:
            UnavailableError: the mode is another one; the reference's text.
        """
        if self._options.model_control_mode != "explicit":
            raise UnavailableError("explicit model load / unload is not allowed if polling is enabled")
