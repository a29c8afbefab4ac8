"""One loaded version of a model: its signature, scheduler, instances and counters."""

from __future__ import annotations

import logging
import queue
import time
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING

from charonia.deadline import Deadline
from charonia.errors import CancelledError, InferenceError, InvalidArgumentError, UnavailableError
from charonia.inflight import InFlight
from charonia.promptness import size_of
from charonia.request import InferenceRequest, InferenceResponse
from charonia.scheduler import BatchReason
from charonia.signature import Signature
from charonia.statistics import FailureReason
from charonia.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from charonia.access_log import AccessLog
    from charonia.backend import LoadedModel, ModelContext
    from charonia.config import ModelConfig
    from charonia.instance import ModelInstance
    from charonia.instances import Instances, Lineup
    from charonia.promptness import Promptness
    from charonia.response_lookup import Look, ResponseLookup
    from charonia.scheduler import Scheduler
    from charonia.statistics import ModelStatistics, StatisticsSnapshot
    from charonia.tracing import Tracer
    from charonia.warmup import WarmupSample

__all__ = ["Model", "ModelRetiredError"]

_log = logging.getLogger(__name__)


class ModelRetiredError(Exception):
    """The model version has been replaced or unloaded since the caller looked it up: look it up again."""


class Model:
    """One loaded version of a model.

    Another configuration makes another object, save where the number of instances is all that changes.

    Attributes:
        name: the model's name.
        version: the version.
        config: the configuration, complete and normalised. Read only; replaced as a whole by `use`.
        signature: the inputs and outputs.
        decoupled: whether a request may have any number of responses.
        labels: the labels of outputs' elements, by output, for those outputs that have any.
        load_seconds: how long it took to load; noted by whoever had it loaded.
        statistics: the live counters.
        estimated_byte_size: how much of this machine's memory it takes, as it was estimated at the load.

    Args:
        config: see above.
        version: see above.
        scheduler: the queue; closed with this one.
        statistics: the counters that the instances share.
        loaded: the backend's model, closed with this one; None where the scheduler answers by itself.
        instances: closed with this one; None where the scheduler answers by itself.
        promptness: how quick their executions have proved to be.
        labels: see above.
        responses: where responses to earlier requests are, if the model's may be given again.
        tracer: what traces requests, if anything does.
        access_log: where each request is noted when it is finished, if anywhere.
        release: called last of all, when everything is closed: what else there is to let go.
    """

    def __init__(
        self,
        config: ModelConfig,
        version: int,
        *,
        scheduler: Scheduler,
        statistics: ModelStatistics,
        loaded: LoadedModel | None = None,
        instances: Instances | None = None,
        promptness: Promptness | None = None,
        labels: Mapping[str, Sequence[bytes]] | None = None,
        responses: ResponseLookup | None = None,
        tracer: Tracer | None = None,
        access_log: AccessLog | None = None,
        release: Callable[[], object] = bool,  # does nothing
    ) -> None:
        self.name = config.name
        self.version = version
        self.config = config
        self.signature = Signature(config)
        self.decoupled = config.model_transaction_policy.decoupled
        self.labels = labels or {}
        self.statistics = statistics
        self.load_seconds = 0.0
        self._loaded = loaded
        self._scheduler = scheduler
        self._instances = instances
        self._proving = promptness
        self._promptness: Promptness | None = None
        self._responses = responses
        self._tracer = tracer
        self._access_log = access_log
        self._release = release
        self._in_flight = InFlight()
        self.estimated_byte_size = 0

    def prepare(self, context: ModelContext, begin: Callable[[], object] = bool) -> Lineup | None:
        """Make the instances that a configuration asks for and that are not there yet, and first call `begin`.

        The model goes on as it is, until `use`. None where that would not do, although the configurations differ in the
        instances and the version policy at most.
        """
        if self._instances is None or not self._instances.can_become(context.config):
            return None
        begin()
        return self._instances.prepare(context)

    def make_room(self, lineup: Lineup) -> None:
        """Have room for the memory that instances take which were made. It may raise where memory is limited."""

    def use(self, lineup: Lineup) -> None:
        """Serve with these instances, and with their configuration, from now on. Whoever leaves finishes what it has."""
        if self._instances is None:
            raise TypeError(f"{self!r} has no instances")
        self.config = lineup.config
        self._instances.use(lineup)
        # a decoupled model may have to wait for its reader, whom an event loop would then keep from reading
        self._promptness = self._proving if self._instances.predictable and not self.decoupled else None

    def warm_up(self, samples: Sequence[WarmupSample], lineup: Lineup) -> None:
        """Have each of the joining instances execute the samples, before it serves.

        Raises:
            InvalidArgumentError: a sample does not fit the model, or its execution failed; the text tells all that failed.
        """
        failures = []
        for instance in lineup.joining:
            for sample in samples:
                for _ in range(sample.count):
                    with self._turn(instance, lineup):
                        failures += self._run_sample(instance, sample)
        if failures:
            raise InvalidArgumentError("".join(dict.fromkeys(failures)))

    def _turn(self, instance: ModelInstance, lineup: Lineup) -> AbstractContextManager[object]:
        if instance.passive:
            return nullcontext()
        active = [each for each in lineup.members if not each.passive]
        return self._scheduler.turn(lineup.config, active.index(instance))

    def _run_sample(self, instance: ModelInstance, sample: WarmupSample) -> list[str]:
        responses: queue.SimpleQueue[InferenceResponse] = queue.SimpleQueue()
        requests = [InferenceRequest(self.name, sample.inputs, responses.put) for _ in range(sample.batch_size)]
        for request in requests:
            self._admit(request)
            request.turns = Turns(partial(request.respond, InferenceResponse()))  # one turn warms up as well as all
            if sample.internal:
                request.inputs = {**request.inputs, **sample.internal}
        instance.execute(requests)
        failures = []
        left = len(requests)
        while left:  # an execution may answer late
            response = responses.get()
            left -= response.final
            if response.error is not None:
                failures.append(f"failed to run warmup sample '{sample.name}': {response.error}; ")
        return failures

    def submit(self, request: InferenceRequest) -> None:
        """Check a request and put it into the queue, or answer it from the response cache. Does not block.

        Raises:
            InvalidArgumentError: the request does not fit the model.
            UnavailableError: the queue refuses it.
            ModelRetiredError: this version does not take requests any more.
        """
        self._admit(request)
        try:
            if self._responses is None or not self._answer_again(request, self._responses):
                self._scheduler.enqueue(request)
        except BaseException as error:
            self._in_flight.leave()
            if isinstance(error, InferenceError):
                self._note_refusal(request, InferenceResponse(error=error))
            request.reject()
            raise

    def _note_refusal(self, request: InferenceRequest, response: InferenceResponse) -> None:
        if request.trace is not None:
            request.trace.finish(request, response)
        if self._access_log is not None:
            total_ns = time.monotonic_ns() - request.arrival_ns
            self._access_log.note(request, self.version, response, total_ns, composed=self._scheduler.answers_itself)

    def submit_prompt(self, request: InferenceRequest) -> bool:
        """Do as `submit_direct` if this takes less time than passing the request to another thread, as far as one can tell."""
        return self.quick(request) and self.submit_direct(request, covered=True)

    def quick(self, request: InferenceRequest) -> bool:
        """Tell whether executing a request can be expected to take next to no time."""
        promptness = self._promptness
        return promptness is not None and promptness.covers(size_of(request.inputs))

    def submit_direct(self, request: InferenceRequest, *, covered: bool = False) -> bool:
        """Execute a request in the caller's own thread, if an instance is free, with room, and nobody queues. False if not.

        `covered` tells whether it is known that inputs of this size are quick. Raises what `submit` raises. When it gives True,
        the request has its final response, unless the execution answers late.
        """
        if self._responses is not None:
            return False  # `submit` looks for the response first
        instance: ModelInstance | None = self._scheduler.borrow()  # type: ignore[assignment]  # those that it was given
        if instance is None:
            return False
        try:
            takes = instance.takes_at_once(request)
            if takes:
                self._admit(request)
                instance.execute([request], covered=covered)
        finally:
            self._scheduler.give_back(instance)
        return takes

    def _admit(self, request: InferenceRequest) -> None:
        self.signature.check(request)
        if not self._in_flight.enter():
            raise ModelRetiredError
        request.accept(self._account)
        request.queued_ns = time.monotonic_ns()
        if self.decoupled:
            request.watch_first(self._count_first_response)
        if request.parent is not None and self._tracer is not None:
            self._tracer.begin_below(request)
        if request.trace is not None:
            request.trace.version = self.version
            request.trace.composed = self._scheduler.answers_itself

    def _answer_again(self, request: InferenceRequest, responses: ResponseLookup) -> bool:
        """Give a request the response that an equal one got. False if there is none: then its own is kept when it comes."""
        look = responses.look(request)
        if look.response is None:
            request.accept(partial(self._account_and_keep, responses, look))
            return False
        request.started_ns = request.queued_ns
        request.accept(partial(self._account, inferences=0))
        request.respond(look.response)
        return True

    def _account_and_keep(
        self, responses: ResponseLookup, look: Look, request: InferenceRequest, response: InferenceResponse
    ) -> None:
        responses.keep(look, response)
        self._account(request, response)

    def _account(self, request: InferenceRequest, response: InferenceResponse, inferences: int | None = None) -> None:
        total_ns = time.monotonic_ns() - request.arrival_ns
        if response.error is None:
            self.statistics.count_success(
                total_ns=total_ns,
                queue_ns=request.started_ns - request.queued_ns,
                inferences=_inferences(request) if inferences is None else inferences,
            )
            if self._scheduler.answers_itself and inferences is None:
                self._count_execution(request)
        else:
            self.statistics.count_failure(total_ns=total_ns, reason=self._reason_of(request, response.error))
        if self._access_log is not None:
            composed = self._scheduler.answers_itself
            self._access_log.note(request, self.version, response, total_ns, composed=composed)
        self._in_flight.leave()

    def _reason_of(self, request: InferenceRequest, error: BaseException) -> FailureReason:
        if isinstance(error, CancelledError):
            return FailureReason.CANCELED
        if self._scheduler.answers_itself:
            return FailureReason.OTHER  # it executes nothing: whoever has failed counts a reason of its own
        if request.started_ns:
            return FailureReason.BACKEND
        return FailureReason.REJECTED if isinstance(error, UnavailableError) else FailureReason.OTHER

    def _count_first_response(self, request: InferenceRequest) -> None:
        self.statistics.count_first_response(ns=time.monotonic_ns() - request.arrival_ns)

    def _count_execution(self, request: InferenceRequest) -> None:
        """Count a request that the scheduler answered by itself as one execution, as the reference does."""
        input_ns, infer_ns, output_ns = request.compute_ns
        self.statistics.count_execution(
            batch_size=request.batch_size,
            reason=BatchReason.UNBATCHED,
            successes=1,
            input_ns=input_ns,
            infer_ns=infer_ns,
            output_ns=output_ns,
        )

    @property
    def directory(self) -> Path | None:
        """The model's directory on this machine; None where the scheduler answers by itself."""
        return None if self._loaded is None else self._loaded.context.directory

    @property
    def scheduler(self) -> Scheduler:
        """The queue, for whoever stands before this model and has counted the requests already."""
        return self._scheduler

    @property
    def idle(self) -> bool:
        """Whether no request is in progress."""
        return self._in_flight.count == 0

    @property
    def resident(self) -> bool:
        """Whether it is in memory; where memory is not limited, always."""
        return True

    def bring_in(self) -> None:
        """Have it in memory when this returns. It may raise anything where that fails."""

    @property
    def ready(self) -> bool:
        """Whether requests can be executed now."""
        return self._scheduler.ready if self._loaded is None else self._loaded.ready

    def confirm_ready(self) -> bool:
        """Ask the model itself whether it is ready, see `LoadedModel.confirm_ready`; or the models that it is made of."""
        return self._scheduler.confirm_ready() if self._loaded is None else self._loaded.confirm_ready()

    @property
    def knows_byte_size(self) -> bool:
        """Whether its backend knows how much of this machine's memory it takes."""
        return self._loaded is not None and self._loaded.host_byte_size is not None

    @property
    def host_byte_size(self) -> int:
        """How many bytes of this machine's memory it takes: what its backend knows, or else the estimate."""
        known = None if self._loaded is None else self._loaded.host_byte_size
        if known is not None:
            return known
        return self.estimated_byte_size + (0 if self._instances is None else self._instances.joined_byte_size)

    def snapshot(self) -> StatisticsSnapshot:
        """Give the counters as they are now."""
        pending, in_flight = self.gauges()
        return self.statistics.snapshot(pending=pending, in_flight=in_flight, host_byte_size=self.host_byte_size)

    def gauges(self) -> tuple[int, int]:
        """Tell how many requests wait in the queue, and how many were accepted and are not finished."""
        return self._scheduler.pending, self._in_flight.count

    def close(self, timeout_seconds: float | None = None) -> bool:
        """Take no new requests, finish those that were accepted, and let everything go. Idempotent.

        Gives False if some request was still in progress after `timeout_seconds`: then its instance is left behind.
        """
        self._in_flight.close()
        deadline = Deadline(timeout_seconds)
        drained = self._in_flight.wait(deadline.left)
        self._scheduler.close()
        if self._instances is not None:
            drained = self._instances.close(deadline) and drained
        self.statistics.finished = drained
        closing = [] if self._loaded is None else [self._loaded.close]
        for let_go in [*closing, self._release] if drained else ():
            try:
                let_go()
            except Exception:  # noqa: BLE001 - a model's clean-up must not keep the others from theirs
                _log.exception('model "%s" version %d failed to close', self.name, self.version)
        return drained

    def __repr__(self) -> str:
        return f"Model({self.name!r}, version={self.version})"


def _inferences(request: InferenceRequest) -> int:
    return request.batch_size if request.turns is None else request.batch_size * request.turns.count
