"""Sequences where memory is limited: a model with a sequence that goes on stays, whoever needs the room."""

from __future__ import annotations

import charonia_scheduler_sequence
import pytest
from charonia import ServerOptions
from charonia.errors import UnavailableError
from charonia.plugins import Plugins
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticPlugin

SIZE = 1 << 26
"""So much that nothing else that the process takes matters."""


@pytest.fixture
def serve(model_repository, server):
    """Serve two models, of which one is asked in sequences, with room for one of them."""
    for name in ("stateful", "other"):
        config = model_config(name, inputs=[("X", "FP32", [1])], outputs=[("Y", "FP32", [1])])
        if name == "stateful":
            config.sequence_batching.direct.SetInParent()
            config.sequence_batching.max_sequence_idle_microseconds = 60_000_000
        directory = write_model(model_repository, config)
        with (directory / "1" / "weights").open("wb") as file:
            file.truncate(SIZE)
    plugins = Plugins(entry_points=(), extra=[ArithmeticPlugin(), charonia_scheduler_sequence])
    options = ServerOptions(memory_budget=SIZE * 3 // 2, memory_wait_secs=0)
    return server(model_repository, options=options, plugins=plugins)


def test_a_sequence_keeps_its_model_in_memory(serve):
    """Between two requests of a sequence its model is not idle: what it keeps would be lost."""
    stateful, other = serve.model("stateful"), serve.model("other")
    stateful.infer({"X": [[1]]}, sequence_id=7, sequence_start=True)
    with pytest.raises(UnavailableError, match="model 'other' version 1 has no room in the memory budget"):
        other.infer({"X": [[1]]})
    stateful.infer({"X": [[1]]}, sequence_id=7, sequence_end=True)
    assert other.infer({"X": [[1]]})["Y"].tolist() == [[1]]
