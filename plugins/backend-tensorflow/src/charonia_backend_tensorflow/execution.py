"""One instance: a batch's arrays through a session that it shares with its siblings."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
from charonia.backend import ArrayExecution
from charonia.errors import InternalError, InvalidArgumentError
from charonia.graph import state_outputs
from charonia.tensor import as_numpy

from charonia_backend_tensorflow.failures import run_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from charonia.backend import InstanceContext
    from charonia.config import ModelConfig
    from charonia.tensor import Array, Tensor

    from charonia_backend_tensorflow.endpoints import Endpoints

__all__ = ["TensorFlowExecution"]

_log = logging.getLogger("charonia.backend_tensorflow.execution")

_TENSORFLOWS_POOL = 0
_OWN_THREAD = -1
"""TensorFlow's own numbers for where the operators of a run are computed."""


class TensorFlowExecution(ArrayExecution):
    """One instance.

    Args:
        context: the instance.
        session: its session, which many threads may run at once.
        endpoints: where the model's tensors are in the session's graph.
        one_by_one: whether the instance's own thread computes all operators. Otherwise it waits for threads of TensorFlow's, and
            nobody can tell from its own time how long that takes.
    """

    runs_code = False

    def __init__(
        self, context: InstanceContext, session: Any, endpoints: Endpoints, *, one_by_one: bool = False
    ) -> None:
        super().__init__(context)
        self.predictable = one_by_one and context.device.kind == "CPU"
        self._thread_pool = _OWN_THREAD if one_by_one else _TENSORFLOWS_POOL
        config = context.model.config
        self._session = session
        self._endpoints = endpoints
        self._outputs = [*(tensor.name for tensor in config.output), *state_outputs(config)]
        self._calls: dict[tuple[str, ...], Callable[..., Sequence[Any]]] = {}
        shapes = {tensor.name: tensor.shape for tensor in endpoints.graph.inputs}
        self._scalars = {
            tensor.name for tensor in config.input if shapes[tensor.name] == () and list(tensor.dims) == [1]
        }
        self._narrow = _narrower_than_configured(config, shapes)

    def run(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Run the session on one batch.

        Raises:
            InvalidArgumentError: the graph refuses these inputs.
            InternalError: the graph failed.
        """
        arrays = {name: as_numpy(tensor) for name, tensor in inputs.items()}
        for name, shape in self._narrow.items():
            if name in arrays:
                _check_shape(name, arrays[name].shape, shape)
        for name in self._scalars & arrays.keys():
            arrays[name] = arrays[name].reshape(())
        names = tuple(arrays)
        call = self._calls.get(names) or self._prepare(names)
        try:
            results = call(*arrays.values())
        except Exception as error:  # the border of execution: TensorFlow's exceptions have no base of their own
            failure = run_failure(error)
            if isinstance(failure, InternalError):
                _log.warning('model instance "%s": %s', self.context.name, failure)
            raise failure from error
        return {name: _as_array(result) for name, result in zip(self._outputs, results, strict=True)}

    def _prepare(self, names: tuple[str, ...]) -> Callable[..., Sequence[Any]]:
        """Make the function that takes these inputs in this order; which ones there are, optional inputs decide."""
        from tensorflow.core.protobuf import config_pb2

        options = config_pb2.CallableOptions(
            feed=[self._endpoints.inputs[name] for name in names],
            fetch=[self._endpoints.outputs[name] for name in self._outputs],
        )
        options.run_options.inter_op_thread_pool = self._thread_pool
        # Not public, and as old as sessions: Keras's own way. The public `Session.run` takes ten times as long for a small model
        call: Callable[..., Sequence[Any]] = self._session._make_callable_from_options(options)  # noqa: SLF001
        self._calls[names] = call
        return call

    def close(self) -> None:
        """Let go of the functions, which must end before the session, and of the session."""
        self._calls.clear()
        self._session = None


def _narrower_than_configured(
    config: ModelConfig, shapes: Mapping[str, tuple[int, ...] | None]
) -> dict[str, tuple[int, ...]]:
    """List the inputs with a dimension that the configuration leaves open and the graph does not: nobody else checks it."""
    narrow = {}
    for tensor in config.input:
        shape = shapes[tensor.name]
        dims = tensor.reshape.shape if tensor.HasField("reshape") else tensor.dims
        if shape and -1 in dims and any(size != -1 for size in shape[len(shape) - len(dims) :]):
            narrow[tensor.name] = shape
    return narrow


def _check_shape(name: str, found: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if len(found) != len(expected) or any(size not in (-1, here) for here, size in zip(found, expected, strict=True)):
        raise InvalidArgumentError(f"input '{name}' has shape {list(found)}, but the model takes {list(expected)}")


def _as_array(result: Any) -> Array:
    """Make an array of what TensorFlow gives; a scalar, which it gives as a number or as bytes, becomes one element."""
    if isinstance(result, np.ndarray):
        return result
    return np.array([result], dtype=np.object_ if isinstance(result, bytes) else result.dtype)
