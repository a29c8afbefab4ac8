"""Spans: that of a request in its model, to which the model's own code may add, and those that are made when all is over."""

from __future__ import annotations

import time
import traceback
from typing import TYPE_CHECKING, Any, NamedTuple

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import TraceState
    from opentelemetry.util.types import Attributes, AttributeValue

__all__ = ["ModelSpan", "Moments", "Place", "ServerResource", "SpanMaker"]

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_UNSET = Status()


class Place(NamedTuple):
    """Where a span is: what OpenTelemetry's `SpanContext` says, of which one is made only where it is needed.

    Attributes:
        trace: the number of the trace.
        span: the number of the span.
        state: what vendors have added to the trace.
    """

    trace: int
    span: int
    state: TraceState

    def context(self) -> SpanContext:
        """Give it as OpenTelemetry has it."""
        return SpanContext(self.trace, self.span, is_remote=False, trace_flags=_SAMPLED, trace_state=self.state)


class ModelSpan(Span):
    """The span of a request in its model, as the model's own code sees it. Whatever that adds is exported with it.

    The server ends it, whatever the model's code does; its name is the server's, too.

    Args:
        place: where it is.
        parent: the span above it.
    """

    def __init__(self, place: Place, parent: Place) -> None:
        self.place = place
        self.parent = parent
        self.attributes: dict[str, Any] = {}
        self.events: list[Event] = []
        self.links: list[Link] = []
        self.status: Status | None = None
        self.ended = False

    def get_span_context(self) -> SpanContext:
        """Give its place in the trace."""
        return self.place.context()

    def is_recording(self) -> bool:
        """Tell whether what is added is exported."""
        return not self.ended

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Add an attribute."""
        self.attributes[key] = value

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Add attributes."""
        self.attributes.update(attributes)

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        """Add an event, at a time in nanoseconds since 1970; now if not given."""
        self.events.append(Event(name, attributes, timestamp or time.time_ns()))

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        """Link to a span of another trace."""
        self.links.append(Link(context, attributes))

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Say how it went. An error of the request itself wins over it."""
        self.status = status if isinstance(status, Status) else Status(status, description)

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


class Moments(NamedTuple):
    """What happened when, in monotonic nanoseconds, and what makes such a time one since 1970 when it is added."""

    at: Mapping[str, int]
    offset_ns: int

    def only(self, names: Collection[str]) -> Moments:
        """Leave out all others."""
        return Moments({name: ns for name, ns in self.at.items() if name in names}, self.offset_ns)

    def without(self, names: Collection[str]) -> Moments:
        """Leave these out."""
        return Moments({name: ns for name, ns in self.at.items() if name not in names}, self.offset_ns)

    @property
    def start_ns(self) -> int:
        """The first of them, since 1970."""
        return min(self.at.values()) + self.offset_ns

    @property
    def end_ns(self) -> int:
        """The last of them, since 1970."""
        return max(self.at.values()) + self.offset_ns

    def events(self) -> list[Event]:
        """Give them as events, in their order."""
        by_time = sorted(self.at.items(), key=lambda moment: moment[1])
        return [Event(name, timestamp=ns + self.offset_ns) for name, ns in by_time]


class ServerResource(Resource):
    """What all spans say about their server. The exporter looks each span's up, for which it is not compared word by word."""

    __eq__ = object.__eq__
    __hash__ = object.__hash__


class SpanMaker:
    """Makes spans that have ended. They are made whole, which costs a fifth of what it takes to start and to end one.

    Args:
        resource: what all of them say about the server.
        scope: what all of them say about this package.
    """

    def __init__(self, resource: Resource, scope: InstrumentationScope) -> None:
        self._resource = resource
        self._scope = scope

    def __call__(
        self,
        name: str,
        place: Place,
        parent: SpanContext | None,
        lasting: Moments,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        status: Status | None = None,
        attributes: Mapping[str, Any] | None = None,
        events: Sequence[Event] = (),
        links: Sequence[Link] = (),
    ) -> ReadableSpan:
        """Make a span that lasts from the first of some moments to the last."""
        return ReadableSpan(
            name,
            place.context(),
            parent,
            self._resource,
            attributes or {},
            events,
            links,
            kind,
            status=status or _UNSET,
            start_time=lasting.start_ns,
            end_time=lasting.end_ns,
            instrumentation_scope=self._scope,
        )
