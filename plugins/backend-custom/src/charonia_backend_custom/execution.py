"""Instances of Python models: from a batch to the model's object and back."""

from __future__ import annotations

import json
import logging
import weakref
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeAlias

from charonia.arrays import TensorLayout
from charonia.backend import Execution
from charonia.config import config_to_json
from charonia.errors import InferenceError, UnavailableError
from charonia.model_parameters import ModelParameters

from charonia_backend_custom.answers import Answers
from charonia_backend_custom.probation import Probation
from charonia_backend_custom.readiness import Readiness
from charonia_backend_custom.room import Room, room_ahead
from charonia_backend_custom.running import Running
from charonia_backend_custom.served import RequestMaker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import triton_python_backend_utils as pb_utils
    from charonia.backend import Batch, InstanceContext, ModelContext
    from charonia.request import InferenceRequest, InferenceResponse

    from charonia_backend_custom.circles import WaitGraph
    from charonia_backend_custom.served import ServedRequest

__all__ = [
    "ModelCalls",
    "ModelExecution",
    "Span",
    "TakeAnswers",
    "batches_at_once",
    "execution_of",
    "initialize_arguments",
    "remote_execution_of",
]

_log = logging.getLogger("charonia.backend_custom.execution")

_INPUTS_ON_CPU = "FORCE_CPU_ONLY_INPUT_TENSORS"

_AT_ONCE = 64
"""How many batches of an `execute` that is a coroutine are in progress at once, unless the model says otherwise."""

Span: TypeAlias = tuple[int, int]
"""When the model began and ended to compute, by the machine's monotonic clock, in nanoseconds."""


class TakeAnswers(Protocol):
    """Gets the answers to a batch, or why there are none; and when they were computed, where that is known."""

    def __call__(
        self,
        answers: list[pb_utils.InferenceResponse | None] | None,
        failure: InferenceError | None,
        span: Span | None = None,
        /,
    ) -> None:
        """Take them."""


class ModelCalls(Protocol):
    """Calls into the code of a model's object, wherever that is: `ModelObject`, or what has the process in which one is."""

    is_async: bool

    def answers_later(self, requests: Sequence[ServedRequest], task: Running, take: TakeAnswers) -> None:
        """Have requests executed that get one response each, or None to be executed once more, and do not wait for it."""

    def begin(
        self, requests: Sequence[ServedRequest], task: Running, end: Callable[[InferenceError | None], None]
    ) -> None:
        """Have requests executed that are answered by senders only. Some may say in the end that they are `rescheduled`."""

    def is_ready(self) -> bool:
        """Ask the model whether it is ready; wait as long as it takes."""

    def close(self) -> None:
        """Have the model finalise itself, and let it go. Idempotent."""


class DirectCalls(ModelCalls, Protocol):
    """Calls that can be waited for: those into an object on this side."""

    def answers(
        self, requests: Sequence[ServedRequest], task: Running
    ) -> list[pb_utils.InferenceResponse | None] | None:
        """Have requests executed that get one response each, or None to be executed once more, and wait for it."""


class ModelExecution(Execution):
    """What all kinds of instances share.

    Args:
        context: the instance.
        calls: the model's object, closed with the instance.
        graph: where executions that wait are known.

    Attributes:
        readiness: asks the model whether it is ready.
    """

    def __init__(self, context: InstanceContext, calls: ModelCalls, graph: WaitGraph) -> None:
        super().__init__(context)
        config = context.model.config
        layout = TensorLayout(config)
        decoupled = config.model_transaction_policy.decoupled
        on_cpu = ModelParameters("python", config).choice(_INPUTS_ON_CPU, {"yes": True, "no": False}, default=True)
        self._requests = RequestMaker(layout, Answers(config, layout), decoupled=decoupled, on_cpu=on_cpu)
        self._graph = graph
        self._seat = graph.join(context.model.key, context.model.version)
        self._calls = calls
        self.readiness = Readiness(calls.is_ready, f"charonia-ready-{context.name}")
        self._closed = False

    def _responses(
        self, batch: Batch, answers: Sequence[pb_utils.InferenceResponse | None]
    ) -> list[InferenceResponse | None]:
        make = self._requests.answers.response
        return [
            None if answer is None else make(request, answer)
            for request, answer in zip(batch.requests, answers, strict=True)
        ]

    def close(self) -> None:
        """Have the model finalise itself, and let it go. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._graph.quit(self._seat)
        try:
            self._calls.close()
        finally:
            self.readiness.close()


class UnaryExecution(ModelExecution):
    """An instance that answers each request once: by what `execute` returns, or by a sender before it returns.

    Args:
        context: the instance.
        calls: the model's object, closed with the instance.
        graph: where executions that wait are known.
    """

    def __init__(self, context: InstanceContext, calls: DirectCalls, graph: WaitGraph) -> None:
        super().__init__(context, calls, graph)
        self._answers = calls.answers

    def execute(self, batch: Batch) -> None:
        """Have the model answer; as in the reference, an answer that is wrong in form fails the whole batch."""
        batch.mark_compute_start()
        running = Running(self._seat, batch.requests, stays=not self._calls.is_async)
        self._seat.enter(running)
        try:
            answers = self._answers([self._requests.of(request) for request in batch.requests], running)
        finally:
            self._seat.leave(running)
        batch.mark_compute_end()
        if answers is not None:
            batch.respond_all(self._responses(batch, answers))


class UnwaitingExecution(ModelExecution):
    """An instance that answers each request once, of a model that waits for nothing: event loops may execute it.

    Args:
        context: the instance.
        calls: the model's object, closed with the instance.
        graph: where executions that wait are known.
    """

    predictable = True

    def __init__(self, context: InstanceContext, calls: DirectCalls, graph: WaitGraph) -> None:
        super().__init__(context, calls, graph)
        self._answers = calls.answers
        self._running = Running(self._seat, (), may_wait=False, stays=False)
        self._probation = Probation()

    def takes_at_once(self, request: InferenceRequest) -> bool:
        """Tell whether whoever asks may execute a request: not if that has just held somebody up."""
        return self._probation.lend()

    def execute(self, batch: Batch) -> None:
        """Have the model answer, as a `UnaryExecution` does. What cannot wait is in no circle: it does not enter its seat."""
        batch.mark_compute_start()
        self._probation.begin()
        try:
            answers = self._answers([self._requests.of(request) for request in batch.requests], self._running)
        finally:
            spent_ns, away_ns = self._probation.end()
            if away_ns:
                self._tell(spent_ns, away_ns)
        batch.mark_compute_end()
        if answers is not None:
            batch.respond_all(self._responses(batch, answers))

    def _tell(self, spent_ns: int, away_ns: int) -> None:
        _log.debug(
            'model instance "%s" has computed for %.0f ms: only its own thread executes it for the next %.0f s',
            self.context.name,
            spent_ns / 1e6,
            away_ns / 1e9,
        )


class LateExecution(ModelExecution):
    """An instance that answers each request once, elsewhere than on the thread that asks: on an event loop, or in a process.

    As long as there is room, the next batch is passed on while earlier ones are still in progress.

    Args:
        context: the instance.
        calls: the model's object, closed with the instance.
        graph: where executions that wait are known.
        room: how much may be in progress.
    """

    answers_late: ClassVar[bool] = True
    counts_itself: ClassVar[bool] = True

    def __init__(self, context: InstanceContext, calls: ModelCalls, graph: WaitGraph, room: Room) -> None:
        super().__init__(context, calls, graph)
        self._room = room
        self.predictable = room.predictable
        self._latest: weakref.ref[Running] | None = None  # weak, so that an idle instance keeps no request alive

    def execute(self, batch: Batch) -> None:
        """Have the model begin to answer."""
        batch.mark_compute_start()
        in_turn = not self._calls.is_async
        behind = self._latest() if in_turn and self._latest is not None else None
        running = Running(self._seat, batch.requests, holds_instance=in_turn, behind=behind, stays=False)
        self._seat.enter(running)
        self._latest = weakref.ref(running)
        self._room.enter(batch.requests)
        batch.outlast()
        requests = [self._requests.of(request) for request in batch.requests]
        try:
            self._calls.answers_later(requests, running, partial(self._take, batch, running))
        except BaseException:
            self._seat.leave(running)
            self._room.leave()
            raise

    def takes_at_once(self, request: InferenceRequest) -> bool:
        """Tell whether there is room for this batch and the next one, and it goes through the line at once."""
        return self._room.takes_at_once(request)

    def await_room(self) -> None:
        """Wait until there is room for one more batch."""
        self._room.wait()

    def _take(
        self,
        batch: Batch,
        running: Running,
        answers: list[pb_utils.InferenceResponse | None] | None,
        failure: InferenceError | None,
        span: Span | None = None,
    ) -> None:
        self._seat.leave(running)
        if span is not None:
            self._room.note(span)
            batch.mark_compute_start(span[0])
        batch.mark_compute_end(None if span is None else span[1])
        try:
            if isinstance(failure, UnavailableError):
                self._room.forget()
            if failure is not None:
                batch.fail_all(failure)
            elif answers is not None:
                batch.respond_all(self._responses(batch, answers))
            else:
                batch.count(successes=batch.successes)
        except InferenceError as error:  # an answer does not fit the configuration's reshape
            batch.fail_all(error)
        finally:
            self._room.leave()
            batch.end()


class DecoupledExecution(ModelExecution):
    """An instance whose requests have any number of responses, through senders, perhaps long after `execute` has returned.

    Where `execute` is a coroutine, the next batch begins while earlier ones are still in progress.

    Args:
        context: the instance.
        calls: the model's object, closed with the instance.
        graph: where executions that wait are known.
        here: whether the object is on this side.
    """

    answers_late: ClassVar[bool] = True

    def __init__(self, context: InstanceContext, calls: ModelCalls, graph: WaitGraph, *, here: bool) -> None:
        super().__init__(context, calls, graph)
        self._stays = here and not calls.is_async

    def execute(self, batch: Batch) -> None:
        """Have the model begin to answer."""
        batch.mark_compute_start()
        running = Running(self._seat, batch.requests, holds_instance=not self._calls.is_async, stays=self._stays)
        self._seat.enter(running)
        batch.outlast()
        requests = [self._requests.of(request) for request in batch.requests]
        self._calls.begin(requests, running, partial(self._end, batch, running, requests))

    def _end(
        self, batch: Batch, running: Running, requests: Sequence[ServedRequest], failure: InferenceError | None
    ) -> None:
        self._seat.leave(running)
        batch.end()
        for request in requests:
            if failure is not None:
                request.core.fail(failure)
            elif request.rescheduled:
                request.core.reschedule()


def execution_of(
    context: InstanceContext, calls: DirectCalls, graph: WaitGraph, *, never_waits: bool
) -> ModelExecution:
    """Make the execution of the kind that fits a model's object on this side, and whether that waits for anything."""
    if context.model.config.model_transaction_policy.decoupled:
        return DecoupledExecution(context, calls, graph, here=True)
    at_once = batches_at_once(context.model)
    if at_once > 1 and calls.is_async:
        return LateExecution(context, calls, graph, Room(at_once))
    unwaiting = never_waits and not calls.is_async
    return UnwaitingExecution(context, calls, graph) if unwaiting else UnaryExecution(context, calls, graph)


def remote_execution_of(context: InstanceContext, calls: ModelCalls, graph: WaitGraph) -> ModelExecution:
    """Make the execution of the kind that fits a model's object in a process of its own."""
    if context.model.config.model_transaction_policy.decoupled:
        return DecoupledExecution(context, calls, graph, here=False)
    if calls.is_async:
        return LateExecution(context, calls, graph, Room(batches_at_once(context.model)))
    return LateExecution(context, calls, graph, room_ahead(context))


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
