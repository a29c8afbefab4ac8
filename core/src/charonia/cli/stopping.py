"""How a command that is starting a server is stopped, and how one ends whose threads do not."""

from __future__ import annotations

import logging
import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from charonia.cli.exit_codes import CommandError
from charonia.own_signals import OWN_SIGNALS, kept_from_forks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from charonia.cli.exit_codes import ExitCode

__all__ = ["end_at_once", "stoppable_start"]

_log = logging.getLogger(__name__)


@contextmanager
def stoppable_start() -> Iterator[None]:
    """Let the first Ctrl-C or SIGTERM in the block end it in order, and a second one end the process at once.

    Python ends the process at SIGTERM by itself, but not where it is the first one of a container, which has no such default.

    Raises:
        CommandError: there was a signal.
    """

    def stop(*_: object) -> None:
        for number in OWN_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        _log.info("stopping: models that are loading have to finish that first; another signal ends the server at once")
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in OWN_SIGNALS}
    try:
        with kept_from_forks():
            yield
    except KeyboardInterrupt:
        raise CommandError("stopped before all models were loaded") from None
    for number, handler in before.items():
        signal.signal(number, handler)


def end_at_once(code: ExitCode) -> NoReturn:
    """End the process without waiting for threads that hang in a framework, which the end of an interpreter may not survive."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
