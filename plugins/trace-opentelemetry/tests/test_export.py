"""Spans are gathered, and sent together; what is too much for the way is lost, and told."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import charonia_trace_opentelemetry.export
import pytest
from charonia_trace_opentelemetry.export import SpanExport
from charonia_trace_opentelemetry.options import read_options
from listener import Listener
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

BAD = SimpleNamespace(model="bad")
"""Is written no more than a trace would be in which there is something unforeseen."""


class HeldWriter:
    """Writes another span instead of what it is given, once it may; keeps what that was, and fails on what has BAD in it."""

    def __init__(self):
        self.begun = threading.Semaphore(0)
        self.may_go_on = threading.Event()
        self.written = []

    def message(self, spans):
        self.begun.release()
        assert self.may_go_on.wait(60)
        if BAD in spans:
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
    export.take(BAD)
    export.take("good")
    export.close()
    assert writer.written == ["good"]
    assert "the trace of a request to bad cannot be written, and is dropped: this cannot be written" in caplog.text
    assert dropped(export) == {"queue_full": 0, "not_sent": 1}
    assert [span.name for span in collector.spans] == ["sent"]


def test_what_cannot_be_written_costs_none_that_goes_with_it(collector, caplog):
    """The others of its message are sent, in one."""
    told = {"url": collector.url, "bsp_max_export_batch_size": "12"}
    writer = HeldWriter()
    writer.may_go_on.set()
    export = SpanExport(read_options(told.items()), writer.message)
    export._send_all(["first", BAD, "last"])
    export.close()
    assert writer.written == ["first", "last"]
    assert len([record for record in caplog.records if "cannot be written" in record.message]) == 1
    assert dropped(export) == {"queue_full": 0, "not_sent": 1}
    assert [span.name for span in collector.spans] == ["sent", "sent"]


def test_a_collector_that_does_not_answer_does_not_hold_up_whoever_leaves(monkeypatch):
    """The last message is given up, also where its thread cannot be interrupted."""
    monkeypatch.setattr(charonia_trace_opentelemetry.export, "_LAST_SECONDS", 0.01)
    monkeypatch.setattr(charonia_trace_opentelemetry.export, "_INTERRUPTED_SECONDS", 0.01)
    with Listener() as listener:
        listener.may_answer.clear()
        export = SpanExport(
            read_options([("url", f"http://{listener.address}/")]), lambda _: MESSAGE.SerializeToString()
        )
        export.take("first")
        export.close()  # which comes back though nothing was answered
        listener.may_answer.set()
        export._spans.close()
