"""What the server and a model's process tell each other. All of it is plain data, which both sides pickle and trust.

To pickle an object of a class costs ten times as much as to pickle a tuple. So a message travels as its code and its fields, and
what is within it (tensors, requests, responses) as plain tuples, in the order of the fields that are described here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "KEY",
    "NEW_BLOCK",
    "RELEASE",
    "TRACE",
    "Call",
    "CallAnswer",
    "CancelCall",
    "Complete",
    "Execute",
    "Finish",
    "HostWish",
    "IsCancelled",
    "IsReady",
    "LogLine",
    "Make",
    "NewBlock",
    "Open",
    "Plain",
    "Release",
    "RequestData",
    "ResponseData",
    "Send",
    "TensorData",
    "WaitForCall",
    "message_of",
    "plain",
]

Plain: TypeAlias = tuple[Any, ...]
"""A message as it travels: its code, then its fields."""

TensorData: TypeAlias = tuple[str, str, tuple[int, ...], bytes | None, int, int]
"""A tensor: its name, the datatype's wire name, its shape; its elements as they travel, or None if they lie in a block; the
block's number, or 0 if there is none; how many bytes of the block are the tensor's."""

ResponseData: TypeAlias = tuple[
    tuple[TensorData, ...], tuple[str, int] | None, "Mapping[str, str | int | bool | float]"
]
"""A response: its outputs; its error, as text and the number of its code, or None; its parameters."""


class RequestData(NamedTuple):
    """A request: one that the server took, or a call of another model. `key` is the server's number for the former.

    `trace` is what `InferenceTrace.get_context` gives.
    """

    key: int
    inputs: tuple[TensorData, ...]
    request_id: str
    correlation_id: int | str
    requested_outputs: tuple[str, ...]
    model_name: str
    model_version: int
    flags: int
    timeout: int
    parameters: dict[str, str | int | bool | float]
    trace: str | None


KEY, TRACE = map(RequestData._fields.index, ("key", "trace"))
"""Where a request's key and its trace are among the fields."""

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
    """Execute a batch, whose requests have the fields of `RequestData`.

    The answer is a list of responses, or None, with None in it for a request that the model gives back to be executed once more;
    and when the model began and ended to compute, by the machine's monotonic clock, in nanoseconds. Where senders answer, it is a
    list of the keys of those that are given back.
    """

    batch: int
    requests: tuple[Plain, ...]
    log_level: int


class IsReady(NamedTuple):
    """Ask the model whether it is ready, whatever it is busy with; the answer is a boolean. Not over the main channel."""


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
    request: Plain
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


_CLASSES: tuple[Any, ...] = (
    NewBlock,
    Release,
    Open,
    Complete,
    Make,
    Execute,
    Finish,
    IsReady,
    CallAnswer,
    Send,
    Call,
    CancelCall,
    WaitForCall,
    IsCancelled,
    HostWish,
    LogLine,
)
_CODES = {kind: code for code, kind in enumerate(_CLASSES)}
NEW_BLOCK, RELEASE = _CODES[NewBlock], _CODES[Release]
"""The codes of what the line itself reads."""


def plain(message: Any) -> Plain:
    """Make of a message what travels."""
    return _CODES[type(message)], *message


def message_of(travelled: Plain) -> Any:
    """Make the message again."""
    return _CLASSES[travelled[0]]._make(travelled[1:])
