"""Instances of Python models: from a batch to the model's object and back."""

from __future__ import annotations

import json
import threading
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeAlias

from charonia.arrays import TensorLayout
from charonia.backend import Execution
from charonia.config import config_to_json
from charonia.errors import InferenceError
from charonia.model_parameters import ModelParameters

from charonia_backend_custom.answers import Answers
from charonia_backend_custom.circles import Running
from charonia_backend_custom.served import RequestMaker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import triton_python_backend_utils as pb_utils
    from charonia.backend import Batch, InstanceContext, ModelContext
    from charonia.request import InferenceResponse

    from charonia_backend_custom.circles import WaitGraph
    from charonia_backend_custom.served import ServedRequest

__all__ = ["ModelCalls", "ModelExecution", "batches_at_once", "execution_of", "initialize_arguments"]

_AT_ONCE = 64
"""How many batches of an `execute` that is a coroutine are in progress at once, unless the model says otherwise."""

TakeAnswers: TypeAlias = "Callable[[list[pb_utils.InferenceResponse] | None, InferenceError | None], None]"
"""Gets the answers to a batch, or why there are none."""


class ModelCalls(Protocol):
    """Calls into the code of a model's object, wherever that is: `ModelObject`, or what has the process in which one is."""

    is_async: bool

    def answers(self, requests: Sequence[ServedRequest], task: Running) -> list[pb_utils.InferenceResponse] | None:
        """Have requests executed that get one response each, and wait for it."""

    def answers_later(self, requests: Sequence[ServedRequest], task: Running, take: TakeAnswers) -> None:
        """Do as `answers` for an `execute` that is a coroutine, and do not wait."""

    def begin(
        self, requests: Sequence[ServedRequest], task: Running, end: Callable[[InferenceError | None], None]
    ) -> None:
        """Have requests executed that are answered by senders only."""

    def close(self) -> None:
        """Have the model finalise itself, and let it go. Idempotent."""


class ModelExecution(Execution):
    """What all kinds of instances share.

    Args:
        context: the instance.
        calls: the model's object, closed with the instance.
        graph: where executions that wait are known.
    """

    def __init__(self, context: InstanceContext, calls: ModelCalls, graph: WaitGraph) -> None:
        super().__init__(context)
        config = context.model.config
        layout = TensorLayout(config)
        decoupled = config.model_transaction_policy.decoupled
        self._requests = RequestMaker(layout, Answers(config, layout), decoupled=decoupled)
        self._graph = graph
        self._calls = calls

    def _enter(self, batch: Batch, *, holds_instance: bool = True) -> Running:
        model = self.context.model
        running = Running(model.name, model.version, batch.requests, holds_instance=holds_instance)
        self._graph.enter(running)
        return running

    def _responses(self, batch: Batch, answers: Sequence[pb_utils.InferenceResponse]) -> list[InferenceResponse]:
        make = self._requests.answers.response
        return [make(request, answer) for request, answer in zip(batch.requests, answers, strict=True)]

    def close(self) -> None:
        """Have the model finalise itself, and let it go. Idempotent."""
        self._calls.close()


class UnaryExecution(ModelExecution):
    """An instance that answers each request once: by what `execute` returns, or by a sender before it returns."""

    def execute(self, batch: Batch) -> None:
        """Have the model answer; as in the reference, an answer that is wrong in form fails the whole batch."""
        batch.mark_compute_start()
        running = self._enter(batch)
        try:
            answers = self._calls.answers([self._requests.of(request) for request in batch.requests], running)
        finally:
            self._graph.leave(running)
        batch.mark_compute_end()
        if answers is not None:
            batch.respond_all(self._responses(batch, answers))


class CoroutineExecution(ModelExecution):
    """An instance whose `execute` is a coroutine, and answers each request once.

    The next batch begins while earlier ones are still in progress.

    Args:
        context: the instance.
        calls: the model's object, closed with the instance.
        graph: where executions that wait are known.
        at_once: how many batches may be in progress.
    """

    answers_late: ClassVar[bool] = True

    def __init__(self, context: InstanceContext, calls: ModelCalls, graph: WaitGraph, *, at_once: int) -> None:
        super().__init__(context, calls, graph)
        self._room = threading.Semaphore(at_once)

    def execute(self, batch: Batch) -> None:
        """Have the model begin to answer, as soon as there is room for one more batch."""
        self._room.acquire()
        batch.mark_compute_start()
        running = self._enter(batch, holds_instance=False)
        requests = [self._requests.of(request) for request in batch.requests]
        self._calls.answers_later(requests, running, partial(self._take, batch, running))

    def _take(
        self,
        batch: Batch,
        running: Running,
        answers: list[pb_utils.InferenceResponse] | None,
        failure: InferenceError | None,
    ) -> None:
        self._graph.leave(running)
        self._room.release()
        try:
            if failure is not None:
                batch.fail_all(failure)
            elif answers is not None:
                batch.respond_all(self._responses(batch, answers))
        except InferenceError as error:  # an answer does not fit the configuration's reshape
            batch.fail_all(error)


class DecoupledExecution(ModelExecution):
    """An instance whose requests have any number of responses, through senders, perhaps long after `execute` has returned.

    Where `execute` is a coroutine, the next batch begins while earlier ones are still in progress.
    """

    answers_late: ClassVar[bool] = True

    def execute(self, batch: Batch) -> None:
        """Have the model begin to answer."""
        batch.mark_compute_start()
        running = self._enter(batch, holds_instance=not self._calls.is_async)
        requests = [self._requests.of(request) for request in batch.requests]
        self._calls.begin(requests, running, partial(self._end, running))

    def _end(self, running: Running, failure: InferenceError | None) -> None:
        self._graph.leave(running)
        if failure is not None:
            for request in running.requests:
                request.fail(failure)


def execution_of(context: InstanceContext, calls: ModelCalls, graph: WaitGraph) -> ModelExecution:
    """Make the execution of the kind that fits the model."""
    if context.model.config.model_transaction_policy.decoupled:
        return DecoupledExecution(context, calls, graph)
    at_once = batches_at_once(context.model)
    if at_once > 1 and calls.is_async:
        return CoroutineExecution(context, calls, graph, at_once=at_once)
    return UnaryExecution(context, calls, graph)


def batches_at_once(context: ModelContext) -> int:
    """Tell how many batches of an `execute` that is a coroutine may be in progress at once, for each instance.

    One where the model keeps sequences, whose requests follow each other.
    """
    if context.config.HasField("sequence_batching"):
        return 1
    return ModelParameters("python", context.config).number("ASYNC_EXECUTIONS") or _AT_ONCE


def initialize_arguments(context: InstanceContext) -> dict[str, str]:
    """Give what `initialize` is told, as in the reference: all of it text."""
    model = context.model
    return {
        "model_config": json.dumps(config_to_json(model.config), separators=(",", ":")),
        "model_instance_kind": context.device.kind,
        "model_instance_name": context.name,
        "model_instance_device_id": str(context.device.id),
        "model_repository": str(model.directory),
        "model_version": str(model.version),
        "model_name": model.name,
    }
