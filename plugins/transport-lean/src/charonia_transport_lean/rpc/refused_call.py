"""A call that nobody answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charonia_transport_lean.http2.stream import Exchange
from charonia_transport_lean.rpc.status import refusal_fields

if TYPE_CHECKING:
    from charonia.rpc import RpcStatus

    from charonia_transport_lean.http2.stream import Line, Stream

__all__ = ["RefusedCall"]


class RefusedCall(Exchange):
    """Ends at once.

    Args:
        status: how.
    """

    __slots__ = ()

    def __init__(self, connection: Line, stream: Stream, status: RpcStatus) -> None:
        super().__init__(connection, stream)
        connection.outflow.head(stream, *refusal_fields(status), end=True)

    def data(self, payload: memoryview) -> None:
        """Drop it."""

    def finish(self) -> None:
        """Do nothing: the call has ended."""
