"""Places of tensors in the bytes of requests."""

from __future__ import annotations

import numpy as np
import pytest
from charonia.tensor_place import place_of


@pytest.mark.parametrize("kind", [bytes, memoryview])
@pytest.mark.parametrize("width", [3, 3000])
@pytest.mark.parametrize("start", [0, 1, 8])
def test_tensor_is_found_again(start, width, kind):
    """In other bytes of the same form, aligned or not, and with its shape."""
    tensor = np.arange(2 * width, dtype=np.float32).reshape(2, width)
    place = place_of("X", tensor, start, tensor.nbytes)
    found = place.array(kind(b"\1" * start + (tensor + 1).tobytes() + b"\2" * 5))
    assert found.flags.aligned
    np.testing.assert_array_equal(found, tensor + 1)


@pytest.mark.parametrize(
    "tensor",
    [
        np.array([b"a"], dtype=object),
        np.array([True]),
        np.zeros((0,), np.float32),
        np.zeros(3, np.float32),
        "no tensor",
    ],
)
def test_what_is_more_than_its_bytes_has_no_place(tensor):
    """Strings, booleans, nothing at all, another number of bytes."""
    assert place_of("X", tensor, 0, 1) is None
