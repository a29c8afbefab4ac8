"""A model's instances: each has an execution and a thread that pulls batches from the model's scheduler."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from charonia_protos.model_config_pb2 import ModelInstanceGroup

from charonia.backend import Batch, Device
from charonia.errors import CancelledError, InferenceError, InternalError
from charonia.executing import EXECUTING
from charonia.inflight import InFlight
from charonia.mailbox import Wakeups
from charonia.promptness import Promptness
from charonia.scheduler import BatchReason

if TYPE_CHECKING:
    from collections.abc import Callable

    from charonia.backend import Execution
    from charonia.config import ModelConfig
    from charonia.request import InferenceRequest
    from charonia.scheduler import Scheduler
    from charonia.statistics import ModelStatistics

__all__ = ["InstancePlace", "ModelInstance", "instance_places"]

_log = logging.getLogger(__name__)

_HOLD_NS = 500_000
"""No event loop waits for quick executions for longer than half a millisecond."""


class InstancePlace(NamedTuple):
    """An instance as a configuration asks for it.

    Attributes:
        name: `<group>_<index>`.
        device: where it runs.
        passive: whether it takes no part in serving.
        settings: what else its group says, in a form that can be compared.
    """

    name: str
    device: Device
    passive: bool = False
    settings: bytes = b""

    @property
    def kind(self) -> tuple[Device, bool, bytes]:
        """All but the name: one instance of a kind does as well as another."""
        return self.device, self.passive, self.settings


def instance_places(config: ModelConfig) -> list[InstancePlace]:
    """Expand a normalised configuration's instance groups into the places of single instances.

    As in the reference, a group on GPUs has `count` instances on each of them, and names count through the group.
    """
    places = []
    for group in config.instance_group:
        kind = ModelInstanceGroup.Kind.Name(group.kind).removeprefix("KIND_")
        devices = [Device(kind, gpu) for gpu in group.gpus] if kind == "GPU" else [Device(kind)]
        spots = [device for device in devices for _ in range(group.count)]
        settings = _other_settings(group)
        places += [
            InstancePlace(f"{group.name}_{index}", device, group.passive, settings)
            for index, device in enumerate(spots)
        ]
    return places


def _other_settings(group: ModelInstanceGroup) -> bytes:
    others = type(group)()
    others.CopyFrom(group)
    for name in ("name", "kind", "count", "gpus", "passive"):
        others.ClearField(name)
    return others.SerializeToString(deterministic=True)


class ModelInstance:
    """One instance of a model version.

    Its thread is started by `start`, runs until the scheduler has no more work for it, and is joined by `close`.

    Attributes:
        name: the instance's name.
        place: what it is in the configuration.
        predictable: see `Execution.predictable`.

    Args:
        execution: what computes; closed with the instance.
        scheduler: where the batches come from; not the instance's own.
        statistics: where executions are counted.
        promptness: where it is noted how quick they are; its own if not given.
        place: what it is in the configuration; an active one of the execution's name and device if not given.
    """

    def __init__(
        self,
        execution: Execution,
        scheduler: Scheduler,
        statistics: ModelStatistics,
        *,
        promptness: Promptness | None = None,
        place: InstancePlace | None = None,
    ) -> None:
        self.name = execution.context.name
        self.place = place or InstancePlace(self.name, execution.context.device)
        self._version = execution.context.model.version
        self.predictable = execution.predictable
        self._promptness = Promptness() if promptness is None else promptness
        self._clock_ns = time.thread_time_ns if self.predictable else time.monotonic_ns
        self._execution = execution
        self._scheduler = scheduler
        self._statistics = statistics
        self._thread: threading.Thread | None = None
        self._late = InFlight()  # requests that were executed and have no final response yet, where there may be such
        self._gone: Callable[[ModelInstance], None] | None = None
        self._closed = False

    @property
    def passive(self) -> bool:
        """Whether it takes no part in serving."""
        return self.place.passive

    def start(self) -> None:
        """Start to serve."""
        if self.passive:
            return
        thread = threading.Thread(target=self._serve, name=f"charonia-instance-{self.name}", daemon=True)
        thread.start()
        self._thread = thread  # only one that runs can be joined

    def _serve(self) -> None:
        self._pull()
        if self._gone is not None:
            self._late.close()
            self._late.wait()
            self._close_execution()
            self._gone(self)

    def _pull(self) -> None:
        """Pull and execute until there is no more to do.

        Once the executions have proved to be quick, the event loops that wait for the responses of several are woken together.
        """
        wakeups = Wakeups()
        held_since = 0
        while True:
            formed = self._scheduler.ready_batch(self) if wakeups.held else None
            now = time.monotonic_ns()
            if wakeups.held and (formed is None or now - held_since > _HOLD_NS):
                wakeups.held = False
                wakeups.send()
            if formed is None:
                formed = self._scheduler.next_batch(self)
                if formed is None:
                    return
                now = time.monotonic_ns()
            if self._promptness.proven and not wakeups.held:
                wakeups.held = True
                held_since = now
            self.execute(formed.requests, formed.reason, fixed=formed.fixed)
            self._execution.await_room()
            del formed  # an idle instance keeps no request alive, nor the memory that its tensors lie in

    def execute(
        self,
        requests: list[InferenceRequest],
        reason: str = BatchReason.UNBATCHED,
        *,
        fixed: bool = False,
        covered: bool = False,
    ) -> None:
        """Execute requests as one batch, on the instance's thread or on that of a caller who has borrowed the instance.

        Requests that were cancelled in the queue are dropped first, unless their places are fixed. Afterwards each request has
        its final response, unless the execution answers late. Does not raise, save for Ctrl-C in the main thread.

        Args:
            requests: at least one.
            reason: why no further request joined them.
            fixed: whether none may be dropped.
            covered: whether it is known that inputs of this size are quick, see `charonia.promptness`.
        """
        for request in requests:
            if request.cancelled and not fixed:
                requests = self._drop_cancelled(requests)
                break
        if not requests:
            return
        executing = EXECUTING.set((requests, self._version))
        try:
            self._execute(requests, reason, covered=covered)
        finally:
            EXECUTING.reset(executing)

    def takes_at_once(self, request: InferenceRequest) -> bool:
        """Tell whether executing a request would neither wait for earlier ones nor for its own end."""
        waits = self._execution.answers_late and self._scheduler.one_at_a_time
        return not waits and self._execution.takes_at_once(request)

    def _execute(self, requests: list[InferenceRequest], reason: str, *, covered: bool) -> None:
        # reading a thread's own time takes as long as a small model; once it is quick, all time is good enough
        clock_ns = time.monotonic_ns if self._promptness.proven else self._clock_ns
        begun_ns = clock_ns()
        batch = Batch(requests, self._statistics, reason)
        if self._execution.answers_late:
            self._await_answers(requests)
        try:
            if batch.trace is None or not self._execution.runs_code:
                self._execution.execute(batch)
            else:
                with batch.trace.current():
                    self._execution.execute(batch)
        except BaseException as error:
            # The border of execution: whatever a model raises, `sys.exit` included, is the answer to its requests.
            interrupted = isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread()
            if not interrupted and not isinstance(error, InferenceError):
                _log.warning('model instance "%s" failed to execute a batch', self.name, exc_info=error)
            batch.fail_all(error)
            if interrupted:
                raise
            return
        if not self._execution.answers_late and not batch.answered:
            batch.fail_all(
                InternalError(
                    f'model instance "{self.name}" returned without answering all of its requests: its execution must answer '
                    "each of them, or say that it `answers_late`"
                )
            )
        if not batch.counted and not self._execution.counts_itself:
            batch.count(successes=batch.successes)
        if self._scheduler.one_at_a_time:
            batch.await_end()
        spent_ns = clock_ns() - begun_ns
        self._promptness.note(spent_ns, () if covered else [request.inputs for request in requests])

    def _await_answers(self, requests: list[InferenceRequest]) -> None:
        for request in requests:
            turns = request.turns  # once: another thread may answer it just now, which takes them away
            if turns is None or turns.count == 1:  # all turns of one are at the same instance
                self._late.enter()
                request.watch_final(self._late.leave)

    def _drop_cancelled(self, requests: list[InferenceRequest]) -> list[InferenceRequest]:
        for request in requests:
            if request.cancelled:
                request.fail(CancelledError(""))
        return [request for request in requests if not request.done]

    def retire(self, gone: Callable[[ModelInstance], None]) -> None:
        """Let it close by itself, without anybody who waits for it, once the scheduler says that there is no more work for it.

        What it has executed is answered before.

        Args:
            gone: called on the instance's thread when it is closed.
        """
        self._gone = gone

    def close(self, timeout_seconds: float) -> bool:
        """Join the thread and close the execution. The scheduler must be closed.

        Gives False, and leaves the execution alone, if the thread is still busy after `timeout_seconds`.
        """
        if self._thread is not None:
            self._thread.join(timeout_seconds)
            if self._thread.is_alive():
                return False
            self._thread = None
        self._close_execution()
        return True

    def _close_execution(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            self._execution.close()
        except Exception:  # noqa: BLE001 - a model's clean-up must not keep the others from theirs
            _log.exception('model instance "%s" failed to close', self.name)
