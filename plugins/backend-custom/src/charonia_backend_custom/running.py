"""What can wait for a call: executions in progress, and threads that a model has started itself."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, NamedTuple

from charonia.request import InferenceRequest

from charonia_backend_custom.served import trace_context

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charonia.request import InferenceResponse

__all__ = ["OwnThread", "Running", "Seat", "Wait"]


class Wait(NamedTuple):
    """A call that is waited for.

    Attributes:
        call: what was passed on.
        model: the key of the model that is called; see `charonia.models.Models.key_of`.
        steps: the keys of the models that answer it, if it is an ensemble.
    """

    call: InferenceRequest
    model: str
    steps: tuple[str, ...] = ()


class Seat:
    """One instance, and what it executes. Any thread may look at it; `enter` and `leave` take no lock.

    Args:
        model: the model's key.
        version: the version.
    """

    __slots__ = ("_running", "model", "version")

    def __init__(self, model: str, version: int) -> None:
        self.model = model
        self.version = version
        self._running: dict[Running, None] = {}

    def enter(self, running: Running) -> None:
        """An execution begins."""
        self._running[running] = None

    def leave(self, running: Running) -> None:
        """An execution has ended. Idempotent."""
        running.ended = True
        self._running.pop(running, None)

    @property
    def running(self) -> list[Running]:
        """What it executes now."""
        return list(self._running)


class Running:
    """An execution in progress. It is made on the thread of its instance.

    Args:
        seat: the instance.
        requests: what is executed.
        holds_instance: whether the instance takes nothing else meanwhile.
        behind: the execution after which this one has its turn; None if it does not wait for one.
        may_wait: whether it may call other models, and wait for them.
        stays: whether the model's code runs on the instance's thread.

    Attributes:
        waits: the calls that it waits for. The graph's lock guards it.
        thread: where the model's code runs, by `threading.get_ident`, if that is the instance's thread; else 0.
        ended: whether it has ended.
    """

    __slots__ = (
        "__weakref__",
        "_behind",
        "_holds_instance",
        "_parent",
        "ended",
        "may_wait",
        "requests",
        "seat",
        "thread",
        "waits",
    )

    def __init__(
        self,
        seat: Seat,
        requests: Sequence[InferenceRequest],
        *,
        holds_instance: bool = True,
        behind: Running | None = None,
        may_wait: bool = True,
        stays: bool = True,
    ) -> None:
        self.seat = seat
        self.requests = requests
        self.may_wait = may_wait
        self.ended = False
        self._holds_instance = holds_instance
        self._behind = None if behind is None else weakref.ref(behind)
        self.waits: list[Wait] = []
        self.thread = threading.get_ident() if stays else 0
        self._parent: InferenceRequest | None = None

    @property
    def behind(self) -> Running | None:
        """The execution that is before this one at its instance, as long as that has not ended."""
        behind = None if self._behind is None else self._behind()
        return None if behind is None or behind.ended else behind

    @property
    def holds_instance(self) -> bool:
        """Whether the instance takes nothing else because of this one."""
        return self._holds_instance and self.behind is None

    @property
    def parent(self) -> InferenceRequest:
        """The request on whose behalf calls are made: the only one, or one that stands for all."""
        if len(self.requests) == 1:
            return self.requests[0]
        if self._parent is None:
            traced = next((request for request in self.requests if request.trace is not None), None)
            self._parent = _Together(self.seat.model, self.requests, traced)
        return self._parent

    def parent_for(self, trace: str | None) -> InferenceRequest:
        """Find the request on whose behalf a call is made that says to which trace it belongs, as `trace_context` gives it."""
        if trace is None or len(self.requests) == 1:
            return self.parent
        traced = next((request for request in self.requests if trace_context(request) == trace), None)
        return self.parent if traced is None else _Together(self.seat.model, self.requests, traced)


class OwnThread:
    """A thread that a model has started, and that waits for a call of its own.

    Args:
        model: the model's key.
        version: the version.
        thread: which one, by `threading.get_ident`; 0 for one in another process.

    Attributes:
        waits: the call that it waits for. The graph's lock guards it.
    """

    __slots__ = ("model", "thread", "version", "waits")

    def __init__(self, model: str, version: int, thread: int) -> None:
        self.model = model
        self.version = version
        self.thread = thread
        self.waits: list[Wait] = []


class _Together(InferenceRequest):
    """Stands for the requests of a batch: it is taken back when all of them are. Never sent.

    Args:
        model: the model's name.
        requests: those of the batch.
        traced: the one whose trace calls belong to, if there is one.
    """

    __slots__ = ("_requests",)

    def __init__(
        self, model: str, requests: Sequence[InferenceRequest], traced: InferenceRequest | None = None
    ) -> None:
        super().__init__(model, {}, _drop)
        self._requests = requests
        self.trace = None if traced is None else traced.trace

    @property
    def cancelled(self) -> bool:
        """Whether all of them were taken back; never where there are none, for a call that no request is known to have caused."""
        return bool(self._requests) and all(request.cancelled for request in self._requests)


def _drop(response: InferenceResponse) -> None:
    """Take a response that nobody gets."""
