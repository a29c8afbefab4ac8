"""How much memory the inputs of a request take."""

from __future__ import annotations

import numpy as np
from charonia.request import InferenceRequest
from charonia_scheduler_dynamic.request_bytes import request_bytes


def test_numbers_and_text_are_counted():
    """Numbers count with their width, text with its bytes, and what does not tell its size not at all."""

    class Foreign:
        shape = (3,)

    inputs = {"A": np.zeros((2, 3), np.float64), "B": np.array([b"abc", b""], object), "C": Foreign()}
    assert request_bytes(InferenceRequest("m", inputs, print)) == 48 + 3
