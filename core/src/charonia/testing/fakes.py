"""A small real backend without any framework, and the plugin that offers it.

    with Server(repository, plugins=Plugins(entry_points=(), extra=[ArithmeticPlugin()])) as server: ...

A model of the backend "arithmetic" gives for each input, in the order of the configuration, an output: numbers times
`scale` plus `addend`, and BYTES as they are. Its settings are parameters of the configuration, or stand in the file
`model.json` of the version, which wins:

    scale, addend    numbers; 1 and 0 if not given
    fail_on          a number: an execution that meets it in an input raises a ValueError
    gate             the name of a `Gate` at which every execution waits

With `decoupled`, a request gets as many responses as its first input's first element says, each with the number that is left.
Where the configuration names no tensors, `model.json` may: {"inputs": [["INPUT0", "FP32", [4]]], "outputs": …,
"max_batch_size": 8}.
"""

from __future__ import annotations

import json
import queue
import threading
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from charonia.backend import ArrayExecution, Backend, Execution, InstanceContext, LoadedModel, ModelContext
from charonia.config import ModelConfig
from charonia.datatypes import DataType
from charonia.errors import InvalidArgumentError
from charonia.hookspecs import hookimpl
from charonia.request import InferenceResponse
from charonia.tensor import Array, Tensor, as_numpy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from charonia.backend import Batch

__all__ = ["ArithmeticBackend", "ArithmeticPlugin", "Gate"]


class ArithmeticPlugin:
    """Offers the backend "arithmetic"."""

    @hookimpl
    def charonia_backends(self) -> dict[str, str]:
        """Offer the one backend."""
        return {"arithmetic": "charonia.testing.fakes:ArithmeticBackend"}


class Gate:
    """A point at which the executions of some models wait until a test lets them go on.

    Used as a context manager; while its block lasts, models whose `gate` is this name wait here. At the end of the block all
    go on.

        with Gate("slow") as gate:
            ...                 # submit a request to a model with the parameter gate = "slow"
            gate.wait_entered() # an instance executes it now
            gate.open()         # and may go on
    """

    PATIENCE_SECONDS: ClassVar[float] = 60.0
    in_use: ClassVar[dict[str, Gate]] = {}  # by name, since that is all that an execution's settings can say

    def __init__(self, name: str) -> None:
        self.name = name
        self._opened = threading.Event()
        self._entered: queue.SimpleQueue[str] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        if self.in_use.setdefault(self.name, self) is not self:
            raise ValueError(f"a gate {self.name!r} is in use already")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del self.in_use[self.name]
        self.open()

    def open(self) -> None:
        """Let everybody pass who waits, and who will come."""
        self._opened.set()

    def wait_entered(self) -> str:
        """Wait until one more execution has come to the gate, and give its instance's name."""
        return self._entered.get(timeout=self.PATIENCE_SECONDS)

    def wait_open(self, instance: str) -> None:
        """Come to the gate, and wait for it to be opened.

        Raises:
            TimeoutError: nobody opened it.
        """
        self._entered.put(instance)
        if not self._opened.wait(self.PATIENCE_SECONDS):
            raise TimeoutError(f"the gate {self.name!r} was never opened")


class ArithmeticExecution(ArrayExecution):
    """Scales and shifts numbers."""

    def __init__(self, context: InstanceContext, settings: Mapping[str, Any]) -> None:
        super().__init__(context)
        self._settings = settings
        self._pairs = [
            (i.name, o.name) for i, o in zip(context.model.config.input, context.model.config.output, strict=False)
        ]

    def run(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Compute each output from the input at its place."""
        _meet(self._settings, self.context, inputs)
        return {target: self._value(inputs[source]) for source, target in self._pairs if source in inputs}

    def _value(self, tensor: Tensor) -> Tensor:
        array = as_numpy(tensor)
        scale, addend = float(self._settings.get("scale", 1)), float(self._settings.get("addend", 0))
        if array.dtype.kind in "Ob" or (scale, addend) == (1, 0):
            return array
        result: Array = array * array.dtype.type(scale) + array.dtype.type(addend)
        return result


class CountdownExecution(Execution):
    """Answers a request as often as it says."""

    answers_late = True

    def __init__(self, context: InstanceContext, settings: Mapping[str, Any]) -> None:
        super().__init__(context)
        self._settings = settings

    def execute(self, batch: Batch) -> None:
        """Count down for each request, and end with an empty final response."""
        output = self.context.model.config.output[0].name
        for request in batch.requests:
            _meet(self._settings, self.context, request.inputs)
            first = as_numpy(next(iter(request.inputs.values())))
            for left in range(int(first.ravel()[0]), 0, -1):
                request.respond(InferenceResponse({output: np.full_like(first, left)}, final=False))
            request.respond(InferenceResponse())


def _meet(settings: Mapping[str, Any], context: InstanceContext, inputs: Mapping[str, Tensor]) -> None:
    """Wait at the gate, and fail where it was wished."""
    gate = Gate.in_use.get(settings.get("gate", ""))
    if gate is not None:
        gate.wait_open(context.name)
    if "fail_on" in settings:
        unwanted = float(settings["fail_on"])
        for name, tensor in inputs.items():
            array = as_numpy(tensor)
            if array.dtype.kind != "O" and (array == unwanted).any():
                raise ValueError(f"{name} has the value {unwanted:g}")


class ArithmeticModel(LoadedModel):
    """The settings of one version."""

    def __init__(self, context: ModelContext, settings: Mapping[str, Any]) -> None:
        super().__init__(context)
        self._settings = settings

    def instantiate(self, context: InstanceContext) -> Execution:
        """Make an execution that fits the model's transaction policy."""
        if context.model.config.model_transaction_policy.decoupled:
            return CountdownExecution(context, self._settings)
        return ArithmeticExecution(context, self._settings)


class ArithmeticBackend(Backend):
    """See the module's description."""

    default_model_filename = "model.json"

    def complete_config(self, context: ModelContext) -> ModelConfig:
        """Fill in tensors and max_batch_size from `model.json`, where the configuration has no tensors."""
        config = ModelConfig()
        config.CopyFrom(context.config)
        content = _content(context)
        if not config.input and not config.output and "inputs" in content:
            config.max_batch_size = content.get("max_batch_size", 0)
            for field, tensors in ((config.input, content["inputs"]), (config.output, content["outputs"])):
                for name, datatype, dims in tensors:
                    field.add(name=name, data_type=DataType[datatype].number, dims=dims)
        return config

    def load(self, context: ModelContext) -> LoadedModel:
        """Read the settings."""
        parameters = {name: value.string_value for name, value in context.config.parameters.items()}
        return ArithmeticModel(context, {**parameters, **_content(context)})


def _content(context: ModelContext) -> dict[str, Any]:
    if not context.model_path.is_file():
        return {}
    try:
        content = json.loads(context.model_path.read_bytes())
    except ValueError as error:
        raise InvalidArgumentError(f'"{context.model_path}" is no JSON: {error}') from error
    if not isinstance(content, dict):
        raise InvalidArgumentError(
            f'"{context.model_path}" holds a {type(content).__name__}, not an object of settings'
        )
    return content
