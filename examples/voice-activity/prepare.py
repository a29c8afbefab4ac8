"""Fetch the trained net of this sample and put it into the model repository. Quick when it is there already.

The net comes out of the PyPI package `silero-vad` (MIT), of which nothing but this file is used: the package is downloaded, not
installed. Nothing of it is committed here.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
DOWNLOAD = HERE / "download"
NET = HERE / "model_repository" / "voice_activity" / "1" / "model.onnx"

PACKAGE = "silero-vad==6.2.3"
WHEEL = "silero_vad-*.whl"
INSIDE = "silero_vad/data/silero_vad.onnx"
DIGEST = "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3"


class PrepareError(Exception):
    """The net cannot be had; the text says why and what to do."""


def prepare() -> bool:
    """Put the net into place. Gives False if it was there.

    Raises:
        PrepareError: the package cannot be downloaded, or is not the one that this sample was made for.
    """
    if NET.exists() and _digest(NET.read_bytes()) == DIGEST:
        return False
    DOWNLOAD.mkdir(exist_ok=True)
    with zipfile.ZipFile(_wheel()) as wheel:
        _write(NET, _checked(wheel))
    return True


def _wheel() -> Path:
    """Download the package's wheel, unless it is here."""
    found = sorted(DOWNLOAD.glob(WHEEL))
    if found:
        return found[0]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run([*command, f"--dest={DOWNLOAD}", PACKAGE], check=False, capture_output=True, text=True)
    found = sorted(DOWNLOAD.glob(WHEEL))
    if done.returncode or not found:
        raise PrepareError(
            f"the sample's net could not be fetched: `pip download {PACKAGE}` failed. Check the network and pip's settings, or "
            f"put the package's wheel into {DOWNLOAD} by hand. pip said:\n{done.stderr.strip()}"
        )
    return found[0]


def _checked(wheel: zipfile.ZipFile) -> bytes:
    """Read the net out of the package and make sure that it is the one expected."""
    try:
        content = wheel.read(INSIDE)
    except (KeyError, zipfile.BadZipFile) as error:
        raise PrepareError(f"{wheel.filename} has no good {INSIDE}: remove it and run this again") from error
    if _digest(content) != DIGEST:
        raise PrepareError(
            f"{wheel.filename}: {INSIDE} is not the file of {PACKAGE}: its SHA-256 is {_digest(content)}, expected {DIGEST}; "
            "remove the wheel and run this again"
        )
    return content


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write(path: Path, content: bytes) -> None:
    """Write a file in one step, so that an interrupted run leaves no half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".part")
    draft.write_bytes(content)
    draft.replace(path)


def main() -> int:
    """Prepare, and say what was done."""
    try:
        fetched = prepare()
    except PrepareError as error:
        print(f"prepare: {error}", file=sys.stderr)
        return 1
    print(f"the net that finds speech is {'ready' if fetched else 'here already'}: {NET.relative_to(HERE)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
