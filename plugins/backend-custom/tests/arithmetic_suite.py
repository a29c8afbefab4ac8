"""The standard tests of a backend on a Python model, wherever it is executed."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from charonia.testing.backend_suite import BackendSuite, Sample
from charonia.testing.builders import model_config, write_model

ARITHMETIC = """\
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    @staticmethod
    def auto_complete_config(config):
        for name in ("INPUT0", "INPUT1"):
            config.add_input({"name": name, "data_type": "TYPE_FP32", "dims": [4]})
        config.add_output({"name": "SUM", "data_type": "TYPE_FP32", "dims": [4]})
        config.add_output({"name": "TEXT", "data_type": "TYPE_STRING", "dims": [1]})
        config.set_max_batch_size(8)
        return config

    def execute(self, requests):
        responses = []
        for request in requests:
            a, b = (pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in ("INPUT0", "INPUT1"))
            if a.min() < 0:
                raise ValueError("INPUT0 is negative")
            text = np.array([[str(row.sum())] for row in a + b], dtype=np.object_)
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("SUM", a + b), pb_utils.Tensor("TEXT", text)]))
        return responses
"""

TENSORS = {
    "inputs": [("INPUT0", "FP32", [4]), ("INPUT1", "FP32", [4])],
    "outputs": [("SUM", "FP32", [4]), ("TEXT", "BYTES", [1])],
}


class ArithmeticSuite(BackendSuite):
    """The suite on a model that adds, tells the sum as text, and refuses what is negative."""

    backend = "python"

    settings: ClassVar = {}
    """What else the configuration says."""

    def write_model(self, repository, name, source=ARITHMETIC):
        config = model_config(name, backend="python", **TENSORS, **self.settings)
        write_model(repository, config, {"1/model.py": source})

    def write_broken_model(self, repository, name):
        self.write_model(repository, name, "class (")

    def samples(self):
        samples = []
        for batch, value in ((1, 1.0), (3, 2.0)):
            array = np.full((batch, 4), value, np.float32)
            text = np.array([[str(np.float32(8 * value)).encode()]] * batch, np.object_)
            samples.append(Sample({"INPUT0": array, "INPUT1": array}, {"SUM": array * 2, "TEXT": text}))
        return samples

    def failing_inputs(self):
        array = np.full((1, 4), -1, np.float32)
        return {"INPUT0": array, "INPUT1": array}
