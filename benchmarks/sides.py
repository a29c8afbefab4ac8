"""The servers that are compared: how each of them is started on the benchmark's models."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.models import write_onnx_repository, write_reference_repository
from benchmarks.process import ServerProcess, free_port
from benchmarks.tools.reference_server import install_reference, reference_command, reference_environment

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BARE", "CHARONIA", "REFERENCE", "SIDES", "Side"]

CHARONIA = "charonia"
REFERENCE = "reference"
BARE = "bare"


@dataclass(frozen=True)
class Side:
    """A server that is up.

    Attributes:
        name: its name in the results.
        port: where it listens on 127.0.0.1.
        process: the server's process.
    """

    name: str
    port: int
    process: ServerProcess


def _start_charonia(folder: Path) -> Side:
    """Start `charonia serve` as a user would, on the ONNX models."""
    port = free_port()
    repository = write_onnx_repository(folder / CHARONIA)
    program = Path(sys.executable).with_name("charonia")
    command = [str(program), "serve", f"--model-repository={repository}", f"--http-port={port}", "--allow-grpc=false"]
    return Side(CHARONIA, port, ServerProcess(CHARONIA, command, port, "Ready."))


def _start_reference(folder: Path) -> Side:
    """Start the reference on the same models as Python models."""
    venv = install_reference()
    port = free_port()
    repository = write_reference_repository(folder / REFERENCE)
    flags = [
        f"--model-repository={repository}",
        "--http-address=127.0.0.1",
        f"--http-port={port}",
        "--allow-grpc=false",
        "--allow-metrics=false",
    ]
    command = [*reference_command(venv), *flags]
    environment = reference_environment(venv)
    return Side(REFERENCE, port, ServerProcess(REFERENCE, command, port, "Started HTTPService", environment))


def _start_bare(_folder: Path) -> Side:
    """Start the handler that only answers."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.echo", f"--port={port}"]
    return Side(BARE, port, ServerProcess(BARE, command, port, f"http://127.0.0.1:{port}"))


SIDES: dict[str, Callable[[Path], Side]] = {
    CHARONIA: _start_charonia,
    REFERENCE: _start_reference,
    BARE: _start_bare,
}
"""How to start each side, given a folder for its models. Raises ServerError, or UnavailableError where it cannot be had."""
