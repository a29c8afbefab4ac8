"""Starting a model's process, and ending it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from charonia_backend_custom.process.channel import Channel
from charonia_backend_custom.process.last_words import LastWords, room_for_last_words

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Interpreter", "RunningProcess"]

_START = Path(__file__).with_name("start.py")
_OURS = ("charonia", "charonia_backend_custom", "triton_python_backend_utils")
_PLAIN = ("pluggy",)
_COMPILED = ("numpy", "ml_dtypes")


@dataclass(frozen=True)
class Interpreter:
    """A Python with what is installed in it.

    Attributes:
        python: the program.
        environment: what is set in a process's environment variables, beside the server's own.
        own_packages: whether it has packages of its own; otherwise it sees those that the server sees.
    """

    python: Path = Path(sys.executable)
    environment: Mapping[str, str] = field(default_factory=dict)
    own_packages: bool = False


class RunningProcess:
    """A process that runs, in a group of its own, so that Ctrl-C in the server's terminal does not reach it.

    Args:
        interpreter: what runs.

    Raises:
        OSError: it cannot be started.

    Attributes:
        channels: the two that the line to it has, the main one first.
        last_words: the answers that it has put off.
    """

    def __init__(self, interpreter: Interpreter) -> None:
        (main, their_main), (side, their_side) = socket.socketpair(), socket.socketpair()
        with their_main, their_side, room_for_last_words() as kept:
            self.last_words = LastWords(kept)
            descriptors = [their_main.fileno(), their_side.fileno(), kept.fileno()]
            told = {
                "ours": _places(*_OURS),
                "plain": _places(*_PLAIN),
                "compiled": _places(*_COMPILED),
                "python": list(sys.version_info[:2]),
                "paths": [] if interpreter.own_packages else sys.path,
                "descriptors": descriptors,
            }
            try:
                self._process = subprocess.Popen(  # noqa: S603 - the program is this one, or named by the model's configuration
                    [str(interpreter.python), str(_START), json.dumps(told)],
                    pass_fds=descriptors,
                    stdin=subprocess.DEVNULL,
                    env={**os.environ, **interpreter.environment},
                    process_group=0,
                )
            except BaseException:
                main.close()
                side.close()
                raise
        self.channels = Channel(main), Channel(side)

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def ended_within(self, seconds: float) -> bool:
        """Wait for the process to end by itself, and tell whether it has."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def end(self) -> None:
        """End the process, and what it has started in its group, at once."""
        with suppress(ProcessLookupError, PermissionError):  # they have ended already
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def how_it_ended(self) -> str:
        """Word how the process ended, which it must have."""
        code = self._process.wait()
        if code >= 0:
            return f"exited with status {code}"
        with suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}"
        return f"was ended by signal {-code}"


def _places(*packages: str) -> dict[str, str]:
    found = {name: find_spec(name) for name in packages}
    return {name: str(Path(spec.origin).parent.parent) for name, spec in found.items() if spec and spec.origin}
