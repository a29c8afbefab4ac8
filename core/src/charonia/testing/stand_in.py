"""Models that stand in for those which a model under test calls."""

from __future__ import annotations

import inspect
import uuid
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from charonia.arrays import TensorLayout
from charonia.backend import Backend, Execution, LoadedModel
from charonia.errors import InternalError
from charonia.hookspecs import hookimpl
from charonia.request import InferenceResponse
from charonia.signature import Signature
from charonia.tensor import as_numpy, as_tensor
from charonia.testing.builders import model_config, write_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from charonia.backend import Batch, InstanceContext, ModelContext
    from charonia.request import InferenceRequest
    from charonia.tensor import Array
    from charonia.testing.builders import TensorTuple

__all__ = ["StandIn", "StandInPlugin", "standing_in"]

_KEY = "stand-in"


@dataclass
class StandIn:
    """A model whose answers a test gives.

        double = StandIn([("X", "FP32", [-1])], [("Y", "FP32", [-1])], lambda inputs: {"Y": inputs["X"] * 2})

    Attributes:
        inputs: each as (name, datatype by its wire name, dims), all dimensions included.
        outputs: likewise.
        answer: from the inputs by name to the outputs by name. What it raises is the answer; an InferenceError keeps its code. A
            generator function gives a response for each of its items, and makes the model a decoupled one.
        calls: the inputs of each request that came, in their order.
    """

    inputs: Sequence[TensorTuple]
    outputs: Sequence[TensorTuple]
    answer: Callable[[Mapping[str, Array]], Any]
    calls: list[Mapping[str, Array]] = field(default_factory=list)

    in_use: ClassVar[dict[str, StandIn]] = {}  # by a key, since that is all that a configuration can hold


class StandInPlugin:
    """Offers the backend of models that stand in."""

    @hookimpl
    def charonia_backends(self) -> dict[str, str]:
        """Offer the one backend."""
        return {_KEY: "charonia.testing.stand_in:StandInBackend"}


@contextmanager
def standing_in(models: Mapping[str, StandIn]) -> Iterator[Callable[[Path], None]]:
    """Have models stand in for the time of the block; gives what writes them into a repository.

    Raises:
        TypeError: one of them is no StandIn.
    """
    for name, model in models.items():
        if not isinstance(model, StandIn):
            raise TypeError(
                f"what stands in for model '{name}' is of type {type(model).__name__}: "
                "it must be a StandIn(inputs, outputs, answer)"
            )
    keys = {name: uuid.uuid4().hex for name in models}
    StandIn.in_use.update({keys[name]: model for name, model in models.items()})

    def write(repository: Path) -> None:
        for name, model in models.items():
            config = model_config(
                name,
                backend=_KEY,
                inputs=model.inputs,
                outputs=model.outputs,
                max_batch_size=0,
                decoupled=inspect.isgeneratorfunction(model.answer),
                parameters={_KEY: keys[name]},
            )
            write_model(repository, config)

    try:
        yield write
    finally:
        for key in keys.values():
            del StandIn.in_use[key]


class _StandInExecution(Execution):
    """Has the test answer."""

    def __init__(self, context: InstanceContext, model: StandIn) -> None:
        super().__init__(context)
        self._model = model
        self._layout = TensorLayout(context.model.config)
        self._outputs = Signature(context.model.config).outputs

    def execute(self, batch: Batch) -> None:
        """Answer each request by what the test's function gives."""
        for request in batch.requests:
            inputs = {name: as_numpy(tensor) for name, tensor in request.inputs.items()}
            self._model.calls.append(inputs)
            answer = self._model.answer(inputs)
            if not inspect.isgenerator(answer):
                request.respond(self._response(request, answer))
                continue
            for part in answer:
                response = self._response(request, part)
                response.final = False
                request.respond(response)
            request.respond(InferenceResponse())

    def _response(self, request: InferenceRequest, answer: Any) -> InferenceResponse:
        if not isinstance(answer, Mapping) or not answer.keys() <= self._outputs.keys():
            given = list(answer) if isinstance(answer, Mapping) else f"of type {type(answer).__name__}"
            raise InternalError(
                f"the answer of what stands in for model '{request.model_name}' is {given}: it must be a mapping "
                f"from the names of its outputs, {list(self._outputs)}, to arrays"
            )
        outputs = {name: as_tensor(value, self._outputs[name].datatype) for name, value in answer.items()}
        return self._layout.split([request], outputs)[0]


class _StandInModel(LoadedModel):
    def __init__(self, context: ModelContext, model: StandIn) -> None:
        super().__init__(context)
        self._model = model

    def instantiate(self, context: InstanceContext) -> Execution:
        return _StandInExecution(context, self._model)


class StandInBackend(Backend):
    """Finds the test's model."""

    def load(self, context: ModelContext) -> LoadedModel:
        """Find it by the key in the configuration."""
        return _StandInModel(context, StandIn.in_use[context.config.parameters[_KEY].string_value])
