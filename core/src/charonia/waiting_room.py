"""The scheduler of a model that may be out of memory: requests go on to the model's own, and wait here while there is none."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from charonia.errors import CancelledError, UnavailableError
from charonia.scheduler import FormedBatch, Scheduler, SchedulerContext

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    from charonia.clock import Alarm
    from charonia.errors import InferenceError
    from charonia.model import Model
    from charonia.request import InferenceRequest
    from charonia.residency import Residence

__all__ = ["PAUSE_SECONDS", "WaitingRoom"]

PAUSE_SECONDS = 5
"""For so long after a failed load, requests get its error: a model that is broken must not push others out at each request."""


class WaitingRoom(Scheduler):
    """Stands before the scheduler of a model while that is in memory, and lets requests wait while it is not.

    A request waits for as long as the load takes, or as its own time-out says; one that was cancelled is answered at the latest
    when the load ends.

    Args:
        context: the model version.
        idle: tells whether no request is in progress.
        want: has the model loaded, soon and on another thread; `admit`, or `fail`, follows.
        residence: where it is noted when a request came last.

    Attributes:
        model: what is in memory; None while nothing is.
    """

    def __init__(
        self,
        context: SchedulerContext,
        residence: Residence,
        idle: Callable[[], bool],
        want: Callable[[], object],
    ) -> None:
        super().__init__(context)
        self._residence = residence
        self._idle = idle
        self._want = want
        self._lock = threading.Lock()  # guards all below
        self.model: Model | None = None
        self._lent: list[tuple[Hashable, Model]] = []  # an instance may be lent again while it is given back
        self._held = False
        self._waiting: list[InferenceRequest] = []
        self._wanted = False
        self._alarm: Alarm | None = None
        self._failure: tuple[str, int] | None = None
        self._closed = False

    # -- requests

    def enqueue(self, request: InferenceRequest) -> None:
        """Pass a request on, or let it wait; the first one that waits has the model loaded."""
        self._residence.last_used_ns = request.queued_ns
        with self._lock:
            # a request that is counted as in progress finds a model here that stays, or none: see `move_out`
            model = self.model
            wants = model is None and self._let_wait(request)
        if model is not None:
            model.scheduler.enqueue(request)
        elif wants:
            self._want()

    def _let_wait(self, request: InferenceRequest) -> bool:
        """Let a request wait. True if the model is to be loaded for it, which was not wanted before."""
        if self._closed:
            raise UnavailableError(
                "Server is stopping, scheduler for model has stopped accepting new inference requests"
            )
        if self.failing and self._failure is not None:
            raise UnavailableError(self._failure[0], retry_after_seconds=PAUSE_SECONDS)
        self._waiting.append(request)
        self._set_alarm()
        wanted, self._wanted = self._wanted, True
        return not wanted

    def _set_alarm(self) -> None:
        """Have `_expire` called when the next request has waited for as long as it says."""
        if self._alarm is not None:
            self._alarm.cancel()
        ends = [_end_of(request) for request in self._waiting if request.timeout_us]
        self._alarm = self.context.clock.call_at(min(ends), self._expire) if ends else None

    def _expire(self) -> None:
        now_ns = self.context.clock.now_ns()
        with self._lock:
            late = [request for request in self._waiting if request.timeout_us and _end_of(request) <= now_ns]
            self._waiting = [request for request in self._waiting if request not in late]
            self._set_alarm()
        for request in late:
            text = f"request timed out after {request.timeout_us} us, while its model was brought into memory"
            request.fail(UnavailableError(text, retry_after_seconds=1))

    def borrow(self) -> Hashable | None:
        """Give a free instance of the model, if that is in memory."""
        self._residence.last_used_ns = time.monotonic_ns()
        with self._lock:
            model = self.model
            instance = None if model is None else model.scheduler.borrow()
            if model is not None and instance is not None:
                self._lent.append((instance, model))
            return instance

    def give_back(self, instance: Hashable) -> None:
        """Take an instance back."""
        with self._lock:
            lending = next(lending for lending in self._lent if lending[0] is instance)
        lending[1].scheduler.give_back(instance)
        with self._lock:
            self._lent.remove(lending)

    def next_batch(self, instance: Hashable) -> FormedBatch | None:
        """Give nothing: the instances ask the model's own scheduler."""
        return None

    @property
    def pending(self) -> int:
        """How many requests wait, here or in the model's own queue."""
        model = self.model
        return len(self._waiting) + (0 if model is None else model.scheduler.pending)

    # -- the model comes and goes

    def still_wanted(self) -> bool:
        """Tell whether requests wait that have not been cancelled. If none does, those that were are answered."""
        with self._lock:
            if any(not request.cancelled for request in self._waiting):
                return True
            gone = self._empty()
        for request in gone:
            request.fail(CancelledError(""))
        return False

    @property
    def failing(self) -> bool:
        """Whether the last load has failed, and that was so lately that it is not tried again."""
        return self._failure is not None and self.context.clock.now_ns() < self._failure[1]

    def admit(self, model: Model) -> bool:
        """Pass on to a model what waits, and what will come. False, and nothing done, if this is closed: nobody needs it."""
        while True:
            with self._lock:
                if self._closed:
                    return False
                self._failure = None
                waiting = self._empty()
                self._wanted = bool(waiting)  # what comes before the model is here joins the end, and wants nothing
                if not waiting:
                    self.model = model
                    return True
            for request in waiting:
                try:  # without the lock: a scheduler may answer requests, and whoever sent them ask again
                    model.scheduler.enqueue(request)
                except Exception as error:  # noqa: BLE001 - the border of requests: this one is told, and the others go on
                    request.fail(error)

    def fail(self, error: InferenceError, *, pause: bool) -> None:
        """Answer what waits by an error, since the model cannot be loaded; with `pause`, what comes soon after, too."""
        with self._lock:
            waiting = self._empty()
            if pause:
                self._failure = str(error), self.context.clock.now_ns() + PAUSE_SECONDS * 1_000_000_000
        for request in waiting:
            request.fail(error)

    def _empty(self) -> list[InferenceRequest]:
        waiting, self._waiting = self._waiting, []
        self._wanted = False
        self._set_alarm()
        return waiting

    @contextmanager
    def holding(self) -> Iterator[Model | None]:
        """Keep the model, if there is one, from moving out within the block. Whoever may `admit` one enters no such block."""
        with self._lock:
            self._held = True
        try:
            yield self.model
        finally:
            with self._lock:
                self._held = False

    def move_out(self) -> Model | None:
        """Give the model away, unless it is held, a request is in progress, or it keeps something for requests to come."""
        with self._lock:
            model = self.model
            if model is None or self._held or self._lent or not self._idle() or model.scheduler.occupied:
                return None
            self.model = None
            return model

    def take_out(self) -> Model | None:
        """Give the model away, if there is one. This is closed, and no request is in progress."""
        with self._lock:
            model, self.model = self.model, None
            return model

    def close(self) -> None:
        """Refuse new requests. What waits, though the model was to be idle, is refused, too."""
        with self._lock:
            self._closed = True
            waiting = self._empty()
        for request in waiting:
            request.fail(UnavailableError("Server is stopping, scheduler for model has stopped"))


def _end_of(request: InferenceRequest) -> int:
    return request.queued_ns + request.timeout_us * 1000
