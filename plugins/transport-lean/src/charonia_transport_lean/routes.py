"""Which kind of exchange a request over HTTP/2 is."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from charonia import http_message
from charonia.rpc import RpcStatus, StreamMethod
from charonia.transport import HttpLimits

from charonia_transport_lean.http2.http_exchange import HttpExchange
from charonia_transport_lean.rpc.call_head import is_call, read_call
from charonia_transport_lean.rpc.refused_call import RefusedCall
from charonia_transport_lean.rpc.stream_call import StreamCall
from charonia_transport_lean.rpc.unary_call import UnaryCall

if TYPE_CHECKING:
    from charonia_transport_lean.guest import Host
    from charonia_transport_lean.http2.request_head import RequestHead
    from charonia_transport_lean.http2.stream import Opener

__all__ = ["route"]


def route(door: Host, head: RequestHead) -> Opener:
    """Tell what begins the exchange for a request's head; once for all requests with that head."""
    if door.rpc is not None and is_call(head):
        call = read_call(head, door.rpc)
        if isinstance(call, RpcStatus):
            return partial(RefusedCall, status=call)
        return partial(StreamCall if isinstance(call.method, StreamMethod) else UnaryCall, call)
    plain = http_message.RequestHead(head.method, head.path, head.headers)
    if door.http is not None:
        return partial(HttpExchange, head=plain, handle=door.http.handle, limits=door.http.limits)
    return partial(HttpExchange, head=plain, handle=_only_grpc, limits=_NO_BODY)


_NO_BODY = HttpLimits(line=0, body=65_536)


async def _only_grpc(_request: http_message.HttpRequest) -> http_message.HttpResponse:
    return http_message.HttpResponse(415, b"this port speaks gRPC: the content type of a request is application/grpc")
