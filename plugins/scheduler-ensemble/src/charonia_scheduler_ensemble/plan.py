"""What is to be done for a request, worked out when the ensemble loads and once for each set of inputs and outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from charonia.config.ensemble_graph import EnsembleGraph, steps_in_order

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from charonia.config import ModelConfig
    from charonia.request import InferenceRequest
    from charonia.tensor import Tensor

__all__ = ["Place", "Plan", "Route", "Segment", "Step"]

_MOST_ROUTES = 256
"""Clients choose the outputs: more choices than that are worked out anew each time."""


@dataclass(frozen=True)
class Place:
    """A tensor as a model takes or gives it.

    Attributes:
        rank: the number of its dimensions, the batch included.
        batched: whether the first of them is the batch.
    """

    rank: int
    batched: bool

    def fit(self, tensor: Tensor) -> Tensor:
        """Give the tensor with a batch dimension of 1 more or less where that makes it fit, and else as it is. Never copies."""
        rank = len(tensor.shape)
        if rank == self.rank:
            return tensor
        view: Any = tensor  # whatever library it is of, these two give a view
        if self.batched and rank == self.rank - 1:
            return view[None]  # type: ignore[no-any-return]  # see above
        if not self.batched and rank == self.rank + 1 and tensor.shape[0] == 1:
            return view[0]  # type: ignore[no-any-return]  # see above
        return tensor


@dataclass(frozen=True)
class Step:
    """A model of the ensemble with its tensors.

    Attributes:
        index: its place in the configuration.
        model: the model's name.
        version: its version, or None for the greatest one that serves when it is asked.
        decoupled: whether it may answer any number of times.
        inputs: the model's input, the ensemble tensor, and the input's place.
        reads: the ensemble tensors of the inputs, each once.
        outputs: the model's output → the ensemble tensor.
        wanted: the outputs that the model is asked for.
        required: the ensemble tensors without which the model cannot be asked.
    """

    index: int
    model: str
    version: int | None
    decoupled: bool
    inputs: Sequence[tuple[str, str, Place]]
    reads: frozenset[str]
    outputs: Mapping[str, str]
    wanted: tuple[str, ...]
    required: frozenset[str]

    def __str__(self) -> str:
        return f"step {self.index}, model '{self.model}'"


@dataclass(frozen=True)
class Segment:
    """The part of the graph in which everything happens as often as one decoupled step answers, or once.

    Attributes:
        steps: the steps.
        readers: ensemble tensor → the steps that read it.
        counts: step → how many tensors it waits for.
        outputs: the outputs of a response that is made here, in the ensemble's order, with their places; none where none is.
    """

    steps: Mapping[int, Step]
    readers: Mapping[str, Sequence[int]]
    counts: Mapping[int, int]
    outputs: Mapping[str, Place]


@dataclass(frozen=True)
class Route:
    """The steps that requests with certain inputs and outputs need.

    Attributes:
        segments: by the index of the decoupled step that begins it; the first one by None.
        reachable: whether all outputs can be made from the inputs.
    """

    segments: Mapping[int | None, Segment]
    reachable: bool


class Plan:
    """An ensemble's steps, and the way of each request through them.

    Args:
        config: the ensemble's configuration, which was checked.
        models: the configuration of each step's model.
    """

    def __init__(self, config: ModelConfig, models: Sequence[ModelConfig]) -> None:
        self.name = config.name
        self.decoupled = config.model_transaction_policy.decoupled
        self._outputs = {
            tensor.name: _place(len(tensor.dims), batched=config.max_batch_size > 0) for tensor in config.output
        }
        self._inputs = {tensor.name for tensor in config.input}
        self._has_optional = any(tensor.optional for tensor in config.input)
        self._steps = [
            _step(index, step, model)
            for index, (step, model) in enumerate(zip(config.ensemble_scheduling.step, models, strict=True))
        ]
        self._writers = {tensor: step for step in self._steps for tensor in step.outputs.values()}
        self._origins = EnsembleGraph(config).origins([step.decoupled for step in self._steps])
        self._routes: dict[tuple[tuple[str, ...], frozenset[str]], Route] = {}
        self._all_inputs = frozenset(self._inputs)

    def route(self, request: InferenceRequest) -> Route:
        """Give the way of a request. Any thread."""
        inputs = frozenset(request.inputs) if self._has_optional else self._all_inputs
        key = (request.requested_outputs, inputs)
        route = self._routes.get(key)
        if route is None:
            route = self._find(request.requested_outputs or tuple(self._outputs), inputs)
            if len(self._routes) < _MOST_ROUTES:
                self._routes[key] = route
        return route

    def _find(self, wanted: Iterable[str], inputs: frozenset[str]) -> Route:
        able = [self._steps[index] for index in self._able(inputs)]
        there = inputs.union(*(step.outputs.values() for step in able))
        by_origin: dict[int | None, list[Step]] = {None: []}
        for step in self._needed(wanted, {step.index for step in able}):
            if step.decoupled:
                by_origin.setdefault(step.index, [])
            by_origin.setdefault(self._origin(step), []).append(step)
        asked = frozenset(wanted)
        outputs = {name: place for name, place in self._outputs.items() if name in asked}
        end = self._origins[next(iter(outputs))]
        return Route(
            {origin: _segment(steps, there, outputs if origin == end else {}) for origin, steps in by_origin.items()},
            reachable=there.issuperset(outputs),
        )

    def _able(self, inputs: frozenset[str]) -> Iterable[int]:
        """Find the steps that have all they require."""
        steps = self._steps
        return steps_in_order([step.required for step in steps], [step.outputs.values() for step in steps], inputs)

    def _needed(self, tensors: Iterable[str], able: set[int]) -> Iterable[Step]:
        """Find the steps on the ways from the request to these tensors, of those that are able."""
        needed: dict[int, Step] = {}
        left = list(tensors)
        while left:
            step = self._writers.get(left.pop())
            if step is not None and step.index in able and step.index not in needed:
                needed[step.index] = step
                left += [tensor for _, tensor, _ in step.inputs]
        return needed.values()

    def _origin(self, step: Step) -> int | None:
        """Find the decoupled step whose responses a step's inputs follow."""
        origins = (self._origins[tensor] for _, tensor, _ in step.inputs)
        return next((origin for origin in origins if origin is not None), None)


def _place(dims: int, *, batched: bool) -> Place:
    return Place(dims + batched, batched)


def _step(index: int, step: Any, model: ModelConfig) -> Step:
    """Describe a step; `step` is the message of the configuration."""
    declared = {tensor.name: tensor for tensor in model.input}
    batched = model.max_batch_size > 0
    return Step(
        index,
        step.model_name,
        None if step.model_version == -1 else step.model_version,
        model.model_transaction_policy.decoupled,
        [(name, tensor, _place(len(declared[name].dims), batched=batched)) for name, tensor in step.input_map.items()],
        frozenset(step.input_map.values()),
        dict(step.output_map),
        tuple(step.output_map),
        frozenset(tensor for name, tensor in step.input_map.items() if not declared[name].optional),
    )


def _segment(steps: Sequence[Step], there: frozenset[str], outputs: Mapping[str, Place]) -> Segment:
    readers: dict[str, list[int]] = {}
    counts: dict[int, int] = {}
    for step in steps:
        read = {tensor for _, tensor, _ in step.inputs if tensor in there}
        counts[step.index] = len(read)
        for tensor in read:
            readers.setdefault(tensor, []).append(step.index)
    return Segment({step.index: step for step in steps}, readers, counts, outputs)
