"""GraphDefs: frozen graphs of TensorFlow, which know their operators but not which of them are inputs and outputs."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from charonia.errors import InvalidArgumentError
from charonia.graph import Graph, GraphTensor, made_inputs, state_outputs

from charonia_backend_tensorflow.endpoints import Endpoints, datatype_of
from charonia_backend_tensorflow.failures import load_failure
from charonia_backend_tensorflow.runtime import dismantle, tensorflow

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from charonia.backend import ModelContext

__all__ = ["GraphDef"]

_PLACEHOLDERS = ("Placeholder", "PlaceholderWithDefault")
_LISTED = 8
"""How many names a message lists at the most."""


class GraphDef:
    """A file with a frozen graph. The configuration names the inputs, which are placeholders, and the outputs.

    A name is that of an operator, whose first output is meant, or has the number of another one behind a colon.

    Args:
        context: the model; its configuration names inputs and outputs.

    Raises:
        InferenceError: the file is no GraphDef, TensorFlow does not know its operators, or the configuration's names are not
            in it.
    """

    def __init__(self, context: ModelContext) -> None:
        self.path = context.model_path
        graph = self._import()
        try:
            self.endpoints = _endpoints(graph, context)
        finally:
            dismantle(graph)

    def restore(self, session: Any) -> None:
        """Load the graph into a session. It has no variables: its weights are constants.

        Raises:
            Exception: whatever TensorFlow raises; `charonia_backend_tensorflow.failures` knows what it means.
        """
        tensorflow().import_graph_def(_read(self.path), name="")

    def _import(self) -> Any:
        graph = tensorflow().Graph()
        try:
            with graph.as_default():
                tensorflow().import_graph_def(_read(self.path), name="")
        except Exception as error:  # the border of loading: TensorFlow's exceptions have no base of their own
            dismantle(graph)
            raise load_failure(self.path, error) from error
        return graph


def _endpoints(graph: Any, context: ModelContext) -> Endpoints:
    """Find what the configuration names. Raises as `GraphDef` does."""
    config = context.config
    if not config.input or not config.output:
        raise InvalidArgumentError(
            f"model '{context.name}' is a GraphDef, which does not tell its inputs and outputs: write input and output into "
            f"its configuration; {_summary(graph)}"
        )
    taken = [*(tensor.name for tensor in config.input), *made_inputs(config)]
    given = [*(tensor.name for tensor in config.output), *state_outputs(config)]
    inputs = {name: _input(graph, name, context.name) for name in taken}
    outputs = {name: _output(graph, name, context.name) for name in given}
    needed = _placeholders_behind(outputs.values())
    known = {tensor.op for tensor in inputs.values()}
    others = [op for op in needed if op not in known]
    return Endpoints(
        Graph(
            [_described("input", name, tensor) for name, tensor in inputs.items()]
            + [_described("input", op.name, op.outputs[0]) for op in others if op.type == "Placeholder"],
            [_described("output", name, tensor) for name, tensor in outputs.items()],
        ),
        {name: tensor.name for name, tensor in inputs.items()},
        {name: tensor.name for name, tensor in outputs.items()},
    )


def _read(path: Path) -> Any:
    message = tensorflow().compat.v1.GraphDef()
    message.ParseFromString(path.read_bytes())
    return message


def _input(graph: Any, name: str, model: str) -> Any:
    allowed = [op.name for op in graph.get_operations() if op.type in _PLACEHOLDERS]
    if name.partition(":")[0] not in allowed:
        raise _unexpected("input", name, model, allowed, allowed)
    return _find("input", graph, name, model)


def _output(graph: Any, name: str, model: str) -> Any:
    operations = [op for op in graph.get_operations() if op.outputs]
    names = [op.name for op in operations]
    if name.partition(":")[0] not in names:
        raise _unexpected("output", name, model, _ends(graph), names)
    return _find("output", graph, name, model)


def _find(kind: str, graph: Any, name: str, model: str) -> Any:
    try:
        return graph.get_tensor_by_name(name if ":" in name else f"{name}:0")
    except (KeyError, ValueError) as error:
        raise InvalidArgumentError(
            f"unexpected inference {kind} '{name}' in the configuration of model '{model}': {error.args[0]}"
        ) from error


def _unexpected(
    kind: str, name: str, model: str, allowed: Sequence[str], similar: Sequence[str]
) -> InvalidArgumentError:
    near = difflib.get_close_matches(name, similar, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return InvalidArgumentError(
        f"unexpected inference {kind} '{name}' in the configuration of model '{model}', allowed {kind}s are: "
        f"{_listed(allowed)}{hint}"
    )


def _placeholders_behind(outputs: Any) -> list[Any]:
    """List the placeholders that outputs depend on."""
    ahead = [tensor.op for tensor in outputs]
    seen = set(ahead)
    while ahead:
        op = ahead.pop()
        before = {tensor.op for tensor in op.inputs}.union(op.control_inputs) - seen
        seen |= before
        ahead += before
    return sorted((op for op in seen if op.type in _PLACEHOLDERS), key=lambda op: str(op.name))


def _ends(graph: Any) -> list[str]:
    """List the operators whose results no other one takes: those that are outputs, most likely."""
    return [
        op.name
        for op in graph.get_operations()
        if op.outputs and op.type not in _PLACEHOLDERS and not any(tensor.consumers() for tensor in op.outputs)
    ]


def _summary(graph: Any) -> str:
    placeholders = [op.name for op in graph.get_operations() if op.type in _PLACEHOLDERS]
    return f"its placeholders are {_listed(placeholders)}; it ends in {_listed(_ends(graph))}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more if names else "none"


def _described(kind: str, name: str, tensor: Any) -> GraphTensor:
    shape = tensor.shape
    sizes = None if shape.rank is None else tuple(-1 if size is None else size for size in shape.as_list())
    return GraphTensor(name, datatype_of(kind, name, tensor.dtype), sizes)
