"""Remote procedure calls, free of any network library, as a frontend's application and its transport pass them.

A call has a path, a message of bytes or a stream of them, and metadata; it is answered with messages and a status.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from charonia.byte_parts import ByteParts

if TYPE_CHECKING:
    from charonia.errors import InferenceError

__all__ = [
    "LEAVING",
    "Answer",
    "Answering",
    "Metadata",
    "RpcApplication",
    "RpcCode",
    "RpcStatus",
    "RpcStream",
    "StreamMethod",
    "UnaryMethod",
    "no_metadata",
    "settled",
]

Metadata: TypeAlias = Callable[[], Iterable[tuple[str, str | bytes]] | None]
"""Gives the fields that came with a call: text, or bytes where a name ends in `-bin`. Reading them costs, so few calls do."""

Answer: TypeAlias = "bytes | ByteParts"
"""The message that answers a unary call."""

Answering: TypeAlias = "Answer | Coroutine[Any, Any, Answer]"
"""The answer where it is there at once, or else what gives it."""

LEAVING = "GRPC server is shutting down and has stopped accepting new requests."
"""What the streams are told that are open when the server stops, as in the reference."""


def no_metadata() -> tuple[()]:
    """Give no field at all."""
    return ()


async def settled(answering: Answering) -> Answer:
    """Wait for an answer that is not there at once."""
    return answering if isinstance(answering, (bytes, ByteParts)) else await answering


class RpcCode(enum.IntEnum):
    """The status codes of gRPC, with their numbers on the wire."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


@dataclass(frozen=True, slots=True)
class RpcStatus:
    """How a call ends.

    Attributes:
        code: the code.
        details: a sentence for a person; empty where all went well.
        metadata: trailing metadata.
    """

    code: RpcCode
    details: str = ""
    metadata: tuple[tuple[str, str], ...] = ()


class RpcStream(ABC):
    """A call with messages both ways. All methods belong to the event loop."""

    @abstractmethod
    async def wait_for_room(self) -> None:
        """Wait until another message may be received. Whoever does not wait makes the server hold what it cannot yet use."""

    @abstractmethod
    def receive(self, body: bytes | memoryview) -> None:
        """Take a message of the client. Does not raise: what is wrong is told in the stream."""

    @abstractmethod
    def refuse(self, error: InferenceError) -> None:
        """Tell that the client's next message could not be taken; the stream goes on."""

    @abstractmethod
    def end(self, error: InferenceError | None = None) -> None:
        """Take no more messages. The call ends when what came is answered: well, or with `error`. Later calls change nothing."""

    @abstractmethod
    async def next(self) -> bytes | None:
        """Wait for the next message to the client; None is the end.

        Raises:
            InferenceError: the call ends with this status.
        """

    @abstractmethod
    def close(self) -> None:
        """Cancel what is not answered; nothing more is sent. Idempotent."""


@dataclass(frozen=True, slots=True)
class UnaryMethod:
    """A method with one message each way.

    Attributes:
        call: answers a message. Raises InferenceError, as what it gives does, which may be cancelled where the client has gone.
        compressed: whether its answers are compressed, if the operator asks for that.
    """

    call: Callable[[bytes | memoryview, Metadata], Answering]
    compressed: bool = False


@dataclass(frozen=True, slots=True)
class StreamMethod:
    """A method with messages both ways.

    Attributes:
        open: begins a stream. Does not raise: what is wrong ends the stream.
        compressed: whether its answers are compressed, if the operator asks for that.
    """

    open: Callable[[Metadata], RpcStream]
    compressed: bool = False


@dataclass(frozen=True)
class RpcApplication:
    """All that a frontend answers.

    Attributes:
        methods: the methods by path, `/package.Service/Method`.
        status: gives the status for an error.
    """

    methods: Mapping[str, UnaryMethod | StreamMethod]
    status: Callable[[InferenceError], RpcStatus]
