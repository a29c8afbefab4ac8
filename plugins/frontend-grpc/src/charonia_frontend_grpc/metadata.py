"""The fields of a call's metadata: those that go on to the model, and those that its trace is told by."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from charonia.header_forwarding import HeaderForwarding
    from charonia.request import InferenceRequest
    from charonia.rpc import Metadata
    from charonia.trace import Passage
    from charonia.tracing import Tracer

__all__ = ["begin_passage", "forward_metadata"]


def forward_metadata(forwarding: HeaderForwarding, metadata: Metadata, request: InferenceRequest) -> None:
    """Write the chosen fields into a request's parameters; binary ones are no text, and stay behind.

    They win over the message's parameters: a proxy in front may vouch for them, and nobody for the message.

    Raises:
        InvalidArgumentError: a chosen name means something to the server.
    """
    texts = ((name, value) for name, value in metadata() or () if isinstance(value, str))
    request.parameters = {**request.parameters, **forwarding.parameters(texts)}


def begin_passage(tracer: Tracer, request: InferenceRequest, metadata: Metadata, began_ns: int) -> Passage | None:
    """Begin the passage of a request that has just been decoded, if it is to be traced; else give None.

    Args:
        tracer: decides about that.
        request: the request.
        metadata: the fields that came with its call.
        began_ns: when its message was there, in monotonic nanoseconds.
    """
    field = _fields(metadata, tracer.origin_field) if tracer.origin_field else None
    passage = tracer.passage(request.model_name, "GRPC_WAITREAD", "GRPC_SEND", field, began_ns)
    if passage is not None:
        passage.carry(request)
    return passage


def _fields(metadata: Metadata, needed: str) -> Callable[[str], str | None] | None:
    """Give what reads the fields that are text, by their names; None if one that is needed is not there."""
    fields = metadata() or ()
    for name, _ in fields:
        if name == needed:
            texts = {name: value for name, value in reversed([*fields]) if isinstance(value, str)}
            return texts.get
    return None
