"""What a connection of HTTP/1 brings: requests with their heads as they arrived, or what is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from charonia.http_message import HttpRequest, RequestHead

__all__ = ["Incoming", "RefusedError", "WireHead"]


class RefusedError(Exception):
    """What came is no request that can be answered, and nobody knows where the next one would begin.

    Attributes:
        status: the status code that says so.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(slots=True)
class WireHead(RequestHead):
    """A head as it arrived.

    Attributes:
        http_1_1: whether it is of HTTP/1.1, or of an older version.
        keep: whether the client leaves the connection open.
    """

    http_1_1: bool = True
    keep: bool = True


Incoming: TypeAlias = tuple[WireHead, HttpRequest]
"""A complete request, with its head as it arrived."""
