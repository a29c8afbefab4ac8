"""Finding calls that wait for each other in a circle, which would otherwise wait for ever.

An execution that waits for a call holds its instance. A call that no instance has taken yet can only be taken by an instance
that becomes free. So a call is stuck if all instances of its model are held by executions that wait for calls that are stuck,
too. That can only come true at the moment when one more execution begins to wait: then it is looked for, and the call is
answered with an error that names the circle.

Where a model calls from a thread that it has started itself, nobody tells whether its execution waits for that thread, or when
it begins to. So as long as such a thread waits, it is looked for every second. That an execution waits for the thread is seen
where it joins it, or waits for the result of its work in a pool. In any other way it can wait, for an event or a queue, it is
taken for granted when the execution has not moved for a minute; in another process, when it has taken a minute.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, TypeAlias
from weakref import WeakKeyDictionary

from charonia.errors import InferenceError, InternalError
from charonia.model_names import ModelNames

from charonia_backend_custom.running import OwnThread, Running, Seat, Wait
from charonia_backend_custom.thread_waits import awaited_thread, place_of
from charonia_backend_custom.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from charonia.models import Models
    from charonia.request import InferenceRequest

__all__ = ["WaitGraph"]

_LOOK_SECONDS = 1.0
_STILL_SECONDS = 60.0
"""Who has not moved for so long, while a thread of its model waits, is taken to wait for that thread."""

_Place: TypeAlias = "tuple[tuple[tuple[int, int], ...] | None, float]"
"""Where in its code an execution is, and since when."""


class WaitGraph:
    """Which executions run, and which of them wait for which calls. One for each backend; any thread may use it.

    Args:
        clock: tells the time, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()  # guards all below, and the `waits` of all that wait
        self._seats: list[Seat] = []
        self._own_threads: list[OwnThread] = []
        self._still: list[Running] = []  # only while it is looked
        self._places: WeakKeyDictionary[Running, _Place] = WeakKeyDictionary()
        self._watch = Watch(self.look, "charonia-circles", _LOOK_SECONDS)

    def join(self, model: str, version: int) -> Seat:
        """A model version, of this key, has one more instance."""
        seat = Seat(model, version)
        with self._lock:
            self._seats.append(seat)
        return seat

    def quit(self, seat: Seat) -> None:
        """An instance is gone."""
        with self._lock:
            self._seats.remove(seat)

    @contextmanager
    def waiting(self, who: Running | OwnThread | None, call: InferenceRequest, models: Models) -> Iterator[None]:
        """Stand around the time in which somebody waits for a call. A call that would wait in a circle is failed.

        Args:
            who: the execution, or the thread, that waits; None where it is not known, so that no circle can be found.
            call: what is waited for; it has been passed on.
            models: the other models as the one that waits sees them.
        """
        if who is None:
            yield
            return
        wait = Wait(call, models.key_of(call.model_name), _steps(call.model_name, models))
        with self._watch if isinstance(who, OwnThread) else nullcontext():
            with self._lock:
                who.waits.append(wait)
                if isinstance(who, OwnThread):
                    self._own_threads.append(who)
                circle = self._circle(who, wait)
            _end(call, circle)
            try:
                yield
            finally:
                with self._lock:
                    who.waits.remove(wait)
                    if isinstance(who, OwnThread):
                        self._own_threads.remove(who)

    def look(self) -> None:
        """Fail a call that waits in a circle which has closed unnoticed, if there is one."""
        with self._lock:
            self._still = self._motionless()
            found = ((who.waits[-1].call, self._circle(who, who.waits[-1])) for who in self._everyone() if who.waits)
            call, circle = next((pair for pair in found if pair[1]), (None, []))
            self._still = []  # by now it may move
        if call is not None:
            _end(call, circle)

    def _motionless(self) -> list[Running]:
        """List the executions that have not moved for long, of those whose models' threads wait."""
        now = self._clock()
        kept: WeakKeyDictionary[Running, _Place] = WeakKeyDictionary()
        models = {(own.model, own.version) for own in self._own_threads}
        for running in [running for model in models for running in self._running(*model)]:
            if not running.waits:
                place = place_of(running.thread)  # that of one that cannot be seen is always the same
                before, since = self._places.get(running, (None, now))
                kept[running] = place, since if place == before else now
        self._places = kept
        return [running for running, (_, since) in kept.items() if now - since >= _STILL_SECONDS]

    def _circle(self, who: Running | OwnThread, wait: Wait) -> list[str]:
        """Name the models that wait for each other, from the one that calls back to it; nothing if there is a way on."""
        held = self._held_by_ancestors(who) if wait.steps else []
        needed = next((step for step in wait.steps if self._all_held(step, held)), None)
        if needed is not None:
            return [_model_of(who), wait.model, needed]
        return self._path(who) if self._is_stuck(who, set()) else []

    def _is_stuck(self, who: Running | OwnThread, seen: set[Running | OwnThread]) -> bool:
        """Tell whether somebody waits, and nothing that it waits for can go on. What is looked at already counts as stuck."""
        if who in seen:
            return True
        seen.add(who)
        if isinstance(who, Running) and who.behind is not None:
            return self._is_stuck(who.behind, seen)
        if isinstance(who, Running) and not who.waits:
            threads = self._awaited(who)
            return bool(threads) and all(self._is_stuck(own, seen) for own in threads)
        return bool(who.waits) and all(self._never_answered(wait, seen) for wait in who.waits)

    def _awaited(self, running: Running) -> list[OwnThread]:
        """List the threads that wait for calls of which an execution, that waits for no call itself, waits for the end."""
        seat = running.seat
        own = [each for each in self._own_threads if (each.model, each.version) == (seat.model, seat.version)]
        if not own:
            return []
        awaited = awaited_thread(running.thread, {each.thread for each in own})
        seen = [each for each in own if awaited and each.thread == awaited]
        return seen or (own if running in self._still else [])

    def _never_answered(self, wait: Wait, seen: set[Running | OwnThread]) -> bool:
        if wait.call.done or wait.call.cancelled:
            return False
        if wait.call.started_ns:
            executing = self._executing(wait)
            return executing is not None and self._is_stuck(executing, seen)
        holders = self._holders(wait)
        instances = self._count(wait.model, self._version_of(wait)) or len(holders) + 1
        return len(holders) >= instances and all(self._is_stuck(running, seen) for running in holders)

    def _holders(self, wait: Wait) -> list[Running]:
        """List the executions that hold instances of the model that is called, the oldest one first."""
        holding = [running for running in self._running(wait.model, self._version_of(wait)) if running.holds_instance]
        return sorted(holding, key=lambda running: running.requests[0].started_ns)

    def _executing(self, wait: Wait) -> Running | None:
        group = self._running(wait.model, self._version_of(wait))
        return next((running for running in group if wait.call in running.requests), None)

    def _running(self, model: str, version: int) -> list[Running]:
        seats = [seat for seat in self._seats if (seat.model, seat.version) == (model, version)]
        return [running for seat in seats for running in seat.running]

    def _everyone(self) -> list[Running | OwnThread]:
        executions = [running for seat in self._seats for running in seat.running]
        return [*self._own_threads, *executions]

    def _count(self, model: str, version: int) -> int:
        return sum((seat.model, seat.version) == (model, version) for seat in self._seats)

    def _version_of(self, wait: Wait) -> int:
        if wait.call.model_version is not None:
            return wait.call.model_version
        return self._latest(wait.model)

    def _latest(self, model: str) -> int:
        return max((seat.version for seat in self._seats if seat.model == model), default=0)

    def _path(self, who: Running | OwnThread) -> list[str]:
        """Follow one way through what is stuck, by the models' keys, until somebody comes again."""
        seen: list[Running | OwnThread] = []
        names = [_model_of(who)]
        while who not in seen:
            seen.append(who)
            if isinstance(who, Running) and who.behind is not None:
                who = who.behind
            elif isinstance(who, Running) and not who.waits:
                who = self._awaited(who)[0]
            else:
                wait = who.waits[-1]
                names.append(wait.model)
                who = (self._executing(wait) if wait.call.started_ns else None) or self._holders(wait)[0]
        return names

    def _held_by_ancestors(self, who: Running | OwnThread) -> list[Running]:
        """List the executions that wait for somebody, through whichever models and ensembles, and itself."""
        everyone = self._everyone()
        found: list[Running | OwnThread] = [who]
        ahead: list[InferenceRequest] = []
        for each in found:  # which grows meanwhile
            if isinstance(each, OwnThread):
                executions = [one for one in everyone if isinstance(one, Running) and one not in found]
                found += [one for one in executions if each in self._awaited(one)]
                continue
            ahead += each.requests
            while ahead:
                request = ahead.pop()
                found += [one for one in everyone if one not in found and request in [wait.call for wait in one.waits]]
                ahead += [] if request.parent is None else [request.parent]
        return [each for each in found if isinstance(each, Running) and each.holds_instance]

    def _all_held(self, model: str, holders: Sequence[Running]) -> bool:
        version = self._latest(model)
        held = sum((running.seat.model, running.seat.version) == (model, version) for running in holders)
        return held >= (self._count(model, version) or held + 1)

    def close(self) -> None:
        """Look no more."""
        self._watch.close()


def _model_of(who: Running | OwnThread) -> str:
    return who.seat.model if isinstance(who, Running) else who.model


def _steps(name: str, models: Models) -> tuple[str, ...]:
    """List the models that an ensemble needs, and those that they need, by their keys; none for another model."""
    found: list[str] = []
    ahead = [name]
    while ahead:
        try:
            steps = models.model_config(ahead.pop()).ensemble_scheduling.step
        except InferenceError:  # it is about to leave; the call gets its error without us
            continue
        for step in steps:
            key = (
                ModelNames.key(step.model_name, step.model_namespace)
                if step.model_namespace
                else models.key_of(step.model_name)
            )
            if key not in found:
                found.append(key)
                ahead.append(step.model_name)
    return tuple(found)


def _end(call: InferenceRequest, circle: Sequence[str]) -> None:
    """Fail a call that waits in a circle, if there is one."""
    if circle:
        call.cancel()  # whoever picks it up drops it
        call.fail(InternalError(_text(circle)))


def _text(circle: Sequence[str]) -> str:
    return (
        f"models wait for each other in a circle, {' -> '.join(circle)}: each instance of them is busy with a request that waits "
        "for another one of them. Give one of the models more instances, or have it call without waiting, from a decoupled "
        "model whose execute is a coroutine"
    )
