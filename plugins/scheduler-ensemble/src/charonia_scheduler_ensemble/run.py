"""One request on its way through an ensemble.

A step begins on the thread that makes the last tensor that it waits for. From the thread on which the request comes in, steps
whose models are quick are executed right there, and what follows from them, too. Nothing here waits, save for a decoupled step
that is too far ahead, where the ensemble has a limit. However long the way is, the stack stays shallow.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

import numpy as np
from charonia.errors import CancelledError, InferenceError, InvalidArgumentError
from charonia.request import SEQUENCE_END, SEQUENCE_START, InferenceResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from charonia.models import Models
    from charonia.request import InferenceRequest, Parameter
    from charonia.tensor import Tensor

    from charonia_scheduler_ensemble.limit import WaveLimit
    from charonia_scheduler_ensemble.plan import Plan, Segment, Step

__all__ = ["Run"]


class _Wave:
    """One passage through a segment: the tensors of one response of a decoupled step, or those of the request.

    A tensor is let go when all its readers have it. Guarded by the run's lock.
    """

    __slots__ = ("in_flight", "left", "missing", "origin", "segment", "sequences", "tensors", "unmade")

    def __init__(self, segment: Segment, origin: int | None) -> None:
        self.segment = segment
        self.origin = origin
        self.in_flight = 0
        self.missing = dict(segment.counts)
        self.unmade = len(segment.outputs)
        self.tensors: dict[str, Tensor] = {}
        self.left: dict[str, int] = {}
        self.sequences: dict[str, tuple[int | str, int]] = {}

    def put(self, tensor: str, value: Tensor) -> list[Step]:
        """Add a tensor, and give the steps that can begin now."""
        readers = self.segment.readers.get(tensor, ())
        is_output = tensor in self.segment.outputs
        if tensor in self.tensors or not (readers or is_output):
            return []
        left = self.left[tensor] = len(readers) + is_output
        self.tensors[tensor] = _read_only(value) if left > 1 else value
        self.unmade -= is_output
        ready = []
        for index in readers:
            self.missing[index] -= 1
            if self.missing[index] == 0:
                ready.append(self.segment.steps[index])
        return ready

    def take(self, tensor: str) -> Tensor:
        """Give a tensor to one of its readers."""
        self.left[tensor] -= 1
        return self.tensors[tensor] if self.left[tensor] else self.tensors.pop(tensor)

    @property
    def complete(self) -> bool:
        """Whether a response is made here, and all its outputs are there."""
        return bool(self.segment.outputs) and not self.unmade


class _Call:
    """The request to one step's model, and its sink.

    When the final response comes while the model is being asked, on the same thread, it is kept for that thread, which goes on
    with it afterwards: so a long way through an ensemble does not become a deep stack.
    """

    __slots__ = ("_asker", "child", "final", "run", "step", "wave")

    def __init__(self, run: Run, step: Step, wave: _Wave) -> None:
        self.run = run
        self.step = step
        self.wave = wave
        self.child: InferenceRequest
        self.final: InferenceResponse | None = None
        self._asker = 0

    def __call__(self, response: InferenceResponse) -> None:
        if response.final and self._asker == threading.get_ident():
            self.final = response
        else:
            self.run.receive(self, response)

    def ask(self, models: Models, *, here: bool) -> InferenceResponse | None:
        """Pass the request to its model, or execute it on this thread; gives the final response if it is there at once.

        Args:
            models: the models of the server.
            here: whether a quick model may execute on this thread.
        """
        self._asker = threading.get_ident()
        try:
            if not (here and models.submit_prompt(self.child)):
                models.submit(self.child)
        finally:
            self._asker = 0
        return self.final


class Run:
    """One request on its way.

    Args:
        plan: the ensemble's plan.
        models: the models of the server.
        request: what is answered.
        limit: holds decoupled steps back, if the ensemble has a limit.
        ended: called once the final response is on its way.
    """

    def __init__(
        self,
        plan: Plan,
        models: Models,
        request: InferenceRequest,
        limit: WaveLimit | None = None,
        ended: Callable[[], object] = bool,  # does nothing
    ) -> None:
        self._plan = plan
        self._models = models
        self._request = request
        self._limit = limit
        self._ended = ended
        self._route = plan.route(request)
        self._lock = threading.Lock()  # guards all below
        self._in_flight = 0
        self._answered = False
        self._compute_ns = (0, 0, 0)
        self._answers: deque[InferenceResponse] = deque()
        self._delivering = False

    def start(self) -> None:
        """Begin with the steps that need nothing but the request."""
        request = self._request
        request.started_ns = time.monotonic_ns()
        if not self._route.reachable:
            with self._lock:
                self._queue(InferenceResponse(error=self._deadlock()))
            self._deliver()
            return
        wave = _Wave(self._route.segments[None], None)
        with self._lock:
            ready = [step for name, value in request.inputs.items() for step in wave.put(name, value)]
            self._in_flight = wave.in_flight = len(ready)
        self._go_on([(step, wave) for step in ready], here=True)

    def receive(self, call: _Call, response: InferenceResponse) -> None:
        """Take a response of a step's model, on whichever thread it was made, and begin with what follows from it."""
        self._go_on(self._take(call, response), here=False)

    def _go_on(self, ready: Iterable[tuple[Step, _Wave]], *, here: bool) -> None:
        """Begin with steps, and with what follows from those that are answered at once."""
        left = deque(ready)
        while left:
            call = self._call(*left.popleft())
            response = self._begin(call, here=here and not call.step.decoupled)
            if response is not None:
                left.extend(self._take(call, response))

    def _call(self, step: Step, wave: _Wave) -> _Call:
        """Make the request to a step's model. It is counted as in flight already."""
        call = _Call(self, step, wave)
        with self._lock:
            tensors = {tensor: wave.take(tensor) for tensor in step.reads if tensor in wave.tensors}
            sequences = wave.sequences and [wave.sequences[it] for _, it, _ in step.inputs if it in wave.sequences]
        inputs = {name: place.fit(tensors[tensor]) for name, tensor, place in step.inputs if tensor in tensors}
        child = call.child = self._request.child(
            step.model, inputs, call, model_version=step.version, requested_outputs=step.wanted
        )
        if sequences:
            child.correlation_id, child.flags = sequences[-1]
        return call

    def _begin(self, call: _Call, *, here: bool) -> InferenceResponse | None:
        """Ask a step's model, unless nobody wants to know any more. Gives the final response, or the refusal, if it is there."""
        try:
            if self._answered or self._request.cancelled:
                raise CancelledError("")
            return call.ask(self._models, here=here)
        except InferenceError as error:
            return InferenceResponse(error=error)

    def _take(self, call: _Call, response: InferenceResponse) -> list[tuple[Step, _Wave]]:
        """Take a response in, and answer if that makes an answer; gives the steps that can begin now."""
        wave = call.wave
        if response.outputs and call.step.decoupled:
            wave = _Wave(self._route.segments[call.step.index], call.step.index)
            if self._limit is not None:
                self._limit.enter(call.step.index, lambda: self._answered or self._request.cancelled)
        with self._lock:
            ready = self._take_in(wave, call.step, response)
            self._count(call, wave, len(ready), final=response.final)
            if not self._answered:
                self._answer(call.step, wave, response)
        self._deliver()
        return [(step, wave) for step in ready]

    def _count(self, call: _Call, wave: _Wave, begun: int, *, final: bool) -> None:
        """Keep count of what is in flight. The lock is held."""
        self._in_flight += begun
        wave.in_flight += begun
        if final:
            self._in_flight -= 1
            call.wave.in_flight -= 1
            (input_ns, infer_ns, output_ns), more = self._compute_ns, call.child.compute_ns
            self._compute_ns = (input_ns + more[0], infer_ns + more[1], output_ns + more[2])
        if self._limit is not None:
            for one in {wave, call.wave}:
                if one.in_flight == 0 and one.origin is not None:
                    self._limit.leave(one.origin)

    def _take_in(self, wave: _Wave, step: Step, response: InferenceResponse) -> list[Step]:
        """Put a response's outputs into a wave, and give the steps that can begin now. The lock is held."""
        if self._answered:
            return []
        sequence = _sequence(response)
        ready = []
        for name, value in response.outputs.items():
            tensor = step.outputs.get(name)
            if tensor is not None:
                if sequence is not None:
                    wave.sequences[tensor] = sequence
                ready += wave.put(tensor, value)
        return ready

    def _answer(self, step: Step, wave: _Wave, response: InferenceResponse) -> None:
        """Queue the response that a wave makes, and the final one when nothing more can come. The lock is held."""
        if response.error is not None:
            self._queue(InferenceResponse(error=self._of_step(step, response.error)))
        elif response.outputs and wave.complete:
            self._queue(self._response(wave, final=self._in_flight == 0 or not self._plan.decoupled))
        elif self._in_flight == 0:
            self._queue(InferenceResponse() if self._plan.decoupled else InferenceResponse(error=self._deadlock()))

    def _queue(self, response: InferenceResponse) -> None:
        self._answered = response.final
        if response.final:
            self._request.compute_ns = self._compute_ns
        self._answers.append(response)

    def _response(self, wave: _Wave, *, final: bool) -> InferenceResponse:
        outputs = {}
        sequence = (self._request.correlation_id, self._request.flags)
        for name, place in wave.segment.outputs.items():
            outputs[name] = place.fit(wave.take(name))
            sequence = wave.sequences.get(name, sequence)
        return InferenceResponse(outputs, parameters=_parameters(*sequence), final=final)

    def _deliver(self) -> None:
        """Pass on what is queued, in its order, unless another thread does so just now. Whoever queues comes here afterwards."""
        if not self._answers:
            return
        with self._lock:
            if self._delivering:
                return
            self._delivering = True
        while True:
            with self._lock:
                if not self._answers:
                    self._delivering = False
                    return
                response = self._answers.popleft()
            self._request.respond(response)
            if response.final:
                self._ended()

    def _of_step(self, step: Step, error: InferenceError) -> InferenceError:
        """Word a step's error as the ensemble's: with the reference's beginning, and the step at the end."""
        if self._request.cancelled:
            return CancelledError("")
        told = InferenceError.of(error.code, f"in ensemble '{self._plan.name}', {error} ({step})")
        told.__cause__ = error
        return told

    def _deadlock(self) -> InferenceError:
        return InvalidArgumentError(
            f"in ensemble '{self._plan.name}', [request id: {self._request.id or '<id_unknown>'}] unexpected deadlock, at least "
            "one output is not set while no more ensemble steps can be made"
        )


def _read_only(tensor: Tensor) -> Tensor:
    """Give the tensor so that none of its readers can change what the others get. Never copies."""
    if not isinstance(tensor, np.ndarray) or not tensor.flags.writeable:
        return tensor
    view = tensor.view()
    view.flags.writeable = False
    return view


def _sequence(response: InferenceResponse) -> tuple[int | str, int] | None:
    """Read the sequence that a response's parameters name for the steps that follow, if they do."""
    parameters = response.parameters
    if not parameters or parameters.keys().isdisjoint(("sequence_id", "sequence_start", "sequence_end")):
        return None
    flags = (SEQUENCE_START if parameters.get("sequence_start") else 0) | (
        SEQUENCE_END if parameters.get("sequence_end") else 0
    )
    correlation_id = parameters.get("sequence_id", 0)
    return (correlation_id if isinstance(correlation_id, str) else int(correlation_id)), flags


def _parameters(correlation_id: int | str, flags: int) -> dict[str, Parameter]:
    return {
        "sequence_id": correlation_id,
        "sequence_start": bool(flags & SEQUENCE_START),
        "sequence_end": bool(flags & SEQUENCE_END),
    }
