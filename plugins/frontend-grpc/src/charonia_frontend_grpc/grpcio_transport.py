"""The adapter between grpcio and the application; the only file that knows grpcio."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc  # noqa: TID253 - this is the module that everyone else leaves to be imported late
from charonia.errors import InferenceError, UnavailableError
from charonia.frontend import network_place
from charonia.rpc import LEAVING, UnaryMethod, settled
from charonia.transport import RpcTransport

if TYPE_CHECKING:
    from charonia.rpc import RpcApplication, RpcStatus, RpcStream, StreamMethod
    from charonia.tls import TlsFiles
    from charonia.transport import KeepAlive, RpcSettings

__all__ = ["GrpcioTransport", "channel_arguments"]

_COMPRESSION = {
    "low": grpc.Compression.Gzip,
    "medium": grpc.Compression.Deflate,
    "high": grpc.Compression.Deflate,
}
"""The algorithm that gRPC itself takes for each level."""

_ANY_SIZE = 2_147_483_647
"""grpcio's own limit would tell no one what to do; ours is looked at here."""


class GrpcioTransport(RpcTransport):
    """The standard transport for gRPC: grpcio's asyncio server."""

    def __init__(self, application: RpcApplication, settings: RpcSettings) -> None:
        super().__init__(application, settings)
        self._streams: set[RpcStream] = set()
        self._server: grpc.aio.Server | None = None

    async def listen(self, address: str, port: int, *, reuse_port: bool, tls: TlsFiles | None = None) -> int:
        """Accept connections."""
        server = grpc.aio.server(options=channel_arguments(self.settings.keep_alive, reuse_port=reuse_port))
        server.add_generic_rpc_handlers((_Handlers(self),))
        place = network_place(address, port)
        try:
            bound = server.add_secure_port(place, _credentials(tls)) if tls else server.add_insecure_port(place)
        except RuntimeError as error:
            raise OSError(f"gRPC at {place}: {error}") from error
        await server.start()
        self._server = server
        return int(bound)

    async def close(self, grace_seconds: float) -> None:
        """Close the door, end streams when what they asked is answered, and cancel what is left after the grace."""
        server, self._server = self._server, None
        if server is None:
            return
        for stream in self._streams:
            stream.end(UnavailableError(LEAVING))
        await server.stop(grace_seconds)

    def unary(self, method: UnaryMethod) -> grpc.RpcMethodHandler:
        """Make the handler of a method with one message each way; it passes on bytes, which the application judges."""
        compression = _COMPRESSION.get(self.settings.compression) if method.compressed else None

        async def handle(body: bytes, context: Any) -> bytes:
            try:
                self.settings.check_size(len(body))
                answer = await settled(method.call(body, context.invocation_metadata))
            except InferenceError as error:
                status = self.application.status(error)
            else:
                if compression is not None:
                    context.set_compression(compression)
                    await context.send_initial_metadata(())  # grpcio forgets the compression where it sends them itself
                return bytes(answer)
            _end(context, status)
            return b""  # which is not sent

        return grpc.unary_unary_rpc_method_handler(handle)

    def stream(self, method: StreamMethod) -> grpc.RpcMethodHandler:
        """Make the handler of a method with messages both ways."""
        compression = _COMPRESSION.get(self.settings.compression) if method.compressed else None

        async def handle(_: Any, context: Any) -> None:
            if compression is not None:
                context.set_compression(compression)
            stream = method.open(context.invocation_metadata)
            if self._server is None:
                stream.end(UnavailableError(LEAVING))
            self._streams.add(stream)
            reader = asyncio.create_task(self._read(stream, context))
            status = None
            try:
                while (message := await stream.next()) is not None:
                    await context.write(message)
            except InferenceError as error:
                status = self.application.status(error)
            finally:
                self._streams.discard(stream)
                stream.close()
                reader.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await reader
            if status is not None:
                _end(context, status)

        return grpc.stream_stream_rpc_method_handler(handle)

    async def _read(self, stream: RpcStream, context: Any) -> None:
        """Pass messages on until the client sends no more; one that goes away ends the whole call, and this task with it."""
        try:
            while True:
                await stream.wait_for_room()
                body = await context.read()
                if body is grpc.aio.EOF:
                    return
                try:
                    self.settings.check_size(len(body))
                except InferenceError as error:
                    stream.refuse(error)
                else:
                    stream.receive(body)
        finally:
            stream.end()


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpcio has no types
    """Finds the handler of a path.

    Args:
        transport: makes the handlers, and has the application's methods.
    """

    def __init__(self, transport: GrpcioTransport) -> None:
        self._handlers = {
            path: transport.unary(method) if isinstance(method, UnaryMethod) else transport.stream(method)
            for path, method in transport.application.methods.items()
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """Give the handler, or None where the path is nobody's."""
        return self._handlers.get(handler_call_details.method)


def _end(context: Any, status: RpcStatus) -> None:
    """Have a call end with a status when its handler returns.

    An abort would raise what grpcio then keeps until garbage is collected, with the handler's frame and the message in it.
    """
    context.set_code(grpc.StatusCode[status.code.name])
    context.set_details(status.details)
    context.set_trailing_metadata(status.metadata)


def channel_arguments(keep_alive: KeepAlive, *, reuse_port: bool) -> list[tuple[str, int]]:
    """Give the settings as gRPC's own channel arguments."""
    arguments = {
        "grpc.max_receive_message_length": _ANY_SIZE,
        "grpc.max_send_message_length": _ANY_SIZE,
        "grpc.keepalive_time_ms": keep_alive.time_ms,
        "grpc.keepalive_timeout_ms": keep_alive.timeout_ms,
        "grpc.keepalive_permit_without_calls": int(keep_alive.without_calls),
        "grpc.http2.max_pings_without_data": keep_alive.max_pings_without_data,
        "grpc.http2.min_ping_interval_without_data_ms": keep_alive.min_ping_interval_ms,
        "grpc.http2.max_ping_strikes": keep_alive.max_ping_strikes,
        "grpc.so_reuseport": int(reuse_port),
    }
    if keep_alive.max_age_ms:
        arguments["grpc.max_connection_age_ms"] = keep_alive.max_age_ms
    if keep_alive.max_age_grace_ms:
        arguments["grpc.max_connection_age_grace_ms"] = keep_alive.max_age_grace_ms
    return list(arguments.items())


def _credentials(tls: TlsFiles) -> Any:
    certificate, key = Path(tls.certificate).read_bytes(), Path(tls.key).read_bytes()
    roots = Path(tls.roots).read_bytes() if tls.roots else None
    return grpc.ssl_server_credentials([(key, certificate)], root_certificates=roots, require_client_auth=tls.mutual)
