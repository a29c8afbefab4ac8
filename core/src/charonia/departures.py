"""Model versions that are on their way out: each finishes what it accepted, the users of a model before the model itself."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from charonia.deadline import Deadline
    from charonia.model import Model

__all__ = ["Departures"]


class Departures:
    """The versions that leave, and the threads on which they are closed, which `wait` joins. Any thread may call.

    Nobody waits for a model's last request, since each set of versions that leaves has a thread of its own.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards all below
        self._threads: dict[str, list[threading.Thread]] = {}  # by model; a few may have ended already
        self._announced: dict[str, Mapping[int, Model]] = {}
        self._closing: list[tuple[str, int, Model]] = []

    def announce(self, name: str, versions: Mapping[int, Model]) -> None:
        """Take note of versions that nobody can find any more in a moment, but that their users may still need."""
        with self._lock:
            self._announced[name] = versions

    def find(self, name: str, version: int | None = None) -> Model | None:
        """Find a version that was announced and whose users are not gone yet; None as a version is the greatest one."""
        with self._lock:
            versions = self._announced.get(name, {})
            number = max(versions, default=None) if version is None else version
            return None if number is None else versions.get(number)

    def close(self, name: str, models: Mapping[int, Model], users: Iterable[str], gone: Callable[[int], None]) -> None:
        """Let versions of a model finish and close, once the users that leave now are gone. Does not wait for it.

        Args:
            name: the model's name.
            models: its versions, the announced ones among them.
            users: the models that use it.
            gone: called with the number of each version that is closed.
        """
        with self._lock:
            before = [thread for user in users for thread in self._threads.get(user, ())]
            announced = self._announced.get(name)
            self._closing += [(name, version, model) for version, model in models.items()]

        def drain() -> None:
            for thread in before:
                thread.join()
            with self._lock:
                if self._announced.get(name) is announced:
                    self._announced.pop(name, None)
            for version, model in models.items():
                model.close()
                with self._lock:
                    self._closing.remove((name, version, model))
                gone(version)

        mine = threading.Thread(target=drain, name=f"charonia-drain-{name}", daemon=True)
        with self._lock:
            mine.start()  # while nobody else can join it
            self._threads[name] = [*(thread for thread in self._threads.get(name, ()) if thread.is_alive()), mine]

    def closing(self) -> list[tuple[str, int, Model]]:
        """List the versions that are not closed yet: their models' names, their numbers and themselves."""
        with self._lock:
            return [*self._closing]

    def wait(self, deadline: Deadline) -> bool:
        """Wait until all are gone. False if some were not when the time was over."""
        with self._lock:
            threads = [thread for group in self._threads.values() for thread in group]
        for thread in threads:
            thread.join(deadline.left)
        return not any(thread.is_alive() for thread in threads)
