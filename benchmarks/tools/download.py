"""What both downloads share: where they are kept, on which machines they run, and how a failed step is told."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["UnavailableError", "cache_folder", "require_linux_x86", "run_step"]


class UnavailableError(Exception):
    """A program cannot be had on this machine; the text says why. The benchmark goes on without it."""


def cache_folder(name: str) -> Path:
    """Give the folder of the user's cache that keeps a program between runs."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / name


def require_linux_x86(program: str) -> None:
    """Refuse machines for which the program is not built.

    Raises:
        UnavailableError: this is not Linux on x86-64.
    """
    system, machine = platform.system(), platform.machine()
    if (system, machine) != ("Linux", "x86_64"):
        raise UnavailableError(f"{program} is built for Linux on x86_64 only, and this is {system} on {machine}")


def run_step(program: str, command: Sequence[str | Path], folder: Path | None = None) -> None:
    """Run one step of an installation.

    Raises:
        UnavailableError: the step failed; with the last line that it wrote.
    """
    try:
        subprocess.run([str(word) for word in command], cwd=folder, check=True, capture_output=True, text=True)
    except OSError as error:
        raise UnavailableError(f"{program} cannot be installed: {error}") from error
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or error.stdout or "").strip().splitlines()
        told = lines[-1] if lines else f"exit status {error.returncode}"
        raise UnavailableError(f"{program} cannot be installed: {command[0]}: {told}") from error
