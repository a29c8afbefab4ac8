"""What the library says of a plan that it cannot use, by the real TensorRT for RTX."""

from __future__ import annotations

import pytest
from charonia.errors import InvalidArgumentError
from charonia_backend_tensorrt.engine import deserialise
from charonia_backend_tensorrt.plan import read_header


@pytest.mark.parametrize("size", [1000, 60], ids=["cut", "nearly nothing"])
def test_damaged_plan_is_refused_in_the_librarys_words(tmp_path, plan, size):
    """A plan that was cut is refused with both versions and the library's own reason."""
    path = tmp_path / "model.plan"
    path.write_bytes(plan[:size])
    with pytest.raises(InvalidArgumentError) as caught:
        deserialise(path, read_header(path), host_code=False)
    text = str(caught.value)
    assert f"cannot use '{path}', made by TensorRT for RTX {plan[24]}.{plan[25]}" in text
    assert "failed" in text
