"""How long tests wait for others, and waiting for what nobody tells them of."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PATIENCE_SECONDS", "wait_until"]

PATIENCE_SECONDS = 60.0
"""Longer than anything takes that goes well, however busy the machine is; a test that waits for so long has failed."""

_PAUSE_SECONDS = 0.01


def wait_until(condition: Callable[[], object]) -> None:
    """Look again and again, until something holds; fails the test if it does not come to be.

    Where there is something to wait for, such as an event, wait for that instead.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"what the test waits for has not come to be in {PATIENCE_SECONDS:g} s")
        pause.wait(_PAUSE_SECONDS)
