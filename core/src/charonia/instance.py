"""A model's instances: each has an execution and a thread that pulls batches from the model's scheduler."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from charonia.backend import Batch, Device
from charonia.errors import CancelledError, InferenceError, InternalError

if TYPE_CHECKING:
    from charonia.backend import Execution
    from charonia.config import ModelConfig
    from charonia.request import InferenceRequest
    from charonia.scheduler import Scheduler
    from charonia.statistics import ModelStatistics

__all__ = ["ModelInstance", "instance_places"]

_log = logging.getLogger(__name__)

_QUICK_NS = 100_000
"""An execution of less than a tenth of a millisecond is quick: the next one may run before its responses leave."""

_HOLD_NS = 500_000
"""No response waits for quick executions for longer than half a millisecond."""

_KIND_NAMES = {1: "GPU", 2: "CPU", 3: "MODEL"}


def instance_places(config: ModelConfig) -> list[tuple[str, Device, bool]]:
    """Expand a normalised configuration's instance groups into (name, device, passive) for each instance.

    As in the reference, a group on GPUs has `count` instances on each of them, and names count through the group.
    """
    places = []
    for group in config.instance_group:
        kind = _KIND_NAMES[group.kind]
        devices = [Device(kind, gpu) for gpu in group.gpus] if kind == "GPU" else [Device(kind)]
        spots = [device for device in devices for _ in range(group.count)]
        places += [(f"{group.name}_{index}", device, group.passive) for index, device in enumerate(spots)]
    return places


class ModelInstance:
    """One instance of a model version.

    Its thread is started by `start`, runs until the scheduler is closed and empty, and is joined by `close`.

    Args:
        execution: what computes; closed with the instance.
        scheduler: where the batches come from; not the instance's own.
        statistics: where executions are counted.
        passive: whether the instance takes no part in serving.
    """

    def __init__(
        self, execution: Execution, scheduler: Scheduler, statistics: ModelStatistics, *, passive: bool = False
    ) -> None:
        self.name = execution.context.name
        self.passive = passive
        self._execution = execution
        self._scheduler = scheduler
        self._statistics = statistics
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start to serve."""
        if self.passive:
            return
        self._thread = threading.Thread(target=self._serve, name=f"charonia-instance-{self.name}", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        """Pull and execute until there is no more to do.

        Where several quick executions follow each other, their responses leave together: each wake-up of an event loop makes
        two threads compete for the interpreter, which costs more than a quick execution does.
        """
        held: list[Batch] = []
        while (requests := self._next(held)) is not None:
            batch = self._run(requests)
            if batch is not None:
                held.append(batch)

    def _next(self, held: list[Batch]) -> list[InferenceRequest] | None:
        """Get the next batch. Whatever is held is delivered before this waits: what is pending may go to somebody else."""
        if held and held[-1].age_ns < _QUICK_NS and held[0].age_ns < _HOLD_NS:
            requests = self._scheduler.ready_batch(self)
            if requests is not None:
                return requests
        for batch in held:
            batch.deliver()
        held.clear()
        return self._scheduler.next_batch(self)

    def execute(self, requests: list[InferenceRequest]) -> None:
        """Execute requests as one batch, in the thread of a caller that has borrowed the instance.

        Requests that were cancelled in the queue are dropped first. Afterwards each request has its final response, unless
        the execution answers late. Does not raise.
        """
        batch = self._run(requests)
        if batch is not None:
            batch.deliver()

    def _run(self, requests: list[InferenceRequest]) -> Batch | None:
        """Execute a batch up to the delivery of its responses. None if nothing of it was left to execute."""
        for request in requests:
            if request.cancelled:
                requests = self._drop_cancelled(requests)
                break
        if not requests:
            return None
        batch = Batch(requests, self._statistics)
        try:
            self._execution.execute(batch)
        except Exception as error:  # noqa: BLE001 - the border of execution: a failure is the requests' answer
            if not isinstance(error, InferenceError):
                _log.warning('model instance "%s" failed to execute a batch', self.name, exc_info=error)
            batch.fail_all(error)
            return batch
        if not self._execution.answers_late and not batch.answered:
            batch.fail_all(
                InternalError(
                    f'model instance "{self.name}" returned without answering all of its requests: its execution must answer '
                    "each of them, or say that it `answers_late`"
                )
            )
        batch.count(successes=sum(not request.failed for request in requests))
        return batch

    def _drop_cancelled(self, requests: list[InferenceRequest]) -> list[InferenceRequest]:
        for request in requests:
            if request.cancelled:
                request.fail(CancelledError(""))
        return [request for request in requests if not request.done]

    def close(self, timeout_seconds: float | None) -> bool:
        """Join the thread and close the execution. The scheduler must be closed.

        Gives False, and leaves the execution alone, if the thread is still busy after `timeout_seconds`.
        """
        if self._thread is not None:
            self._thread.join(timeout_seconds)
            if self._thread.is_alive():
                return False
            self._thread = None
        try:
            self._execution.close()
        except Exception:  # noqa: BLE001 - a model's clean-up must not keep the others from theirs
            _log.exception('model instance "%s" failed to close', self.name)
        return True
