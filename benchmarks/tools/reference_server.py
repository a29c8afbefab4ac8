"""The reference: Triton Inference Server 2.51 for the CPU, with its Python backend, out of the wheel nvidia-pytriton.

`python -m benchmarks.tools.reference_server --model-repository=DIR` runs it by hand, with any flag of tritonserver. The first
call installs it into the user's cache (about 370 MB).
"""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

from benchmarks.tools.download import UnavailableError, cache_folder, require_linux_x86, run_step

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["install_reference", "reference_command", "reference_environment"]

_WHEEL = "nvidia-pytriton==0.7.0"
_PYTHON = "python3.11"  # the wheel's ready-made stub processes are built per Python; this is the one we take


def install_reference() -> Path:
    """Bring the reference into the user's cache, unless it is there. Gives the folder of its virtual environment.

    Raises:
        UnavailableError: the machine or the network does not allow it.
    """
    require_linux_x86("the reference server")
    home = cache_folder("charonia-reference")
    venv = home / "venv"
    if (home / "ready").exists():
        return venv
    python = shutil.which(_PYTHON)
    if python is None:
        raise UnavailableError(f"the reference server needs {_PYTHON} for its Python models, which is not installed")
    home.mkdir(parents=True, exist_ok=True)
    run_step("the reference server", [python, "-m", "venv", venv])
    run_step("the reference server", [venv / "bin" / "pip", "install", "--quiet", _WHEEL])
    (home / "ready").touch()
    return venv


def reference_command(venv: Path) -> list[str]:
    """Give the command that starts the server, to which the flags are added."""
    home = next(venv.glob("lib/python3.*/site-packages/pytriton/tritonserver"))
    stub = home / "backends" / "python" / "triton_python_backend_stub"
    if not stub.exists():
        shutil.copy2(home / "python_backend_stubs" / _PYTHON.removeprefix("python") / stub.name, stub)
    return [
        str(home / "bin" / "tritonserver"),
        f"--backend-directory={home / 'backends'}",
        f"--cache-directory={home / 'caches'}",
    ]


def reference_environment(venv: Path) -> dict[str, str]:
    """Give the variables with which the server finds its Python and numpy."""
    return {"PATH": f"{venv / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"}


def main() -> None:
    """Become the reference server, with the flags of the command line."""
    try:
        venv = install_reference()
    except UnavailableError as error:
        sys.exit(str(error))
    command = [*reference_command(venv), *sys.argv[1:]]
    os.execve(command[0], command, os.environ | reference_environment(venv))


if __name__ == "__main__":
    main()
