"""The in-process API of one model: infer and stream, from threads and from coroutines."""

from __future__ import annotations

import asyncio
import queue
import threading
from typing import TYPE_CHECKING, Protocol, TypedDict, Unpack

from charonia.errors import InvalidArgumentError, UnsupportedError
from charonia.models import Models
from charonia.reply import Reply
from charonia.request import SEQUENCE_END, SEQUENCE_START, InferenceRequest, InferenceResponse, Parameter
from charonia.response_stream import AsyncResponseStream, ResponseStream
from charonia.tensor import SupportsDLPack, Tensor, as_tensor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from charonia.config import ModelConfig
    from charonia.mailbox import Mailboxes
    from charonia.metadata import ModelMetadata
    from charonia.model import Model
    from charonia.request import ResponseSink
    from charonia.signature import Signature
    from charonia.statistics import StatisticsSnapshot
    from charonia.trace import Onlooker
    from charonia.tracing import Tracer

__all__ = ["ModelHandle", "RequestOptions"]


class RequestOptions(TypedDict, total=False):
    """What a request can say beside its inputs.

    Attributes:
        outputs: the outputs wanted; all if not said.
        id: the caller's own name of the request, which errors repeat.
        parameters: free key/values for the model.
        priority: 1 is highest; 0 asks for the model's default level.
        timeout_us: how long the request may wait in the queue, in microseconds, where the model's scheduler allows it.
        sequence_id: the sequence to which the request belongs.
        sequence_start, sequence_end: whether it is the first or last one of its sequence.
        onlooker: what looks on where a frontend asks, or None where nobody does. Else the request may be one that is traced.
    """

    outputs: Sequence[str]
    id: str
    parameters: Mapping[str, Parameter]
    priority: int
    timeout_us: int
    sequence_id: int | str
    sequence_start: bool
    sequence_end: bool
    onlooker: Onlooker | None


class HandledModels(Models, Protocol):
    """The models of a server, as handles see them: `charonia.Server` is this."""

    mailboxes: Mailboxes
    tracer: Tracer

    def get(self, name: str, version: int | None = None) -> Model:
        """Find the version of a model that serves."""

    def model_metadata(self, name: str, version: int | None = None) -> ModelMetadata:
        """Tell a model's inputs and outputs."""


class ModelHandle:
    """A model of a server, by name: each call finds the version that serves at that moment.

    Inputs are given by name, with the batch dimension in front where the model's max_batch_size is 1 or more. A numpy array,
    or another object that speaks DLPack, is passed on as it is; lists, numbers and text are converted to the input's
    datatype, and refused where that would change a value. Usable from several threads at once.
    """

    def __init__(self, server: HandledModels, name: str, version: int | None = None) -> None:
        self._server = server
        self.name = name
        self.version = version

    def infer(self, inputs: Mapping[str, object], **options: Unpack[RequestOptions]) -> InferenceResponse:
        """Send one request and wait for its response.

        Where an instance is free, the model runs in the calling thread. Ctrl-C while it waits takes the request back.

        Raises:
            UnsupportedError: the model is decoupled: use `stream`.
            InferenceError: the request was refused, or failed.
        """
        model = self._unary_model()
        answer = _Answer()
        request = self._request(model, inputs, _TheOne(answer.receive), options)
        try:
            if not self._server.submit_direct(request):
                self._server.submit(request)
            return answer.wait()
        except KeyboardInterrupt:
            request.cancel()
            raise

    async def infer_async(self, inputs: Mapping[str, object], **options: Unpack[RequestOptions]) -> InferenceResponse:
        """Send one request and await its response. Cancelling the coroutine cancels the request. Raises what `infer` raises."""
        model = self._unary_model()
        reply = Reply(self._server.mailboxes.of(asyncio.get_running_loop()))
        request = self._request(model, inputs, _TheOne(reply.sink), options)
        if not self._server.submit_prompt(request):
            self._server.submit(request)
        try:
            response = await reply
        except asyncio.CancelledError:
            request.cancel()
            raise
        response.raise_error()
        return response

    def stream(self, inputs: Mapping[str, object], **options: Unpack[RequestOptions]) -> ResponseStream:
        """Send one request and give its responses as they come; for decoupled models, and for others too.

        The request is sent at the call. Closing the iterator early, or dropping it, cancels it. An error response is raised.
        """
        responses: queue.SimpleQueue[InferenceResponse] = queue.SimpleQueue()
        request = self._request(self._server.get(self.name, self.version), inputs, responses.put, options)
        self._server.submit(request)
        return ResponseStream(request, responses)

    def stream_async(self, inputs: Mapping[str, object], **options: Unpack[RequestOptions]) -> AsyncResponseStream:
        """Send one request and give its responses as they come, to the coroutine that calls. Otherwise as `stream`."""
        responses: asyncio.Queue[InferenceResponse] = asyncio.Queue()
        mailbox = self._server.mailboxes.of(asyncio.get_running_loop())
        model = self._server.get(self.name, self.version)
        request = self._request(model, inputs, lambda response: mailbox.post(responses.put_nowait, response), options)
        self._server.submit(request)
        return AsyncResponseStream(request, responses)

    @property
    def ready(self) -> bool:
        """Whether the model can serve now. False, too, if there is no such model."""
        return self._server.can_serve(self.name, self.version)

    def metadata(self) -> ModelMetadata:
        """Tell the model's versions, inputs and outputs."""
        return self._server.model_metadata(self.name, self.version)

    def config(self) -> ModelConfig:
        """Give the model's configuration, complete and normalised. Read only."""
        return self._server.model_config(self.name, self.version)

    def statistics(self) -> StatisticsSnapshot:
        """Give the counters of the version that serves."""
        return self._server.get(self.name, self.version).snapshot()

    def _unary_model(self) -> Model:
        model = self._server.get(self.name, self.version)
        if model.decoupled:
            raise UnsupportedError(
                f"model '{self.name}' is decoupled, so that a request may have any number of responses: use stream()"
            )
        return model

    def _request(
        self, model: Model, inputs: Mapping[str, object], sink: ResponseSink, options: RequestOptions
    ) -> InferenceRequest:
        request = self._made(_tensors(model.signature, inputs), sink, options)
        if "onlooker" in options:
            onlooker = options["onlooker"]
        else:
            onlooker = self._server.tracer.begin(self.name) if next(self._server.tracer.turns, True) else None
        if onlooker is not None:
            onlooker.carry(request)
        return request

    def _made(self, tensors: Mapping[str, Tensor], sink: ResponseSink, options: RequestOptions) -> InferenceRequest:
        if not options:
            return InferenceRequest(self.name, tensors, sink, model_version=self.version)
        flags = SEQUENCE_START if options.get("sequence_start") else 0
        flags |= SEQUENCE_END if options.get("sequence_end") else 0
        return InferenceRequest(
            self.name,
            tensors,
            sink,
            model_version=self.version,
            id=options.get("id", ""),
            requested_outputs=tuple(options.get("outputs", ())),
            parameters=options.get("parameters"),
            priority=options.get("priority", 0),
            timeout_us=options.get("timeout_us", 0),
            correlation_id=options.get("sequence_id", 0),
            flags=flags,
        )


class _TheOne:
    """A sink for a request that gets one response: passes it on when it is sure that none follows.

    Where a model sends the outputs first and then only that this was all, the outputs are the response.
    """

    __slots__ = ("_latest", "_receiver")

    def __init__(self, receiver: ResponseSink) -> None:
        self._receiver = receiver
        self._latest: InferenceResponse | None = None

    def __call__(self, response: InferenceResponse) -> None:
        if not response.final:
            self._latest = response
        elif response.outputs or response.error is not None or self._latest is None:
            self._receiver(response)
        else:
            self._receiver(self._latest)


class _Answer:
    """Where a thread waits for the one response to its request."""

    __slots__ = ("_ready", "_response")

    def __init__(self) -> None:
        self._ready = threading.Lock()
        self._ready.acquire()
        self._response: InferenceResponse | None = None

    def receive(self, response: InferenceResponse) -> None:
        self._response = response
        self._ready.release()

    def wait(self) -> InferenceResponse:
        self._ready.acquire()
        response = self._response
        assert response is not None  # noqa: S101 - the lock is released by the response only
        response.raise_error()
        return response


def _tensors(signature: Signature, inputs: Mapping[str, object]) -> Mapping[str, Tensor]:
    """Convert what is not a tensor of the right datatype yet. Names that the model does not know are left to its check."""
    try:
        named = inputs.items()
    except AttributeError:
        raise InvalidArgumentError(
            f"the inputs for model '{signature.model}' are of type {type(inputs).__name__}: they must be a mapping from names, "
            f"{', '.join(map(repr, signature.inputs))}, to values"
        ) from None
    tensors: dict[str, Tensor] = {}
    for name, value in named:
        spec = signature.inputs.get(name)
        dtype: np.dtype | None = getattr(value, "dtype", None)
        if spec is None:
            raise InvalidArgumentError(f"unexpected inference input '{name}' for model '{signature.model}'")
        if dtype is not None and dtype == spec.datatype.dtype and dtype.kind != "O":
            tensors[name] = value  # type: ignore[assignment]  # only arrays have a numpy dtype
        elif isinstance(value, SupportsDLPack) and not hasattr(value, "__array_interface__"):
            tensors[name] = value
        else:
            try:
                tensors[name] = as_tensor(value, spec.datatype)
            except InvalidArgumentError as error:
                raise InvalidArgumentError(f"input '{name}' of model '{signature.model}': {error}") from error
    return tensors
