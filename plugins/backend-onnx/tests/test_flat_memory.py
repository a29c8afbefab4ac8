"""What a load of a model takes, its unload gives back."""

from __future__ import annotations

import gc

import numpy as np
import psutil
from onnx import helper


def test_loading_and_unloading_keeps_memory_flat(server, repository, models):
    """Fifty loads and unloads of a model with four megabytes of weights leave nothing behind."""
    node = helper.make_node("Add", ["X", "W"], ["Y"])
    tensors = [("X", "FP32", ["batch", 1])], [("Y", "FP32", ["batch", 1_000_000])]
    running = server(repository(models.graph([node], *tensors, {"W": np.ones(1_000_000, np.float32)})))
    process = psutil.Process()

    def cycle(times):
        for _ in range(times):
            running.unload("m")
            running.load("m")
            running.model("m").infer({"X": [[1.0]]})
        gc.collect()
        return process.memory_info().rss

    settled = cycle(50)
    assert cycle(50) - settled < 40e6  # fifty sets of weights are 200 MB
