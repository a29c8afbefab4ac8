"""The way of spans to a collector."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from charonia.gathering import Gathering
from charonia.metric_families import MetricFamily, MetricKind, MetricSample
from opentelemetry import context as contexts
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExportResult

from charonia_trace_opentelemetry.senders import sender

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from charonia.trace import Trace

    from charonia_trace_opentelemetry.options import ExportOptions

__all__ = ["SpanExport"]

_log = logging.getLogger("charonia.trace_opentelemetry.export")

_LAST_SECONDS = 3.0
"""How long the last spans may take at the end. A collector that does not answer does not hold up a server that leaves."""

_INTERRUPTED_SECONDS = 0.5
"""How long the thread may take to end once it is told that there is nothing more to wait for."""

_DROPPED = "Number of traces, and of spans that models' code has made, which did not reach the collector"

_OF_A_REQUEST = 4
"""How many spans a request has in each model."""


class SpanExport(SpanProcessor):
    """Gathers spans, and sends them from a thread of its own: those of requests, and those of models' code that end.

    Args:
        options: where to, and in what batches.
        write: writes what is sent, on that thread.

    Attributes:
        take: takes a span, or a trace, which becomes several. It does not wait: what is too much is dropped.

    Raises:
        CharoniaError: the collector is to be spoken to in a way that is not installed.
    """

    def __init__(self, options: ExportOptions, write: Callable[[Sequence[ReadableSpan | Trace]], bytes]) -> None:
        self._most = options.bsp_max_queue_size
        self._at_once = max(1, options.bsp_max_export_batch_size // _OF_A_REQUEST)
        self._write = write
        self._sender = sender(options.url)
        self._open = True
        # what follows belongs to the thread
        self._not_sent = 0
        self._told = 0  # how many there was no room for when the log last said so
        self._spans: Gathering[ReadableSpan | Trace] = Gathering(
            "charonia-spans",
            self._send_all,
            seconds=options.bsp_schedule_delay / 1000,
            enough=options.bsp_max_export_batch_size // self._at_once * self._at_once,  # whole messages
            most=self._most,
        )
        self.take = self._spans.put

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span of a model's code that has ended, if it is to be sent."""
        if span.context is not None and span.context.trace_flags.sampled:
            self.take(span)

    def metric(self) -> MetricFamily:
        """Tell how many traces, and spans of models' code, were dropped up to now."""
        dropped = {"queue_full": self._spans.refused, "not_sent": self._not_sent}
        samples = [MetricSample({"reason": reason}, count) for reason, count in dropped.items()]
        return MetricFamily("charonia_traces_dropped_total", _DROPPED, MetricKind.COUNTER, samples)

    def _send_all(self, spans: list[ReadableSpan | Trace]) -> None:
        dropped = self._spans.refused
        if dropped > self._told:
            _log.warning(
                "more traces and spans came than %d within the time that it takes to send them: %d were dropped; "
                "--trace-config=opentelemetry,bsp_max_queue_size=N lets more of them wait",
                self._most,
                dropped - self._told,
            )
            self._told = dropped
        # sending is no business of anybody who traces what this process sends
        token = contexts.attach(contexts.set_value(contexts._SUPPRESS_INSTRUMENTATION_KEY, value=True))  # noqa: SLF001
        for start in range(0, len(spans), self._at_once):
            self._send(spans[start : start + self._at_once])
        contexts.detach(token)

    def _send(self, spans: list[ReadableSpan | Trace]) -> None:
        """Write spans, send them, and count those that the collector has not taken."""
        message, written = self._written(spans)
        self._not_sent += len(spans) - (written if self._open and message and self._sent(message) else 0)

    def _written(self, spans: list[ReadableSpan | Trace]) -> tuple[bytes, int]:
        """Write spans, and tell how many could be. What models' code has put into one of them must not cost the rest."""
        try:
            return self._write(spans), len(spans)
        except Exception as error:  # noqa: BLE001 - the border of the thread
            if len(spans) > 1:
                messages, counts = zip(*[self._written([one]) for one in spans], strict=True)
                return b"".join(messages), sum(counts)  # messages that follow each other are one
            _log.warning("%s cannot be written, and is dropped: %s", _named(*spans), error)
            return b"", 0

    def _sent(self, message: bytes) -> bool:
        try:
            return self._sender.send(message) is SpanExportResult.SUCCESS
        except Exception:  # noqa: BLE001 - the border of the thread
            if self._open:  # else it was interrupted
                _log.exception("traces and spans could not be sent")
            return False

    def close(self) -> None:
        """Send what is left, and join the thread. Idempotent.

        Whoever waits for a collector cannot always be interrupted: then the thread is left to itself, and ends when it can.
        """
        self._spans.close(_LAST_SECONDS)
        if self._open:
            self._open = False
            self._sender.close()
        self._spans.close(_INTERRUPTED_SECONDS)


def _named(span: ReadableSpan | Trace) -> str:
    if isinstance(span, ReadableSpan):
        return f"a model's span {span.name!r}"
    return f"the trace of a request to {span.model}"
