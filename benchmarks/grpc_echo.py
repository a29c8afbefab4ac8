"""A bare grpc.aio handler that answers with the right number of bytes and parses no message: the floor over gRPC."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from charonia_protos import grpc_service_pb2 as pb

from benchmarks.grpc_wire import SERVICE, documents, model_name, request_id, response_head, streamed_response
from benchmarks.models import MODELS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["start_grpc_echo"]

_SIZES = {name.encode(): model.answer_size for name, model in MODELS.items()}
_HEADS = {name.encode(): response_head(name, streamed=False) for name in MODELS}
_STREAM_HEADS = {name.encode(): response_head(name, streamed=True) for name in MODELS}


async def start_grpc_echo(port: int) -> Any:
    """Listen on a port of loopback. Gives the server, which is the caller's to stop."""
    import grpc

    server = grpc.aio.server()
    handlers = {name: grpc.unary_unary_rpc_method_handler(_told(name)) for name in ("ModelMetadata", "ModelConfig")}
    handlers["ServerMetadata"] = grpc.unary_unary_rpc_method_handler(_describe)
    handlers["ModelInfer"] = grpc.unary_unary_rpc_method_handler(_infer)
    handlers["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(_stream)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    return server


async def _infer(body: bytes, _context: Any) -> bytes:
    name = model_name(body)
    return _HEADS[name] + body[-_SIZES[name] :]


async def _stream(bodies: Any, context: Any) -> None:
    """Answer a stream's requests, each with its id: by that perf_analyzer knows which one is answered."""
    async for body in bodies:
        name = model_name(body)
        response = request_id(body, name) + _STREAM_HEADS[name] + body[-_SIZES[name] :]
        await context.write(streamed_response(response))


def _told(call: str) -> Callable[[bytes, Any], Awaitable[bytes]]:
    pages = {name.encode(): documents(name)[call] for name in MODELS}

    async def answer(body: bytes, _context: Any) -> bytes:
        return pages[model_name(body)]

    return answer


async def _describe(_body: bytes, _context: Any) -> bytes:
    return pb.ServerMetadataResponse(name="bare", version="1").SerializeToString()
