"""Finding calls that wait for each other in a circle, which would otherwise wait for ever.

An execution that waits for a call holds its instance. A call that no instance has taken yet can only be taken by an instance
that becomes free. So a call is stuck if all instances of its model are held by executions that wait for calls that are stuck,
too. That can only come true at the moment when one more execution begins to wait: then it is looked for, and the call is
answered with an error that names the circle.
"""

from __future__ import annotations

import threading
import weakref
from collections import Counter, defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING

from charonia.errors import InferenceError, InternalError
from charonia.request import InferenceRequest

from charonia_backend_custom.served import trace_context

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from charonia.models import Models
    from charonia.request import InferenceResponse

__all__ = ["Running", "WaitGraph"]


class Running:
    """An execution in progress.

    Args:
        model: the model's name.
        version: the version.
        requests: what is executed.
        holds_instance: whether the instance takes nothing else meanwhile.
        behind: the execution after which this one has its turn; None if it does not wait for one.
        may_wait: whether it may call other models, and wait for them.
    """

    def __init__(
        self,
        model: str,
        version: int,
        requests: Sequence[InferenceRequest],
        *,
        holds_instance: bool = True,
        behind: Running | None = None,
        may_wait: bool = True,
    ) -> None:
        self.model = model
        self.version = version
        self.requests = requests
        self.may_wait = may_wait
        self.ended = False
        self._holds_instance = holds_instance
        self._behind = None if behind is None else weakref.ref(behind)
        self.waits: list[InferenceRequest] = []
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
            self._parent = _Together(self.model, self.requests, traced)
        return self._parent

    def parent_for(self, trace: str | None) -> InferenceRequest:
        """Find the request on whose behalf a call is made that says to which trace it belongs, as `trace_context` gives it."""
        if trace is None or len(self.requests) == 1:
            return self.parent
        traced = next((request for request in self.requests if trace_context(request) == trace), None)
        return self.parent if traced is None else _Together(self.model, self.requests, traced)


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


class WaitGraph:
    """Which executions run, and which of them wait for which calls. One for each backend; any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards all below, and the `waits` of all executions
        self._instances: Counter[tuple[str, int]] = Counter()
        self._running: dict[tuple[str, int], list[Running]] = defaultdict(list)

    def join(self, model: str, version: int) -> None:
        """A model version has one more instance."""
        with self._lock:
            self._instances[model, version] += 1

    def quit(self, model: str, version: int) -> None:
        """A model version has one instance less."""
        with self._lock:
            self._instances -= Counter({(model, version): 1})

    def enter(self, running: Running) -> None:
        """An execution begins."""
        with self._lock:
            self._running[running.model, running.version].append(running)

    def leave(self, running: Running) -> None:
        """An execution has ended. Idempotent."""
        key = running.model, running.version
        running.ended = True
        with self._lock:
            left = [other for other in self._running.get(key, ()) if other is not running]
            if left:
                self._running[key] = left
            else:
                self._running.pop(key, None)

    @contextmanager
    def waiting(self, running: Running | None, call: InferenceRequest, models: Models) -> Iterator[None]:
        """Stand around the time in which an execution waits for a call. A call that would wait in a circle is failed.

        Args:
            running: the execution; None where it is not known, so that no circle can be found.
            call: what is waited for; it has been passed on.
            models: tells which models an ensemble needs.
        """
        if running is None:
            yield
            return
        with self._lock:
            running.waits.append(call)
            circle = self._circle(running, call, models)
        if circle:
            call.cancel()  # whoever picks it up drops it
            call.fail(InternalError(_text(circle)))
        try:
            yield
        finally:
            with self._lock:
                running.waits.remove(call)

    def _circle(self, running: Running, call: InferenceRequest, models: Models) -> list[str]:
        """Name the models that wait for each other, from the one that calls back to it; nothing if there is a way on."""
        held = self._held_by_ancestors(running)
        needed = next((name for name in _steps(call.model_name, models) if self._all_held(name, held)), None)
        if needed is not None:
            return [running.model, call.model_name, needed]
        return self._path(running) if self._is_stuck(running, set()) else []

    def _is_stuck(self, running: Running, seen: set[Running]) -> bool:
        """Tell whether an execution waits, and nothing that it waits for can go on. What is looked at already counts as stuck."""
        if running in seen:
            return True
        seen.add(running)
        if running.behind is not None:
            return self._is_stuck(running.behind, seen)
        return bool(running.waits) and all(self._never_answered(call, seen) for call in running.waits)

    def _never_answered(self, call: InferenceRequest, seen: set[Running]) -> bool:
        if call.done or call.cancelled:
            return False
        if call.started_ns:
            executing = self._executing(call)
            return executing is not None and self._is_stuck(executing, seen)
        holders = self._holders(call)
        instances = self._instances.get((call.model_name, self._version_of(call)), len(holders) + 1)
        return len(holders) >= instances and all(self._is_stuck(running, seen) for running in holders)

    def _holders(self, call: InferenceRequest) -> list[Running]:
        """List the executions that hold instances of the model that is called."""
        group = self._running.get((call.model_name, self._version_of(call)), ())
        return [running for running in group if running.holds_instance]

    def _executing(self, call: InferenceRequest) -> Running | None:
        group = self._running.get((call.model_name, self._version_of(call)), ())
        return next((running for running in group if call in running.requests), None)

    def _version_of(self, call: InferenceRequest) -> int:
        if call.model_version is not None:
            return call.model_version
        return max((version for name, version in self._instances if name == call.model_name), default=0)

    def _path(self, running: Running | None) -> list[str]:
        """Follow one way through executions that are stuck, by their models' names, until one comes again."""
        seen: list[Running] = []
        names: list[str] = []
        while running is not None and running not in seen:
            seen.append(running)
            if running.behind is not None:
                running = running.behind
                continue
            call = running.waits[-1]
            names += [running.model] if not names else []
            names.append(call.model_name)
            running = self._executing(call) if call.started_ns else self._holders(call)[0]
        return names

    def _held_by_ancestors(self, running: Running) -> list[Running]:
        """List the executions that wait for this one, through whichever models and ensembles, and itself."""
        everyone = [other for group in self._running.values() for other in group]
        found = [running]
        ahead: list[InferenceRequest] = list(running.requests)
        while ahead:
            request = ahead.pop()
            callers = [other for other in everyone if request in other.waits and other not in found]
            found += callers
            ahead += [above for other in callers for above in other.requests]
            ahead += [] if request.parent is None else [request.parent]
        return [other for other in found if other.holds_instance]

    def _all_held(self, name: str, holders: Sequence[Running]) -> bool:
        version = max((version for model, version in self._instances if model == name), default=0)
        held = sum((running.model, running.version) == (name, version) for running in holders)
        return held >= self._instances.get((name, version), held + 1)


def _steps(name: str, models: Models) -> list[str]:
    """List the models that an ensemble needs, and those that they need; none for another model."""
    found: list[str] = []
    ahead = [name]
    while ahead:
        try:
            steps = models.model_config(ahead.pop()).ensemble_scheduling.step
        except InferenceError:  # it is about to leave; the call gets its error without us
            continue
        new = [step.model_name for step in steps if step.model_name not in found]
        found += new
        ahead += new
    return found


def _text(circle: Sequence[str]) -> str:
    return (
        f"models wait for each other in a circle, {' -> '.join(circle)}: each instance of them is busy with a request that waits "
        "for another one of them. Give one of the models more instances, or have it call without waiting, from a decoupled "
        "model whose execute is a coroutine"
    )
