"""Memory that two processes share: here both ends are in one."""

from __future__ import annotations

import gc
import os

import numpy as np
import pytest
from charonia_backend_custom.process.blocks import BlockPool, BlockViews

MIB = 1 << 20


class Ends:
    """A pool and its reader."""

    def __init__(self):
        self.announced = []
        self.released = []
        self.views = BlockViews(self.release)
        self.pool = BlockPool()

    def announce(self, number, size, kept, descriptor):
        self.announced.append((size, kept))
        self.views.add(number, size, kept, os.dup(descriptor))

    def release(self, number):
        self.released.append(number)
        self.pool.release(number)


@pytest.fixture
def ends():
    """Both ends."""
    ends = Ends()
    yield ends
    ends.pool.close()
    ends.views.close()


def test_a_block_is_used_again_when_nobody_looks_into_it(ends):
    """As long as any view of a view lives, the block is taken; then the next tensor of its size gets it."""
    given = np.arange(50_000, dtype=np.int64)
    first = ends.pool.write(given, ends.announce)
    seen = ends.views.array(first, given.dtype, given.shape)
    part = seen[10:20].reshape(2, 5)
    del seen
    gc.collect()
    assert ends.released == []
    second = ends.pool.write(given[::-1], ends.announce)
    assert second != first
    assert part.tolist() == [[10, 11, 12, 13, 14], [15, 16, 17, 18, 19]]
    del part
    assert ends.released == [first]
    assert ends.pool.write(given, ends.announce) == first
    assert ends.announced == [(1 << 19, True)] * 2


def test_a_large_block_is_used_once(ends):
    """Its memory is gone with the last view."""
    given = np.ones(20 * MIB, np.uint8)
    number = ends.pool.write(given, ends.announce)
    seen = ends.views.array(number, given.dtype, given.shape)
    assert seen.sum() == 20 * MIB
    del seen
    assert ends.released == [number]
    assert ends.pool.write(given, ends.announce) != number
    assert ends.announced == [(20 * MIB, False)] * 2


def test_columns_are_written_in_row_major_order(ends):
    """An array of any layout is read as it is."""
    given = np.arange(60_000, dtype=np.float32).reshape(200, 300).T
    seen = ends.views.array(ends.pool.write(given, ends.announce), given.dtype, given.shape)
    np.testing.assert_array_equal(seen, given)
