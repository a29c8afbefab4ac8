"""The spans of requests, as a collector gets them."""

from __future__ import annotations

import numpy as np
import pytest
from charonia.errors import InferenceError
from charonia.plugins import Plugins
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticPlugin
from opentelemetry import trace as api
from opentelemetry.context import attach, detach
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

INPUT = {"INPUT0": np.zeros((1, 16), np.float32)}


@pytest.fixture
def plugins():
    """Offer the backend of the tests beside all that is installed."""
    return Plugins(extra=[ArithmeticPlugin()])


@pytest.fixture
def serve(trace, model_repository, plugins):
    """Serve the model "m", which fails on a 7."""

    def start(*options, **settings):
        write_model(model_repository, model_config("m", parameters={"fail_on": "7"}))
        return trace(*options, plugins=plugins, **settings)

    return start


def test_a_request_has_the_references_spans_and_one_for_its_time_in_the_queue(serve, collector):
    """Names, attributes and events are the reference's; each span lies within the one above."""
    server = serve(("resource", "deployment.environment.name=test"))
    server.model("m").infer(INPUT, id="r1")
    server.close()
    assert collector.tree() == [("InferRequest", [("m", [("queue", []), ("compute", [])])])]
    root, model, queue, compute = (collector.one(name) for name in ("InferRequest", "m", "queue", "compute"))
    assert model.attributes == {
        "triton.model_name": "m",
        "triton.model_version": 1,
        "triton.trace_id": 1,
        "triton.trace_parent_id": 0,
        "triton.request_id": "r1",
    }
    assert [name for name, _ in root.events] == ["INFER_RESPONSE_COMPLETE"]
    assert [name for name, _ in model.events] == ["REQUEST_START", "QUEUE_START", "REQUEST_END"]
    assert [name for name, _ in compute.events] == [
        "COMPUTE_START",
        "COMPUTE_INPUT_END",
        "COMPUTE_OUTPUT_START",
        "COMPUTE_END",
    ]
    assert (
        root.start <= model.start <= queue.start <= queue.end == compute.start <= compute.end <= model.end <= root.end
    )
    assert (root.resource["service.name"], root.resource["deployment.environment.name"]) == ("charonia", "test")
    assert root.scope == "charonia"
    assert {span.status for span in collector.spans} == {(0, "")}


def test_the_name_of_the_service_can_be_told(serve, collector, monkeypatch):
    """An option wins over the environment, and the environment over the default."""
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=env,a=1")
    server = serve(("resource", "service.name=vision"))
    server.model("m").infer(INPUT)
    server.close()
    resource = collector.one("m").resource
    assert (resource["service.name"], resource["a"]) == ("vision", "1")


def test_a_failure_is_told(serve, collector):
    """The spans around a failed execution have the status of an error, and its text."""
    server = serve()
    with pytest.raises(InferenceError):
        server.model("m").infer({"INPUT0": np.full((1, 16), 7, np.float32)})
    server.close()
    for name in ("InferRequest", "m", "compute"):
        code, text = collector.one(name).status
        assert code == 2
        assert "INPUT0 has the value 7" in text


def test_steps_of_an_ensemble_are_below_it(serve, collector, model_repository):
    """Each step has spans of its own below the ensemble's, not below those of the step before."""
    write_model(model_repository, model_config("first"))
    ensemble = model_config("ens")
    ensemble.ClearField("backend")
    ensemble.platform = "ensemble"
    for name, source, target in (("first", "INPUT0", "between"), ("m", "between", "OUTPUT0")):
        step = ensemble.ensemble_scheduling.step.add(model_name=name, model_version=-1)
        step.input_map["INPUT0"] = source
        step.output_map["OUTPUT0"] = target
    write_model(model_repository, ensemble)
    server = serve()
    server.model("ens").infer(INPUT, id="e1")
    server.close()
    steps = [(name, [("queue", []), ("compute", [])]) for name in ("first", "m")]
    assert collector.tree() == [("InferRequest", [("ens", steps)])]
    assert collector.one("m").attributes["triton.trace_parent_id"] == 1
    assert collector.one("m").attributes["triton.request_id"] == "e1"


def test_a_hit_of_the_response_cache_has_no_execution(trace, collector, model_repository, plugins):
    """The second of two equal requests has a span of its model, and none of queue or execution."""
    config = model_config("m")
    config.response_cache.enable = True
    write_model(model_repository, config)
    server = trace(plugins=plugins, cache_config={"local": {"size": "1048576"}})
    for _ in range(2):
        server.model("m").infer(INPUT)
    server.close()
    whole, hit = collector.tree()
    assert whole == ("InferRequest", [("m", [("queue", []), ("compute", [])])])
    assert hit == ("InferRequest", [("m", [])])


def test_in_process_a_request_belongs_to_the_span_that_its_caller_is_in(serve, collector):
    """An application that embeds the server sees the request as a part of its own trace."""
    caller = SpanContext(0x1234, 0x56, is_remote=False, trace_flags=TraceFlags(1))
    server = serve()
    token = attach(set_span_in_context(NonRecordingSpan(caller)))
    server.model("m").infer(INPUT)
    detach(token)
    server.close()
    root = collector.one("InferRequest")
    assert (int(root.trace, 16), int(root.above, 16)) == (0x1234, 0x56)


def test_only_those_are_traced_whose_turn_it_is(serve, collector):
    """Rate and count choose as in every mode, and what is chosen can be changed while the server runs."""
    server = serve(rate=3)
    for number in range(7):
        server.model("m").infer(INPUT, id=str(number))
    server.trace_setting(changes={"trace_level": ["OFF"]})
    server.model("m").infer(INPUT)
    server.close()
    assert [span.attributes["triton.request_id"] for span in collector.spans if span.name == "m"] == ["2", "5"]


def test_tensors_are_not_traced(serve, collector):
    """As in the reference, this mode has no tensors; their level alone traces nothing."""
    server = serve(level=("TENSORS",))
    assert not server.tracer.on
    server.model("m").infer(INPUT)
    server.close()
    assert collector.spans == []


def test_clients_are_told_the_modes_settings(serve, collector):
    """They are told the options with the defaults, and cannot change them."""
    server = serve(("resource", "a=b"), ("bsp_schedule_delay", "100"))
    told = server.trace_setting(changes={"url": ["http://elsewhere"], "trace_mode": ["triton"], "trace_rate": ["9"]})
    assert told.describe() == {
        "trace_level": ["TIMESTAMPS"],
        "trace_rate": ["9"],
        "trace_count": ["-1"],
        "trace_mode": ["opentelemetry"],
        "url": [collector.url],
        "resource": ["a=b"],
        "bsp_schedule_delay": ["100"],
        "bsp_max_export_batch_size": ["512"],
        "bsp_max_queue_size": ["2048"],
    }


@pytest.mark.parametrize("compression", ["none", "gzip", "deflate"])
def test_the_sdks_environment_holds_over_http(serve, collector, monkeypatch, compression):
    """Headers and compression are those that OpenTelemetry's variables name."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", compression)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "key=value")
    server = serve()
    server.model("m").infer(INPUT)
    server.close()
    assert collector.one("m").attributes["triton.model_name"] == "m"
    assert collector.headers["key"] == "value"
    assert collector.headers.get("Content-Encoding", "none") == compression


def test_what_a_busy_collector_does_not_take_is_sent_again(serve, collector):
    """The second try has all that the first one had."""
    collector.busy = 1
    server = serve()
    server.model("m").infer(INPUT)
    server.close()
    assert collector.tree() == [("InferRequest", [("m", [("queue", []), ("compute", [])])])]


def test_spans_can_go_over_grpc(serve, collector):
    """A collector that speaks gRPC gets the same."""
    server = serve(url=collector.grpc_url)
    server.model("m").infer(INPUT)
    server.close()
    assert collector.tree() == [("InferRequest", [("m", [("queue", []), ("compute", [])])])]


def test_a_collector_that_is_away_harms_nobody(serve, unused_tcp_port, caplog):
    """Requests are answered, the server closes, the log says what was lost, and the metrics how much."""
    server = serve(url=f"http://127.0.0.1:{unused_tcp_port}/v1/traces")
    server.model("m").infer(INPUT)
    assert server.close()
    assert "export" in caplog.text
    (family,) = (family for family in server.metrics() if family.name == "charonia_traces_dropped_total")
    assert {sample.labels["reason"]: sample.value for sample in family.samples} == {"queue_full": 0, "not_sent": 1}


def test_nothing_is_lost_under_load(serve, collector, side_by_side):
    """Of many requests from several threads at once each has its spans."""
    server = serve(("bsp_max_queue_size", "20000"))
    handle = server.model("m")
    side_by_side(lambda: handle.infer(INPUT), 250)
    server.close()
    assert len(collector.spans) == 4 * 1000
    assert len({span.id for span in collector.spans}) == 4000
    assert len({span.trace for span in collector.spans}) == 1000


def test_spans_of_the_processs_code_are_nobodys_while_no_server_is_open(serve):
    """After the last server has gone, a tracer that was asked for goes on working, and records nothing."""
    serve().close()
    span = api.get_tracer("test").start_span("mine")
    assert not span.is_recording()
