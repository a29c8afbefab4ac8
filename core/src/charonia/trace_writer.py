"""The interface of what traces are handed to: one writer for each server, chosen by the mode of its trace settings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import nullcontext
from typing import TYPE_CHECKING, ClassVar

from charonia.trace_settings import LEVELS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from charonia.metric_families import MetricFamily
    from charonia.trace import Trace
    from charonia.trace_settings import TraceSetting

__all__ = ["TraceWriter"]


class TraceWriter(ABC):
    """Takes traces. Its methods may be called from any thread; closed by the server.

    It is not told when a client's request begins: that has to cost as little as can be. What the writer needs to know of a trace
    until its end, it keeps in the trace's `mark`, when it is first asked for something.

    Args:
        setting: how the server was started; what belongs to the writer alone are its `options`.

    Raises:
        CharoniaError: an option is not there, or has a value that cannot be.

    Attributes:
        levels: what it can write; while nothing else is on, no request is traced.
        origin_field: the header field of a client's request, in lower case, that tells of a trace to which it belongs already;
            "" where there is none.
        setting: the settings with all options that clients are told, those with defaults included.
    """

    levels: ClassVar[tuple[str, ...]] = LEVELS
    origin_field: ClassVar[str] = ""

    def __init__(self, setting: TraceSetting) -> None:
        self.setting = setting

    def origin(self, field: Callable[[str], str | None]) -> object | None:
        """Find the trace that a client's request belongs to already, so that it is traced whether it is its turn or not.

        Asked where the request has the `origin_field`. None if that tells nothing.

        Args:
            field: gives a header field of the request, by its name in lower case.
        """
        del field
        return None

    def caller(self) -> object | None:
        """Find the trace that a caller in process is in, on its thread, where its request is traced. None if it is in none."""
        return None

    def begin_below(self, trace: Trace) -> None:
        """A request begins that a traced one has caused, its `parent`; on the thread on which it is made."""

    def current(self, trace: Trace) -> AbstractContextManager[object]:
        """Stand around the execution of a traced request."""
        del trace
        return nullcontext()

    def id_of(self, trace: Trace) -> str:
        """Name a trace for the log."""
        return str(trace.number)

    def context_of(self, trace: Trace) -> Mapping[str, str]:
        """Give the header fields by which another process takes a trace up."""
        del trace
        return {}

    def metrics(self) -> Sequence[MetricFamily]:
        """Tell metrics of the writer, as they are now; asked whenever somebody looks."""
        return ()

    @abstractmethod
    def end(self, trace: Trace) -> None:
        """Take a trace that is complete. Those that a request has caused come before its own. It must not wait for anything."""

    @abstractmethod
    def close(self) -> None:
        """Write what is left. Nothing comes any more, and what does is dropped. Idempotent."""
