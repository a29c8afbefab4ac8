"""ONNX Runtime as a module: that it may be missing, and its log."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest
from charonia_backend_onnx.runtime import _take_log_line


def test_missing_onnxruntime_names_both_extras(repository, models, reason_without):
    """A model that needs it fails with both ways to install it; the server goes on."""
    told = reason_without("onnxruntime", repository(models.identity()))
    assert "ONNX Runtime cannot be imported" in told
    assert 'pip install "charonia-backend-onnx[cpu]", or "charonia-backend-onnx[gpu]" for CUDA' in told


def test_entry_module_is_light():
    """Finding the plugin imports neither the framework nor the backend."""
    check = (
        "import sys, charonia_backend_onnx as plugin; plugin.charonia_backends(); "
        "print(sorted({'onnxruntime', 'charonia_backend_onnx.backend', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("severity", "level"), [(2, logging.WARNING), (3, logging.ERROR), (4, logging.ERROR)])
def test_log_of_onnxruntime_is_pythons(caplog, severity, level):
    """A line of ONNX Runtime's log keeps its weight, and names the model where a session speaks."""
    _take_log_line(severity, "onnxruntime", "m", "file.cc:1", "two\nlines\n")
    _take_log_line(severity, "onnxruntime", "", "file.cc:1", "nobody's")
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (level, 'ONNX Runtime (model "m"): two lines'),
        (level, "ONNX Runtime: nobody's"),
    ]
