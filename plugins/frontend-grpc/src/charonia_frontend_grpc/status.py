"""The one table from the protocol's error codes to gRPC's status codes, and the words of a status."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charonia.errors import ErrorCode, UnavailableError

if TYPE_CHECKING:
    from charonia.errors import InferenceError

__all__ = ["STATUS", "error_text", "retry_metadata", "status_details"]

STATUS = {
    ErrorCode.UNKNOWN: "UNKNOWN",
    ErrorCode.INTERNAL: "INTERNAL",
    ErrorCode.NOT_FOUND: "NOT_FOUND",
    ErrorCode.INVALID_ARG: "INVALID_ARGUMENT",
    ErrorCode.UNAVAILABLE: "UNAVAILABLE",
    ErrorCode.UNSUPPORTED: "UNIMPLEMENTED",
    ErrorCode.ALREADY_EXISTS: "ALREADY_EXISTS",
    ErrorCode.CANCELLED: "CANCELLED",
}
"""As in the reference; by name, so that only the transport knows grpcio."""

_MAX_DETAILS = 5000
_CUT = "..."


def error_text(error: InferenceError) -> str:
    """Give the text of an error, with what is no Unicode replaced. It is never empty: clients take that for success."""
    return str(error).encode("utf-8", "replace").decode() or error.code.value


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


def retry_metadata(error: InferenceError) -> tuple[tuple[str, str], ...]:
    """Give the trailing metadata by which gRPC's clients learn when to ask again; none where the error does not say."""
    seconds = error.retry_after_seconds if isinstance(error, UnavailableError) else 0
    return (("grpc-retry-pushback-ms", str(1000 * seconds)),) if seconds else ()
