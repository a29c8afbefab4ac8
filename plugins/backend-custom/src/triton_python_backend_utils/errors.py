"""The errors of a model: one that answers a request, and one to raise."""

from __future__ import annotations

from typing import ClassVar

__all__ = ["TritonError", "TritonModelException"]


class TritonError(Exception):
    """What went wrong with one request: `InferenceResponse(error=TritonError("…", TritonError.INVALID_ARG))`.

    Args:
        message: what the client reads, as it is.
        code: one of the class's constants.

    Raises:
        ValueError: there is no such code.
    """

    UNKNOWN: ClassVar[int] = 0
    INTERNAL: ClassVar[int] = 1
    NOT_FOUND: ClassVar[int] = 2
    INVALID_ARG: ClassVar[int] = 3
    UNAVAILABLE: ClassVar[int] = 4
    UNSUPPORTED: ClassVar[int] = 5
    ALREADY_EXISTS: ClassVar[int] = 6
    CANCELLED: ClassVar[int] = 7

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        if code not in range(8):
            raise ValueError(
                f"TritonError got the code {code!r}: expected one of its constants, such as TritonError.INTERNAL"
            )
        self._message = message
        self._code = code

    def message(self) -> str:
        """Tell what went wrong."""
        return self._message

    def code(self) -> int:
        """Give the code."""
        return self._code


class TritonModelException(Exception):  # noqa: N818 - the reference's name
    """The base of the exceptions that a model defines for itself; raised, it fails what the model is doing."""
