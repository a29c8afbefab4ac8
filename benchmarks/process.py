"""A server in a process of its own: started, waited for, its CPU time read, stopped and joined."""

from __future__ import annotations

import itertools
import os
import random
import signal
import socket
import subprocess
import threading
from collections import deque
from typing import TYPE_CHECKING, TypeVar

import psutil  # type: ignore[import-untyped]  # it ships no types

from benchmarks import HOUSE
from benchmarks.cpu_times import cpu_ns, thread_times_reader

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.cpu_times import ThreadTimes

__all__ = ["ServerError", "ServerProcess", "free_port"]

Answer = TypeVar("Answer")

_START_SECONDS = 120
_STOP_SECONDS = 40
_TRIES = 200
_TRY_SECONDS = 0.05
_KEPT_LINES = 30
_PORTS = range(16_000, 32_000)
"""Below those that the kernel gives to connections, and to who listens on any port."""

_first = random.randrange(len(_PORTS))  # since other processes look for ports, too
_ports = itertools.cycle([*_PORTS[_first:], *_PORTS[:_first]])
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""Every side computes with one thread per instance: the models are too small for more."""


class ServerError(Exception):
    """A server did not start, or has ended before its time; the text has the last lines that it wrote."""


def free_port() -> int:
    """Find a port of loopback that nobody has, and that nobody is given before it is used, neither by this nor by the kernel.

    Raises:
        ServerError: there is none.
    """
    for port in itertools.islice(_ports, len(_PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ServerError(f"no port of {_PORTS.start} to {_PORTS.stop - 1} is free")


class ServerProcess:
    """A running server. Its output is read by a thread, which `stop` joins.

    Args:
        name: what errors call it.
        command: the command.
        port: where it listens on 127.0.0.1.
        ready: a part of the line that it writes when it starts to listen.
        environment: variables beside the inherited ones.

    Raises:
        ServerError: it ended, or said nothing for two minutes, before it was ready.
    """

    def __init__(
        self, name: str, command: Sequence[str], port: int, ready: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self._ready_line = ready
        self._ready = False
        self._settled = threading.Event()  # it is ready, or has ended
        self._ended = threading.Event()
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        try:
            self._process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env=os.environ | _ONE_THREAD | dict(environment or {}),
                cwd=HOUSE,
                start_new_session=True,  # Ctrl-C comes to the benchmark alone, which stops its servers in order
            )
        except OSError as error:
            raise ServerError(f"{name} cannot be started: {error}") from error
        self._reader = threading.Thread(target=self._read, name=f"output-of-{name}", daemon=True)
        self._reader.start()
        self._settled.wait(_START_SECONDS)
        if not self._ready or not self._listens(port):
            self.stop()
            raise ServerError(f"{name} did not start; it wrote:\n{self.output()}")

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.append(line)
            if not self._ready and self._ready_line in line:
                self._ready = True
                self._settled.set()
        self._ended.set()
        self._settled.set()

    def _listens(self, port: int) -> bool:
        """Try to connect until it works: the reference tells a moment too early that it listens."""
        for _ in range(_TRIES):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
            except ConnectionRefusedError:
                if self._ended.wait(_TRY_SECONDS):
                    return False
            else:
                return True
        return False

    def output(self) -> str:
        """Give the last lines that the server wrote."""
        return "".join(self._lines)

    def cpu_reader(self) -> Callable[[], float]:
        """Give what reads the CPU seconds that the server and its present child processes have used, in user and in kernel mode.

        Raises:
            ServerError: the server has ended; when it is read, too.
        """

        def processes() -> list[psutil.Process]:
            server = psutil.Process(self._process.pid)
            return [server, *server.children(recursive=True)]

        def read() -> float:
            return sum(cpu_ns(process.pid) for process in found) / 1e9

        found = self._while_alive(processes)
        return lambda: self._while_alive(read)

    def thread_times_reader(self) -> Callable[[], ThreadTimes]:
        """Give what reads the CPU times of the server's threads, as `benchmarks.cpu_times` tells.

        Raises:
            LoadError: the server does not rest; when it is read, too.
            ServerError: it has ended; when it is read, too.
        """
        read = self._while_alive(lambda: thread_times_reader(self._process.pid))
        return lambda: self._while_alive(read)

    def _while_alive(self, ask: Callable[[], Answer]) -> Answer:
        try:
            return ask()
        except (psutil.Error, OSError) as error:
            raise ServerError(f"{self.name} has ended; it wrote:\n{self.output()}") from error

    def stop(self) -> None:
        """End the server, with force where it does not listen, and join what reads it. Idempotent."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)  # with its children, which hold its output open
            self._process.wait()
        self._reader.join()
        if self._process.stdout is not None:
            self._process.stdout.close()
