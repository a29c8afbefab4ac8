"""What the server and a model's process tell each other. All of it is plain data, which both sides pickle and trust."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Call",
    "CallAnswer",
    "CancelCall",
    "Complete",
    "Execute",
    "Finish",
    "HostWish",
    "IsCancelled",
    "LogLine",
    "Make",
    "NewBlock",
    "Open",
    "Release",
    "RequestData",
    "ResponseData",
    "Send",
    "TensorData",
    "WaitForCall",
]


class TensorData(NamedTuple):
    """A tensor.

    Attributes:
        name: its name.
        datatype: the datatype's wire name.
        shape: its shape.
        content: its elements as they travel; None if they lie in a block.
        block: the block's number; 0 if there is none.
        size: how many bytes of the block are the tensor's.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    content: bytes | None
    block: int
    size: int


class RequestData(NamedTuple):
    """A request: one that the server took, or a call of another model. `key` is the server's number for the former."""

    key: int
    inputs: tuple[TensorData, ...]
    request_id: str
    correlation_id: int | str
    requested_outputs: tuple[str, ...]
    model_name: str
    model_version: int
    flags: int
    timeout: int
    parameters: Mapping[str, str | int | bool | float]


class ResponseData(NamedTuple):
    """A response. `error` is text and the number of its code."""

    outputs: tuple[TensorData, ...]
    error: tuple[str, int] | None
    parameters: Mapping[str, str | int | bool | float]


# -- both ways


class NewBlock(NamedTuple):
    """A block of shared memory; its descriptor comes with the message."""

    number: int
    size: int
    kept: bool


class Release(NamedTuple):
    """A block that the reader does not look into any more."""

    number: int


# -- questions of the server


class Open(NamedTuple):
    """Import the model's file."""

    name: str
    version: int
    directory: str
    file: str
    log_level: int


class Complete(NamedTuple):
    """Have the model complete its configuration; the answer is the completed one, or None."""

    config: dict[str, Any]


class Make(NamedTuple):
    """Make and initialise the model's object; the answer is whether its `execute` is a coroutine."""

    arguments: dict[str, str]
    decoupled: bool


class Execute(NamedTuple):
    """Execute a batch; the answer is a list of responses, or None."""

    batch: int
    requests: tuple[RequestData, ...]
    log_level: int


class Finish(NamedTuple):
    """Finalise the model, and end."""


class CallAnswer(NamedTuple):
    """A response to a call. No question: it has no answer."""

    call: int
    response: ResponseData
    final: bool


# -- what a process tells and asks


class Send(NamedTuple):
    """A response that a sender has sent; None where it only says that the request has ended."""

    key: int
    response: ResponseData | None
    final: bool


class Call(NamedTuple):
    """A call of another model, on behalf of a batch; None where that is not known."""

    number: int
    batch: int | None
    request: RequestData
    decoupled: bool


class CancelCall(NamedTuple):
    """Take a call back."""

    number: int


class WaitForCall(NamedTuple):
    """Somebody begins to wait for a call, or does so no more."""

    number: int
    begins: bool


class IsCancelled(NamedTuple):
    """A question: whether the caller has taken a request back."""

    key: int


class HostWish(NamedTuple):
    """A question: what a model wants of its host.

    Attributes:
        method: the name of the host's method, or of that of its metrics.
        arguments: the method's arguments.
        keywords: those that go by name.
        busy: whether the thread that asks is known to belong to the model, and if so, whether it executes.
    """

    method: str
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]
    busy: bool | None


class LogLine(NamedTuple):
    """A record of the log, as `logging.makeLogRecord` takes it, and the batch that it is about, where that is known."""

    record: dict[str, Any]
    batch: int | None
