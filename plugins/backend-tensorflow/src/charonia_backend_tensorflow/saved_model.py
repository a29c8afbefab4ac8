"""SavedModels: which graph and signature of one is served, and loading it into a session."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from charonia.errors import InvalidArgumentError, NotFoundError
from charonia.graph import Graph, GraphTensor
from google.protobuf import text_format
from google.protobuf.message import DecodeError

from charonia_backend_tensorflow.endpoints import Endpoints, datatype_of
from charonia_backend_tensorflow.runtime import tensorflow
from charonia_backend_tensorflow.settings import GRAPH_TAG, SIGNATURE_DEF

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from charonia.backend import ModelContext
    from charonia.model_parameters import ModelParameters

__all__ = ["SavedModel"]

_TAG = "serve"
_SIGNATURE = "serving_default"
_NOT_FOR_SERVING = frozenset({"__saved_model_init_op", "__saved_model_train_op"})


class SavedModel:
    """A directory with a SavedModel, as TensorFlow 1, TensorFlow 2 and Keras write it.

    Args:
        context: the model.
        parameters: its parameters, which may choose among several graphs and signatures.

    Raises:
        InferenceError: the directory holds no SavedModel, or nothing of it can be served.
    """

    def __init__(self, context: ModelContext, parameters: ModelParameters) -> None:
        self.path = context.model_path
        meta_graphs = _read(self.path).meta_graphs
        self._tags = _choose_tags([set(each.meta_info_def.tags) for each in meta_graphs], parameters, self.path)
        (meta_graph,) = (each for each in meta_graphs if set(each.meta_info_def.tags) == self._tags)
        name = _choose_signature(meta_graph.signature_def, parameters, self.path)
        self.endpoints = _endpoints(meta_graph.signature_def[name])

    def restore(self, session: Any) -> None:
        """Load graph and variables into a session, and run the initialisers of its resources.

        Raises:
            Exception: whatever TensorFlow raises; `charonia_backend_tensorflow.failures` knows what it means.
        """
        # The loader of TensorFlow 1 loads what every version wrote; that of TensorFlow 2 fails on some models of older Keras
        tensorflow().compat.v1.saved_model.load(session, list(self._tags), str(self.path))


def _read(path: Path) -> Any:
    tensorflow()  # which explains what keeps it from being imported
    from tensorflow.core.protobuf import saved_model_pb2

    binary, text = path / "saved_model.pb", path / "saved_model.pbtxt"
    message = saved_model_pb2.SavedModel()
    try:
        if binary.is_file():
            message.ParseFromString(binary.read_bytes())
        elif text.is_file():
            text_format.Parse(text.read_text(), message)
        else:
            raise NotFoundError(
                f"'{path}' holds no saved_model.pb, and so is no SavedModel: put the exported directory there; files of Keras "
                "(.keras, .h5) are exported with model.export(directory)"
            )
    except (DecodeError, text_format.ParseError, OSError, ValueError) as error:
        raise InvalidArgumentError(f"the SavedModel '{path}' is damaged: {' '.join(str(error).split())}") from error
    return message


def _choose_tags(available: Sequence[set[str]], parameters: ModelParameters, path: Path) -> set[str]:
    written = parameters.text(GRAPH_TAG)
    wanted = {tag.strip() for tag in (written or _TAG).split(",")}
    if wanted in available:
        return wanted
    if not written and len(available) == 1:
        return available[0]
    there = " and ".join(f"'{','.join(sorted(tags))}'" for tags in available) or "none"
    raise InvalidArgumentError(
        f"the SavedModel '{path}' has no graph with the tags '{','.join(sorted(wanted))}', but {there}: choose with the "
        f"parameter {GRAPH_TAG}"
    )


def _choose_signature(available: Iterable[str], parameters: ModelParameters, path: Path) -> str:
    written = parameters.text(SIGNATURE_DEF)
    usable = sorted(name for name in available if name not in _NOT_FOR_SERVING)
    wanted = written or _SIGNATURE
    if wanted in usable:
        return wanted
    if not written and len(usable) == 1:
        return usable[0]
    near = difflib.get_close_matches(wanted, usable, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    there = (
        f"but {', '.join(usable)}: {hint}choose"
        if usable
        else "and no other: export it with one, or choose another graph"
    )
    parameter = SIGNATURE_DEF if usable else GRAPH_TAG
    raise InvalidArgumentError(
        f"the SavedModel '{path}' has no signature '{wanted}', {there} with the parameter {parameter}"
    )


def _endpoints(signature: Any) -> Endpoints:
    return Endpoints(
        Graph(
            [_tensor("input", name, info) for name, info in sorted(signature.inputs.items())],
            [_tensor("output", name, info) for name, info in sorted(signature.outputs.items())],
        ),
        {name: info.name for name, info in signature.inputs.items()},
        {name: info.name for name, info in signature.outputs.items()},
    )


def _tensor(kind: str, name: str, info: Any) -> GraphTensor:
    encoding = info.WhichOneof("encoding")
    if encoding != "name":
        raise InvalidArgumentError(
            f"{kind} '{name}' of the signature is a {encoding or 'nothing'}, which the protocol cannot carry: export the model "
            "with plain tensors"
        )
    datatype = datatype_of(kind, name, tensorflow().dtypes.as_dtype(info.dtype))
    shape = info.tensor_shape
    sizes = None if shape.unknown_rank else tuple(dim.size if dim.size >= 0 else -1 for dim in shape.dim)
    return GraphTensor(name, datatype, sizes)
