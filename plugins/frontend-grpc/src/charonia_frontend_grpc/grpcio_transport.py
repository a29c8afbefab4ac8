"""The adapter between grpcio and the application; the only file that knows grpcio."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import grpc  # noqa: TID253 - this is the module that everyone else leaves to be imported late
from charonia.errors import InferenceError, UnavailableError
from charonia_protos import POOL
from grpc_reflection.v1alpha import reflection

from charonia_frontend_grpc.application import SERVICE
from charonia_frontend_grpc.status import STATUS, retry_metadata, status_details

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from charonia_frontend_grpc.application import GrpcApplication
    from charonia_frontend_grpc.infer_stream import InferStream
    from charonia_frontend_grpc.settings import TransportSettings

__all__ = ["GrpcioTransport"]

_HEALTH = "grpc.health.v1.Health"
_SERVING, _NOT_SERVING = b"\x08\x01", b"\x08\x02"  # field 1 of a HealthCheckResponse
_COMPRESSION = {
    "low": grpc.Compression.Gzip,
    "medium": grpc.Compression.Deflate,
    "high": grpc.Compression.Deflate,
}
"""The algorithm that gRPC itself takes for each level."""

_COMPRESSED = frozenset({"ModelInfer", "ModelStreamInfer"})
_LEAVING = "GRPC server is shutting down and has stopped accepting new requests."


class GrpcioTransport:
    """Serves an application over gRPC.

    Args:
        application: answers the calls.
        settings: where and how to listen.
    """

    def __init__(self, application: GrpcApplication, settings: TransportSettings) -> None:
        self._application = application
        self._settings = settings
        self._streams: set[InferStream] = set()
        self._server: grpc.aio.Server | None = None

    async def listen(self) -> int:
        """Accept connections. Gives the port, which is another one where 0 was asked for.

        Raises:
            OSError: the address is taken, not of this machine, or TLS does not work with what it was given.
        """
        settings = self._settings
        server = grpc.aio.server(options=settings.channel)
        server.add_generic_rpc_handlers((self._inference(), self._health()))
        reflection.enable_server_reflection((SERVICE.full_name, reflection.SERVICE_NAME), server, pool=POOL)
        host = f"[{settings.address}]" if ":" in settings.address else settings.address
        place = f"{host}:{settings.port}"
        try:
            credentials = self._credentials()
            port = server.add_secure_port(place, credentials) if credentials else server.add_insecure_port(place)
        except RuntimeError as error:
            raise OSError(f"gRPC at {place}: {error}") from error
        await server.start()
        self._server = server
        return int(port)

    async def close(self, grace_seconds: float) -> None:
        """Close the door, end streams when what they asked is answered, and cancel what is left after the grace."""
        server, self._server = self._server, None
        if server is None:
            return
        for stream in self._streams:
            stream.end(UnavailableError(_LEAVING))
        await server.stop(grace_seconds)

    def _credentials(self) -> Any:
        tls = self._settings.tls
        return tls and grpc.ssl_server_credentials(
            [(tls.key, tls.certificate)], root_certificates=tls.roots, require_client_auth=tls.mutual
        )

    def _inference(self) -> grpc.GenericRpcHandler:
        """Make handlers for all calls of the service; they pass on bytes, so that the application judges what they are."""
        handlers = {
            method.name: grpc.stream_stream_rpc_method_handler(self._stream)
            if method.client_streaming
            else grpc.unary_unary_rpc_method_handler(self._unary(method.name))
            for method in SERVICE.methods
        }
        return grpc.method_handlers_generic_handler(SERVICE.full_name, handlers)

    def _health(self) -> grpc.GenericRpcHandler:
        """Make the handler of the general health service; as in the reference, the service that is asked does not matter."""

        async def check(_body: bytes, context: Any) -> bytes:
            try:
                serving = self._application.serving(context.invocation_metadata)
            except InferenceError as error:
                failure = error
            else:
                return _SERVING if serving else _NOT_SERVING
            await _abort(context, failure)
            return b""  # never: what aborts does not return

        return grpc.method_handlers_generic_handler(_HEALTH, {"Check": grpc.unary_unary_rpc_method_handler(check)})

    def _unary(self, name: str) -> Callable[[bytes, Any], Awaitable[bytes]]:
        call = self._application.call
        compression = _COMPRESSION.get(self._settings.compression) if name in _COMPRESSED else None

        async def handle(body: bytes, context: Any) -> bytes:
            try:
                answer = await call(name, body, context.invocation_metadata)
            except InferenceError as error:
                failure = error
            else:
                if compression is not None:
                    context.set_compression(compression)
                    await context.send_initial_metadata(())  # grpcio forgets the compression where it sends them itself
                return answer
            await _abort(context, failure)
            return b""  # never: what aborts does not return

        return handle

    async def _stream(self, _: Any, context: Any) -> None:
        if self._settings.compression in _COMPRESSION:
            context.set_compression(_COMPRESSION[self._settings.compression])
        stream = self._application.open_stream(context.invocation_metadata)
        if self._server is None:
            stream.end(UnavailableError(_LEAVING))
        self._streams.add(stream)
        reader = asyncio.create_task(_read(stream, context))
        failure = None
        try:
            while (message := await stream.next()) is not None:
                await context.write(message)
        except InferenceError as error:
            failure = error
        finally:
            self._streams.discard(stream)
            stream.close()
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reader
        if failure is not None:
            await _abort(context, failure)


async def _read(stream: InferStream, context: Any) -> None:
    """Pass requests on until the client sends no more; a client that goes away ends the whole call, and this task with it."""
    try:
        while True:
            await stream.wait_for_room()
            body = await context.read()
            if body is grpc.aio.EOF:
                return
            stream.receive(body)
    finally:
        stream.end()


async def _abort(context: Any, error: InferenceError) -> None:
    await context.abort(grpc.StatusCode[STATUS[error.code]], status_details(error), retry_metadata(error))
