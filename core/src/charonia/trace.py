"""The trace of a request: what is written down about it while it is answered."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from charonia.datatypes import DataType
from charonia.tensor import as_numpy
from charonia.trace_settings import LEVELS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from charonia.errors import InferenceError
    from charonia.tensor import Array, Tensor
    from charonia.trace_settings import TraceSetting

__all__ = ["TENSORS", "TIMESTAMPS", "Onlooker", "Trace", "TracedRequest", "TracedTensor"]

TIMESTAMPS, TENSORS = LEVELS


class TracedRequest(Protocol):
    """What a trace tells of a request: `charonia.request.InferenceRequest` is this."""

    model_name: str
    id: str
    inputs: Mapping[str, Any]
    arrival_ns: int
    queued_ns: int
    started_ns: int
    compute_ns: tuple[int, int, int]
    trace: Trace | None


class TracedResponse(Protocol):
    """What a trace tells of a response: `charonia.request.InferenceResponse` is this."""

    outputs: Mapping[str, Tensor]
    error: InferenceError | None


class TraceKeeper(Protocol):
    """What a trace belongs to: a `charonia.trace_writer.TraceWriter` is this."""

    def id_of(self, trace: Trace, /) -> str:
        """Name a trace for the log."""

    def context_of(self, trace: Trace, /) -> Mapping[str, str]:
        """Give the header fields by which another process takes a trace up."""

    def current(self, trace: Trace, /) -> AbstractContextManager[object]:
        """Stand around the execution of a traced request."""

    def end(self, trace: Trace, /) -> None:
        """Take a trace that is complete."""


class Onlooker(Protocol):
    """What looks on while a frontend answers a request. A `Trace` is this. All of it belongs to the frontend's thread.

    Attributes:
        answered_ns: when the answer, or the first one, began to be written, in monotonic nanoseconds; 0 before. Set by the
            frontend.
    """

    answered_ns: int

    def carry(self, request: TracedRequest, /) -> None:
        """Take note that the request is decoded; before it is submitted."""

    def end(self) -> None:
        """Take note that the answer is with the transport, or that nobody wants it any more. Idempotent."""


class TracedTensor(NamedTuple):
    """A tensor as text, in the reference's form.

    Attributes:
        activity: what happened to it: "TENSOR_QUEUE_INPUT" or "TENSOR_BACKEND_OUTPUT".
        name: its name.
        data: its elements, with commas between them.
        shape: its dimensions, likewise.
        dtype: its datatype, by the protocol's name.
    """

    activity: str
    name: str
    data: str
    shape: str
    dtype: str


class Trace:
    """The trace of one request. A frontend has it made by the `Tracer` when a client's request comes in.

        trace = server.tracer.begin(model, "HTTP_RECV", "HTTP_SEND", headers.get)
        request = decode(body)
        if trace is not None:
            trace.carry(request)
        …
        trace.answered_ns = time.monotonic_ns()
        answer = encode(response)
        trace.end()

    It is complete when its model has given the final response, and its frontend, if there is one, has ended it, in either order.
    One that no model has taken is dropped. Only one request in many has a trace, so that its code is seldom in the CPU's caches,
    where each function costs as much as ten elsewhere: there are few of them.

    Attributes:
        number: its number, from 1 up.
        setting: what is traced.
        parent: the trace of the request on whose behalf this one was made, or None.
        origin: what the writer's `origin` or `caller` gave, or None.
        model: the name of the model that is asked.
        version: the version that answers. Set by the model.
        composed: whether that model has no execution of its own, but is an ensemble. Set by the model.
        request_id: the caller's own name of the request, or "".
        arrival_ns: when the request was decoded, in monotonic nanoseconds.
        answered_ns: see `Onlooker`.
        tensors: the tensors, where these are wanted.
        error: the text of the error that the request ended with, or "".
        mark: whatever the writer keeps with the trace; None at first.

    Args:
        number: see above.
        setting: see above.
        writer: what takes it.
        parent: see above.
        origin: see above.
        receiving: what the reference calls the time until the request is decoded; "" where there is no frontend.
        sending: what it calls the time from then on when there is something to answer.
        began_ns: when the request had arrived, in monotonic nanoseconds; now if not given.
    """

    __slots__ = (
        "_began_ns",
        "_compute_ns",
        "_done_ns",
        "_ended_ns",
        "_open",
        "_queued_ns",
        "_receiving",
        "_sending",
        "_started_ns",
        "_writer",
        "answered_ns",
        "arrival_ns",
        "composed",
        "error",
        "mark",
        "model",
        "number",
        "origin",
        "parent",
        "request_id",
        "setting",
        "tensors",
        "version",
    )

    def __init__(
        self,
        number: int,
        setting: TraceSetting,
        writer: TraceKeeper,
        parent: Trace | None = None,
        origin: object | None = None,
        receiving: str = "",
        sending: str = "",
        began_ns: int = 0,
    ) -> None:
        self.number = number
        self.setting = setting
        self.parent = parent
        self.origin = origin
        self.model = self.request_id = self.error = ""
        self.version = self.arrival_ns = self.answered_ns = 0
        self.composed = False
        self.tensors: Sequence[TracedTensor] = ()
        self.mark: Any = None
        self._writer = writer
        self._receiving = receiving
        self._sending = sending
        self._began_ns = began_ns or time.monotonic_ns()
        self._queued_ns = self._started_ns = self._done_ns = self._ended_ns = 0
        self._compute_ns = (0, 0, 0)
        # one item for each of model and frontend, which takes one out when it is done: the one that comes last gets the True
        self._open = [True, False] if receiving else [True]

    @property
    def id(self) -> str:
        """What it is called in logs."""
        return self._writer.id_of(self)

    @property
    def context(self) -> Mapping[str, str]:
        """The header fields by which another process takes it up; none where its writer has nothing of that kind."""
        return self._writer.context_of(self)

    def current(self) -> AbstractContextManager[object]:
        """Stand around the execution of the request: what the model's own code tells of itself belongs to this trace."""
        return self._writer.current(self)

    # -- the frontend's side, on its thread

    def carry(self, request: TracedRequest) -> None:
        """Belong to a request, which has just been decoded; before it is submitted."""
        request.trace = self
        self.model = request.model_name
        self.request_id = request.id
        self.arrival_ns = request.arrival_ns

    def end(self) -> None:
        """Do as `Onlooker.end` says."""
        if not self._ended_ns:
            self._ended_ns = time.monotonic_ns()
            if self._open.pop():
                self._writer.end(self)

    # -- the model's side, on whichever thread answers the request

    def note(self, response: TracedResponse) -> None:
        """Write down what a response has, one of several; an error among them is how the request ended."""
        if TENSORS in self.setting.level:
            self.tensors = [*self.tensors, *_described("TENSOR_BACKEND_OUTPUT", response.outputs)]
        if response.error is not None:
            self.error = _told(response.error)

    def finish(self, request: TracedRequest, response: TracedResponse) -> None:
        """Write down what the model knows: the request has its final response."""
        if not request.queued_ns:
            return  # no model has taken it
        if TENSORS in self.setting.level:
            self.note(response)
            self.tensors = [*_described("TENSOR_QUEUE_INPUT", request.inputs), *self.tensors]
        if response.error is not None:
            self.error = _told(response.error)
        self._queued_ns = request.queued_ns
        self._started_ns = request.started_ns
        self._compute_ns = request.compute_ns
        self._done_ns = time.monotonic_ns()
        if self._open.pop():
            self._writer.end(self)

    # -- when it is complete

    @property
    def moments(self) -> dict[str, int]:
        """When what happened, in monotonic nanoseconds, by the reference's names: in the model, then in the frontend.

        Made anew each time: whoever takes the trace asks for it, when nobody waits any more.
        """
        queued_ns, started_ns, done_ns = self._queued_ns, self._started_ns, self._done_ns
        moments = {"REQUEST_START": self.arrival_ns, "QUEUE_START": queued_ns}
        if not self.composed:
            input_ns, infer_ns, output_ns = self._compute_ns
            if input_ns or infer_ns or output_ns:
                moments["COMPUTE_START"] = started_ns
                moments["COMPUTE_INPUT_END"] = computing_ns = started_ns + input_ns
                moments["COMPUTE_OUTPUT_START"] = computed_ns = computing_ns + infer_ns
                moments["COMPUTE_END"] = computed_ns + output_ns
            elif started_ns and started_ns != queued_ns:
                # answered in full before the execution has returned, as decoupled ones are
                moments["COMPUTE_START"] = moments["COMPUTE_INPUT_END"] = started_ns
                moments["COMPUTE_OUTPUT_START"] = moments["COMPUTE_END"] = done_ns
        if self.parent is None:
            moments["INFER_RESPONSE_COMPLETE"] = done_ns
        moments["REQUEST_END"] = done_ns
        if self._receiving:
            moments[f"{self._receiving}_START"] = self._began_ns
            moments[f"{self._receiving}_END"] = self.arrival_ns
            if self.answered_ns:
                moments[f"{self._sending}_START"] = self.answered_ns
                moments[f"{self._sending}_END"] = self._ended_ns
        return moments


def _told(error: InferenceError) -> str:
    return str(error) or error.code.name


def _described(activity: str, tensors: Mapping[str, Tensor]) -> list[TracedTensor]:
    return [_as_text(activity, name, as_numpy(tensor)) for name, tensor in tensors.items()]


def _as_text(activity: str, name: str, array: Array) -> TracedTensor:
    data = ",".join([_text(element) for element in array.reshape(-1).tolist()])
    return TracedTensor(activity, name, data, ",".join(map(str, array.shape)), DataType.of_dtype(array.dtype).name)


def _text(element: object) -> str:
    """Write an element as the reference does; a string with quotes around it, so that commas in it do no harm."""
    if isinstance(element, float):
        return f"{element:g}"
    if isinstance(element, int):  # or a bool
        return str(int(element))
    text = element.decode("utf-8", errors="backslashreplace") if isinstance(element, bytes) else str(element)
    return json.dumps(text, ensure_ascii=False)
