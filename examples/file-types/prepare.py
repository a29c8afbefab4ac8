"""Fetch the trained model of this sample and put it into the model repository. Quick when it is there already.

The model comes out of the PyPI package `magika` (Apache-2.0), of which nothing but data is used: the package is downloaded,
not installed. Nothing of it is committed here.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
DOWNLOAD = HERE / "download"
MODEL = HERE / "model_repository" / "file_types" / "1" / "model.onnx"
LABELS = HERE / "model_repository" / "file_types" / "labels.txt"
KINDS = DOWNLOAD / "kinds.json"
"""A sentence's worth of name for each label, such as "Markdown document"."""

PACKAGE = "magika==1.0.3"
INSIDE = "magika/models/standard_v3_3/"
DIGESTS = {
    "model.onnx": "fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c",
    "config.min.json": "ae24c742205358f6ff6dfd5facb6743fb69743dbba8373e73da58ff0cbd695db",
}


class PrepareError(Exception):
    """The model cannot be had; the text says why and what to do."""


def prepare() -> bool:
    """Put the model, its labels and their names into place. Gives False if all of it was there.

    Raises:
        PrepareError: the package cannot be downloaded, or is not the one that this sample was made for.
    """
    if LABELS.exists() and KINDS.exists() and MODEL.exists() and _digest(MODEL.read_bytes()) == DIGESTS["model.onnx"]:
        return False
    DOWNLOAD.mkdir(exist_ok=True)
    with zipfile.ZipFile(_wheel()) as wheel:
        model = _checked(wheel, "model.onnx")
        labels = json.loads(_checked(wheel, "config.min.json"))["target_labels_space"]
        known = json.loads(wheel.read("magika/config/content_types_kb.min.json"))
    _write(KINDS, json.dumps({label: known[label]["description"] or label for label in labels}, indent=1).encode())
    _write(LABELS, "".join(f"{label}\n" for label in labels).encode())
    _write(MODEL, model)
    return True


def _wheel() -> Path:
    """Download the package's wheel, unless it is here. Any platform's will do, since only its data is used."""
    found = sorted(DOWNLOAD.glob("magika-*.whl"))
    if found:
        return found[0]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--platform=manylinux_2_28_x86_64", f"--dest={DOWNLOAD}", PACKAGE]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    found = sorted(DOWNLOAD.glob("magika-*.whl"))
    if done.returncode or not found:
        raise PrepareError(
            f"the sample's model could not be fetched: `pip download {PACKAGE}` failed. Check the network and pip's "
            f"settings, or put the package's wheel into {DOWNLOAD} by hand. pip said:\n{done.stderr.strip()}"
        )
    return found[0]


def _checked(wheel: zipfile.ZipFile, name: str) -> bytes:
    """Read a file out of the package and make sure that it is the one expected."""
    try:
        content = wheel.read(INSIDE + name)
    except (KeyError, zipfile.BadZipFile) as error:
        raise PrepareError(f"{wheel.filename} has no good {INSIDE + name}: remove it and run this again") from error
    if _digest(content) != DIGESTS[name]:
        raise PrepareError(
            f"{wheel.filename}: {name} is not the file of {PACKAGE}: its SHA-256 is {_digest(content)}, expected "
            f"{DIGESTS[name]}; remove the wheel and run this again"
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
    print(f"the file-type model is {'ready' if fetched else 'here already'}: {MODEL.relative_to(HERE)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
