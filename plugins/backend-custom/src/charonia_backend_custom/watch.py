"""A thread that looks at something again and again, as long as there is somebody who wants it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

__all__ = ["Watch"]


class Watch:
    """Watches while one or more blocks of `with watch:` last. Any thread; `close` joins its own.

    Args:
        look: called every now and then, on the watch's thread; it must not raise.
        name: the thread's name.
        period_seconds: the time from one look to the next.
    """

    def __init__(self, look: Callable[[], object], name: str, period_seconds: float) -> None:
        self._look = look
        self._name = name
        self._period_seconds = period_seconds
        self._changed = threading.Condition()  # guards all below
        self._thread: threading.Thread | None = None
        self._wanted = 0
        self._closed = False

    def __enter__(self) -> None:
        with self._changed:
            self._wanted += 1
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._changed.notify()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._wanted -= 1

    def _run(self) -> None:
        while self._next():
            self._look()

    def _next(self) -> bool:
        """Wait until it is time for a look. False if there is none any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._wanted or self._closed)
            return not self._changed.wait_for(lambda: self._closed, self._period_seconds)

    def close(self) -> None:
        """End it. Idempotent."""
        with self._changed:
            self._closed = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join()
