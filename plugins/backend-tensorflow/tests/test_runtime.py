"""TensorFlow as a module: that it may be missing, and its log."""

from __future__ import annotations

from charonia_backend_tensorflow.runtime import tensorflow


def test_missing_tensorflow_names_the_extras(repository, models, reason_without):
    """A model that needs it fails with the ways to install it; the server goes on."""
    told = reason_without("tensorflow", repository(models.identity()))
    assert "TensorFlow cannot be imported" in told
    assert 'pip install "charonia-backend-tensorflow[cpu]", or "charonia-backend-tensorflow[gpu]" for CUDA' in told


def test_log_of_tensorflow_is_the_servers(caplog, capfd):
    """Lines of TensorFlow's Python part come once, through `logging`, and nobody is told that sessions are deprecated."""
    log = tensorflow().get_logger()
    log.warning("weather")
    log.warning("load is deprecated and will be removed in a future version.")
    assert [record.message for record in caplog.records] == ["weather"]
    assert capfd.readouterr().err == ""
