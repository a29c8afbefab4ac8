"""The way of spans to a collector."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from charonia.errors import CharoniaError
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanContext, TraceFlags

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from opentelemetry.sdk.trace import SpanProcessor

    from charonia_trace_opentelemetry.options import ExportOptions

__all__ = ["SpanExport"]

_LAST_SECONDS = 3.0
"""How long the last spans may take at the end. A collector that does not answer does not hold up a server that leaves."""


class SpanExport:
    """Sends spans in batches, from a thread of its own.

    Args:
        options: where to, and in what batches.

    Raises:
        CharoniaError: the collector is to be spoken to in a way that is not installed.

    Attributes:
        processor: takes spans that have ended. It does not wait for anything.
    """

    def __init__(self, options: ExportOptions) -> None:
        self._exporter = _Exporter(_exporter(options.url), options.bsp_max_export_batch_size)
        self.processor: SpanProcessor = BatchSpanProcessor(
            self._exporter,
            max_queue_size=options.bsp_max_queue_size,
            schedule_delay_millis=options.bsp_schedule_delay,
            max_export_batch_size=options.bsp_max_export_batch_size,
        )

    def take(self, make: Callable[[], Iterable[ReadableSpan]]) -> None:
        """Take spans that are made when they are sent.

        Then many are made at once, which takes a third of the time, and none of it is a request's.

        Args:
            make: makes them, on the thread that sends.
        """
        self.processor.on_end(_Unmade(make))

    def close(self) -> None:
        """Send what is left, and join the thread. Idempotent."""
        patience = threading.Timer(_LAST_SECONDS, self._exporter.shutdown)
        patience.start()
        self.processor.shutdown()
        patience.cancel()
        patience.join()


class _Unmade(ReadableSpan):
    """Stands in the processor's queue for spans that are not made yet."""

    _context = SpanContext(1, 1, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))  # so that it is sent

    def __init__(self, make: Callable[[], Iterable[ReadableSpan]]) -> None:
        self.make = make


class _Exporter(SpanExporter):
    """Makes what is not made yet, and sends all. It may be shut down twice, which ends what it waits for.

    Args:
        exporter: what sends.
        at_once: how many spans it sends at once.
    """

    def __init__(self, exporter: SpanExporter, at_once: int) -> None:
        self._exporter = exporter
        self._at_once = at_once
        self._open = threading.Lock()  # taken for good by whoever shuts it down

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        made = [own for span in spans for own in (span.make() if isinstance(span, _Unmade) else (span,))]
        results = [self._send(made[start : start + self._at_once]) for start in range(0, len(made), self._at_once)]
        return SpanExportResult.FAILURE if SpanExportResult.FAILURE in results else SpanExportResult.SUCCESS

    def _send(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.FAILURE if self._open.locked() else self._exporter.export(spans)

    def shutdown(self) -> None:
        if self._open.acquire(blocking=False):
            self._exporter.shutdown()


def _exporter(url: str) -> SpanExporter:
    """Make what speaks OTLP, over HTTP or over gRPC."""
    if url.startswith("http"):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter

        return HttpExporter(endpoint=url)
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
    except ImportError as error:
        raise CharoniaError(
            f"--trace-config=opentelemetry,url={url}: OTLP over gRPC is not installed: "
            "pip install opentelemetry-exporter-otlp-proto-grpc"
        ) from error
    scheme, _, place = url.partition("://")
    return GrpcExporter(endpoint=place, insecure=scheme == "grpc")
