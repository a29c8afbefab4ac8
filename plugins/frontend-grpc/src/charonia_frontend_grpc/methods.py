"""What a transport needs of the application: its methods by their paths, those of health and of reflection included."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from charonia.rpc import RpcApplication, StreamMethod, UnaryMethod

from charonia_frontend_grpc.application import SERVICE
from charonia_frontend_grpc.reflection import ReflectionStream
from charonia_frontend_grpc.status import rpc_status

if TYPE_CHECKING:
    from charonia.rpc import Metadata

    from charonia_frontend_grpc.application import GrpcApplication

__all__ = ["rpc_application"]

_COMPRESSED = frozenset({"ModelInfer", "ModelStreamInfer"})
_SERVING, _NOT_SERVING = b"\x08\x01", b"\x08\x02"  # field 1 of a HealthCheckResponse


def rpc_application(application: GrpcApplication) -> RpcApplication:
    """Give all that can be called."""

    async def check(_service: bytes | memoryview, metadata: Metadata) -> bytes:
        """Answer the general health service; as in the reference, the service that is asked about does not matter."""
        return _SERVING if application.serving(metadata) else _NOT_SERVING

    methods: dict[str, UnaryMethod | StreamMethod] = {
        f"/{SERVICE.full_name}/{method.name}": StreamMethod(application.open_stream, method.name in _COMPRESSED)
        if method.client_streaming
        else UnaryMethod(partial(application.call, method.name), method.name in _COMPRESSED)
        for method in SERVICE.methods
    }
    methods["/grpc.health.v1.Health/Check"] = UnaryMethod(check)
    methods["/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"] = StreamMethod(ReflectionStream)
    return RpcApplication(methods, rpc_status)
