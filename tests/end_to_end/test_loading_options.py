"""Settings of a server that decide what is loaded, and how."""

from __future__ import annotations

import pytest
from charonia import Server, ServerOptions


def test_without_completion_a_model_needs_its_configuration(tmp_path, save_identity):
    """With completion switched off, a model without a configuration fails, and one that has all of it serves."""
    save_identity(tmp_path, "bare")
    save_identity(tmp_path, "full")
    (tmp_path / "full" / "config.pbtxt").write_text(
        'backend: "onnxruntime" max_batch_size: 4 '
        'input [ { name: "X" data_type: TYPE_FP32 dims: [ 3 ] } ] output [ { name: "Y" data_type: TYPE_FP32 dims: [ 3 ] } ]'
    )
    options = ServerOptions(disable_auto_complete_config=True, exit_on_error=False)
    with Server(tmp_path, options=options) as server:
        assert not server.model("bare").ready
        assert server.model("full").ready


@pytest.mark.parametrize("threads", [1, 4])
def test_any_number_of_loader_threads_loads_everything(tmp_path, save_identity, threads):
    """However many models load side by side, all of them are loaded at the start."""
    for index in range(6):
        save_identity(tmp_path, f"m{index}")
    with Server(tmp_path, options=ServerOptions(model_load_thread_count=threads)) as server:
        assert all(server.model(f"m{index}").ready for index in range(6))


def test_star_loads_every_model(tmp_path, save_identity):
    """In explicit mode `*` asks for all models of the repository."""
    save_identity(tmp_path, "one")
    save_identity(tmp_path, "two", "INT32")
    with Server(tmp_path, options=ServerOptions(model_control_mode="explicit", load_model=["*"])) as server:
        assert [(row.name, row.state) for row in server.index()] == [("one", "READY"), ("two", "READY")]
