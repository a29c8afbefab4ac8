"""Fetch the trained net of this sample and put it into the model repository. Quick when it is there already.

The net comes out of the PyPI package `silero-vad` (MIT), of which nothing but this file is used: the package is downloaded, not
installed. Nothing of it is committed here.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
DOWNLOAD = HERE / "download"
NET = HERE / "model_repository" / "voice_activity" / "1" / "model.onnx"


def fetch() -> zipfile.ZipFile:
    """Download the package's wheel, and have pip check that it is the expected one."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    pip += ["--require-hashes", f"--requirement={HERE / 'package.txt'}", f"--dest={DOWNLOAD}"]
    if subprocess.run(pip, check=False).returncode:
        sys.exit("prepare: the net could not be fetched, as pip says above: check the network and pip's settings")
    (wheel,) = DOWNLOAD.glob("silero_vad-6.2.3-*.whl")
    return zipfile.ZipFile(wheel)


def main() -> None:
    """Prepare, and say what was done."""
    ready = NET.exists()
    if not ready:
        NET.parent.mkdir(parents=True, exist_ok=True)
        with fetch() as package:
            Path(package.extract("silero_vad/data/silero_vad.onnx", DOWNLOAD)).replace(NET)
    print(f"the net that finds speech is {'here already' if ready else 'ready'}: {NET.relative_to(HERE)}")


if __name__ == "__main__":
    main()
