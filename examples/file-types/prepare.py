"""Fetch the trained model of this sample and put it into the model repository. Quick when it is there already.

The model comes out of the PyPI package `magika` (Apache-2.0), of which nothing but data is used: the package is downloaded,
not installed. Nothing of it is committed here.
"""

from __future__ import annotations

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


def fetch() -> zipfile.ZipFile:
    """Download the package's wheel, and have pip check that it is the expected one.

    It is the wheel of one platform, whatever this one is, since only its data is used.
    """
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    pip += ["--only-binary=:all:", "--platform=manylinux_2_28_x86_64"]
    pip += ["--require-hashes", f"--requirement={HERE / 'package.txt'}", f"--dest={DOWNLOAD}"]
    if subprocess.run(pip, check=False).returncode:
        sys.exit("prepare: the model could not be fetched, as pip says above: check the network and pip's settings")
    (wheel,) = DOWNLOAD.glob("magika-1.0.3-*.whl")
    return zipfile.ZipFile(wheel)


def main() -> None:
    """Prepare, and say what was done."""
    ready = MODEL.exists() and LABELS.exists() and KINDS.exists()
    if not ready:
        MODEL.parent.mkdir(parents=True, exist_ok=True)
        with fetch() as package:
            labels = json.loads(package.read("magika/models/standard_v3_3/config.min.json"))["target_labels_space"]
            known = json.loads(package.read("magika/config/content_types_kb.min.json"))
            Path(package.extract("magika/models/standard_v3_3/model.onnx", DOWNLOAD)).replace(MODEL)
        LABELS.write_text("".join(f"{label}\n" for label in labels))
        KINDS.write_text(json.dumps({label: known[label]["description"] or label for label in labels}, indent=1))
    print(f"the file-type model is {'here already' if ready else 'ready'}: {MODEL.relative_to(HERE)}")


if __name__ == "__main__":
    main()
