"""The backends of one server: each is made when the first model needs it."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from charonia.backend import Backend
    from charonia.metric_families import MetricFamily
    from charonia.options import ServerOptions
    from charonia.plugins import Plugins

__all__ = ["Backends"]

_log = logging.getLogger(__name__)


class _Place:
    """Where one backend is, once it is made. Whoever makes it, which may import a large framework, holds the lock."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.backend: Backend | None = None


class Backends:
    """Makes backends and owns them. Any thread may ask; who waits for one backend holds up nobody who wants another.

    Args:
        options: the server's settings.
        plugins: where the backends' classes come from.
    """

    def __init__(self, options: ServerOptions, plugins: Plugins) -> None:
        self._options = options
        self._plugins = plugins
        self._lock = threading.Lock()  # guards `_places`
        self._places: dict[str, _Place] = {}

    def get(self, name: str, asker: str) -> Backend:
        """Give the backend of that name, made at its first use.

        Args:
            name: the backend's name in a model's configuration.
            asker: who needs it, for the error's text.

        Raises:
            PluginError: no working plugin provides it.
            Exception: whatever its constructor raised; the next one who asks tries again.
        """
        with self._lock:
            place = self._places.setdefault(name, _Place())
        with place.lock:
            if place.backend is None:
                kind = self._plugins.backend(name, asker=asker)
                place.backend = kind(self._options.of_backend(name))
            return place.backend

    def metrics(self) -> list[MetricFamily]:
        """Give the metrics that the backends tell which were made; what one fails to tell is left out, and logged."""
        with self._lock:
            places = list(self._places.values())
        families: list[MetricFamily] = []
        for backend in (place.backend for place in places if place.backend is not None):
            try:
                families += backend.metrics()
            except Exception:  # noqa: BLE001 - the border of backends: who looks at the metrics sees those of the others
                _log.warning("%s failed to tell its metrics", type(backend).__name__, exc_info=True)
        return families

    def close(self) -> None:
        """Close all that were made. Their models are closed, and nobody asks any more. Idempotent."""
        with self._lock:
            places, self._places = list(self._places.values()), {}
        for backend in (place.backend for place in places if place.backend is not None):
            try:
                backend.close()
            except Exception:  # noqa: BLE001 - a backend's clean-up must not keep the others from theirs
                _log.exception("%s failed to close", type(backend).__name__)
