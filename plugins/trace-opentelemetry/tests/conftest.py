"""A collector, and a server that sends its spans there."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from charonia import Server, ServerOptions
from charonia.trace_settings import TraceSetting
from collector import Collector


@pytest.fixture
def collector():
    """Give a collector that listens."""
    with Collector() as listening:
        yield listening


@pytest.fixture
def trace(collector, model_repository, no_surviving_threads):
    """Start a server on the test's repository that traces every request; when it is closed, the collector has all spans."""
    with ExitStack() as opened:

        def start(*options, rate=1, level=("TIMESTAMPS",), plugins=None, url=None, **server_options):
            setting = TraceSetting(
                level=level,
                rate=rate,
                mode="opentelemetry",
                options=(("url", url or collector.url), *options),
            )
            return opened.enter_context(
                Server(model_repository, options=ServerOptions(trace=setting, **server_options), plugins=plugins)
            )

        yield start
