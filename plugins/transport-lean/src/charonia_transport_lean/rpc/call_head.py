"""What is known of a call by its head: its method, its deadline, its metadata, and how messages are compressed."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from charonia.rpc import RpcCode, RpcStatus

from charonia_transport_lean.rpc.compression import answer_encoding

if TYPE_CHECKING:
    from charonia.rpc import RpcApplication, StreamMethod, UnaryMethod
    from charonia.transport import RpcSettings, RpcTransport

    from charonia_transport_lean.http2.request_head import RequestHead

__all__ = ["CONTENT_TYPE", "TOO_LATE", "CallHead", "is_call", "read_call"]

CONTENT_TYPE = "application/grpc"
TOO_LATE = RpcStatus(RpcCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
"""How a call ends whose client has given up."""

_OF_THE_PROTOCOL = frozenset({"te", "content-type", "host", "content-length"})
_TIMEOUT = re.compile(r"([0-9]+)([HMSmun])")
_TOLD = 40
"""So many characters of a value are told, since clients drop statuses that are too long."""
_SECONDS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


@dataclass(frozen=True)
class CallHead:
    """A call without its messages. The same object stands for all calls with the same head.

    Attributes:
        method: what answers.
        application: whose method that is.
        settings: how calls are carried.
        timeout: in how many seconds its client gives up, or None.
        encoding: how its messages are compressed that say they are.
        answers: how its answers are compressed; "" where they are not.
        fields: its metadata.
    """

    method: UnaryMethod | StreamMethod
    application: RpcApplication
    settings: RpcSettings
    timeout: float | None
    encoding: str
    answers: str
    fields: tuple[tuple[str, str | bytes], ...]

    def metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        """Give the metadata."""
        return self.fields


def is_call(head: RequestHead) -> bool:
    """Tell whether a request is one of gRPC."""
    kind = head.headers.get("content-type", "")
    return kind == CONTENT_TYPE or kind.startswith((f"{CONTENT_TYPE}+", f"{CONTENT_TYPE};"))


def read_call(head: RequestHead, transport: RpcTransport) -> CallHead | RpcStatus:
    """Read the head of a call, or tell how the call ends, where no message of it matters.

    Args:
        head: the head of its request.
        transport: has the methods, and the settings.
    """
    application, settings = transport.application, transport.settings
    method = application.methods.get(head.path)
    if method is None or head.method != "POST":
        return RpcStatus(RpcCode.UNIMPLEMENTED, "Method not found!")
    get = head.headers.get
    limit = get("grpc-timeout")
    timeout = None if limit is None else _seconds(limit)
    if isinstance(timeout, RpcStatus):
        return timeout
    accepted = frozenset(name.strip() for name in get("grpc-accept-encoding", "").split(","))
    return CallHead(
        method,
        application,
        settings,
        timeout,
        get("grpc-encoding", "identity"),
        answer_encoding(settings.compression, accepted) if method.compressed else "",
        tuple(_metadata(head)),
    )


def _seconds(limit: str) -> float | RpcStatus:
    told = _TIMEOUT.fullmatch(limit)
    if told is None:
        wanted = "digits and a unit, one of H, M, S, m, u and n, such as 100m"
        return RpcStatus(RpcCode.INTERNAL, f"the field 'grpc-timeout' is '{limit[:_TOLD]}': it must be {wanted}")
    return float(told[1]) * _SECONDS[told[2]] or TOO_LATE


def _metadata(head: RequestHead) -> list[tuple[str, str | bytes]]:
    found: list[tuple[str, str | bytes]] = []
    for name, value in head.fields:
        if name in _OF_THE_PROTOCOL or (name.startswith("grpc-") and name != "grpc-trace-bin"):
            continue
        if name.endswith("-bin"):
            found += [(name, data) for text in value.split(",") if (data := _binary(text)) is not None]
        else:
            found.append((name, value))
    return found


def _binary(text: str) -> bytes | None:
    """Decode a binary value, whose padding clients leave out; what cannot be decoded is left out."""
    try:
        return base64.b64decode(text.strip() + "=" * (-len(text.strip()) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
