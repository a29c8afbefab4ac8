"""What a Python model logs is told with the request that it was about."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
from charonia.log_settings import LogSetting, LogSettings
from charonia.testing.builders import model_config, write_model

MODEL = """
import logging

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        logging.getLogger("my.own").error("mine")
        pb_utils.Logger.log_error("theirs")
        inputs = [pb_utils.get_input_tensor_by_name(request, "INPUT0").as_numpy() for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT0", array)]) for array in inputs]
"""


@pytest.fixture
def told_lines():
    """Collect what is logged: model, version and request by message."""
    settings = LogSettings(LogSetting(format="JSON"), logging.getLogger())
    lines = {}

    def emit(record):
        line = json.loads(settings.formatter.format(record))
        lines[line["message"]] = line.get("model"), line.get("version"), line.get("request_id")

    handler = logging.Handler()
    handler.emit = emit
    logging.getLogger().addHandler(handler)
    yield lines
    logging.getLogger().removeHandler(handler)


@pytest.mark.parametrize("mode", ["thread", "process"])
def test_lines_of_user_code_name_the_request(server, model_repository, told_lines, mode):
    """Lines of a model, by Python's logging and by the reference's logger, have its name and the request's."""
    config = model_config("m", backend="python", parameters={"EXECUTION_MODE": mode})
    write_model(model_repository, config, {"1/model.py": MODEL})
    server(model_repository).model("m").infer({"INPUT0": np.zeros((1, 16), np.float32)}, id="r1")
    assert told_lines["mine"] == told_lines["theirs"] == ("m", 1, "r1")


LATER = """
import asyncio
import logging
import threading

import triton_python_backend_utils as pb_utils

log = logging.getLogger("my.own")


class TritonPythonModel:
    async def execute(self, requests):
        await asyncio.sleep(0)
        name = requests[0].request_id()
        log.error("%s in a coroutine", name)
        await asyncio.to_thread(log.error, "%s in a thread of the loop", name)
        thread = threading.Thread(target=self.tell, args=(name,))
        thread.start()
        thread.join()
        return [pb_utils.InferenceResponse([]) for _ in requests]

    def tell(self, name):
        pb_utils.Logger.log_error(f"{name} in a thread")
"""


@pytest.mark.parametrize("mode", ["thread", "process"])
def test_lines_of_coroutines_name_their_request(server, model_repository, told_lines, mode):
    """Coroutines, and threads that run in their context, are known by their requests; other threads by their model."""
    config = model_config("m", backend="python", parameters={"EXECUTION_MODE": mode})
    write_model(model_repository, config, {"1/model.py": LATER})
    handle = server(model_repository).model("m")
    for name in ("r1", "r2"):
        handle.infer({"INPUT0": np.zeros((1, 16), np.float32)}, id=name)
        assert told_lines[f"{name} in a coroutine"] == told_lines[f"{name} in a thread of the loop"] == ("m", 1, name)
        assert told_lines[f"{name} in a thread"][:2] == ("m", 1)
