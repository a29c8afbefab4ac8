"""What a serving process tells its interpreter and its allocator."""

from __future__ import annotations

import json
import platform
import subprocess
import sys

import pytest

PROGRAM = """
import json, resource, sys
import numpy as np
from charonia.process_tuning import tune_process

if sys.argv[1] == "tuned":
    tune_process()

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def tensors():
    return [np.ones(1 << 20, np.uint8) for _ in range(16)]

tensors()
before = faults()
for _ in range(10):
    tensors()
print(json.dumps([faults() - before, sys.getswitchinterval()]))
"""
PAGES = 16 * (1 << 20) // 4096
"""So many pages sixteen tensors take."""


def run(how):
    """Make tensors, and let them go, again and again; give the pages that were faulted in, and the switch interval."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="the C library is not glibc, whose allocator this is about"
)
def test_freed_memory_is_kept_for_the_next_tensors():
    """The pages of tensors of a megabyte are faulted in once, and not by each request anew."""
    kept, interval = run("tuned")
    given_back, before = run("not")
    assert kept < PAGES
    assert given_back > 5 * PAGES
    assert interval < before
