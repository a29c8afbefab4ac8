"""Inference requests, and how they are answered.

A request carries its own sink: whoever made the request gets each response through it, on whichever thread the response was
made. Exactly one final response reaches the sink, whatever happens; anything after it is dropped.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any, TypeAlias

from charonia.alike import Alike
from charonia.errors import CancelledError, InferenceError, UnsupportedError
from charonia.response import BATCH_REASON, InferenceResponse, Parameter, ResponseSink

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from charonia.flow import Flow
    from charonia.shared_memory import RegionSlice
    from charonia.tensor import MalformedTensor, Tensor
    from charonia.trace import Trace
    from charonia.turns import Turns

__all__ = [
    "BATCH_REASON",
    "SEQUENCE_END",
    "SEQUENCE_START",
    "InferenceRequest",
    "InferenceResponse",
    "Parameter",
    "ResponseSink",
]

_log = logging.getLogger(__name__)

SEQUENCE_START = 1
SEQUENCE_END = 2

_Account: TypeAlias = "Callable[[InferenceRequest, InferenceResponse], None]"


class InferenceRequest:
    """One request to a model.

    Frontends and in-process callers fill in the first block. The caller owns the request until `Server.submit` returns;
    if submit raises, the sink is never called; afterwards the sink gets exactly one final response.

    Attributes:
        model_name: the model that is asked.
        model_version: the version that is asked, or None for the greatest one that serves.
        model_namespace: the repository in which the model is looked for first, where models are told apart by that; else "".
        id: the caller's own name of the request, or "".
        inputs: the tensors by name; with a batch dimension in front where the model's max_batch_size is 1 or more.
        requested_outputs: the outputs wanted, or () for all.
        parameters: free key/values for the model.
        priority: 1 is highest; 0 asks for the model's default level.
        timeout_us: how long the request may wait in a queue, in microseconds; 0 means not said.
        correlation_id: the sequence to which the request belongs; 0 or "" for none.
        flags: 1 where the request starts its sequence, 2 where it ends it, 3 for both.
        output_regions: where outputs go in the shared memory of clients, by name. They are written there before the sink
            learns of the response, which has them nevertheless.
        flow: what holds up a model that answers this request many times faster than its reader reads; None for nothing.
        parent: the request on whose behalf another model made this one, or None.
        batch_size: the first dimension of the inputs where the model batches, else 1. Set by validation.
        alike: what it has in common with others that differ from it in their inputs' elements alone, or None.
        done, failed: whether the final response has been made, and whether it was an error.
        arrival_ns, queued_ns, started_ns: monotonic times of acceptance, of entering the queue, of leaving it.
        trace: what writes down how it fares, or None. Set by the trace.
        batch_reason: why the batch in which it was executed was closed, where it asks for that by the parameter of this name;
            then its responses say so by a parameter. "" otherwise.
        compute_ns: how long its execution took: gathering inputs, computing, making outputs. Zeros until it is counted.
        turns: how its scheduler, which sets it, has it executed several times; None where it does not, and once answered.
    """

    __slots__ = (
        "_cancelled",
        "_lock",
        "_on_final",
        "_on_first",
        "_sink",
        "alike",
        "arrival_ns",
        "batch_reason",
        "batch_size",
        "compute_ns",
        "correlation_id",
        "done",
        "failed",
        "flags",
        "flow",
        "id",
        "inputs",
        "model_name",
        "model_namespace",
        "model_version",
        "output_regions",
        "parameters",
        "parent",
        "priority",
        "queued_ns",
        "requested_outputs",
        "started_ns",
        "timeout_us",
        "trace",
        "turns",
    )

    def __init__(
        self,
        model_name: str,
        inputs: Mapping[str, Tensor | MalformedTensor],
        sink: ResponseSink,
        *,
        model_version: int | None = None,
        id: str = "",  # noqa: A002 - the protocol's word
        requested_outputs: tuple[str, ...] = (),
        output_regions: Mapping[str, RegionSlice] | None = None,
        parameters: Mapping[str, Parameter] | None = None,
        priority: int = 0,
        timeout_us: int = 0,
        correlation_id: int | str = 0,
        flags: int = 0,
        parent: InferenceRequest | None = None,
    ) -> None:
        self.model_name = model_name
        self.model_version = model_version
        self.model_namespace = ""
        self.id = id
        self.inputs: Mapping[str, Any] = inputs
        self.requested_outputs = requested_outputs
        self.output_regions: Mapping[str, RegionSlice] = {} if output_regions is None else output_regions
        self.parameters: Mapping[str, Parameter] = {} if parameters is None else parameters
        self.priority = priority
        self.timeout_us = timeout_us
        self.correlation_id = correlation_id
        self.flags = flags
        self.parent = parent
        self.flow: Flow | None = None
        self.batch_size = 1
        self.alike: Alike | None = None
        self.batch_reason = ""
        self.arrival_ns = time.monotonic_ns()
        self.queued_ns = 0
        self.started_ns = 0
        self.compute_ns = (0, 0, 0)
        self.trace: Trace | None = None
        self.turns: Turns | None = None
        self.done = False
        self.failed = False
        self._sink = sink
        self._cancelled = False
        self._on_final: _Account | None = None
        self._on_first: Callable[[InferenceRequest], None] | None = None
        self._lock = threading.Lock()  # guards `done`: exactly one final response, from whichever thread

    def child(
        self,
        model_name: str,
        inputs: Mapping[str, Tensor],
        sink: ResponseSink,
        *,
        model_version: int | None = None,
        requested_outputs: tuple[str, ...] = (),
    ) -> InferenceRequest:
        """Make a request that this one needs answered: to another model, or to its own with other inputs.

        It is cancelled with this one, and has its id, parameters, priority, time-out, sequence and flags; set them on the child
        where they differ. It is passed on by `charonia.models.Models.submit`, or executed by whoever made it.
        """
        return InferenceRequest(
            model_name,
            inputs,
            sink,
            model_version=model_version,
            id=self.id,
            requested_outputs=requested_outputs,
            parameters=self.parameters,
            priority=self.priority,
            timeout_us=self.timeout_us,
            correlation_id=self.correlation_id,
            flags=self.flags,
            parent=self,
        )

    def again(self, inputs: Mapping[str, Tensor], sink: ResponseSink) -> InferenceRequest:
        """Make a request of its own that asks the same, without shared memory.

        Args:
            inputs: of the same names, dtypes and shapes as those of all others that are made of it, which are checked once.
            sink: takes the responses.
        """
        request = InferenceRequest(self.model_name, inputs, sink)
        alike = self.alike
        if alike is None:
            alike = self.alike = Alike(self, InferenceRequest("", {}, _nowhere))
        for name, value in alike.said:
            setattr(request, name, value)
        request.alike = alike
        return request

    def pattern(self) -> InferenceRequest:
        """Make a request without inputs and receiver, of which others are to be made by `again`."""
        return self.again({}, _nowhere)

    def accept(self, on_final: _Account) -> None:
        """Name the model's own account of this request, or another, called once, just before the final response is delivered."""
        self._on_final = on_final

    def reject(self) -> None:
        """Undo `accept`: the request is refused after all, and its maker's again, who may answer it. Its trace has ended."""
        self._on_final = self._on_first = self.trace = None

    def watch_final(self, on_final: Callable[[], None]) -> None:
        """Name somebody else who is told just before the final response is delivered; at once if there is one already."""
        with self._lock:
            if not self.done:
                self._on_final = _both(self._on_final, on_final)
                return
        on_final()

    def watch_first(self, on_first: Callable[[InferenceRequest], None]) -> None:
        """Name who is told, just before it is delivered, of the first response; an error is one, and a mere end is none."""
        self._on_first = on_first

    def respond(self, response: InferenceResponse) -> None:
        """Answer the request. Any thread; any number of times until a response is final. Dropped after that.

        Where the request has a flow, a response that is not final waits until its reader has read enough of the earlier ones.
        """
        if not response.final:
            self._respond_early(response)
            return
        with self._lock:
            if self.done:
                return
            self.done = True
        if self.flow is not None:
            self.flow.end()
        if self.cancelled and response.error is None:
            response = InferenceResponse(error=CancelledError(""))
        elif self.output_regions:
            response = self._in_place(response)
        self.failed = response.error is not None
        if self._on_first is not None:
            self._note_first(response)
        if self._on_final is not None:
            self._on_final(self, response)
        if self.trace is not None:
            self.trace.finish(self, response)
        self._deliver(response)
        # They may lead back here, and would then keep all tensors on the way until the garbage is collected.
        self._sink, self._on_final, self.turns = _nowhere, None, None

    def _respond_early(self, response: InferenceResponse) -> None:
        if self.flow is not None:
            self.flow.wait()
        with self._lock:  # held while it is delivered, so that the final response cannot overtake it
            if not self.done and not self.cancelled:
                if self._on_first is not None:
                    self._note_first(response)
                if self.trace is not None:
                    self.trace.note(response)
                self._deliver(self._in_place(response) if self.output_regions else response)

    def _note_first(self, response: InferenceResponse) -> None:
        merely_ends = response.final and not response.outputs and response.error is None
        if self._on_first is not None and not merely_ends:
            self._on_first(self)
            self._on_first = None

    def _in_place(self, response: InferenceResponse) -> InferenceResponse:
        """Write outputs into their regions. Where one cannot be written, the answer is that error."""
        try:
            for name, place in self.output_regions.items():
                if name in response.outputs:
                    place.write_tensor(name, response.outputs[name])
        except Exception as error:  # noqa: BLE001 - the border of a request: its caller gets an answer, whatever a model gives
            return InferenceResponse(error=InferenceError.around(error), final=response.final)
        return response

    def _deliver(self, response: InferenceResponse) -> None:
        if self.batch_reason and response.outputs:
            parameters = {**response.parameters, BATCH_REASON: self.batch_reason}
            response = InferenceResponse(response.outputs, parameters=parameters, final=response.final)
        try:
            self._sink(response)
        except Exception:  # noqa: BLE001 - the border of a request: a receiver's mistake must not end the instance
            _log.exception("the receiver of a response from model '%s' raised", self.model_name)

    def fail(self, error: BaseException) -> None:
        """Answer the request with an error, which ends it. Anything but an InferenceError becomes INTERNAL, and its cause."""
        self.respond(InferenceResponse(error=InferenceError.around(error)))

    def reschedule(self) -> None:
        """Give the request back to its scheduler, to be executed once more, instead of a final response. Any thread.

        For executions of models that answer a request in several turns: those with `iterative_sequence` in their configuration's
        section `sequence_batching`. This same object comes again in a later batch, with the control inputs and the states of its
        next turn, unless it is cancelled meanwhile. Responses that are not final may be sent in every turn, and between them.

        Where the scheduler takes no request back, this one is answered with an UnsupportedError. After the final response, and
        a second time in one turn, this does nothing.
        """
        turns = self.turns
        if turns is None:
            lacking = "'sequence_batching { iterative_sequence: true }' in their configuration get: add it"
            told = f"model '{self.model_name}' asked for another execution of this request, which only models with {lacking}"
            self.fail(UnsupportedError(told))
            return
        with self._lock:
            if self.done or turns.waiting:
                return
            turns.waiting = True
        turns.take_back()

    @property
    def rescheduled(self) -> bool:
        """Whether its execution has given it back, and it has not been given out again since."""
        return (turns := self.turns) is not None and turns.waiting  # read once: whoever answers it takes them away

    def cancel(self) -> None:
        """Take the request back.

        In the queue it is removed when an instance picks it up, and never executed. While it executes, a backend that asks
        (`cancelled`) may stop early; its result is dropped. Either way the sink gets one final response with a
        `CancelledError`. After the final response this does nothing.
        """
        self._cancelled = True
        if self.flow is not None:
            self.flow.end()

    @property
    def cancelled(self) -> bool:
        """Whether the caller has taken the request back, or the one on whose behalf it was made."""
        return self._cancelled or (self.parent is not None and self.parent.cancelled)

    def __repr__(self) -> str:
        return f"InferenceRequest(model={self.model_name!r}, id={self.id!r}, inputs={list(self.inputs)})"


def _nowhere(response: InferenceResponse) -> None:
    """Take the responses of a request that is never made."""


def _both(account: _Account | None, on_final: Callable[[], None]) -> _Account:
    def told(request: InferenceRequest, response: InferenceResponse) -> None:
        if account is not None:
            account(request, response)
        on_final()

    return told
