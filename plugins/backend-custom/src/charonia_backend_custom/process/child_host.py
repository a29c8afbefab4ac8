"""What the server does for a model that runs in a process of its own, as that process sees it: it asks for everything."""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import triton_python_backend_utils as pb_utils

from charonia_backend_custom.activity import current_activity
from charonia_backend_custom.process.messages import (
    Call,
    CallAnswer,
    CancelCall,
    HostWish,
    WaitForCall,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from triton_python_backend_utils.host import Deliver

    from charonia_backend_custom.process.link import Link

__all__ = ["RemoteHost"]


class RemoteHost:
    """The host of the model in this process.

    Args:
        link: the line to the server.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self.metrics = _RemoteMetrics(self)
        self._numbers = itertools.count(1)
        self._calls: dict[int, Deliver] = {}

    def call(self, request: pb_utils.InferenceRequest, deliver: Deliver, *, decoupled: bool) -> _RemoteCall:
        """Pass a request on, on behalf of what the calling thread or coroutine is busy with."""
        activity = current_activity()
        if activity is not None and activity.task is None:
            raise pb_utils.TritonModelException("BLS is only supported during the 'execute' function.")
        batch = activity.task if activity is not None and isinstance(activity.task, int) else None
        number = next(self._numbers)
        self._calls[number] = deliver
        self._link.tell(Call(number, batch, self._link.saying.carrier.pack_request(request), decoupled))
        return _RemoteCall(self._link, number)

    def take(self, answer: CallAnswer) -> None:
        """Take a response to a call. On the thread that reads."""
        deliver = self._calls.pop(answer.call) if answer.final else self._calls[answer.call]
        deliver(self._link.saying.carrier.unpack_response(answer.response), answer.final)

    def load_model(self, name: str, config: str, files: Mapping[str, bytes]) -> None:
        """Load a model."""
        self.wish("load_model", name, config, files)

    def unload_model(self, name: str, *, unload_dependents: bool) -> None:
        """Unload a model."""
        self.wish("unload_model", name, unload_dependents=unload_dependents)

    def is_model_ready(self, name: str, version: str) -> bool:
        """Tell whether a model serves."""
        return bool(self.wish("is_model_ready", name, version))

    def wish(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        """Ask the server for what one of its host's methods gives, and wait for it."""
        return self._link.ask(_wish(method, arguments, keywords))

    def wish_sometime(self, method: str, *arguments: Any) -> None:
        """Have one of the host's methods called, and do not wait: for finalizers."""
        self._link.tell_sometime(_wish(method, arguments, {}))


def _wish(method: str, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> HostWish:
    activity = current_activity()
    return HostWish(method, arguments, keywords, None if activity is None else activity.task is not None)


class _RemoteMetrics:
    """The metrics, which the server keeps."""

    def __init__(self, host: RemoteHost) -> None:
        self._host = host

    def declare(self, name: str, description: str, kind: int) -> None:
        """Make a family, or join in one."""
        self._host.wish("declare", name, description, int(kind))

    def add(self, name: str, labels: Mapping[str, str], buckets: Sequence[float]) -> None:
        """Make a metric of a family, or join in one."""
        self._host.wish("add", name, labels, buckets)

    def apply(self, name: str, labels: Mapping[str, str], operation: str, value: float) -> None:
        """Do `increment`, `set` or `observe`."""
        self._host.wish("apply", name, labels, operation, float(value))

    def value(self, name: str, labels: Mapping[str, str]) -> float:
        """Tell the value."""
        return float(self._host.wish("value", name, labels))

    def leave(self, name: str, labels: Mapping[str, str] | None = None) -> None:
        """Leave a metric, or without labels a family."""
        self._host.wish_sometime("leave", name, labels)


class _RemoteCall:
    """A call that the server passes on."""

    def __init__(self, link: Link, number: int) -> None:
        self._link = link
        self._number = number

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Stand around the time in which the caller waits for a response."""
        self._link.tell(WaitForCall(self._number, begins=True))
        try:
            yield
        finally:
            self._link.tell(WaitForCall(self._number, begins=False))

    def cancel(self) -> None:
        """Take the request back."""
        self._link.tell(CancelCall(self._number))
