"""One instance: a batch's tensors through a program that it may share with its siblings."""

from __future__ import annotations

import logging
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
from charonia.backend import ArrayExecution
from charonia.datatypes import DataType
from charonia.errors import InternalError, InvalidArgumentError

from charonia_backend_pytorch.binding import bind_inputs, bind_outputs, output_datatypes, output_indices
from charonia_backend_pytorch.failures import run_failure
from charonia_backend_pytorch.interface import Kind
from charonia_backend_pytorch.parameters import parameters_of
from charonia_backend_pytorch.program import Program, State
from charonia_backend_pytorch.results import flatten
from charonia_backend_pytorch.runtime import needed, torch
from charonia_backend_pytorch.values import as_bytes, as_number, as_text, as_torch, datatype_of, from_torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from charonia.backend import InstanceContext
    from charonia.tensor import Tensor

__all__ = ["PyTorchExecution"]

_log = logging.getLogger("charonia.backend_pytorch.execution")


class PyTorchExecution(ArrayExecution):
    """One instance.

    On the CPU, inputs and outputs share the memory of numpy's arrays. On a GPU, the instance has a stream of its own; its
    inputs may still be in the making, in the current stream of whoever calls, or, where the instance's own thread calls, in the
    default one; its outputs stay on the device, and are ready when `run` returns.

    Args:
        context: the instance.
        program: what it runs.

    Raises:
        InvalidArgumentError: the configuration does not fit the program.
    """

    def __init__(self, context: InstanceContext, program: Program) -> None:
        super().__init__(context)
        config = context.model.config
        self.predictable = context.device.kind == "CPU" and program.predictable
        self._program = program
        self._places = bind_inputs(config, program.interface)
        self._required = {name for name, place in self._places.items() if place.required}
        self._indices = bind_outputs(config, program.interface)
        self._outputs = output_datatypes(config)
        self._found: dict[tuple[str, ...], Sequence[int]] = {}  # names of results → the indices of the outputs
        parameters = parameters_of(config)
        self._without_gradients = (
            torch().inference_mode if parameters.flag("INFERENCE_MODE", default=True) else torch().no_grad
        )
        self._unoptimized = (
            needed("jit.optimized_execution", "switch for what TorchScript optimises", "remove the parameter")
            if parameters.flag("DISABLE_OPTIMIZED_EXECUTION")
            else None
        )
        self._own_outputs = program.state is not State.NONE
        self._stream = torch().cuda.Stream(program.device) if program.device.type == "cuda" else None
        self._cleans_cache = parameters.flag("ENABLE_CACHE_CLEANING") and self._stream is not None
        self._scattered = context.device.kind == "MODEL"  # then results may be on any device

    def run(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Run the program on one batch.

        Raises:
            InvalidArgumentError: an input is absent that the program needs, text is not UTF-8, a guard of the program refuses a
                shape, or the outputs are not those of the configuration.
            InternalError: the program failed.
        """
        if not self._required <= inputs.keys():
            missing = ", ".join(sorted(self._required - inputs.keys()))
            raise InvalidArgumentError(
                f"model '{self.context.model.name}' cannot do without its input {missing}: give it"
            )
        outputs = self._run(inputs)
        if self._cleans_cache:  # what the run had for itself is free by now
            torch().cuda.empty_cache()
        return outputs

    def _run(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        with self._surroundings():
            arguments = {
                place.name: self._argument(name, place.kind, inputs[name])
                for name, place in self._places.items()
                if name in inputs
            }
            try:
                names, values = flatten(self._program.call(arguments))
            except Exception as error:  # the border of execution: PyTorch's exceptions have no base of their own
                failure = run_failure(error)
                if isinstance(failure, InternalError):
                    _log.warning('model instance "%s": %s', self.context.name, error)
                raise failure from error
            if self._scattered:
                _wait_for(values)
            return self._taken(names, values)

    def _surroundings(self) -> AbstractContextManager[Any]:
        """Set what PyTorch keeps for each thread."""
        plain = self._stream is None and self._unoptimized is None
        return self._without_gradients() if plain else self._stream_and_optimisation()

    @contextmanager
    def _stream_and_optimisation(self) -> Iterator[None]:
        """Do so, and on a GPU wait for what was computed: for inputs in the caller's stream, for outputs in the instance's."""
        if self._stream is not None:
            self._stream.wait_stream(torch().cuda.current_stream(self._program.device))
        with (
            self._without_gradients(),
            nullcontext() if self._unoptimized is None else self._unoptimized(should_optimize=False),
            torch().cuda.stream(self._stream),
        ):
            yield
            if self._stream is not None:
                self._stream.synchronize()

    def _argument(self, name: str, kind: Kind, tensor: Tensor) -> Any:
        if kind is Kind.NUMBER:
            return as_number(tensor)
        if isinstance(tensor, np.ndarray) and tensor.dtype == np.object_:
            return as_text(name, tensor)
        return as_torch(tensor, self._program.device, own=self._program.writes_inputs)

    def _taken(self, names: tuple[str, ...], values: Sequence[Any]) -> dict[str, Tensor]:
        indices = self._indices
        if indices is None:
            indices = self._found.get(names)
        if indices is None:
            indices = output_indices(list(self._outputs), [(name,) if name else () for name in names])
            self._found[names] = indices
        return {
            name: self._output(name, datatype, values[index])
            for (name, datatype), index in zip(self._outputs.items(), indices, strict=True)
        }

    def _output(self, name: str, datatype: DataType, value: Any) -> Tensor:
        if isinstance(value, torch().Tensor):
            found = datatype_of(value.dtype)
            if found is not datatype:
                raise self._mismatch(name, datatype, found.config_name if found else str(value.dtype))
            return from_torch(value, own=self._own_outputs)
        if isinstance(value, list):
            if datatype is not DataType.BYTES:
                raise self._mismatch(name, datatype, DataType.BYTES.config_name)
            return as_bytes(value)
        if isinstance(value, bool | int | float) and datatype is not DataType.BYTES:
            return np.array([value], datatype.dtype)
        raise self._mismatch(name, datatype, f"an object of {type(value).__name__}")

    def _mismatch(self, name: str, expected: DataType, found: str) -> InvalidArgumentError:
        return InvalidArgumentError(
            f"configuration expects datatype {expected.config_name} for output '{name}', model provides {found}: correct the "
            f"configuration of model '{self.context.model.name}'"
        )

    def close(self) -> None:
        """Let the program go; it is closed by the model."""
        del self._program


def _wait_for(values: Sequence[Any]) -> None:
    """Wait for results on the devices on which a model has put them by itself."""
    for device in {value.device for value in values if getattr(value, "is_cuda", False)}:
        torch().cuda.current_stream(device).synchronize()
