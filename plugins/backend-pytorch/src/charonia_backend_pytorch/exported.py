"""Exported programs: what `torch.export.save` writes. They know names, datatypes and shapes of what they take and give."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from charonia.errors import UnsupportedError

from charonia_backend_pytorch.call_tree import argument_paths, result_paths, written_path
from charonia_backend_pytorch.interface import Interface, Place
from charonia_backend_pytorch.leftovers import Leftovers
from charonia_backend_pytorch.program import Program, State
from charonia_backend_pytorch.runtime import needed, torch
from charonia_backend_pytorch.values import datatype_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["ExportedProgram", "read_interface"]

_load_lock = threading.Lock()
"""PyTorch reads one exported program at a time: what it is reading is a variable of its module."""

_REMEDY = "save the model as TorchScript, as model.pt"


class ExportedProgram(Program):
    """A program that was saved by `torch.export.save`.

    Args:
        file: it.
        device: where it shall run; None to leave it where it was exported.

    Raises:
        UnsupportedError: this PyTorch cannot load exported programs or move them, or the program takes or gives what the protocol
            cannot carry.
        Exception: whatever PyTorch raises about the file.
    """

    def __init__(self, file: Path, device: Any) -> None:
        with _load_lock, Leftovers() as self._leftovers:
            self._read(file, device)

    def _read(self, file: Path, device: Any) -> None:
        exported = _load(file)
        home = _home(exported)
        if device is not None and device != home:
            move = needed(
                "export.passes.move_to_device_pass", "way to move exported programs", "export it on that device"
            )
            exported = move(exported, str(device))
        self.device = home if device is None else device
        self.interface = _interface(exported)
        written = _written(exported)
        buffers = exported.graph_signature.inputs_to_buffers
        self.state = (
            State.KEPT if exported.graph_signature.buffers_to_mutate or written & buffers.keys() else State.NONE
        )
        self.writes_inputs = bool(exported.graph_signature.user_inputs_to_mutate or written)
        self._leaves = _leaves(exported.graph_signature)
        self._spec = exported.call_spec.in_spec
        self._module = exported.module()

    def call(self, arguments: Mapping[str, Any]) -> Any:
        """Run the program; its guards check the shapes."""
        from torch.utils import _pytree as pytree

        given = iter(arguments.values())  # one for each leaf that is no constant, in their order
        leaves = [leaf.value if hasattr(leaf, "value") else next(given) for leaf in self._leaves]
        positional, named = pytree.tree_unflatten(leaves, self._spec)
        return self._module(*positional, **named)

    def close(self) -> None:
        """Let the program go, its weights at once, and what PyTorch keeps of it."""
        for part in list(self._module.modules()):  # which refer to each other, and would wait for Python's collector
            vars(part).clear()
        del self._module
        self._leftovers.forget()


def read_interface(file: Path) -> Interface:
    """Read what a program takes and gives. Raises what `ExportedProgram` does."""
    with _load_lock, Leftovers() as leftovers:
        interface = _interface(_load(file))
    leftovers.forget()
    return interface


def _load(file: Path) -> Any:
    load = needed("export.load", "exported programs", _REMEDY)
    with file.open("rb") as opened:  # by name it takes only files that end in .pt2
        return load(opened)


def _leaves(signature: Any) -> list[Any]:
    """List the leaves of the call. Those with a value are constants, and part of the program; the others have a name."""
    return [spec.arg for spec in signature.input_specs if spec.kind.name == "USER_INPUT"]


def _home(exported: Any) -> Any:
    """Give the device on which a program was exported: that of its first tensor, or the CPU if it has none."""
    values = (node.meta.get("val") for node in exported.graph.nodes)
    return next((value.device for value in values if hasattr(value, "device")), torch().device("cpu"))


def _written(exported: Any) -> set[str]:
    """Name what operators in place write to. A program has such operators until it is decomposed; then its signature tells."""
    nodes = [node for node in exported.graph.nodes if node.op == "call_function"]
    return {str(node.args[0]) for node in nodes if getattr(getattr(node.target, "_schema", None), "is_mutable", False)}


def _interface(exported: Any) -> Interface:
    nodes = {node.name: node.meta.get("val") for node in exported.graph.nodes}
    signature, spec = exported.graph_signature, exported.call_spec
    paths = argument_paths(spec.in_spec)
    inputs = [
        (leaf.name, path) for leaf, path in zip(_leaves(signature), paths, strict=True) if not hasattr(leaf, "value")
    ]
    alone = len({path[:2] for path in paths}) == 1
    names = exported.module_call_graph[0].signature.forward_arg_names
    arguments = [
        _place("input", _argument_name(name, path, names, alone=alone), path, nodes[name]) for name, path in inputs
    ]
    results = [
        _place("output", path[1] if _is_key(path, spec.out_spec) else f"OUTPUT__{index}", path, nodes.get(name))
        for index, (name, path) in enumerate(zip(signature.user_outputs, result_paths(spec.out_spec), strict=True))
    ]
    return Interface(arguments, results, most_batched=_most_batched(exported, [nodes[name] for name, _ in inputs]))


def _argument_name(name: str, path: Sequence[str], names: Sequence[str] | None, *, alone: bool) -> str:
    """Give the name of an argument: that in `forward`, the key in a lone dictionary, or PyTorch's own name of something deeper.

    Args:
        name: PyTorch's own.
        path: where it is in the call.
        names: the names of the arguments of `forward`, where the file tells them.
        alone: whether there is only one argument, which it is, or is inside of.
    """
    first, *deeper = path[1:]
    if deeper:
        return deeper[0] if alone and len(deeper) == 1 and not deeper[0].isdecimal() else name
    if path[0] == "KWARGS":
        return first
    return names[int(first)] if names else name


def _is_key(path: Sequence[str], spec: Any) -> bool:
    return len(path) == 2 and spec.type is dict  # noqa: PLR2004 - "RESULT" and the key


def _place(kind: str, name: str, path: Sequence[str], value: Any) -> Place:
    datatype = datatype_of(getattr(value, "dtype", None))
    if datatype is None:
        raise UnsupportedError(
            f"{kind} '{name}' of the exported program is {getattr(value, 'dtype', None) or 'no tensor'}, which the protocol "
            "cannot carry: export a module that takes and gives plain tensors"
        )
    shape = tuple(size if isinstance(size, int) else -1 for size in value.shape)
    return Place(name, datatype=datatype, shape=shape, path=written_path(path))


def _most_batched(exported: Any, inputs: Sequence[Any]) -> int | None:
    """Give the greatest first dimension for which the program was exported; None where there is no limit."""
    limits = []
    for value in inputs:
        size: Any = value.shape[0] if value.ndim else None
        bounds = exported.range_constraints.get(size.node.expr) if hasattr(size, "node") else None
        if bounds is not None and bounds.upper.is_Integer:
            limits.append(int(bounds.upper))
    return min(limits, default=None)
