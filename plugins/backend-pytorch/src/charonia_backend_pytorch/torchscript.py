"""TorchScript: a module with its code, compiled by `torch.jit.script` or recorded by `torch.jit.trace`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from charonia.errors import UnsupportedError

from charonia_backend_pytorch.interface import Interface, Kind, Place
from charonia_backend_pytorch.program import Program, State
from charonia_backend_pytorch.runtime import needed, quiet_torchscript, torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["TorchScript"]

_REMEDY = "export the model anew, with torch.export.save, as model.pt2"

_KINDS = {
    "Tensor": Kind.TENSOR,
    "List[str]": Kind.STRINGS,
    "int": Kind.NUMBER,
    "float": Kind.NUMBER,
    "bool": Kind.NUMBER,
    "number": Kind.NUMBER,
    "Scalar": Kind.NUMBER,
}
_DICTIONARY = "Dict[str, Tensor]"
_WRITTEN = re.compile(r"Tensor\(\w+!")
_SET = "prim::SetAttr"
_GET = "prim::GetAttr"
_AS_LONG_AS_IT_TAKES = {"prim::Loop", "prim::fork"}
"""A loop may go on as long as the data want; a fork is waited for."""
_COUNTED_IN_TRAINING = "num_batches_tracked"


class TorchScript(Program):
    """A module that was saved by `torch.jit.save`.

    Args:
        file: it.
        device: where its weights shall be; None to leave them where they were when it was saved.

    Raises:
        UnsupportedError: this PyTorch has no TorchScript any more, or `forward` takes what the protocol cannot carry.
        Exception: whatever PyTorch raises about the file.
    """

    def __init__(self, file: Path, device: Any) -> None:
        quiet_torchscript()
        load = needed("jit.load", "TorchScript", _REMEDY)
        self._module = load(str(file), map_location=device).eval()
        self._forward = self._module.forward
        self.device = torch().device("cpu") if device is None else device
        self.interface = _interface(self._forward.schema)
        nodes = list(_nodes(self._module.inlined_graph))
        self.state = State.KEPT if any(_changes_module(node) for node in nodes) else State.NONE
        self.writes_inputs = any(_is_in_place(node) for node in nodes)
        self.predictable = not any(node.kind() in _AS_LONG_AS_IT_TAKES for node in nodes)

    def call(self, arguments: Mapping[str, Any]) -> Any:
        """Run `forward`."""
        if self.interface.dictionary:
            return self._forward(dict(arguments))
        return self._forward(**arguments)

    def close(self) -> None:
        """Let the module go."""
        del self._forward, self._module


def _interface(schema: Any) -> Interface:
    arguments = schema.arguments[1:]  # the first is the module
    if [str(argument.type) for argument in arguments] == [_DICTIONARY]:
        return Interface((), _results(schema), dictionary=True)
    places = []
    for argument in arguments:
        written = str(argument.type)
        kind = _KINDS.get(written.removeprefix("Optional[").removesuffix("]") if "Optional" in written else written)
        if kind is not None:
            places.append(Place(argument.name, kind, required=not argument.has_default_value()))
        elif not argument.has_default_value():
            raise UnsupportedError(
                f"an input of type '{written}' was detected in the model: '{argument.name}'. Arguments of forward may be "
                f"tensors, lists of strings and numbers, or there may be one {_DICTIONARY}: wrap the module in one that does"
            )
    return Interface(places, _results(schema))


def _results(schema: Any) -> Sequence[Place] | None:
    """Tell the places of the results; None where only a run tells them, as for dictionaries."""
    (returned,) = schema.returns
    kind = returned.type.kind()
    if kind == "TupleType":
        return [Place("", _KINDS.get(str(element), Kind.ANY)) for element in returned.type.elements()]
    return [Place("", _KINDS[str(returned.type)])] if str(returned.type) in _KINDS else None


def _nodes(block: Any) -> Iterator[Any]:
    """Walk over the nodes of a graph, those in branches and loops included."""
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from _nodes(inner)


def _is_in_place(node: Any) -> bool:
    """Tell whether an operator writes to a tensor among its arguments, which its schema marks as `Tensor(a!)`."""
    return _WRITTEN.search(node.schema()) is not None


def _changes_module(node: Any) -> bool:
    """Tell whether a node sets an attribute of the module, or writes to a tensor that is one.

    A batch norm counts the batches that it has seen in training, which is not what is done here.
    """
    if node.kind() == _SET:
        return True
    if not _is_in_place(node):
        return False
    origin = next(node.inputs()).node()
    return bool(origin.kind() == _GET and origin.s("name") != _COUNTED_IN_TRAINING)
