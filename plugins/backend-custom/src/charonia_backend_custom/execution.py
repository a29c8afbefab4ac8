"""Instances of Python models in the server's own process."""

from __future__ import annotations

import json
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from charonia.arrays import TensorLayout
from charonia.backend import Execution
from charonia.config import config_to_json
from charonia.errors import InferenceError

from charonia_backend_custom.answers import Answers
from charonia_backend_custom.circles import Running
from charonia_backend_custom.model_object import ModelObject
from charonia_backend_custom.served import RequestMaker

if TYPE_CHECKING:
    from collections.abc import Sequence

    import triton_python_backend_utils as pb_utils
    from charonia.backend import Batch, InstanceContext
    from charonia.errors import InternalError
    from charonia.request import InferenceResponse
    from triton_python_backend_utils.place import ModelPlace

    from charonia_backend_custom.circles import WaitGraph

__all__ = ["CoroutineExecution", "DecoupledExecution", "ThreadExecution", "UnaryExecution", "initialize_arguments"]


class ThreadExecution(Execution):
    """What all kinds of instances share.

    Args:
        context: the instance.
        kind: the class TritonPythonModel.
        place: the model.
        graph: where executions that wait are known.

    Raises:
        InternalError: the model cannot be made or initialised.
    """

    def __init__(self, context: InstanceContext, kind: type[Any], place: ModelPlace, graph: WaitGraph) -> None:
        super().__init__(context)
        config = context.model.config
        decoupled = config.model_transaction_policy.decoupled
        layout = TensorLayout(config)
        self._requests = RequestMaker(layout, Answers(config, layout), decoupled=decoupled)
        self._graph = graph
        arguments = initialize_arguments(context)
        self._object = ModelObject(kind, place, context.model.model_path, arguments, decoupled=decoupled)

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
        self._object.close()


class UnaryExecution(ThreadExecution):
    """An instance that answers each request once: by what `execute` returns, or by a sender before it returns."""

    def execute(self, batch: Batch) -> None:
        """Have the model answer; as in the reference, an answer that is wrong in form fails the whole batch."""
        batch.mark_compute_start()
        running = self._enter(batch)
        try:
            answers = self._object.answers([self._requests.of(request) for request in batch.requests], running)
        finally:
            self._graph.leave(running)
        batch.mark_compute_end()
        if answers is not None:
            batch.respond_all(self._responses(batch, answers))


class CoroutineExecution(ThreadExecution):
    """An instance whose `execute` is a coroutine, and answers each request once.

    The next batch begins while earlier ones are still in progress.

    Args:
        context: the instance.
        kind: the class TritonPythonModel.
        place: the model.
        graph: where executions that wait are known.
        at_once: how many batches may be in progress.
    """

    answers_late: ClassVar[bool] = True

    def __init__(
        self, context: InstanceContext, kind: type[Any], place: ModelPlace, graph: WaitGraph, *, at_once: int
    ) -> None:
        super().__init__(context, kind, place, graph)
        self._room = threading.Semaphore(at_once)

    def execute(self, batch: Batch) -> None:
        """Have the model begin to answer, as soon as there is room for one more batch."""
        self._room.acquire()
        batch.mark_compute_start()
        running = self._enter(batch, holds_instance=False)
        requests = [self._requests.of(request) for request in batch.requests]
        self._object.answers_later(requests, running, partial(self._take, batch, running))

    def _take(
        self,
        batch: Batch,
        running: Running,
        answers: list[pb_utils.InferenceResponse] | None,
        failure: InternalError | None,
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


class DecoupledExecution(ThreadExecution):
    """An instance whose requests have any number of responses, through senders, perhaps long after `execute` has returned.

    Where `execute` is a coroutine, the next batch begins while earlier ones are still in progress.
    """

    answers_late: ClassVar[bool] = True

    def execute(self, batch: Batch) -> None:
        """Have the model begin to answer."""
        batch.mark_compute_start()
        running = self._enter(batch, holds_instance=not self._object.is_async)
        requests = [self._requests.of(request) for request in batch.requests]
        self._object.begin(requests, running, partial(self._end, running))

    def _end(self, running: Running, failure: InternalError | None) -> None:
        self._graph.leave(running)
        if failure is not None:
            for request in running.requests:
                request.fail(failure)


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
