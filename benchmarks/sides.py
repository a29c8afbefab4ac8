"""The servers that are compared: how each of them is started on the benchmark's models."""

from __future__ import annotations

import json
import sys
import urllib.request
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.models import OWN_THREAD, write_onnx_repository, write_reference_repository
from benchmarks.process import ServerProcess, free_port
from benchmarks.tools.reference_server import install_reference, reference_command, reference_environment
from benchmarks.ways import GRPC, HTTP, SYSTEM_SHARED_MEMORY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.ways import Way

__all__ = [
    "BARE",
    "CHARONIA",
    "PYTHON",
    "PYTHON_PROCESS",
    "PYTHON_STANDARD",
    "PYTHON_THREAD",
    "REFERENCE",
    "SIDES",
    "STANDARD",
    "Side",
    "start_charonia",
]

CHARONIA = "charonia"
STANDARD = "standard"
PYTHON = "python"
PYTHON_STANDARD = "python-standard"
PYTHON_THREAD = "python-thread"
PYTHON_PROCESS = "python-process"
REFERENCE = "reference"
BARE = "bare"


@dataclass(frozen=True)
class Side:
    """A server that is up.

    Attributes:
        name: its name in the results.
        ports: where it listens on 127.0.0.1, by protocol.
        process: the server's process.
    """

    name: str
    ports: Mapping[str, int]
    process: ServerProcess

    def port(self, way: Way) -> int:
        """Tell where requests of a way go."""
        return self.ports[way.protocol]

    def serves(self, way: Way) -> bool:
        """Tell whether the server can be asked this way, by what it says of itself."""
        return not way.shared_memory or SYSTEM_SHARED_MEMORY in self._extensions

    @cached_property
    def _extensions(self) -> list[str]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[HTTP]}/v2") as answer:
            extensions: list[str] = json.load(answer)["extensions"]
        return extensions


def _free_ports() -> dict[str, int]:
    return {HTTP: free_port(), GRPC: free_port()}


def _listening(ports: Mapping[str, int]) -> list[str]:
    """Give the flags, the same ones in the reference and in Charonia, that say where to listen."""
    return [
        "--http-address=127.0.0.1",
        f"--http-port={ports[HTTP]}",
        "--grpc-address=127.0.0.1",
        f"--grpc-port={ports[GRPC]}",
    ]


def start_charonia(folder: Path, side: str = CHARONIA, *flags: str) -> Side:
    """Start `charonia serve` as a user would, on the ONNX models."""
    return _serve(write_onnx_repository(folder / side), side, *flags)


def _serve(repository: Path, side: str, *flags: str) -> Side:
    ports = _free_ports()
    program = Path(sys.executable).with_name("charonia")
    command = [str(program), "serve", f"--model-repository={repository}", *_listening(ports), "--allow-client-shm=true"]
    return Side(side, ports, ServerProcess(side, [*command, *flags], ports[HTTP], "Ready."))


def _start_standard(folder: Path) -> Side:
    """Start it on the network libraries that the frontends bring themselves."""
    return start_charonia(folder, STANDARD, "--transport=standard")


def _start_python(folder: Path) -> Side:
    """Start it on the reference's own models, which are Python models."""
    return _serve(write_reference_repository(folder / PYTHON), PYTHON)


def _start_python_standard(folder: Path) -> Side:
    """Start it on the same, on the network libraries that the frontends bring themselves."""
    return _serve(write_reference_repository(folder / PYTHON_STANDARD), PYTHON_STANDARD, "--transport=standard")


def _start_python_thread(folder: Path) -> Side:
    """Start it on the same, whose configurations say that they may wait, which the reference would pass over."""
    return _serve(write_reference_repository(folder / PYTHON_THREAD, OWN_THREAD), PYTHON_THREAD)


def _start_python_process(folder: Path) -> Side:
    """Start it on the reference's own models, each in a process as there."""
    mode = "--backend-config=python,EXECUTION_MODE=process"
    return _serve(write_reference_repository(folder / PYTHON_PROCESS), PYTHON_PROCESS, mode)


def _start_reference(folder: Path) -> Side:
    """Start the reference on the same models as Python models."""
    venv = install_reference()
    ports = _free_ports()
    repository = write_reference_repository(folder / REFERENCE)
    flags = [f"--model-repository={repository}", *_listening(ports), "--allow-metrics=false"]
    command = [*reference_command(venv), *flags]
    environment = reference_environment(venv)
    return Side(REFERENCE, ports, ServerProcess(REFERENCE, command, ports[HTTP], "Started HTTPService", environment))


def _start_bare(_folder: Path) -> Side:
    """Start the handlers that only answer."""
    ports = _free_ports()
    words = [f"--{protocol}-port={port}" for protocol, port in ports.items()]
    command = [sys.executable, "-m", "benchmarks.echo", *words]
    return Side(BARE, ports, ServerProcess(BARE, command, ports[HTTP], "listening on"))


SIDES: dict[str, Callable[[Path], Side]] = {
    CHARONIA: start_charonia,
    STANDARD: _start_standard,
    PYTHON: _start_python,
    PYTHON_STANDARD: _start_python_standard,
    PYTHON_THREAD: _start_python_thread,
    PYTHON_PROCESS: _start_python_process,
    REFERENCE: _start_reference,
    BARE: _start_bare,
}
"""How to start each side, given a folder for its models. Raises ServerError, or UnavailableError where it cannot be had."""
