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
        ("url", "http:///v1/traces", "expected a host behind the scheme"),
        (
            "url",
            "http://here:99999/v1/traces",
            "expected a host behind the scheme, and where a port is given, one from 1",
        ),
        ("url", "http://[::1/v1/traces", "expected a host behind the scheme"),
        ("url", "grpc://here:4317/v1/traces", "expected nothing behind host and port"),
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


def test_what_is_wrong_in_the_environment_is_told_by_its_name(monkeypatch):
    """Whoever has set no option looks there."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "soon")
    with pytest.raises(CharoniaError, match=r"^OTEL_BSP_SCHEDULE_DELAY=soon: expected a whole number from 1 up$"):
        read_options(())


@pytest.mark.parametrize("url", ["http://me:secret@here:4318/v1/traces?a=@", "https://me@here"])
def test_clients_are_not_told_the_login(url):
    """Everybody may read the trace settings; the collector's login is nobody's business."""
    options = read_options([("url", url)])
    told = dict(options.describe())["url"]
    assert options.url == url
    assert told == url.replace("me:secret@", "").replace("me@", "")
