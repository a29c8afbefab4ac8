"""Triton's own load generator, perf_analyzer 2.60, out of its wheel.

`python -m benchmarks.tools.perf_analyzer -m MODEL -u 127.0.0.1:8000` runs it by hand, with any of its flags. The first call
puts it into the user's cache. It was built against a newer C library than some long-lived systems have; on a
Debian of that kind the libraries of the next release are laid beside it, and nothing of the system is changed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from benchmarks.tools.download import UnavailableError, cache_folder, require_linux_x86, run_step

__all__ = ["install_perf_analyzer"]

_NAME = "perf_analyzer"
_VERSION = "2.60.0"
_TAG = "manylinux_2_38_x86_64"
_RELEASE = "trixie"  # the first Debian whose C library is new enough
_LIBRARIES = ["libc6", "libstdc++6", "libgcc-s1", "libssl3t64", "zlib1g", "libzstd1"]


def install_perf_analyzer() -> list[str]:
    """Bring the program into the user's cache, unless it is there. Gives the command, to which the flags are added.

    Raises:
        UnavailableError: the machine or the network does not allow it.
    """
    require_linux_x86(_NAME)
    home = cache_folder("charonia-perf")
    program = home / "wheel" / "perf_analyzer" / "bin" / _NAME
    if not (home / "ready").exists():
        _download(home, program)
        if not _runs([str(program)]):
            _add_libraries(home)
    for command in ([str(program)], _beside_libraries(home, program)):
        if _runs(command):
            (home / "ready").touch()
            return command
    raise UnavailableError(f"{_NAME} {_VERSION} does not run here: it needs glibc 2.38 or newer; see {home}")


def _download(home: Path, program: Path) -> None:
    home.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
    wanted = ["--dest", str(home), "--platform", _TAG, "--only-binary=:all:", f"perf-analyzer=={_VERSION}"]
    run_step(_NAME, [*pip, *wanted])
    wheel = next(home.glob(f"{_NAME}-{_VERSION}-*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(home / "wheel")
    program.chmod(0o755)


def _add_libraries(home: Path) -> None:
    """Unpack the C library of a newer Debian, and what the program needs beside it, from the machine's own mirror."""
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise UnavailableError(
            f"{_NAME} {_VERSION} needs glibc 2.38 or newer, and this system has neither that nor apt"
        )
    apt = home / "apt"
    for folder in ("lists/partial", "cache/archives/partial"):
        (apt / folder).mkdir(parents=True, exist_ok=True)
    (apt / "status").touch()
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    (apt / "sources.list").write_text(f"deb [signed-by={keys}] {_mirror()} {_RELEASE} main\n")
    settings = {
        "Dir::Etc::sourcelist": apt / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": apt / "lists",
        "Dir::State::status": apt / "status",
        "Dir::Cache": apt / "cache",
        "APT::Sandbox::User": "root",
    }
    command = ["apt-get", "-qq", *(word for key, value in settings.items() for word in ("-o", f"{key}={value}"))]
    run_step(_NAME, [*command, "update"])
    run_step(_NAME, [*command, "download", *_LIBRARIES], folder=apt)
    for package in apt.glob("*.deb"):
        run_step(_NAME, ["dpkg", "-x", package, home / "libs"])


def _mirror() -> str:
    places = Path("/etc/apt")
    for path in [*places.glob("sources.list.d/*.sources"), *places.glob("sources.list")]:
        found = re.search(r"https?://\S+/debian/?(?=\s)", path.read_text() + "\n")
        if found:
            return found.group()
    raise UnavailableError(f"{_NAME} {_VERSION} needs glibc 2.38 or newer, and apt here names no Debian mirror")


def _beside_libraries(home: Path, program: Path) -> list[str]:
    libraries = home / "libs" / "usr" / "lib" / "x86_64-linux-gnu"
    return [str(libraries / "ld-linux-x86-64.so.2"), "--library-path", str(libraries), str(program)]


def _runs(command: list[str]) -> bool:
    try:
        return subprocess.run([*command, "--version"], check=False, capture_output=True).returncode == 0
    except OSError:
        return False


def main() -> None:
    """Become perf_analyzer, with the flags of the command line."""
    try:
        command = install_perf_analyzer()
    except UnavailableError as error:
        sys.exit(str(error))
    os.execv(command[0], [*command, *sys.argv[1:]])


if __name__ == "__main__":
    main()
