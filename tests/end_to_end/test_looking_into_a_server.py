"""`charonia top` and `charonia explain` at a server that runs."""

from __future__ import annotations

import numpy as np
import pytest
from charonia import Server
from charonia.cli.group import group
from charonia.plugins import Plugins
from charonia.serving import serve_in_thread
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticPlugin
from click.testing import CliRunner

from benchmarks.process import free_port


@pytest.fixture
def served(model_repository):
    """Serve the model "m", which was asked five times; gives the words that say where."""
    write_model(model_repository, model_config("m"))
    port = free_port()
    settings = {"http-port": 0, "allow-grpc": False, "metrics-port": port}
    with (
        Server(model_repository, plugins=Plugins(extra=[ArithmeticPlugin()])) as server,
        serve_in_thread(server, settings) as (url,),
    ):
        for _ in range(5):
            server.model("m").infer({"INPUT0": np.zeros((2, 16), np.float32)})
        yield url, f"http://127.0.0.1:{port}/metrics"


def charonia(*words):
    """Run a command."""
    return CliRunner().invoke(group, words, env={"COLUMNS": "160"})


def test_explain_tells_why_requests_are_not_batched(served):
    """The counts, the reasons and the change to try stand in the answer."""
    url, _ = served
    told = charonia("explain", "m", f"--url={url}")
    assert told.exit_code == 0, told.output
    assert "m 1:\n  5 executions with 2.0 elements on average: 5 of 2.\n" in told.output
    assert "100% of the batches were closed because the scheduler took one request" in told.output
    assert told.output.endswith("    dynamic_batching { }\n")


def test_explain_needs_a_model_that_serves(served):
    """A model that is not there is told in the server's words."""
    told = charonia("explain", "nope", f"--url={served[0]}")
    assert told.exit_code != 0
    assert "requested model 'nope' is not available" in told.output


def test_top_shows_a_row_for_each_model(served):
    """Each table has the model with its state, and what it did in the interval, which is nothing."""
    told = charonia("top", f"--metrics-url={served[1]}", f"--url={served[0]}", "--interval=0.01", "--count=2")
    assert told.exit_code == 0, told.output
    rows = [tuple(line.split()[:12]) for line in told.output.splitlines() if line.startswith("m ")]
    assert rows == 2 * [("m", "1", "READY", "0.0", "0.0", "-", "-", "-", "0", "0", "-", "-")]
    assert told.output.count("MiB of memory") == 2
    assert told.output.endswith("\n")


def test_top_does_without_states(served):
    """A server whose HTTP frontend does not answer is watched by its metrics alone."""
    told = charonia("top", f"--metrics-url={served[1]}", "--url=http://127.0.0.1:1", "--interval=0.01", "--count=1")
    assert told.exit_code == 0, told.output
    (row,) = {tuple(line.split()[:4]) for line in told.output.splitlines() if line.startswith("m ")}
    assert row == ("m", "1", "-", "0.0")


def test_top_needs_metrics():
    """Where there are none, the error says what the server needs."""
    told = charonia("top", "--metrics-url=http://127.0.0.1:1/metrics")
    assert told.exit_code != 0
    assert "with charonia-metrics-prometheus?" in told.output
