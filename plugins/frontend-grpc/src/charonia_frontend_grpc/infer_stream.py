"""One stream of inferences: requests come in, responses go out, and their orders are not the same.

Responses of models that answer once leave in the order of the requests, so that a slow one holds up those after it; responses
of decoupled models leave as they are made. What is wrong with a request is told in the stream, which goes on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import TYPE_CHECKING

from charonia.classification import takes_long
from charonia.errors import InferenceError, InternalError
from charonia.flow import Flow
from charonia.rpc import RpcStream, no_metadata
from charonia_protos import grpc_service_pb2 as pb
from charonia_protos.wire import length_delimited

from charonia_frontend_grpc.infer_message import parse_infer
from charonia_frontend_grpc.infer_request import decode_infer
from charonia_frontend_grpc.infer_response import parameter_fields
from charonia_frontend_grpc.metadata import arrival_to_trace, begin_trace
from charonia_frontend_grpc.model_version import read_version
from charonia_frontend_grpc.status import error_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from charonia.mailbox import Mailbox
    from charonia.outbox import Outbox
    from charonia.per_model import PerModel
    from charonia.request import InferenceRequest, InferenceResponse
    from charonia.rpc import Metadata
    from charonia.server import Server
    from charonia.trace import Trace

    from charonia_frontend_grpc.infer_request import Decoded
    from charonia_frontend_grpc.infer_response import ResponseEncoder

__all__ = ["InferStream"]

_log = logging.getLogger("charonia.frontend_grpc.infer_stream")

MAX_UNSENT_MESSAGES = 128
MAX_UNSENT_BYTES = 4_194_304
"""While more than this waits for a slow reader, no more of its requests are taken."""

_INFER_RESPONSE = 2  # a field's number in ModelStreamInferResponse
_FINAL = {final: parameter_fields({"triton_final_response": final}) for final in (False, True)}


class _Call:
    """A request of the stream, and what is still to be sent of its answers."""

    __slots__ = ("answers", "behind", "decoded", "decoupled", "encoder", "finished", "flow", "named", "trace")

    def __init__(self) -> None:
        self.trace: Trace | None = None
        self.named = pb.ModelInferResponse()  # as the request named itself, the version included
        self.decoupled = False
        self.encoder: ResponseEncoder | None = None
        self.decoded: Decoded | None = None
        self.answers: deque[bytes | InferenceError] = deque()
        self.behind: deque[InferenceResponse] | None = None  # what waits for one that is written beside the loop
        self.finished = False
        self.flow = Flow()


class InferStream(RpcStream):
    """A stream of inferences, free of its transport. All methods belong to the event loop.

    Args:
        server: the server that answers.
        mailbox: the way from instance threads into the loop.
        outbox: where decoded requests go.
        encoders: write the responses.
        strict: whether the first failing execution ends the stream with its status.
        forward: writes the metadata of the stream into each of its requests, or None.
        metadata: what came with the call, for the traces of its requests.
    """

    def __init__(
        self,
        server: Server,
        mailbox: Mailbox,
        outbox: Outbox,
        encoders: PerModel[ResponseEncoder],
        *,
        strict: bool,
        forward: Callable[[InferenceRequest], None] | None = None,
        metadata: Metadata = no_metadata,
    ) -> None:
        self._server = server
        self._mailbox = mailbox
        self._outbox = outbox
        self._encoders = encoders
        self._strict = strict
        self._forward = forward
        self._metadata = metadata
        self._open: set[_Call] = set()
        self._beside: set[asyncio.Task[None]] = set()
        self._in_order: deque[_Call] = deque()
        self._ready: deque[tuple[_Call, bytes | InferenceError]] = deque()
        self._unsent_messages = 0
        self._unsent_bytes = 0
        self._ended = False
        self._end: InferenceError | None = None
        self._something = asyncio.Event()
        self._room = asyncio.Event()

    # -- the client's side

    async def wait_for_room(self) -> None:
        """Wait until little enough is unsent for one more request."""
        while self._unsent_messages > MAX_UNSENT_MESSAGES or self._unsent_bytes > MAX_UNSENT_BYTES:
            self._room.clear()
            await self._room.wait()

    def receive(self, body: bytes | memoryview) -> None:
        """Take a serialised ModelInferRequest. After the end it is dropped: the stream's status tells the client."""
        if self._ended:
            return
        call = _Call()
        try:
            self._begin(call, body)
        except Exception as error:  # noqa: BLE001 - the border of requests: a fault of ours is told and survived
            self._queue(call)
            self._refuse(call, error)
            return
        self._queue(call)
        self._outbox.put(self._decoded(call).request, lambda error: self._refuse(call, error))

    def refuse(self, error: InferenceError) -> None:
        """Tell that a request could not be taken."""
        if not self._ended:
            call = _Call()
            self._queue(call)
            self._refuse(call, error)

    def end(self, error: InferenceError | None = None) -> None:
        """Take no more requests. The stream ends when all are answered: well, or with `error`. Later calls change nothing."""
        if not self._ended:
            self._ended = True
            self._end = error
            self._something.set()

    async def next(self) -> bytes | None:
        """Wait for the next serialised ModelStreamInferResponse; None is the end of the stream.

        Raises:
            InferenceError: the stream ends with this status.
        """
        while not self._ready:
            if self._ended and not self._open:
                if self._end is not None:
                    raise self._end
                return None
            self._something.clear()
            await self._something.wait()
        call, item = self._ready.popleft()
        call.flow.read()
        if isinstance(item, InferenceError):
            raise item
        self._unsent_messages -= 1
        self._unsent_bytes -= len(item)
        self._room.set()
        return item

    def close(self) -> None:
        """Cancel what is not answered; nothing more is sent. Idempotent."""
        self._ended = True
        for call in self._open:
            if call.decoded is not None:
                call.decoded.request.cancel()
            if call.trace is not None:
                call.trace.end()
            call.finished = True
        for task in self._beside:
            task.cancel()
        self._open.clear()
        self._in_order.clear()
        self._ready.clear()
        self._something.set()

    # -- the server's side

    def _begin(self, call: _Call, body: bytes | memoryview) -> None:
        began_ns = arrival_to_trace(self._server.tracer, self._metadata)
        message, raw = parse_infer(body)
        call.named = pb.ModelInferResponse(
            id=message.id, model_name=message.model_name, model_version=message.model_version
        )
        version = read_version(message.model_version)
        model = self._server.get(message.model_name, version)
        call.decoupled = model.decoupled
        call.encoder = self._encoders[model]
        post = self._mailbox.post
        call.decoded = decode_infer(
            model,
            version,
            message,
            raw,
            self._server.shared_memory,
            lambda response: post(self._deliver, (call, response)),
        )
        if call.decoupled:
            call.decoded.request.flow = call.flow
        if self._forward is not None:
            self._forward(call.decoded.request)
        if began_ns:
            call.trace = begin_trace(self._server.tracer, call.decoded.request, self._metadata, began_ns)

    def _queue(self, call: _Call) -> None:
        self._open.add(call)
        if not call.decoupled:
            self._in_order.append(call)

    @staticmethod
    def _decoded(call: _Call) -> Decoded:
        assert call.decoded is not None  # noqa: S101 - it was made in `_begin`
        return call.decoded

    def _refuse(self, call: _Call, error: Exception) -> None:
        """Tell that a request is not executed: only its id goes back, as in the reference."""
        if call.finished:
            return
        call.finished = True
        told = pb.ModelStreamInferResponse(
            error_message=error_text(_told(error)), infer_response=pb.ModelInferResponse(id=call.named.id)
        )
        self._send(call, told.SerializeToString())

    def _deliver(self, delivery: tuple[_Call, InferenceResponse]) -> None:
        call, response = delivery
        if call.finished:
            return
        if call.behind is not None:
            call.behind.append(response)
            return
        if call.trace is not None and not call.trace.answered_ns:
            call.trace.answered_ns = time.monotonic_ns()
        if self._decoded(call).classes and takes_long(response.outputs):
            call.behind = deque()
            task = asyncio.get_running_loop().create_task(self._deliver_beside(call, response))
            self._beside.add(task)
            task.add_done_callback(self._beside.discard)
        else:
            self._leave(call, response, self._written(call, response))

    async def _deliver_beside(self, call: _Call, response: InferenceResponse) -> None:
        """Write a response on another thread; what else answers the request comes behind it."""
        self._leave(call, response, await asyncio.to_thread(self._written, call, response))
        behind, call.behind = call.behind or (), None
        for later in behind:
            self._deliver((call, later))

    def _written(self, call: _Call, response: InferenceResponse) -> bytes | InferenceError | None:
        try:
            return self._answer(call, response)
        except Exception as error:  # noqa: BLE001 - the border of requests: what cannot be written is told
            return self._failure(call, _told(error), final=response.final)

    def _leave(self, call: _Call, response: InferenceResponse, answer: bytes | InferenceError | None) -> None:
        call.finished = response.final
        if call.trace is not None and call.finished:
            call.trace.end()
        self._send(call, answer)

    def _answer(self, call: _Call, response: InferenceResponse) -> bytes | InferenceError | None:
        """Write a response; None where nothing is to be sent."""
        if response.error is not None:
            return self._failure(call, response.error, final=response.final)
        if call.decoupled and response.final and not response.outputs:
            return self._empty_final(call) if self._decoded(call).wants_empty_final else None
        assert call.encoder is not None  # noqa: S101 - it was made with the request
        final = response.final or not call.decoupled
        body = call.encoder.encode(self._decoded(call), response, _FINAL[final])
        return length_delimited(_INFER_RESPONSE, len(body)) + body

    def _failure(self, call: _Call, error: InferenceError, *, final: bool) -> bytes | InferenceError:
        """Tell that an execution failed."""
        if self._strict:
            return error
        told = pb.ModelStreamInferResponse(error_message=error_text(error), infer_response=call.named)
        told.infer_response.parameters["triton_final_response"].bool_param = final or not call.decoupled
        return told.SerializeToString()

    def _empty_final(self, call: _Call) -> bytes:
        told = pb.ModelStreamInferResponse(infer_response=call.named)
        told.infer_response.parameters["triton_final_response"].bool_param = True
        return told.SerializeToString()

    def _send(self, call: _Call, answer: bytes | InferenceError | None) -> None:
        if answer is not None:
            if isinstance(answer, bytes):
                self._unsent_messages += 1
                self._unsent_bytes += len(answer)
            if call.decoupled:
                self._ready.append((call, answer))
            else:
                call.answers.append(answer)
        if call.finished:
            self._open.discard(call)
        while self._in_order:
            first = self._in_order[0]
            self._ready.extend((first, item) for item in first.answers)
            first.answers.clear()
            if not first.finished:
                break
            self._in_order.popleft()
        self._something.set()


def _told(error: Exception) -> InferenceError:
    if isinstance(error, InferenceError):
        return error
    _log.error("failed to answer a request of a stream", exc_info=error)
    return InternalError(f"{type(error).__name__}: {error}")
