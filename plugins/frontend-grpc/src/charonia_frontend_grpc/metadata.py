"""The fields of a call's metadata: those that go on to the model, and those that its trace is told by."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from charonia.header_forwarding import HeaderForwarding
    from charonia.request import InferenceRequest
    from charonia.rpc import Metadata
    from charonia.trace import Passage
    from charonia.tracing import Tracer

__all__ = ["arrival_to_trace", "begin_passage", "forward_metadata"]

_Fields: TypeAlias = "Iterable[tuple[str, str | bytes]]"


def forward_metadata(forwarding: HeaderForwarding, metadata: Metadata, request: InferenceRequest) -> None:
    """Write the chosen fields into a request's parameters; binary ones are no text, and stay behind.

    They win over the message's parameters: a proxy in front may vouch for them, and nobody for the message.

    Raises:
        InvalidArgumentError: a chosen name means something to the server.
    """
    texts = ((name, value) for name, value in metadata() or () if isinstance(value, str))
    request.parameters = {**request.parameters, **forwarding.parameters(texts)}


def arrival_to_trace(tracer: Tracer, metadata: Metadata) -> int:
    """Tell when a request came, in monotonic nanoseconds, if it may be one that is traced; else give 0.

    Args:
        tracer: decides about that.
        metadata: the fields that came with its call.
    """
    traced_already = tracer.on and tracer.origin_field and _is_there(tracer.origin_field, metadata() or ())
    return time.monotonic_ns() if traced_already or next(tracer.turns, True) else 0


def begin_passage(tracer: Tracer, request: InferenceRequest, metadata: Metadata, began_ns: int) -> Passage | None:
    """Begin the passage of a request that has just been decoded, and may be one that is traced; give None if it is not.

    Args:
        tracer: decides about that.
        request: the request.
        metadata: the fields that came with its call.
        began_ns: what `arrival_to_trace` gave.
    """
    fields = metadata() or ()
    field = _reader(fields) if _is_there(tracer.origin_field, fields) else None
    passage = tracer.passage(request.model_name, "GRPC_WAITREAD", "GRPC_SEND", field, began_ns)
    if passage is not None:
        passage.carry(request)
    return passage


def _is_there(field: str, fields: _Fields) -> bool:
    for name, _ in fields:  # noqa: SIM110 - every call comes here, and a generator takes several times as long
        if name == field:
            return True
    return False


def _reader(fields: _Fields) -> Callable[[str], str | None]:
    """Give what reads those that are text, by their names: of several of one name the first."""
    return {name: value for name, value in reversed([*fields]) if isinstance(value, str)}.get
