"""The protocol over gRPC, free of any transport: the name of a call and a serialised message in, a serialised message out."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from charonia.classification import takes_long
from charonia.errors import CharoniaError, InferenceError, InternalError, InvalidArgumentError, UnsupportedError
from charonia.outbox import Outbox
from charonia.per_model import PerModel
from charonia.reply import Reply
from charonia.rpc import no_metadata
from charonia_protos import grpc_service_pb2 as pb
from google.protobuf.message import DecodeError

from charonia_frontend_grpc.documents import model_message, server_message, statistics_message
from charonia_frontend_grpc.infer_message import parse_infer
from charonia_frontend_grpc.infer_request import decode_infer
from charonia_frontend_grpc.infer_response import ResponseEncoder
from charonia_frontend_grpc.infer_stream import InferStream
from charonia_frontend_grpc.known_requests import KnownRequests
from charonia_frontend_grpc.metadata import arrival_to_trace, begin_trace, forward_metadata
from charonia_frontend_grpc.model_version import read_version
from charonia_frontend_grpc.repository_calls import RepositoryCalls
from charonia_frontend_grpc.restricted_protocol import HEALTH_CHECK, RestrictedProtocol
from charonia_frontend_grpc.settings_calls import SettingsCalls
from charonia_frontend_grpc.shared_memory_calls import SharedMemoryCalls

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from charonia.header_forwarding import HeaderForwarding
    from charonia.mailbox import Mailbox
    from charonia.model import Model
    from charonia.request import InferenceRequest, InferenceResponse
    from charonia.restricted_access import Restriction
    from charonia.rpc import Answer, Answering, Metadata
    from charonia.server import Server
    from charonia.trace import Trace
    from google.protobuf.message import Message

    from charonia_frontend_grpc.infer_request import Decoded

__all__ = ["SERVICE", "GrpcApplication"]

SERVICE = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]
"""The protocol's service: its calls, and the messages of each."""

_log = logging.getLogger("charonia.frontend_grpc.application")

_STRICT = ("triton_grpc_error", "true")
"""The field that asks for a stream which ends with the status of the first execution that fails."""


class GrpcApplication:
    """Answers calls. One per event loop.

    Args:
        server: the server that answers.
        mailbox: the way from instance threads into this application's loop.
        restrictions: the parts of the protocol that ask for a key, by category.
        forwarding: which fields of a call's metadata become parameters of its requests, or None for none.
    """

    def __init__(
        self,
        server: Server,
        mailbox: Mailbox,
        restrictions: Mapping[str, Restriction] | None = None,
        forwarding: HeaderForwarding | None = None,
    ) -> None:
        self._server = server
        self._mailbox = mailbox
        self._restricted = RestrictedProtocol(restrictions or {})
        self._forwarding = forwarding
        self._outbox = Outbox(server)
        self._encoders = PerModel(ResponseEncoder)
        self._known = KnownRequests()
        repository = RepositoryCalls(server)
        settings = SettingsCalls(server)
        memory = SharedMemoryCalls(server.shared_memory)
        self._calls: Mapping[str, Callable[[Any], Awaitable[Message]]] = {
            "ServerLive": self._live,
            "ServerReady": self._ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._server_metadata,
            "ModelMetadata": self._model_metadata,
            "ModelConfig": self._model_config,
            "ModelStatistics": self._model_statistics,
            "RepositoryIndex": repository.index,
            "RepositoryModelLoad": repository.load,
            "RepositoryModelUnload": repository.unload,
            "SystemSharedMemoryStatus": memory.system_status,
            "SystemSharedMemoryRegister": memory.system_register,
            "SystemSharedMemoryUnregister": memory.system_unregister,
            "CudaSharedMemoryStatus": memory.cuda_status,
            "CudaSharedMemoryRegister": memory.cuda_register,
            "CudaSharedMemoryUnregister": memory.cuda_unregister,
            "TraceSetting": settings.trace,
            "LogSettings": settings.log,
        }

    def call(self, name: str, body: bytes | memoryview, metadata: Metadata = no_metadata) -> Answering:
        """Answer a unary call of the service, at once where nothing has to be waited for.

        What is given otherwise takes the inference back where it is cancelled.

        Raises:
            InferenceError: whatever is wrong; at once, or when what was given is awaited.
        """
        try:
            self._restricted.check(name, metadata)
            if name == "ModelInfer":
                return self._infer(body, metadata)
        except InferenceError:
            raise
        except Exception as error:  # the border of requests: a fault of ours is told and survived
            raise _fault(name, error) from error
        return _guarded(name, self._answer(name, body))

    async def _answer(self, name: str, body: bytes | memoryview) -> bytes:
        answer: Message = await self._calls[name](_parsed(name, body))
        return answer.SerializeToString()

    def open_stream(self, metadata: Metadata = no_metadata) -> InferStream:
        """Begin a stream of inferences. One that is restricted ends at once, with that status."""
        stream = InferStream(
            self._server,
            self._mailbox,
            self._outbox,
            self._encoders,
            strict=any(field == _STRICT for field in metadata() or ()),
            forward=self._forward(metadata),
            metadata=metadata,
        )
        try:
            self._restricted.check("ModelStreamInfer", metadata)
        except InferenceError as error:
            stream.end(error)
        return stream

    def serving(self, metadata: Metadata = no_metadata) -> bool:
        """Tell whether the server is ready, which is what the general health service asks.

        Raises:
            UnavailableError: health is restricted.
        """
        self._restricted.check(HEALTH_CHECK, metadata)
        return self._server.ready

    def _forward(self, metadata: Metadata) -> Callable[[InferenceRequest], None] | None:
        """Give what writes a call's metadata into its requests, if any is to be."""
        return None if self._forwarding is None else partial(forward_metadata, self._forwarding, metadata)

    def _infer(self, body: bytes | memoryview, metadata: Metadata) -> Answering:
        began_ns = arrival_to_trace(self._server.tracer, metadata)
        reply = Reply(self._mailbox)
        model, decoded = self._decode(body, reply)
        request = decoded.request
        if self._forwarding is not None:
            forward_metadata(self._forwarding, metadata, request)
        trace = begin_trace(self._server.tracer, request, metadata, began_ns) if began_ns else None
        self._outbox.put(request, reply.refuse, model)
        encoder = self._encoders[model]
        if reply.here and not decoded.classes:
            if trace is None:
                return _encoded(encoder, decoded, reply.outcome())
            return _watched(trace, encoder, decoded, reply)
        return _guarded("ModelInfer", _inferred(encoder, decoded, reply, trace))

    def _decode(self, body: bytes | memoryview, reply: Reply) -> tuple[Model, Decoded]:
        known = self._known.find(body)
        if known is not None:
            asked = known.decoded.request
            return self._unary_model(asked.model_name, asked.model_version), known.again(body, reply.sink)
        message, raw = parse_infer(body)
        version = read_version(message.model_version)
        model = self._unary_model(message.model_name, version)
        decoded = decode_infer(model, version, message, raw, self._server.shared_memory, reply.sink)
        self._known.remember(body, raw, decoded)
        return model, decoded

    def _unary_model(self, name: str, version: int | None) -> Model:
        model = self._server.get(name, version)
        if model.decoupled:
            raise UnsupportedError("ModelInfer RPC doesn't support models with decoupled transaction policy")
        return model

    async def _live(self, message: pb.ServerLiveRequest) -> pb.ServerLiveResponse:
        return pb.ServerLiveResponse(live=self._server.live)

    async def _ready(self, message: pb.ServerReadyRequest) -> pb.ServerReadyResponse:
        return pb.ServerReadyResponse(ready=self._server.ready)

    async def _model_ready(self, message: pb.ModelReadyRequest) -> pb.ModelReadyResponse:
        ready = await asyncio.to_thread(self._server.model_ready, message.name, read_version(message.version))
        return pb.ModelReadyResponse(ready=ready)

    async def _server_metadata(self, message: pb.ServerMetadataRequest) -> pb.ServerMetadataResponse:
        return server_message(self._server.metadata())

    async def _model_metadata(self, message: pb.ModelMetadataRequest) -> pb.ModelMetadataResponse:
        return model_message(self._server.model_metadata(message.name, read_version(message.version)))

    async def _model_config(self, message: pb.ModelConfigRequest) -> pb.ModelConfigResponse:
        return pb.ModelConfigResponse(config=self._server.model_config(message.name, read_version(message.version)))

    async def _model_statistics(self, message: pb.ModelStatisticsRequest) -> pb.ModelStatisticsResponse:
        return statistics_message(self._server.statistics(message.name, read_version(message.version)))


async def _inferred(encoder: ResponseEncoder, decoded: Decoded, reply: Reply, trace: Trace | None) -> Answer:
    """Wait for the response to an inference. A large request may wait for long: of it, only the tensors are kept."""
    try:
        response = await reply
        if trace is not None:
            trace.answered_ns = time.monotonic_ns()
        if decoded.classes and takes_long(response.outputs):
            return await asyncio.to_thread(_encoded, encoder, decoded, response)
        return _encoded(encoder, decoded, response)
    except asyncio.CancelledError:
        decoded.request.cancel()
        raise
    except CharoniaError:
        if trace is not None and not trace.answered_ns:  # the request was refused
            trace.answered_ns = time.monotonic_ns()
        raise
    finally:
        if trace is not None:
            trace.end()


def _watched(trace: Trace, encoder: ResponseEncoder, decoded: Decoded, reply: Reply) -> Answer:
    """Encode a response that is there at once, on which somebody looks on."""
    trace.answered_ns = time.monotonic_ns()
    try:
        return _encoded(encoder, decoded, reply.outcome())
    finally:
        trace.end()


def _encoded(encoder: ResponseEncoder, decoded: Decoded, response: InferenceResponse) -> Answer:
    if response.error is not None:
        response.raise_error()
    return encoder.encode_apart(decoded, response)


async def _guarded(name: str, answering: Awaitable[Answer]) -> Answer:
    """Wait for an answer at the border of requests: a fault of ours is told and survived."""
    try:
        return await answering
    except InferenceError:
        raise
    except Exception as error:
        raise _fault(name, error) from error


def _fault(name: str, error: Exception) -> InternalError:
    _log.error("failed to answer %s", name, exc_info=error)
    return InternalError(f"{type(error).__name__}: {error}")


_REQUESTS: Mapping[str, type[Message]] = {
    method.name: getattr(pb, method.input_type.name) for method in SERVICE.methods
}


def _parsed(name: str, body: bytes | memoryview) -> Message:
    """Make the message of a call from its bytes."""
    try:
        return _REQUESTS[name].FromString(bytes(body))
    except DecodeError as error:
        raise InvalidArgumentError("Unable to parse request") from error
