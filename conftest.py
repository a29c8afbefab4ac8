"""What holds for every test of the house."""

from __future__ import annotations

import gc

import pytest
from hypothesis import settings

# A test asserts behaviour, not how fast the machine is that runs it; how long one may take in all is pytest's timeout.
settings.register_profile("house", deadline=None)
settings.load_profile("house")


@pytest.fixture(autouse=True)
def _no_surviving_threads(no_surviving_threads: None) -> None:
    """No test leaves a thread of ours behind."""


def pytest_collection_finish() -> None:
    """Spare the garbage collector the thousands of collected tests, which stay: unloading a model collects what it held."""
    gc.collect()
    gc.freeze()
