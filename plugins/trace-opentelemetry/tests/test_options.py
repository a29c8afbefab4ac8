"""What `--trace-config=opentelemetry,…` may say."""

from __future__ import annotations

import pytest
from charonia.errors import CharoniaError
from charonia_trace_opentelemetry.options import read_options


def test_the_defaults_are_the_references():
    """Without options, spans go to a collector on this machine, over HTTP."""
    assert dict(read_options(()).describe()) == {
        "url": "http://localhost:4318/v1/traces",
        "bsp_schedule_delay": "5000",
        "bsp_max_export_batch_size": "512",
        "bsp_max_queue_size": "2048",
    }


def test_resource_attributes_add_up_and_the_rest_is_replaced():
    """Of two values of one option the later holds; attributes are told together."""
    told = [
        ("url", "http://a"),
        ("url", "grpc://b:4317"),
        ("resource", "a=1"),
        ("resource", "b=x=y"),
        ("resource", "a=2"),
        ("bsp_schedule_delay", "7"),
    ]
    options = read_options(told)
    assert (options.url, options.resource, options.bsp_schedule_delay) == ("grpc://b:4317", {"a": "2", "b": "x=y"}, 7)
    assert dict(options.describe())["resource"] == "a=2,b=x=y"


def test_the_environment_is_asked_for_what_is_not_told(monkeypatch):
    """OpenTelemetry's own variables hold where no option says otherwise."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "1000")
    options = read_options([("bsp_max_queue_size", "600")])
    assert (options.bsp_schedule_delay, options.bsp_max_queue_size) == (100, 600)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("colour", "red", "there is no such option; there are url, resource, bsp_schedule_delay,"),
        ("url", "localhost:4318", "expected a URL that begins with http://, https://, grpc://, grpcs://"),
        ("resource", "vision", "expected an attribute's name and its value"),
        ("resource", "=x", "expected an attribute's name and its value"),
        ("bsp_schedule_delay", "soon", "expected a whole number from 1 up"),
        ("bsp_max_queue_size", "0", "expected a whole number from 1 up"),
        ("bsp_max_queue_size", "511", "bsp_max_export_batch_size=512: expected no more than bsp_max_queue_size"),
    ],
)
def test_what_is_wrong_is_told(name, value, text):
    """An option that cannot be names itself and what is expected."""
    with pytest.raises(CharoniaError, match="--trace-config=opentelemetry") as raised:
        read_options([(name, value)])
    assert text in str(raised.value)
