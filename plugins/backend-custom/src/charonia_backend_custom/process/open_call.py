"""A call of another model that a model's process has made."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from charonia_backend_custom.host import ServedCall

__all__ = ["OpenCall"]


class OpenCall:
    """What is known of the call until its last response. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # guards all below; to begin to wait may end the call
        self._made: ServedCall | None = None
        self._waiting = ExitStack()
        self._over = False

    def passed_on(self, made: ServedCall) -> None:
        """Get to know what was passed on."""
        with self._lock:
            self._made = made

    def cancel(self) -> None:
        """Take the request back."""
        with self._lock:
            if self._made is not None:
                self._made.cancel()

    def wait(self, *, begins: bool) -> None:
        """Somebody begins to wait, or does so no more."""
        with self._lock:
            self._waiting.close()
            if begins and not self._over and self._made is not None:
                self._waiting.enter_context(self._made.waiting())
            if self._over:
                self._waiting.close()

    def end(self) -> None:
        """Nobody waits any more."""
        with self._lock:
            self._over = True
            self._waiting.close()
