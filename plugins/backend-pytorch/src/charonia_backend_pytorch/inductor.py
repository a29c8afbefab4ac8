"""Packages of AOTInductor: exported programs that were compiled ahead of time, for one kind of device."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

from charonia.errors import InvalidArgumentError

from charonia_backend_pytorch.call_tree import argument_paths, result_paths, written_path
from charonia_backend_pytorch.interface import Interface, Place
from charonia_backend_pytorch.program import Program
from charonia_backend_pytorch.runtime import needed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["InductorPackage"]

_METADATA = ".wrapper_metadata.json"
_REMEDY = "save the exported program itself, with torch.export.save"


class InductorPackage(Program):
    """A package that was made by `torch._inductor.aoti_compile_and_package`.

    Args:
        file: it.
        device: where it shall run; None to leave that to the package.

    Raises:
        InvalidArgumentError: it was compiled for another kind of device.
        UnsupportedError: this PyTorch does not load such packages.
        Exception: whatever PyTorch raises about the file.
    """

    def __init__(self, file: Path, device: Any) -> None:
        import torch._inductor  # a part of PyTorch that is imported by itself

        made_for = _device_of(file)
        if device is not None and device.type != made_for:
            raise InvalidArgumentError(
                f"'{file}' was compiled for the device '{made_for}', but an instance shall run it on '{device.type}': change the "
                "kind in instance_group, or compile it for that device"
            )
        self.device = torch.device(made_for, 0) if device is None else device
        load = needed("_inductor.aoti_load_package", "packages of AOTInductor", _REMEDY)
        self._package = load(str(file), device_index=-1 if made_for == "cpu" else self.device.index)
        self.interface = _interface(*self._package.loader.get_call_spec())

    def call(self, arguments: Mapping[str, Any]) -> Any:
        """Run the compiled program."""
        positional = [value for name, value in arguments.items() if name.startswith("ARGS[")]
        named = {name: value for name, value in arguments.items() if not name.startswith("ARGS[")}
        return self._package(*positional, **named)

    def close(self) -> None:
        """Let the package go."""
        del self._package


def _device_of(file: Path) -> str:
    """Tell for which kind of device a package was compiled, which stands in its metadata."""
    with zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            if name.endswith(_METADATA):
                made_for: str = json.loads(archive.read(name)).get("AOTI_DEVICE_KEY", "cpu")
                return made_for
    return "cpu"


def _interface(arguments: str, results: str) -> Interface:
    from torch.utils import _pytree as pytree

    return Interface(
        [_argument(path) for path in argument_paths(pytree.treespec_loads(arguments))],
        [
            Place(path[1] if len(path) > 1 and not path[1].isdecimal() else "", path=written_path(path))
            for path in result_paths(pytree.treespec_loads(results))
        ],
    )


def _argument(path: Sequence[str]) -> Place:
    if len(path) > 2:  # noqa: PLR2004 - "ARGS" and an index, or "KWARGS" and a key
        raise InvalidArgumentError(
            f"the compiled program takes tensors that are inside of others, such as {written_path(path)}: compile a module that "
            "takes each tensor as an argument of its own"
        )
    written = written_path(path)
    return Place(written if path[0] == "ARGS" else path[1], path=written)
