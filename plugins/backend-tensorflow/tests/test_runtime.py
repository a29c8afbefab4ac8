"""TensorFlow as a module: that it may be missing, and its log."""

from __future__ import annotations

import subprocess
import sys

from charonia_backend_tensorflow.runtime import tensorflow

WITHOUT = """
import sys
sys.modules["tensorflow"] = None  # as if it were not installed
from charonia import Server, ServerOptions

with Server(sys.argv[1], options=ServerOptions(exit_on_error=False)) as server:
    print(server.index()[0].reason)
"""


def test_missing_tensorflow_names_the_extras(repository, models):
    """A model that needs it fails with the ways to install it; the server goes on."""
    folder = repository(models.identity())
    done = subprocess.run([sys.executable, "-c", WITHOUT, folder], capture_output=True, text=True, check=True)
    assert "TensorFlow cannot be imported" in done.stdout
    assert (
        'pip install "charonia-backend-tensorflow[cpu]", or "charonia-backend-tensorflow[gpu]" for CUDA' in done.stdout
    )


def test_log_of_tensorflow_is_the_servers(caplog, capfd):
    """Lines of TensorFlow's Python part come once, through `logging`, and nobody is told that sessions are deprecated."""
    log = tensorflow().get_logger()
    log.warning("weather")
    log.warning("load is deprecated and will be removed in a future version.")
    assert [record.message for record in caplog.records] == ["weather"]
    assert capfd.readouterr().err == ""
