"""What Python models see: the same here as in the reference itself, question by question."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import python_models

from benchmarks.process import ServerProcess, free_port

HERE = Path(__file__).parent
CASES = json.loads((HERE / "python_models.json").read_text())
"""Each case: the model that is asked, the code; the reference's answer; ours, where it is another one on purpose, and why.

Questions which the reference does not always survive, such as refused loads, are not among them: the backend's own tests have its words.
"""

FLAGS = ["--http-address=127.0.0.1", "--allow-grpc=false", "--allow-metrics=false", "--exit-on-error=false"]


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """Write the models that are asked."""
    directory = tmp_path_factory.mktemp("models")
    completions = {case["id"]: (case["code"], case["config"]) for case in CASES if case["model"] == "completion"}
    python_models.write_models(directory, completions)
    return directory


@pytest.fixture(scope="module", params=["charonia", "reference"])
def served(request, repository):
    """Serve them by one of the two: gives its name and its port."""
    run = run_charonia if request.param == "charonia" else request.getfixturevalue("run_reference")
    port = free_port()
    with run(port, f"--model-repository={repository}", f"--http-port={port}", *FLAGS):
        yield request.param, port


@contextmanager
def run_charonia(port, *flags):
    """Run this server with some flags, which both servers know."""
    command = [str(Path(sys.executable).with_name("charonia")), "serve", *flags]
    server = ServerProcess("charonia", command, port, "http://127.0.0.1", {"PYTHONDONTWRITEBYTECODE": "1"})
    try:
        yield
    finally:
        server.stop()


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_models_are_told_the_same(served, case):
    """The answer is the one that was written down; where ours is another one, that is written down with the reason."""
    name, port = served
    if case["model"] == "completion":
        answer = python_models.completed(port, case["id"])
    else:
        answer = python_models.ask(port, case["model"], case["code"])
    assert answer == (case["here"] if name == "charonia" and "here" in case else case["answer"])


def test_differences_have_reasons():
    """Whoever reads the table learns why."""
    assert all(bool(case.get("why")) == ("here" in case) for case in CASES)
