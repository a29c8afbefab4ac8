"""A moment until which several things may take together."""

from __future__ import annotations

import threading

import pytest
from charonia.deadline import Deadline


def test_left_is_what_locks_take():
    """Never is the longest that a lock waits, the past is 0, and the future lies between 0 and what was said."""
    assert Deadline(None).left == threading.TIMEOUT_MAX
    assert Deadline(float("inf")).left == threading.TIMEOUT_MAX
    assert 0 < Deadline(60).left <= 60
    assert threading.Lock().acquire(timeout=Deadline(None).left)


@pytest.mark.parametrize("seconds", [0, -1])
def test_past_has_nothing_left(seconds):
    """A deadline that is over leaves 0, not less."""
    assert Deadline(seconds).left == 0
