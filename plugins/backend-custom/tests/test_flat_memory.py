"""What a load of a Python model takes, its unload gives back."""

from __future__ import annotations

import gc

import numpy as np
import psutil

MODEL = """\
class TritonPythonModel:
    def initialize(self, args):
        self.weights = np.ones(1_000_000, np.float32)
        self.itself = self

    def execute(self, requests):
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", self.weights[:1].astype(np.int32))]) for _ in requests]
"""


def test_loading_and_unloading_keeps_memory_flat(serve):
    """Fifty loads and unloads of a model with four megabytes of weights, which refers to itself, leave nothing behind."""
    serve.write("m", MODEL)
    server = serve.start()
    process = psutil.Process()

    def cycle(times):
        for _ in range(times):
            server.unload("m")
            server.load("m")
            assert server.model("m").infer({"X": np.array([3], np.int32)})["Y"].tolist() == [1]
        gc.collect()
        return process.memory_info().rss

    settled = cycle(20)
    assert cycle(50) - settled < 40e6  # fifty sets of weights are 200 MB
