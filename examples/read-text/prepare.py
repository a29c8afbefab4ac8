"""Fetch the two trained nets of this sample and put them into the model repository. Quick when they are there already.

They come out of the PyPI package `rapidocr-onnxruntime` (Apache-2.0), of which nothing but these files is used: the package is
downloaded, not installed. Nothing of it is committed here.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
DOWNLOAD = HERE / "download"
MODELS = HERE / "model_repository"
NETS = {
    "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx": MODELS / "find_text" / "1" / "model.onnx",
    "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx": MODELS / "read_lines" / "1" / "model.onnx",
}
"""Where the package's files belong."""

CHARACTERS = MODELS / "spell" / "1" / "characters.txt"
"""The characters that the net can tell apart, one a line."""


def fetch() -> zipfile.ZipFile:
    """Download the package's wheel, and have pip check that it is the expected one."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    pip += ["--require-hashes", f"--requirement={HERE / 'package.txt'}", f"--dest={DOWNLOAD}"]
    if subprocess.run(pip, check=False).returncode:
        sys.exit("prepare: the nets could not be fetched, as pip says above: check the network and pip's settings")
    (wheel,) = DOWNLOAD.glob("rapidocr_onnxruntime-1.4.4-*.whl")
    return zipfile.ZipFile(wheel)


def characters() -> str:
    """Read the characters out of the net's own file."""
    import onnxruntime

    session = onnxruntime.InferenceSession(
        MODELS / "read_lines" / "1" / "model.onnx", providers=["CPUExecutionProvider"]
    )
    return str(session.get_modelmeta().custom_metadata_map["character"]).removesuffix("\n")


def main() -> None:
    """Prepare, and say what was done."""
    ready = all(place.exists() for place in (*NETS.values(), CHARACTERS))
    if not ready:
        with fetch() as package:
            for inside, place in NETS.items():
                place.parent.mkdir(parents=True, exist_ok=True)
                Path(package.extract(inside, DOWNLOAD)).replace(place)
        CHARACTERS.write_text(characters())
    print(f"the nets that find and read text are {'here already' if ready else 'ready'}")


if __name__ == "__main__":
    main()
