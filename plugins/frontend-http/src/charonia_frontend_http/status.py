"""The one table from the protocol's error codes to HTTP's status codes."""

from __future__ import annotations

from charonia.errors import ErrorCode

__all__ = ["STATUS"]

STATUS = {
    ErrorCode.UNKNOWN: 400,
    ErrorCode.INTERNAL: 500,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.INVALID_ARG: 400,
    ErrorCode.UNAVAILABLE: 503,
    ErrorCode.UNSUPPORTED: 501,
    ErrorCode.ALREADY_EXISTS: 400,
    ErrorCode.CANCELLED: 400,
}
"""As in the reference. Malformed JSON is INVALID_ARG here, where the reference says INTERNAL: it is the client's mistake."""
