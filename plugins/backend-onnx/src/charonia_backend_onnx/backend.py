"""The backend: sessions of ONNX Runtime, shared by the instances of a device."""

from __future__ import annotations

import ctypes
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
from charonia.backend import ArrayExecution, Backend, LoadedModel
from charonia.datatypes import DataType
from charonia.errors import InferenceError, InvalidArgumentError, NotFoundError, UnsupportedError
from charonia.tensor import as_numpy

from charonia_backend_onnx.complete import check_against_graph, complete_from_graph, is_complete
from charonia_backend_onnx.graph import Graph, read_graph
from charonia_backend_onnx.providers import CPU, check_obtained, usable_gpus, wanted_providers
from charonia_backend_onnx.runtime import onnxruntime
from charonia_backend_onnx.session import session_options, shrinkage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from charonia.backend import Device, InstanceContext, ModelContext
    from charonia.config import ModelConfig
    from charonia.tensor import Array, Tensor

__all__ = ["OnnxBackend"]

_BFLOAT16 = 16
"""The number of bfloat16 in ONNX's own enum of element types."""


class OnnxBackend(Backend):
    """Runs `model.onnx`: a file, or a directory that holds `model.onnx` beside its external data."""

    default_model_filename = "model.onnx"
    default_cpu_instances = 2  # as in the reference

    def gpus(self) -> Sequence[int]:
        """List the GPUs that this build of ONNX Runtime can use."""
        return usable_gpus(onnxruntime().get_available_providers())

    def complete_config(self, context: ModelContext) -> ModelConfig:
        """Fill in what the graph tells; see `charonia_backend_onnx.complete`."""
        if is_complete(context.config):
            return context.config
        runtime = onnxruntime()
        options = runtime.SessionOptions()
        options.graph_optimization_level = (
            runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
        )  # only the signature is wanted
        session = _open(context, options, [(CPU, {})])
        return complete_from_graph(context, read_graph(session))

    def load(self, context: ModelContext) -> LoadedModel:
        """Open the model; its sessions are made with its instances."""
        _model_file(context)
        return OnnxModel(context, self.options)


def _model_file(context: ModelContext) -> Path:
    path = context.model_path
    file = path / "model.onnx" if path.is_dir() else path
    if not file.is_file():
        raise NotFoundError(
            f"model '{context.name}' has no file '{file}': put the ONNX file there, or name it by default_model_filename"
        )
    return file


def _open(context: ModelContext, options: Any, providers: Sequence[tuple[str, dict[str, str]]]) -> Any:
    """Open a session, and word ONNX Runtime's complaints for people."""
    file = _model_file(context)
    try:
        return onnxruntime().InferenceSession(str(file), options, providers=list(providers))
    except Exception as error:
        text = " ".join(str(error).split()).partition("] : ")[2] or str(error)
        if type(error).__name__ in {"InvalidProtobuf", "NoSuchFile"}:
            raise InvalidArgumentError(f"'{file}' is no ONNX model, or is damaged: {text}") from error
        if type(error).__name__ == "NotImplemented":
            raise UnsupportedError(f"this ONNX Runtime cannot run '{file}': {text}") from error
        raise InvalidArgumentError(f"ONNX Runtime refuses '{file}': {text}") from error


class OnnxModel(LoadedModel):
    """One version of a model: a session per device, which its instances share, since a session may run on many threads."""

    def __init__(self, context: ModelContext, settings: Mapping[str, str]) -> None:
        super().__init__(context)
        self._settings = settings
        self._lock = threading.Lock()  # guards `_sessions`
        self._sessions: dict[Device, Any] = {}

    def instantiate(self, context: InstanceContext) -> OnnxExecution:
        """Make an execution on the device's session, which is opened for its first instance."""
        with self._lock:
            session = self._sessions.get(context.device)
            if session is None:
                session = self._sessions[context.device] = self._session(context.device)
        return OnnxExecution(context, session)

    def _session(self, device: Device) -> Any:
        config = self.context.config
        wanted = wanted_providers(config, device, onnxruntime().get_available_providers())
        options = session_options(config, self._settings, str(self.context.directory))
        session = _open(self.context, options, wanted)
        check_obtained(config, device, wanted, session.get_providers())
        check_against_graph(config, read_graph(session))
        return session

    def close(self) -> None:
        """Let the sessions go."""
        self._sessions.clear()


class OnnxExecution(ArrayExecution):
    """One instance."""

    def __init__(self, context: InstanceContext, session: Any) -> None:
        super().__init__(context)
        self._session = session
        graph = read_graph(session)
        self._batching = context.model.config.max_batch_size > 0
        self._names = [tensor.name for tensor in context.model.config.output]
        self._scalars = frozenset(tensor.name for tensor in graph.inputs if not tensor.shape)
        self._strings = frozenset(tensor.name for tensor in graph.inputs if tensor.datatype is DataType.BYTES)
        self._plain = not self._scalars and not self._strings
        self._through_values = _needs_values(graph)
        self._text_or_scalar = [
            tensor.datatype is DataType.BYTES or not tensor.shape
            for name in self._names
            for tensor in graph.outputs
            if tensor.name == name
        ]
        self._simple_outputs = not any(self._text_or_scalar)
        self._run_options = self._make_run_options(context)

    @staticmethod
    def _make_run_options(context: InstanceContext) -> Any:
        arenas = shrinkage(context.model.config)
        if not arenas:
            return None
        options = onnxruntime().RunOptions()
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", arenas)
        return options

    def run(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Run the session on one batch."""
        feeds = {name: as_numpy(tensor) for name, tensor in inputs.items()}
        if not self._plain:
            feeds = {name: self._prepared(name, array) for name, array in feeds.items()}
        try:
            results = self._compute(feeds)
        except InferenceError:
            raise
        except Exception as error:
            text = " ".join(str(error).split())
            if type(error).__name__ == "InvalidArgument":
                raise InvalidArgumentError(f"onnx runtime error 2: {text}") from error
            raise
        outputs = dict(zip(self._names, results, strict=True))
        if self._simple_outputs:
            return outputs
        return {name: self._finished(array) for name, array in outputs.items()}

    def _compute(self, feeds: dict[str, Array]) -> Sequence[Array]:
        if not self._through_values:
            results: Sequence[Array] = self._session.run(self._names, feeds, self._run_options)
            return results
        make = onnxruntime().OrtValue
        values = {
            name: make.ortvalue_from_numpy_with_onnx_type(np.ascontiguousarray(array).view(np.uint16), _BFLOAT16)
            if array.dtype == DataType.BF16.dtype
            else make.ortvalue_from_numpy(array)
            for name, array in feeds.items()
        }
        return [
            _from_value(value) for value in self._session.run_with_ort_values(self._names, values, self._run_options)
        ]

    def _prepared(self, name: str, array: Array) -> Array:
        if name in self._scalars and not self._batching:
            array = array.reshape(())
        return _as_text(name, array) if name in self._strings else array

    def _finished(self, array: Array) -> Array:
        if array.ndim == 0 and not self._batching:
            array = array.reshape((1,))
        return _as_bytes(array) if array.dtype.kind in "OUS" else array

    def close(self) -> None:
        """Let the session go."""
        self._session = None


def _needs_values(graph: Graph) -> bool:
    """ONNX Runtime takes and gives bfloat16 only in its own kind of tensor."""
    return any(tensor.datatype is DataType.BF16 for tensor in (*graph.inputs, *graph.outputs))


def _from_value(value: Any) -> Array:
    if value.data_type() != "tensor(bfloat16)":
        array: Array = value.numpy()
        return array
    data = ctypes.string_at(value.data_ptr(), value.tensor_size_in_bytes())
    return np.frombuffer(data, dtype=DataType.BF16.dtype).reshape(value.shape())


def _as_text(name: str, array: Array) -> Array:
    """ONNX Runtime's strings are text to Python, so that the bytes must be UTF-8."""
    texts = np.empty(array.size, dtype=np.object_)
    try:
        texts[:] = [item.decode() for item in array.ravel().tolist()]
    except UnicodeDecodeError as error:
        raise InvalidArgumentError(
            f"input '{name}' has an element that is no UTF-8 ({error.reason} at byte {error.start}): ONNX Runtime takes text only"
        ) from None
    return texts.reshape(array.shape)


def _as_bytes(array: Array) -> Array:
    items = np.empty(array.size, dtype=np.object_)
    items[:] = [item.encode() if isinstance(item, str) else item for item in array.ravel().tolist()]
    return items.reshape(array.shape)
