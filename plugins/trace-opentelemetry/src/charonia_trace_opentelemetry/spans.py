"""The span of a request in its model, to which the model's own code may add.

Until a trace is sent there is nothing else of it than this: no more is made while somebody waits than a model may ask for.
"""

from __future__ import annotations

import time
import traceback
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from opentelemetry.sdk.trace import Event
from opentelemetry.trace import Link, Span, SpanContext, Status, TraceFlags

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.context import Context
    from opentelemetry.trace import StatusCode, TraceState
    from opentelemetry.util.types import Attributes, AttributeValue

__all__ = ["Additions", "ModelSpan", "Origin"]

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


class Origin(NamedTuple):
    """What all that a client's request causes has in common.

    Attributes:
        trace_id: the number of OpenTelemetry's trace.
        state: what vendors have added to that.
        client: the span of the client, from which the request came; one that is not valid if there is none.
        context: the context of that, to which the server's provider is added.
        offset_ns: from monotonic times to those since 1970. One for all, so that clocks which are set meanwhile do not tear them.
    """

    trace_id: int
    state: TraceState
    client: SpanContext
    context: Context
    offset_ns: int


class Additions:
    """What a model's own code has added to a span: attributes by their names, events, links, and how it went."""

    def __init__(self) -> None:
        self.attributes: dict[str, Any] = {}
        self.events: list[Event] = []
        self.links: list[Link] = []
        self.status = Status()


class ModelSpan(Span):
    """The span of a request in its model, as the model's own code sees it. Whatever that adds is sent with it.

    The server ends it, whatever the model's code does; its name is the server's, too.

    Args:
        origin: what it has in common with others.
        span_id: its number.
        above: the number of the span above: for a client's request that of its `InferRequest`, which is made when it is sent.

    Attributes:
        added: what was added, or None.
        ended: whether nothing more can be added: whatever is, is dropped.
    """

    added: Additions | None = None
    ended = False

    def __init__(self, origin: Origin, span_id: int, above: int) -> None:
        self.origin = origin
        self.span_id = span_id
        self.above = above

    def _add(self) -> Additions:
        """Give that to which is added, made for the first thread that does so."""
        return Additions() if self.ended else cast("Additions", self.__dict__.setdefault("added", Additions()))

    def place(self, span_id: int) -> SpanContext:
        """Give the place of one of the trace's spans, as OpenTelemetry has it."""
        origin = self.origin
        return SpanContext(origin.trace_id, span_id, is_remote=False, trace_flags=_SAMPLED, trace_state=origin.state)

    def get_span_context(self) -> SpanContext:
        """Give its place in the trace."""
        return self.place(self.span_id)

    def is_recording(self) -> bool:
        """Tell whether what is added is sent."""
        return not self.ended

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Add an attribute."""
        self._add().attributes[key] = value

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Add attributes."""
        self._add().attributes.update(attributes)

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        """Add an event, at a time in nanoseconds since 1970; now if not given."""
        self._add().events.append(Event(name, attributes, timestamp or time.time_ns()))

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        """Link to a span of another trace."""
        self._add().links.append(Link(context, attributes))

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Say how it went. An error of the request itself wins over it."""
        self._add().status = status if isinstance(status, Status) else Status(status, description)

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,  # noqa: FBT001, FBT002 - the interface is OpenTelemetry's
    ) -> None:
        """Add an exception as an event."""
        told = {
            "exception.type": type(exception).__qualname__,
            "exception.message": str(exception),
            "exception.stacktrace": "".join(traceback.format_exception(exception)),
            "exception.escaped": str(escaped),
        }
        self.add_event("exception", told | dict(attributes or {}), timestamp)

    def update_name(self, name: str) -> None:
        """Do nothing."""

    def end(self, end_time: int | None = None) -> None:
        """Do nothing."""
