"""Loads and unloads, a few dozen of them: `make reloads` makes it a thousand of each kind of model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from reloads import FORMS

_PROGRAM = Path(__file__).with_name("reloads.py")
_LIMIT_MIB = 35
"""Ten sets of weights, which the last third would add if loads were kept, are more than that."""


@pytest.mark.timeout(600)  # ten seconds, and many more on a machine that is busy
@pytest.mark.parametrize("form", FORMS)
def test_what_a_load_takes_its_unload_gives_back(form):
    """Neither memory nor files, threads or processes are left of a model that was loaded thirty times, and that answered each time."""
    command = [sys.executable, _PROGRAM, form, "--times", "30", "--limit-mib", str(_LIMIT_MIB)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
