"""Fetch the two trained nets of this sample and put them into the model repository. Quick when they are there already.

They come out of the PyPI package `rapidocr-onnxruntime` (Apache-2.0), of which nothing but these files is used: the package is
downloaded, not installed. Nothing of it is committed here.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
DOWNLOAD = HERE / "download"
REPOSITORY = HERE / "model_repository"
CHARACTERS = REPOSITORY / "spell" / "1" / "characters.txt"

PACKAGE = "rapidocr-onnxruntime==1.4.4"
WHEEL = "rapidocr_onnxruntime-*.whl"
NETS = {
    "find_text": (
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
        "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9",
    ),
    "read_lines": (
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx",
        "48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b",
    ),
}
"""Model → its file in the package, and the file's SHA-256."""


class PrepareError(Exception):
    """The nets cannot be had; the text says why and what to do."""


def net(model: str) -> Path:
    """Tell where a model's net belongs."""
    return REPOSITORY / model / "1" / "model.onnx"


def prepare() -> bool:
    """Put the nets and the list of characters into place. Gives False if all of it was there.

    Raises:
        PrepareError: the package cannot be downloaded, or is not the one that this sample was made for.
    """
    if CHARACTERS.exists() and all(
        net(model).exists() and _digest(net(model).read_bytes()) == NETS[model][1] for model in NETS
    ):
        return False
    DOWNLOAD.mkdir(exist_ok=True)
    with zipfile.ZipFile(_wheel()) as wheel:
        for model, (name, digest) in NETS.items():
            _write(net(model), _checked(wheel, name, digest))
    _write(CHARACTERS, characters().encode())
    return True


def characters() -> str:
    """Read the characters that the net can tell apart, one a line, out of the net's own file."""
    import onnxruntime

    session = onnxruntime.InferenceSession(net("read_lines"), providers=["CPUExecutionProvider"])
    return str(session.get_modelmeta().custom_metadata_map["character"]).removesuffix("\n")


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
            f"the sample's nets could not be fetched: `pip download {PACKAGE}` failed. Check the network and pip's settings, or "
            f"put the package's wheel into {DOWNLOAD} by hand. pip said:\n{done.stderr.strip()}"
        )
    return found[0]


def _checked(wheel: zipfile.ZipFile, name: str, digest: str) -> bytes:
    """Read a file out of the package and make sure that it is the one expected."""
    try:
        content = wheel.read(name)
    except (KeyError, zipfile.BadZipFile) as error:
        raise PrepareError(f"{wheel.filename} has no good {name}: remove it and run this again") from error
    if _digest(content) != digest:
        raise PrepareError(
            f"{wheel.filename}: {name} is not the file of {PACKAGE}: its SHA-256 is {_digest(content)}, expected {digest}; "
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
    print(f"the nets that find and read text are {'ready' if fetched else 'here already'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
