"""Being told by the operating system that something has changed below a directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["LocalChanges"]

_READING = {"opened", "closed_no_write"}


class LocalChanges(FileSystemEventHandler):
    """Calls `changed()` for whatever is made, written, moved or removed below a directory, until `close`.

    Raises:
        OSError: the directory is not there, or the system watches no more directories.
    """

    def __init__(self, directory: Path, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._observer = Observer()
        self._observer.schedule(self, str(directory), recursive=True)
        self._observer.start()

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Pass the news on, but not that somebody reads."""
        if event.event_type not in _READING:
            self._changed()

    def close(self) -> None:
        """Call no more, and join the thread. Idempotent."""
        self._observer.stop()
        self._observer.join()
