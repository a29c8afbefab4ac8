"""A model's log lines, and how the module knows the model that calls."""

from __future__ import annotations

import logging

import pytest
import triton_python_backend_utils as pb_utils

SOURCE = """
class TritonPythonModel:
    def initialize(self, args):
        pb_utils.Logger.log_info("info")
        pb_utils.Logger.log_warn("warn")
        pb_utils.Logger.log_error("error")
        pb_utils.Logger.log_verbose("verbose")
        pb_utils.Logger.log("plain")
        pb_utils.Logger.log("grave", pb_utils.Logger.ERROR)
        thread = threading.Thread(target=self.speak)
        thread.start()
        thread.join()
        with open(pb_utils.get_model_dir() + "/here", "w") as file:
            file.write("%s of 100")

    def speak(self):
        pb_utils.Logger.log_info("100 %s")
"""


def test_lines_go_to_the_models_own_logger(serve, caplog):
    """Lines have their level, the model's logger, its file and line, on any of its threads, and are not taken for formats."""
    with caplog.at_level(logging.DEBUG, logger="charonia.model.m"):
        serve(SOURCE)
    records = [record for record in caplog.records if record.name == "charonia.model.m"]
    assert [(record.levelname, record.getMessage(), record.lineno) for record in records] == [
        ("INFO", "info", 10),
        ("WARNING", "warn", 11),
        ("ERROR", "error", 12),
        ("DEBUG", "verbose", 13),
        ("INFO", "plain", 14),
        ("ERROR", "grave", 15),
        ("INFO", "100 %s", 23),
    ]
    assert {record.pathname for record in records} == {str(serve.repository / "m/1/model.py")}
    assert (serve.repository / "m/1/here").exists()


def test_without_a_server(caplog):
    """A model under test logs as well; it has no directory."""
    with caplog.at_level(logging.INFO, logger="charonia.model"):
        pb_utils.Logger.log_info("alone")
    assert caplog.records[0].name == "charonia.model"
    with pytest.raises(RuntimeError, match="outside of a model that a server has loaded"):
        pb_utils.get_model_dir()
