"""One instance: a batch's arrays through an engine that it shares with its siblings, by a stream of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from charonia.backend import ArrayExecution
from charonia.errors import CharoniaError, InvalidArgumentError
from charonia.tensor import as_numpy

from charonia_backend_tensorrt.context import EngineContext
from charonia_backend_tensorrt.cuda import Stream
from charonia_backend_tensorrt.profiles import best_profile, instance_profiles

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charonia.backend import InstanceContext
    from charonia.tensor import Tensor

    from charonia_backend_tensorrt.engine import Engine

__all__ = ["TensorRTExecution"]


class TensorRTExecution(ArrayExecution):
    """One instance, with an execution context for each profile that its group names.

    Args:
        context: the instance.
        engine: the engine on its GPU.
        strategy: see `EngineContext`.

    Raises:
        InvalidArgumentError: its group names a profile that the engine does not have.
        UnavailableError: the GPU has not enough memory.
    """

    runs_code = False

    def __init__(self, context: InstanceContext, engine: Engine, strategy: str) -> None:
        super().__init__(context)
        self._tensors = engine.tensors
        self._inputs = {tensor.name: tensor.shape for tensor in engine.tensors if tensor.is_input}
        self._names = [tensor.name for tensor in context.model.config.output]
        profiles = instance_profiles(context, engine.handle.num_optimization_profiles)
        self._stream = Stream(engine.gpu)
        self._contexts: dict[int, EngineContext] = {}
        try:
            for profile in profiles:
                self._contexts[profile] = EngineContext(engine, profile, strategy, self._stream)
        except CharoniaError:
            self.close()
            raise

    def run(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Run the engine on one batch.

        Raises:
            InvalidArgumentError: an input is absent, no profile allows the shapes, or TensorRT refuses the inputs.
            UnavailableError: the GPU has not enough memory.
            InternalError: the execution failed.
        """
        missing = ", ".join(name for name in self._inputs if name not in inputs)
        if missing:
            raise InvalidArgumentError(
                f"model '{self.context.model.name}' cannot do without its input {missing}: give it"
            )
        arrays = {name: np.ascontiguousarray(as_numpy(tensor)) for name, tensor in inputs.items()}
        for name, array in arrays.items():
            if self._inputs[name] == ():  # the protocol shows a scalar as one element
                arrays[name] = array.reshape(())
        shapes = {name: array.shape for name, array in arrays.items()}
        profile = best_profile(self._tensors, shapes, list(self._contexts), self.context.name)
        outputs = self._contexts[profile].run(arrays)
        return {name: np.atleast_1d(outputs[name]) for name in self._names}

    def close(self) -> None:
        """Let the contexts, their memory and the stream go."""
        for each in self._contexts.values():
            each.close()
        self._contexts.clear()
        self._stream.close()
