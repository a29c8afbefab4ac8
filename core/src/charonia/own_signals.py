"""The signals that the server's process handles itself, and which its forks are not to take for the server's."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["OWN_SIGNALS", "kept_from_forks"]

OWN_SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""What ends a server in order."""

_handling = False


@contextmanager
def kept_from_forks() -> Iterator[None]:
    """While the block handles `OWN_SIGNALS`, have them end what a model forks, as they end any other program.

    A fork has the handlers of the process, and the descriptor by which an event loop is told of signals: without this, a model
    that ended a process of its own would end the server instead.
    """
    global _handling  # noqa: PLW0603 - the handlers belong to the whole process, too
    before, _handling = _handling, True
    try:
        yield
    finally:
        _handling = before


if sys.platform != "win32":

    class _Forking(threading.local):
        """What a thread blocked before it forked, where the signals are held up until the fork has let go of the server."""

        blocked: set[int] | None = None

    _forking = _Forking()

    def _hold_up() -> None:
        if _handling:
            _forking.blocked = signal.pthread_sigmask(signal.SIG_BLOCK, OWN_SIGNALS)

    def _go_on() -> None:
        if _forking.blocked is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, _forking.blocked)
            _forking.blocked = None

    def _let_go() -> None:
        global _handling  # noqa: PLW0603 - as above
        if _forking.blocked is not None:
            _handling = False  # the handlers that the fork may have from now on are its own
            signal.set_wakeup_fd(-1)
            for number in OWN_SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            _go_on()

    os.register_at_fork(before=_hold_up, after_in_parent=_go_on, after_in_child=_let_go)
