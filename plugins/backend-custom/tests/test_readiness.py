"""Models that tell by themselves whether they are ready."""

from __future__ import annotations

import threading

import pytest
from charonia.testing.patience import PATIENCE_SECONDS
from charonia_backend_custom import readiness
from charonia_backend_custom.readiness import Readiness, all_confirmed

MODES = [{}, {"parameters": {"EXECUTION_MODE": "process"}}]
SOURCE = """
    import pathlib

    class TritonPythonModel:
        {method}

        def execute(self, requests):
            while pathlib.Path(pb_utils.get_model_dir(), "busy").exists():
                pass
            return [pb_utils.InferenceResponse([]) for _ in requests]
"""
SAYS = 'def is_ready(self):\n            return pathlib.Path(pb_utils.get_model_dir(), "up").exists()'


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("async_", ["", "async "])
def test_a_model_tells_whether_it_is_ready(serve, mode, async_):
    """`is_ready`, which may be a coroutine, is asked each time; requests are executed whatever it says."""
    directory = serve.write("m", SOURCE.format(method=async_ + SAYS), instance_count=2, **mode)
    server = serve.start()
    assert not server.model_ready("m")
    server.model("m").infer({"X": [1]})
    (directory / "1/up").touch()
    assert server.model_ready("m")


@pytest.mark.parametrize("mode", MODES)
def test_a_busy_model_is_asked_nevertheless(serve, mode):
    """An execution that takes long keeps nobody from asking."""
    directory = serve.write("m", SOURCE.format(method=SAYS), files={"1/busy": "", "1/up": ""}, **mode)
    server = serve.start()
    executing = threading.Thread(target=server.model("m").infer, args=({"X": [1]},))
    executing.start()
    try:
        assert server.model_ready("m")
    finally:
        (directory / "1/busy").unlink()
        executing.join()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("told", ["raise ValueError('no base')", "raise SystemExit", "pass"])
def test_what_is_no_yes_is_a_no(serve, mode, told, caplog):
    """A model that raises, or gives nothing, is not ready; what it raised is in the log."""
    serve.write("m", SOURCE.format(method=f"def is_ready(self):\n            {told}"), **mode)
    assert not serve.start().model_ready("m")
    if "base" in told:
        assert "model instance 'm_0' failed to tell whether it is ready: ValueError: no base" in caplog.text


@pytest.mark.parametrize("mode", MODES)
def test_a_model_that_says_nothing(serve, mode):
    """Without `is_ready` a model is ready as soon as it is loaded."""
    serve.write("m", SOURCE.format(method="pass"), **mode)
    assert serve.start().model_ready("m")


def test_who_does_not_answer_in_time_is_not_ready(monkeypatch):
    """Others are asked side by side, and it is not asked again before it has answered."""
    monkeypatch.setattr(readiness, "_LIMIT_SECONDS", 0.1)
    answering = threading.Event()
    asked = []

    def ask():
        asked.append(True)
        return answering.wait()

    slow, quick = Readiness(ask, "slow"), Readiness(lambda: True, "quick")
    assert not all_confirmed([slow, quick])
    assert not all_confirmed([slow, quick])
    monkeypatch.setattr(readiness, "_LIMIT_SECONDS", PATIENCE_SECONDS)
    assert all_confirmed([quick])
    assert asked == [True]
    answering.set()
    slow.close()
