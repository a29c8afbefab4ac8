"""Plan files: which one a model's instance runs, and what the first bytes of one tell before any library has seen it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from charonia.errors import InvalidArgumentError, NotFoundError, UnsupportedError

from charonia_backend_tensorrt.library import Library

if TYPE_CHECKING:
    from pathlib import Path

    from charonia.backend import ModelContext

__all__ = ["PlanHeader", "check_version", "plan_file", "read_header"]

_HEADER = struct.Struct("<4sI16x4B")
"""A tag, the number of the format, something else, and the version of the library: four numbers below 256."""

_LIBRARIES = {b"ftrt": Library.TENSORRT, b"vtrt": Library.RTX}
_FORMAT = 0
_OTHERS = {b"PK\x03\x04": "a ZIP archive, as PyTorch's models are", b"\x08": "an ONNX model, perhaps"}


@dataclass(frozen=True)
class PlanHeader:
    """What a plan says of itself.

    Attributes:
        library: what made it, and can run it.
        version: the library's version then; four numbers, or none where the plan's format is unknown.
    """

    library: Library
    version: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.library} {'.'.join(map(str, self.version)) or 'of an unknown version'}"


def plan_file(context: ModelContext, capability: str) -> Path:
    """Find the plan for a GPU.

    Args:
        context: the model.
        capability: the GPU's compute capability, such as "8.6"; "" where there is none.

    Raises:
        NotFoundError: it is not there.
    """
    config = context.config
    name = config.cc_model_filenames.get(capability, config.default_model_filename)
    path = context.version_directory / name
    if not path.is_file():
        known = ", ".join(sorted(config.cc_model_filenames))
        also = f"; cc_model_filenames has plans for {known}" if known else ""
        gpu = f" for a GPU of compute capability {capability}" if capability else ""
        raise NotFoundError(
            f"model '{context.name}' has no plan '{path}'{gpu}{also}: put the plan there, "
            "or name it by default_model_filename or cc_model_filenames"
        )
    return path


def read_header(path: Path) -> PlanHeader:
    """Read what made a plan.

    Raises:
        InvalidArgumentError: it is no plan.
    """
    with path.open("rb") as file:
        start = file.read(_HEADER.size)
    library = _LIBRARIES.get(start[:4])
    if library is None or len(start) < _HEADER.size:
        other = next((what for tag, what in _OTHERS.items() if start.startswith(tag)), "")
        found = "an empty file" if not start else other or f"a file that begins with {start[:4]!r}"
        raise InvalidArgumentError(
            f"'{path}' is no plan of TensorRT, but {found}: build one from an ONNX model with charonia build-plan"
        )
    _, form, *version = _HEADER.unpack(start)
    return PlanHeader(library, tuple(version) if form == _FORMAT else ())


def check_version(path: Path, header: PlanHeader) -> None:
    """Refuse a plan that was made by another version than the one that is installed.

    Whether those that differ in the last two numbers alone get on with each other, the library knows best.

    Raises:
        UnsupportedError: they do not.
        PluginError: the library is not installed.
    """
    installed = header.library.version
    if header.version and header.version[:2] != tuple(int(number) for number in installed.split(".")[:2]):
        raise UnsupportedError(
            f"'{path}' was made by {header}, and {header.library} {installed} is installed, which runs only plans of its own "
            "version: build the plan anew with charonia build-plan, install the version that made it, or, for one that was built "
            "with the flag VERSION_COMPATIBLE, set --backend-config=tensorrt,version-compatible=true"
        )
