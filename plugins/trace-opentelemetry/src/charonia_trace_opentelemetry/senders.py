"""Sending messages that are written already.

The SDK's exporters do it: they know how often to try, and with which headers, keys and compression.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from charonia.errors import CharoniaError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from charonia_trace_opentelemetry.posting import PostingSession

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

__all__ = ["Sender", "sender"]


class Sender(ABC):
    """Sends messages to one collector.

    Args:
        exporter: the SDK's, which does so.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    @abstractmethod
    def send(self, message: bytes) -> SpanExportResult:
        """Send an `ExportTraceServiceRequest`, again if need be. It does not raise."""

    def close(self) -> None:
        """Give up what is being sent, and send nothing more."""
        self._exporter.shutdown()


class _HttpSender(Sender):
    """Over HTTP. The exporter encodes no span at all; its session sends what is written already."""

    def __init__(self, url: str) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        self._session = PostingSession()
        super().__init__(OTLPSpanExporter(endpoint=url, session=self._session))

    def send(self, message: bytes) -> SpanExportResult:
        """Do as `Sender.send` says."""
        self._session.message = message
        return self._exporter.export(())


class _GrpcSender(Sender):
    """Over gRPC."""

    def __init__(self, url: str) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        except ImportError as error:
            raise CharoniaError(
                f"--trace-config=opentelemetry,url={url}: OTLP over gRPC is not installed: "
                "pip install opentelemetry-exporter-otlp-proto-grpc"
            ) from error

        class Exporter(OTLPSpanExporter):
            message = b""

            def _translate_data(self, data: Sequence[ReadableSpan]) -> ExportTraceServiceRequest:
                del data
                return ExportTraceServiceRequest.FromString(self.message)

        scheme, _, place = url.partition("://")
        self._translator = Exporter(endpoint=place, insecure=scheme == "grpc")
        super().__init__(self._translator)

    def send(self, message: bytes) -> SpanExportResult:
        """Do as `Sender.send` says."""
        self._translator.message = message
        return self._exporter.export(())


def sender(url: str) -> Sender:
    """Give what speaks OTLP, over HTTP or over gRPC.

    Raises:
        CharoniaError: what that needs is not installed.
    """
    return _HttpSender(url) if url.startswith("http") else _GrpcSender(url)
