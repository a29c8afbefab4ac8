"""How calls end on the wire: trailers with a status, and the words in it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from urllib.parse import quote_from_bytes

from charonia.errors import InferenceError
from charonia.rpc import RpcCode, RpcStatus

from charonia_transport_lean.rpc.call_head import CONTENT_TYPE
from charonia_transport_lean.rpc.compression import ACCEPTED

if TYPE_CHECKING:
    from charonia.rpc import RpcApplication

    from charonia_transport_lean.http2.header_blocks import Headers

__all__ = ["OK_HEAD", "OK_TRAILERS", "refusal_fields", "status_fields", "status_of"]

_log = logging.getLogger("charonia.transport_lean.rpc.status")

OK_HEAD: Headers = ((":status", "200"), ("content-type", CONTENT_TYPE))
OK_TRAILERS: Headers = (("grpc-status", "0"),)
_PLAIN = " !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"
"""What may stand in a message as it is, beside letters and digits."""


def status_fields(status: RpcStatus) -> Headers:
    """Give the trailers for a status."""
    fields = [("grpc-status", str(int(status.code)))]
    if status.details:
        details = status.details.encode("utf-8", "replace")
        plain = _PLAIN if details == details.strip(b" ") else _PLAIN.strip()  # no field begins or ends with a space
        fields.append(("grpc-message", quote_from_bytes(details, safe=plain)))
    return (*fields, *status.metadata)


def refusal_fields(status: RpcStatus) -> tuple[Headers, Headers]:
    """Give the fields of an answer that is nothing but a status: those that come again and again, and the others."""
    accepted: Headers = (("grpc-accept-encoding", ACCEPTED),) if status.code is RpcCode.UNIMPLEMENTED else ()
    return OK_HEAD, (*accepted, *status_fields(status))


def status_of(application: RpcApplication, error: Exception) -> RpcStatus:
    """Give the status for what an application raised; what it should not have raised is logged."""
    if isinstance(error, InferenceError):
        return application.status(error)
    _log.error("failed to answer a call", exc_info=error)
    return RpcStatus(RpcCode.INTERNAL, f"{type(error).__name__}: {error}")
