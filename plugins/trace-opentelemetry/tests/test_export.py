"""Spans are gathered, and sent together; what is too much for the way is lost, and told."""

from __future__ import annotations

import threading

import pytest
from charonia_trace_opentelemetry.export import SpanExport
from charonia_trace_opentelemetry.options import read_options
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext

MESSAGE = encode_spans(
    [
        ReadableSpan(
            "sent",
            SpanContext(1, 1, is_remote=False),
            resource=Resource({"a": "b"}),
            instrumentation_scope=InstrumentationScope("test"),
            start_time=1,
            end_time=2,
        )
    ]
)


class HeldWriter:
    """Writes another span instead of what it is given, once it may; keeps what that was, and fails on "bad"."""

    def __init__(self):
        self.begun = threading.Semaphore(0)
        self.may_go_on = threading.Event()
        self.written = []

    def message(self, spans):
        self.begun.release()
        assert self.may_go_on.wait(60)
        if spans == ["bad"]:
            raise ValueError("this cannot be written")
        self.written += spans
        return MESSAGE.SerializeToString()


@pytest.fixture
def held(collector):
    """Give an export to a collector, of at most three waiting spans, and what writes for it."""
    told = {"url": collector.url, "bsp_max_queue_size": "3", "bsp_max_export_batch_size": "2"}
    writer = HeldWriter()
    export = SpanExport(read_options(told.items()), writer.message)
    yield export, writer
    writer.may_go_on.set()
    export.close()


def dropped(export):
    """Give how many spans were dropped, by the reason."""
    return {sample.labels["reason"]: sample.value for sample in export.metric().samples}


def test_what_is_too_much_is_lost_and_told(held, collector, caplog):
    """While spans are sent, so many others wait as there is room for, and the log says how many did not find any."""
    export, writer = held
    export.take("first")
    assert writer.begun.acquire(timeout=60)
    for span in ("second", "third", "fourth", "lost", "lost, too"):
        export.take(span)
    writer.may_go_on.set()
    export.close()
    assert writer.written == ["first", "second", "third", "fourth"]
    (record,) = [record for record in caplog.records if "dropped" in record.message]
    assert "than 3 within" in record.message
    assert ": 2 were dropped;" in record.message
    assert dropped(export) == {"queue_full": 2, "not_sent": 0}
    assert [span.name for span in collector.spans] == ["sent"] * 4


def test_what_cannot_be_written_costs_no_other(held, collector, caplog):
    """A span that nobody can write is an entry in the log, and the next one is sent."""
    export, writer = held
    writer.may_go_on.set()
    export.take("bad")
    export.take("good")
    export.close()
    assert writer.written == ["good"]
    assert "1 traces and spans could not be sent" in caplog.text
    assert "this cannot be written" in caplog.text
    assert dropped(export) == {"queue_full": 0, "not_sent": 1}
    assert [span.name for span in collector.spans] == ["sent"]
