"""The trace of a request: what is written down about it while it is answered, and the part of its way that a frontend knows."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self, TypeAlias

from charonia.datatypes import DataType
from charonia.tensor import as_numpy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from charonia.errors import InferenceError
    from charonia.tensor import Array, Tensor
    from charonia.trace_settings import TraceSetting

__all__ = ["TENSORS", "TIMESTAMPS", "Passage", "Trace", "TracedRequest", "TracedTensor"]

TIMESTAMPS = "TIMESTAMPS"
TENSORS = "TENSORS"


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
    passage: Passage | None


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


_InModel: TypeAlias = tuple[int, int, tuple[int, int, int], int]
"""What a model knows of a request's times: its `queued_ns`, `started_ns` and `compute_ns`, and when it was done."""


class Trace:
    """The trace of one request. Made by a `Tracer`; its methods are called on whichever thread answers the request.

    Attributes:
        number: its number, from 1 up.
        setting: what is traced.
        parent: the trace of the request on whose behalf this one was made, or None.
        origin: what the writer's `origin` or `caller` gave, or None.
        model: the name of the model that is asked.
        version: the version that answers.
        composed: whether that model has no execution of its own, but is an ensemble.
        request_id: the caller's own name of the request, or "".
        arrival_ns: when the request was decoded, in monotonic nanoseconds.
        tensors: the tensors, where these are wanted.
        error: the text of the error that the request ended with, or "".
        mark: whatever the writer keeps with the trace; None at first.

    Args:
        number: see above.
        setting: see above.
        parent: see above.
        request: the request.
        version: see above.
        composed: see above.
        writer: what takes it.
    """

    __slots__ = (
        "_in_frontend",
        "_in_model",
        "_open",
        "_writer",
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
        parent: Trace | None,
        request: TracedRequest,
        *,
        version: int,
        composed: bool,
        writer: TraceKeeper,
    ) -> None:
        self.number = number
        self.setting = setting
        self.parent = parent
        self.model = request.model_name
        self.version = version
        self.composed = composed
        self.request_id = request.id
        self.arrival_ns = request.arrival_ns
        self.tensors: list[TracedTensor] = []
        self.error = ""
        self.mark: Any = None
        self._in_model: _InModel = (0, 0, (0, 0, 0), 0)
        self._in_frontend: Passage | None = None
        self._writer = writer
        passage = request.passage
        self.origin = None if passage is None else passage.origin
        # one item for each of model and frontend, which takes one out when it is done: the one that comes last gets the True
        self._open = [True] if passage is None or not passage.through_frontend else [True, False]

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

    def note(self, response: TracedResponse) -> None:
        """Write down what a response has."""
        if TENSORS in self.setting.level:
            self.tensors += _described("TENSOR_BACKEND_OUTPUT", response.outputs)

    def finish(self, request: TracedRequest, response: TracedResponse) -> None:
        """Write down what the model knows: the request has its final response."""
        if TENSORS in self.setting.level:
            self.note(response)
            self.tensors = [*_described("TENSOR_QUEUE_INPUT", request.inputs), *self.tensors]
        if response.error is not None:
            self.error = str(response.error) or response.error.code.name
        self._in_model = (request.queued_ns, request.started_ns, request.compute_ns, time.monotonic_ns())
        if self._open.pop():
            self._writer.end(self)

    def finish_passage(self, passage: Passage) -> None:
        """Take note of a passage that has ended."""
        self._in_frontend = passage
        if self._open.pop():
            self._writer.end(self)

    @property
    def moments(self) -> dict[str, int]:
        """When what happened, in monotonic nanoseconds, by the reference's names: in the model, then in the frontend.

        Made anew each time: whoever takes the trace asks for it, when nobody waits any more.
        """
        queued_ns, started_ns, compute_ns, done_ns = self._in_model
        moments = {"REQUEST_START": self.arrival_ns, "QUEUE_START": queued_ns}
        if not self.composed:
            input_ns, infer_ns, output_ns = compute_ns
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
        if self._in_frontend is not None:
            moments.update(self._in_frontend.moments(self.arrival_ns))
        return moments


class Passage:
    """The passage of a request through the server's door, which exists only where somebody looks on.

        passage = server.tracer.passage(model, "HTTP_RECV", "HTTP_SEND", headers.get)
        if passage is not None:
            with passage:
                request = decode(body)
                passage.carry(request)
                …
                passage.answer()
                answer = encode(response)

    It begins when the whole request has arrived. All of it belongs to one thread, from which the request is submitted, too.

    Args:
        receiving: what the reference calls the time until the request is decoded; "" in process, where there is no frontend.
        sending: what it calls the time from then on when there is something to answer.
        setting: what is traced; None where somebody else looks on.
        origin: the trace that the client's request belongs to, as the writer has found it, or None.
        began_ns: when it began, in monotonic nanoseconds; now if not given.

    Attributes:
        setting: see above.
        origin: see above.
        request: the request, once it is decoded and until the end.
        through_frontend: whether there is a frontend, which ends the passage.
    """

    __slots__ = (
        "_answered_ns",
        "_began_ns",
        "_ended_ns",
        "_receiving",
        "_sending",
        "origin",
        "request",
        "setting",
        "through_frontend",
    )

    def __init__(
        self,
        receiving: str,
        sending: str,
        setting: TraceSetting | None = None,
        origin: object | None = None,
        began_ns: int = 0,
    ) -> None:
        self.setting = setting
        self.origin = origin
        self.request: TracedRequest | None = None
        self._receiving = receiving
        self._sending = sending
        self._answered_ns = 0
        self._ended_ns = 0
        self._began_ns = began_ns or time.monotonic_ns()
        self.through_frontend = bool(receiving)

    def carry(self, request: TracedRequest) -> None:
        """Say that the request is decoded; before it is submitted. Whoever does so ends the passage."""
        self.request = request
        request.passage = self

    def answer(self) -> None:
        """Say that the answer, or the first one, begins to be written."""
        if not self._answered_ns:
            self._answered_ns = time.monotonic_ns()

    def end(self) -> None:
        """Say that the answer is with the transport, or that nobody wants it any more. Idempotent."""
        request, self.request = self.request, None
        if request is not None and request.trace is not None:
            self._ended_ns = time.monotonic_ns()
            request.trace.finish_passage(self)

    def moments(self, arrival_ns: int) -> dict[str, int]:
        """Tell when what happened in the frontend of a request that arrived at a time, once it has ended."""
        moments = {f"{self._receiving}_START": self._began_ns, f"{self._receiving}_END": arrival_ns}
        if self._answered_ns:
            moments |= {f"{self._sending}_START": self._answered_ns, f"{self._sending}_END": self._ended_ns}
        return moments

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


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
