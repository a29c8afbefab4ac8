"""What of a graph can pass through ONNX Runtime's Python interface."""

from __future__ import annotations

import pytest
from charonia.errors import UnsupportedError
from charonia.testing.builders import model_config
from charonia_backend_onnx.graph import check_passable


def test_text_in_and_bfloat16_out_is_unsupported():
    """ONNX Runtime's Python interface has no call for it; either of them alone passes."""
    check_passable(model_config("m", inputs=[("X", "BYTES", [3])], outputs=[("Y", "FP32", [3])]))
    check_passable(model_config("m", inputs=[("X", "FP32", [3])], outputs=[("Y", "BF16", [3])]))
    with pytest.raises(UnsupportedError, match="BYTES input 'X' and the BF16 output 'Y'"):
        check_passable(model_config("m", inputs=[("X", "BYTES", [3])], outputs=[("Y", "BF16", [3])]))
