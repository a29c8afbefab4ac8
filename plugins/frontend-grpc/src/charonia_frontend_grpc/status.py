"""The one table from the protocol's error codes to gRPC's status codes, and the words of a status."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charonia.errors import ErrorCode, UnavailableError
from charonia.rpc import RpcCode, RpcStatus

if TYPE_CHECKING:
    from charonia.errors import InferenceError

__all__ = ["STATUS", "error_text", "rpc_status", "status_details"]

STATUS = {
    ErrorCode.UNKNOWN: RpcCode.UNKNOWN,
    ErrorCode.INTERNAL: RpcCode.INTERNAL,
    ErrorCode.NOT_FOUND: RpcCode.NOT_FOUND,
    ErrorCode.INVALID_ARG: RpcCode.INVALID_ARGUMENT,
    ErrorCode.UNAVAILABLE: RpcCode.UNAVAILABLE,
    ErrorCode.UNSUPPORTED: RpcCode.UNIMPLEMENTED,
    ErrorCode.ALREADY_EXISTS: RpcCode.ALREADY_EXISTS,
    ErrorCode.CANCELLED: RpcCode.CANCELLED,
}
"""As in the reference."""

_MAX_DETAILS = 5000
_CUT = "..."


def error_text(error: InferenceError) -> str:
    """Give the text of an error, with what is no Unicode replaced. It is never empty: clients take that for success."""
    return str(error).encode("utf-8", "replace").decode() or error.code.value


def rpc_status(error: InferenceError) -> RpcStatus:
    """Give the status with which a call ends that has failed."""
    return RpcStatus(STATUS[error.code], status_details(error), _retry_metadata(error))


def status_details(error: InferenceError) -> str:
    """Give the text of an error as short as a status can carry it.

    It travels in the trailing metadata, of which clients take 8 KiB, with three bytes for each that is no printable ASCII.
    """
    text = error_text(error)
    room = _MAX_DETAILS
    for place, character in enumerate(text):
        room -= 1 if " " <= character <= "~" and character != "%" else 3 * len(character.encode())
        if room < 0:
            return text[:place] + _CUT
    return text


def _retry_metadata(error: InferenceError) -> tuple[tuple[str, str], ...]:
    """Give the trailing metadata by which gRPC's clients learn when to ask again; none where the error does not say."""
    seconds = error.retry_after_seconds if isinstance(error, UnavailableError) else 0
    return (("grpc-retry-pushback-ms", str(1000 * seconds)),) if seconds else ()
