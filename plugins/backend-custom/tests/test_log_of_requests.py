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


@pytest.mark.parametrize("mode", ["thread", "process"])
def test_lines_of_user_code_name_the_request(server, model_repository, mode):
    """Lines of a model, by Python's logging and by the reference's logger, have its name and the request's."""
    write_model(
        model_repository,
        model_config("m", backend="python", parameters={"EXECUTION_MODE": mode}),
        {"1/model.py": MODEL},
    )
    settings = LogSettings(LogSetting(format="JSON"), logging.getLogger())
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(json.loads(settings.formatter.format(record)))
    logging.getLogger().addHandler(handler)
    try:
        server(model_repository).model("m").infer({"INPUT0": np.zeros((1, 16), np.float32)}, id="r1")
    finally:
        logging.getLogger().removeHandler(handler)
    told = {line["message"]: (line.get("model"), line.get("version"), line.get("request_id")) for line in lines}
    assert told["mine"] == told["theirs"] == ("m", 1, "r1")
