"""The ways in which a client can reach a server: the protocol, and what of it is used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["GRPC", "HTTP", "SYSTEM_SHARED_MEMORY", "WAYS", "Way"]

HTTP = "http"
GRPC = "grpc"
SYSTEM_SHARED_MEMORY = "system_shared_memory"
"""The extension that a server names where it lets clients give tensors in shared memory."""


@dataclass(frozen=True)
class Way:
    """One way to send an inference.

    Attributes:
        name: its name on the command line and in the results.
        protocol: http or grpc.
        streaming: whether requests go over streams, instead of each being a call.
        shared_memory: whether the tensors lie in system shared memory, and the requests only say where.
        h2load: whether they are sent by h2load, whichever generator sends the others.
    """

    name: str
    protocol: Literal["http", "grpc"]
    streaming: bool = False
    shared_memory: bool = False
    h2load: bool = False


WAYS = {
    way.name: way
    for way in (
        Way("http", "http"),
        Way("grpc", "grpc"),
        Way("grpc-h2load", "grpc", h2load=True),
        Way("grpc-stream", "grpc", streaming=True),
        Way("http-shm", "http", shared_memory=True),
        Way("grpc-shm", "grpc", shared_memory=True),
    )
}
"""All ways by name."""
