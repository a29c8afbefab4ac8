"""The way of spans to a collector."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, cast

from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from charonia_trace_opentelemetry.senders import sender

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

    from charonia_trace_opentelemetry.options import ExportOptions
    from charonia_trace_opentelemetry.otlp import MessageWriter
    from charonia_trace_opentelemetry.senders import Sender
    from charonia_trace_opentelemetry.spans import ModelSpan

__all__ = ["SpanExport"]

_LAST_SECONDS = 3.0
"""How long the last spans may take at the end. A collector that does not answer does not hold up a server that leaves."""

_OF_A_REQUEST = 4
"""How many spans a request has in each model."""


class SpanExport:
    """Sends spans in batches, from a thread of its own. The SDK gathers them, and knows how to speak to collectors.

    Args:
        options: where to, and in what batches.
        writer: writes what is sent, on that thread.

    Raises:
        CharoniaError: the collector is to be spoken to in a way that is not installed.

    Attributes:
        processor: takes spans of models' code that have ended. It does not wait for anything.
    """

    def __init__(self, options: ExportOptions, writer: MessageWriter) -> None:
        self._exporter = _Exporter(sender(options.url), writer, options.bsp_max_export_batch_size)
        self.processor: SpanProcessor = BatchSpanProcessor(
            self._exporter,
            max_queue_size=options.bsp_max_queue_size,
            schedule_delay_millis=options.bsp_schedule_delay,
            max_export_batch_size=options.bsp_max_export_batch_size,
        )

    def take(self, span: ModelSpan) -> None:
        """Take the span of a request that has ended, with which those around and below it are sent."""
        self.processor.on_end(cast("ReadableSpan", span))  # it asks it for nothing but its `context`

    def close(self) -> None:
        """Send what is left, and join the thread. Idempotent."""
        patience = threading.Timer(_LAST_SECONDS, self._exporter.shutdown)
        patience.start()
        self.processor.shutdown()
        patience.cancel()
        patience.join()


class _Exporter(SpanExporter):
    """Has spans written and sent. It may be shut down twice, which ends what it waits for.

    Args:
        sender: sends messages.
        writer: writes them.
        at_once: how many spans are sent at once.
    """

    def __init__(self, sender: Sender, writer: MessageWriter, at_once: int) -> None:
        self._sender = sender
        self._writer = writer
        self._items_at_once = max(1, at_once // _OF_A_REQUEST)
        self._open = threading.Lock()  # taken for good by whoever shuts it down

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        step = self._items_at_once
        results = [self._send(spans[start : start + step]) for start in range(0, len(spans), step)]
        return SpanExportResult.FAILURE if SpanExportResult.FAILURE in results else SpanExportResult.SUCCESS

    def _send(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.FAILURE if self._open.locked() else self._sender.send(self._writer.message(spans))

    def shutdown(self) -> None:
        if self._open.acquire(blocking=False):
            self._sender.close()
