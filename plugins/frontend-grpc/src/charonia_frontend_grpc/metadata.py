"""The fields of a call's metadata: those that go on to the model, and those that its trace is told by."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from charonia.header_fields import HeaderFields

if TYPE_CHECKING:
    from charonia.header_forwarding import HeaderForwarding
    from charonia.request import InferenceRequest
    from charonia.rpc import Metadata
    from charonia.trace import Trace
    from charonia.tracing import Tracer

__all__ = ["arrival_to_trace", "begin_trace", "forward_metadata"]


def forward_metadata(forwarding: HeaderForwarding, metadata: Metadata, request: InferenceRequest) -> None:
    """Write the chosen fields into a request's parameters; binary ones are no text, and stay behind.

    They win over the message's parameters: a proxy in front may vouch for them, and nobody for the message.

    Raises:
        InvalidArgumentError: a chosen name means something to the server.
    """
    request.parameters = {**request.parameters, **forwarding.parameters(_texts(metadata))}


def arrival_to_trace(tracer: Tracer, metadata: Metadata) -> int:
    """Tell when a request came, in monotonic nanoseconds, if it may be one that is traced; else give 0.

    Args:
        tracer: decides about that.
        metadata: the fields that came with its call.
    """
    if tracer.origin_field and tracer.on:
        for name, _ in metadata() or ():  # no function for it: every request comes here
            if name == tracer.origin_field:
                return time.monotonic_ns()
    return time.monotonic_ns() if next(tracer.turns, True) else 0


def begin_trace(tracer: Tracer, request: InferenceRequest, metadata: Metadata, began_ns: int) -> Trace | None:
    """Begin the trace of a request that has just been decoded, and may be one that is traced; give None if it is not.

    Args:
        tracer: decides about that.
        request: the request.
        metadata: the fields that came with its call.
        began_ns: what `arrival_to_trace` gave.
    """
    field = None
    if tracer.origin_field:
        for name, _ in metadata() or ():
            if name == tracer.origin_field:
                field = _texts(metadata).get
                break
    trace = tracer.begin(request.model_name, "GRPC_WAITREAD", "GRPC_SEND", field, began_ns)
    if trace is not None:
        trace.carry(request)
    return trace


def _texts(metadata: Metadata) -> HeaderFields:
    """Give the fields that are texts."""
    return HeaderFields((name, value) for name, value in metadata() or () if isinstance(value, str))
