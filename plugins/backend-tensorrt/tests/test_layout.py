"""Orders of elements: there and back is where one came from, and the places are TensorRT's."""

from __future__ import annotations

import numpy as np
import pytest
from charonia.errors import UnsupportedError
from charonia_backend_tensorrt.layout import layout_of
from hypothesis import given
from hypothesis import strategies as st

NAMES = ["LINEAR", "CHW2", "CHW4", "CHW16", "CHW32", "HWC", "HWC8", "HWC16", "CDHW32", "DHWC", "DHWC8"]


@given(st.sampled_from(NAMES), st.lists(st.integers(0, 5), min_size=5, max_size=5).map(tuple))
def test_unpacking_undoes_packing(name, shape):
    """Whatever the sizes, the array comes back, and its packed form has the shape that was told."""
    layout = layout_of("x", name)
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    packed = layout.pack(array)
    assert packed.shape == layout.packed_shape(shape)
    np.testing.assert_array_equal(layout.unpack(packed, shape), array)


def test_vectors_of_channels_lie_innermost():
    """CHW4: the element (n, c, h, w) is at (n, c // 4, h, w, c % 4); what fills the last vector is 0."""
    array = np.random.default_rng(1).normal(size=(2, 6, 3, 5)).astype(np.float32)
    packed = layout_of("x", "CHW4").pack(array)
    assert packed.shape == (2, 2, 3, 5, 4)
    for n, c, h, w in np.ndindex(array.shape):
        assert packed[n, c // 4, h, w, c % 4] == array[n, c, h, w]
    assert not packed[:, 1, :, :, 2:].any()


@pytest.mark.parametrize(("name", "channels"), [("HWC", 6), ("HWC8", 8)])
def test_channels_lie_innermost(name, channels):
    """HWC: the element (n, c, h, w) is at (n, h, w, c); HWC8 fills the channels up to whole eights."""
    array = np.random.default_rng(1).normal(size=(2, 6, 3, 5)).astype(np.float32)
    packed = layout_of("x", name).pack(array)
    assert packed.shape == (2, 3, 5, channels)
    np.testing.assert_array_equal(packed[..., :6], np.moveaxis(array, 1, -1))


def test_formats_of_other_processors_are_refused():
    """The text names the tensor, the format and those that are possible."""
    with pytest.raises(UnsupportedError, match=r"tensor 'x' of the engine has the format DLA_LINEAR.*LINEAR, CHW2"):
        layout_of("x", "DLA_LINEAR")


def test_every_format_of_the_installed_library_is_known():
    """Those of the real library are served or, those of the DLA, refused."""
    import tensorrt_rtx

    names = {name for name in tensorrt_rtx.TensorFormat.__members__ if not name.startswith("DLA")}
    assert names == set(NAMES)
