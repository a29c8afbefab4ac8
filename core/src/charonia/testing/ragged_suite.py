"""What every backend that computes on arrays shows of ragged batches: the same model, whatever its framework."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from charonia.testing.builders import model_config

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charonia.config import ModelConfig
    from charonia.testing.backend_bench import Bench

__all__ = ["RAGGED_KINDS", "assert_ragged_batch", "ragged_config"]

RAGGED_KINDS: Mapping[str, tuple[int, int]] = {
    "BATCH_ELEMENT_COUNT": (3 + 2 + 4, 3),
    "BATCH_ACCUMULATED_ELEMENT_COUNT": (3 + 5 + 9, 3),
    "BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO": (0 + 3 + 5 + 9, 4),
    "BATCH_MAX_ELEMENT_COUNT_AS_SHAPE": (0, 4),
    "BATCH_ITEM_SHAPE": (3 + 2 + 4, 3),
    "BATCH_ITEM_SHAPE_FLATTEN": (3 + 2 + 4, 3),
}
"""The sum and the number of the elements that the model is given for requests of 3, 2 and 4 elements, by kind."""


def ragged_config(kind: str, backend: str) -> ModelConfig:
    """Configure a model whose Y is twice its ragged X, and whose rows of TOLD are the sum and the number of MADE's elements.

    X is [n] and FP32, Y likewise; FIXED and TOLD are [batch, 2] and FP32; MADE is INT32, [batch, 1] for `BATCH_ITEM_SHAPE`, else
    [described]. The server makes MADE and cuts Y.

    Args:
        kind: of the `batch_input`.
        backend: the backend's name.
    """
    config = model_config(
        "m",
        backend=backend,
        inputs=[("X", "FP32", [-1]), ("FIXED", "FP32", [2])],
        outputs=[("Y", "FP32", [-1]), ("TOLD", "FP32", [2])],
    )
    config.input[0].allow_ragged_batch = True
    config.batch_input.add(kind=kind, target_name=["MADE"], data_type="TYPE_INT32", source_input=["X"])
    config.batch_output.add(target_name=["Y"], source_input=["X"])
    return config


def assert_ragged_batch(bench: Bench, kind: str) -> None:
    """Have the model execute requests of 3, 2 and 4 elements as one batch; each gets its own part, and what MADE told."""
    requests = [
        {"X": np.full((1, width), width, np.float32), "FIXED": np.ones((1, 2), np.float32)} for width in (3, 2, 4)
    ]
    for request, response in zip(requests, bench.execute(0, requests), strict=True):
        assert response.error is None, response.error
        np.testing.assert_array_equal(response["Y"], request["X"] * 2)
        np.testing.assert_array_equal(response["TOLD"], [RAGGED_KINDS[kind]])
