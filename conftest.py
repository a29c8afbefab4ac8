"""What holds for every test of the house."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _no_surviving_threads(no_surviving_threads: None) -> None:
    """No test leaves a thread of ours behind."""
