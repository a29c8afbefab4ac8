"""Environments of models: what the parameter EXECUTION_ENV_PATH names, made into an interpreter.

It is a directory with `bin/python`, such as a virtual environment or one of conda; an archive of one, as conda-pack makes it; or
a `requirements.txt`, of which a virtual environment is made. What is unpacked or made is kept, and used again as long as the file
stays the same.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from charonia.errors import InternalError, InvalidArgumentError

from charonia_backend_custom.process.launch import Interpreter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from charonia.backend import ModelContext

__all__ = ["ENVIRONMENT", "interpreter_of"]

ENVIRONMENT = "EXECUTION_ENV_PATH"
_MODEL_DIRECTORY = "$$TRITON_MODEL_DIRECTORY"
_SHOWN = 2000


def interpreter_of(context: ModelContext, cache: Path | None = None) -> Interpreter:
    """Give the interpreter that a model wants: the server's own, or that of the environment that it names.

    Args:
        context: the model.
        cache: where environments are kept; `charonia/environments` in the user's directory of caches if not given.

    Raises:
        InvalidArgumentError: what is named is no environment.
        InternalError: it cannot be unpacked or made.
    """
    said = context.config.parameters[ENVIRONMENT].string_value if ENVIRONMENT in context.config.parameters else ""
    if not said:
        return Interpreter()
    named = Path(said.replace(_MODEL_DIRECTORY, str(context.directory.absolute())))
    where = f"model '{context.name}': {ENVIRONMENT} is '{said}'"
    if not named.exists():
        hint = "" if named.is_absolute() else f": in the model's directory it is '{_MODEL_DIRECTORY}/{named}'"
        raise InvalidArgumentError(f"{where}, and there is no '{named.absolute()}'{hint}")
    kept = _cache_directory() if cache is None else cache
    if named.is_dir():
        directory = named
    elif named.name.endswith(".txt"):
        directory = _kept(named, kept, _install)
    elif tarfile.is_tarfile(named):
        directory = _kept(named, kept, _unpack)
    else:
        raise InvalidArgumentError(
            f"{where}: expected a directory with bin/python, an archive of one (.tar.gz), or a requirements.txt"
        )
    python = directory / "bin" / "python"
    if not python.exists():
        raise InvalidArgumentError(f"{where}, and there is no 'bin/python' in it")
    path = f"{directory / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    return Interpreter(python, {"PATH": path, "VIRTUAL_ENV": str(directory)}, own_packages=True)


def _cache_directory() -> Path:
    caches = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(caches) / "charonia" / "environments"


def _kept(source: Path, cache: Path, make: Callable[[Path, Path], None]) -> Path:
    """Give the directory that was made of a file's content, and make it first where it is not there yet."""
    with source.open("rb") as content:
        digest = hashlib.file_digest(content, "blake2b")
    digest.update(f"{sys.executable} {sys.version}".encode())
    directory = cache / digest.hexdigest()[:32]
    done = directory.with_suffix(".done")
    cache.mkdir(parents=True, exist_ok=True)
    with _alone(directory.with_suffix(".lock")):
        if not done.exists():
            make(source, directory)
            done.touch()
    return directory


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Be the only one, of all threads and servers, in the block."""
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _unpack(archive: Path, directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)  # what is there was left by somebody who did not come to the end
    directory.mkdir()
    try:
        with tarfile.open(archive) as content:
            content.extraction_filter = getattr(tarfile, "tar_filter", None)  # Python has it from 3.11.4 on
            content.extractall(directory, _harmless(content, directory.resolve()))  # noqa: S202 - they are looked at
    except (OSError, tarfile.TarError) as error:
        raise InternalError(f"the environment '{archive}' cannot be unpacked: {error}") from error
    mend = directory / "bin" / "conda-unpack"
    if mend.exists():
        _run(archive, str(directory / "bin" / "python"), str(mend))


def _harmless(archive: tarfile.TarFile, directory: Path) -> Iterator[tarfile.TarInfo]:
    """Give an archive's members one by one, each to be unpacked before the next one is looked at.

    Raises:
        TarError: one would lie, by its name or by a link before it, outside of the directory; or it is a device.
    """
    for member in archive:
        for name in (member.name, member.linkname) if member.islnk() else (member.name,):
            if not (directory / name).resolve().is_relative_to(directory):
                raise tarfile.TarError(f"its member '{member.name}' would lie outside of the environment's directory")
        if member.isdev():
            raise tarfile.TarError(f"its member '{member.name}' is neither a file, a directory nor a link")
        yield member


def _install(requirements: Path, directory: Path) -> None:
    _run(requirements, sys.executable, "-m", "venv", "--clear", str(directory))
    pip = (str(directory / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--quiet")
    _run(requirements, *pip, "--requirement", str(requirements))


def _run(source: Path, *command: str) -> None:
    done = subprocess.run(  # noqa: S603 - the model's configuration names what is installed
        command,
        cwd=source.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode:
        raise InternalError(
            f"the environment of '{source}' cannot be made: '{' '.join(command)}' exited with status {done.returncode}: "
            f"{done.stdout.decode(errors='replace')[-_SHOWN:]}"
        )
