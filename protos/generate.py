# ruff: noqa: INP001 - a program, no module of a package
"""Generate the descriptors and the type stubs of `charonia_protos` from the sources in proto/.

Run it by `make protos`, which does so in an environment with the tools of the `dev` group. The same sources and tools
give the same bytes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_SOURCES = _HERE / "proto"
_PACKAGE = _HERE / "src" / "charonia_protos"


def generate(target: Path) -> list[Path]:
    """Write descriptors.binpb, and a stub `*_pb2.pyi` for each source, into `target`; give the paths written.

    Raises:
        subprocess.CalledProcessError: the compiler refuses the sources; it has told why on the standard error output.
    """
    sources = sorted(_SOURCES.glob("*.proto"))
    descriptors = target / "descriptors.binpb"
    plugin = Path(sys.executable).with_name("protoc-gen-mypy")
    command = [
        *(sys.executable, "-m", "grpc_tools.protoc"),
        f"--proto_path={_SOURCES}",
        f"--plugin=protoc-gen-mypy={plugin}",
        "--include_imports",
        f"--descriptor_set_out={descriptors}",
        f"--mypy_out=quiet:{target}",
        *(source.name for source in sources),
    ]
    subprocess.run(command, check=True)  # noqa: S603 - the command is made of our own paths
    stubs = [target / f"{source.stem}_pb2.pyi" for source in sources]
    for stub in stubs:
        _import_from_package(stub, [source.stem for source in sources])
    return [descriptors, *stubs]


def _import_from_package(stub: Path, sources: list[str]) -> None:
    # The compiler thinks that the modules lie at the top level, where the sources lie.
    text = stub.read_text(encoding="utf-8")
    for source in sources:
        text = text.replace(f"\nimport {source}_pb2 as ", f"\nfrom charonia_protos import {source}_pb2 as ")
    stub.write_text(text, encoding="utf-8")


def main() -> None:
    """Read the command line and generate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", type=Path, default=_PACKAGE, help="directory to write to (default: the package)")
    for path in generate(parser.parse_args().target):
        sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
