"""One instance: a batch's arrays through a session that it shares with its siblings."""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Any

from charonia.backend import ArrayExecution
from charonia.datatypes import DataType
from charonia.errors import InternalError, InvalidArgumentError
from charonia.graph import state_outputs
from charonia.tensor import as_numpy

from charonia_backend_onnx.failures import run_failure
from charonia_backend_onnx.parameters import SHRINKAGE
from charonia_backend_onnx.runtime import onnxruntime
from charonia_backend_onnx.values import array_of_value, as_bytes, as_text, as_value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from charonia.backend import InstanceContext
    from charonia.graph import Graph, GraphTensor
    from charonia.tensor import Array, Tensor

__all__ = ["OnnxExecution"]

_log = logging.getLogger("charonia.backend_onnx.execution")

_FATAL = 4
"""What fails in a run is an exception, so that ONNX Runtime's own line about it would say it twice."""


class OnnxExecution(ArrayExecution):
    """One instance.

    Inputs and outputs are numpy arrays: IO binding was measured, and on the CPU it saves no copy and costs a few
    microseconds. Only bfloat16, which numpy lacks, takes the way through ONNX Runtime's own values.

    Args:
        context: the instance.
        session: its session, which many threads may run at once.
        graph: what the session says of its inputs and outputs.
        arenas: the arenas that are to shrink after each run; "" for none.
    """

    runs_code = False

    def __init__(self, context: InstanceContext, session: Any, graph: Graph, *, arenas: str = "") -> None:
        super().__init__(context)
        self.predictable = context.device.kind == "CPU"
        self._session = session
        self._bare_session = _bare(session) if self.predictable else session
        config = context.model.config
        self._names = [*(tensor.name for tensor in config.output), *state_outputs(config)]
        optional = {tensor.name for tensor in config.input if tensor.optional}
        self._needed = [tensor.name for tensor in graph.inputs if tensor.name in optional and not tensor.optional]
        served = [tensor for name in self._names for tensor in graph.outputs if tensor.name == name]
        self._through_values = any(tensor.datatype is DataType.BF16 for tensor in served)
        self._input_conversions = self._conversions_of_inputs(graph)
        self._output_conversions = [
            (tensor.name, _output_conversion(tensor))
            for tensor in served
            if tensor.datatype is DataType.BYTES or not tensor.shape
        ]
        self._run_options = onnxruntime().RunOptions()
        self._run_options.log_severity_level = _FATAL
        if arenas:
            self._run_options.add_run_config_entry(SHRINKAGE, arenas)

    def _conversions_of_inputs(self, graph: Graph) -> list[tuple[str, Callable[[Array], Any]]]:
        one_element = {tensor.name for tensor in self.context.model.config.input if list(tensor.dims) == [1]}
        conversions: list[tuple[str, Callable[[Array], Any]]] = []
        for tensor in (*graph.inputs, *graph.initializers):
            if not tensor.shape and tensor.name in one_element:
                conversions.append((tensor.name, _as_scalar))
            if tensor.datatype is DataType.BYTES:
                conversions.append((tensor.name, functools.partial(as_text, tensor.name)))
            elif tensor.datatype is DataType.BF16 or self._through_values:
                conversions.append((tensor.name, as_value))
        return conversions

    def run(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Run the session on one batch.

        Raises:
            InvalidArgumentError: text is not UTF-8, the graph needs more inputs, or ONNX Runtime cannot use these.
            InternalError: the graph failed.
        """
        feeds: dict[str, Any] = {}
        for name, tensor in inputs.items():
            feeds[name] = as_numpy(tensor)
        for name in self._needed:
            if name not in feeds:
                raise InvalidArgumentError(
                    f"input '{name}' is missing, which the graph of model '{self.context.model.config.name}' needs, although "
                    "its configuration calls it optional"
                )
        for name, convert in self._input_conversions:
            if name in feeds:
                feeds[name] = convert(feeds[name])
        try:
            results = (
                self._run_values(feeds)
                if self._through_values
                else self._bare_session.run(self._names, feeds, self._run_options)
            )
        except Exception as error:  # the border of execution: ONNX Runtime's exceptions have no base of their own
            failure = run_failure(error)
            if isinstance(failure, InternalError):
                _log.warning('model instance "%s": %s', self.context.name, failure)
            raise failure from error
        outputs = dict(zip(self._names, results, strict=True))
        for name, convert in self._output_conversions:
            outputs[name] = convert(outputs[name])
        return outputs

    def _run_values(self, feeds: Mapping[str, Any]) -> Sequence[Array]:
        values = self._session.run_with_ort_values(self._names, feeds, self._run_options)
        return [array_of_value(value) for value in values]

    def close(self) -> None:
        """Let the session go."""
        self._session = self._bare_session = None


def _bare(session: Any) -> Any:
    """Give a session without its wrapper in Python, where one can get at it.

    The wrapper looks once more at what has been checked, which takes a third of the time of a small graph, and goes over to the
    CPU where a GPU fails.
    """
    return getattr(session, "_sess", session)


def _as_scalar(array: Array) -> Array:
    return array.reshape(())


def _output_conversion(tensor: GraphTensor) -> Callable[[Array], Array]:
    text = tensor.datatype is DataType.BYTES

    def convert(array: Array) -> Array:
        if array.ndim == 0:  # the protocol shows a scalar as one element
            array = array.reshape((1,))
        return as_bytes(array) if text else array

    return convert
