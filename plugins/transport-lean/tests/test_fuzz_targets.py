"""The targets of fuzzing, without a fuzzer: each stands every input of its corpus."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import pytest

FUZZ = Path(__file__).parent / "fuzz"
INPUTS = sorted((FUZZ / "corpus").glob("*/*"))


@pytest.mark.parametrize("path", INPUTS, ids=[f"{path.parent.name}-{path.name}" for path in INPUTS])
def test_target_stands_an_input(path, monkeypatch):
    """What was found interesting once, or was a fault, is no fault now."""
    monkeypatch.setattr(sys, "path", [str(FUZZ), *sys.path])
    import_module(path.parent.name).check(path.read_bytes())
