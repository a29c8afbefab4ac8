"""States of PyTorch's models: arguments and results that clients do not know."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from charonia.config import ModelConfig
from charonia.errors import InvalidArgumentError
from charonia.testing.builders import write_model
from google.protobuf import text_format

TENSORS = """
    input { name: "X" data_type: TYPE_FP32 dims: [ 2 ] }
    output { name: "SUM" data_type: TYPE_FP32 dims: [ 2 ] }
"""
SECTION = """
    max_sequence_idle_microseconds: 60000000
    control_input { name: "FIRST" control { kind: CONTROL_SEQUENCE_START fp32_false_true: [ 0, 1 ] } }
    state { input_name: "TOTAL" output_name: "NEW_TOTAL" data_type: TYPE_FP32 dims: [ 2 ] }
    state { input_name: "COUNT" output_name: "NEW_COUNT" data_type: TYPE_INT64 dims: [ 1 ]
            initial_state { name: "i" data_type: TYPE_INT64 dims: [ 1 ] zero_data: true } }
"""


class Named(torch.nn.Module):
    """Adds up X, adds a thousand where a sequence starts, and counts; tells its results by name."""

    def forward(self, X, FIRST, TOTAL, COUNT):  # noqa: N803 - the configuration's names
        total = X + TOTAL
        return {"NEW_COUNT": COUNT + 1, "SUM": total + 1000 * FIRST + 0 * COUNT, "NEW_TOTAL": total}


class InOrder(torch.nn.Module):
    """The same, by the order alone: the inputs first, then the controls, then the states, as the configuration has them."""

    def forward(self, x, first, total, count):
        added = x + total
        return added + 1000 * first + 0 * count, added, count + 1


def saved(module, path, lead):
    """Save a module, as TorchScript or as an exported program."""
    if path.suffix == ".pt":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.jit.save(torch.jit.script(module), path)
        return
    zeros = [torch.zeros([*lead, size]) for size in (2, 1, 2)]
    arguments = (*zeros, torch.zeros([*lead, 1], dtype=torch.int64))
    batch = {0: torch.export.Dim.DYNAMIC} if lead else {}
    shapes = [batch] * 4
    torch.export.save(torch.export.export(module.eval(), arguments, dynamic_shapes=shapes if lead else None), path)


@pytest.mark.parametrize("file", ["model.pt", "model.pt2"])
@pytest.mark.parametrize("module", [Named, InOrder])
@pytest.mark.parametrize("batches", [True, False], ids=["batches", "single"])
@pytest.mark.parametrize("way", ["oldest { max_candidate_sequences: 4 }", "direct {}"], ids=["oldest", "direct"])
def test_states(model_repository, server, file, module, batches, way):
    """Two sequences side by side have their own totals and counts, which no client gives or gets."""
    config = ModelConfig(
        name="sums", backend="pytorch", max_batch_size=4 if batches else 0, default_model_filename=file
    )
    text_format.Parse(TENSORS, config)
    text_format.Parse(SECTION + way, config.sequence_batching)
    if not batches:
        config.instance_group.add(kind="KIND_CPU", count=2)
    directory = write_model(model_repository, config)
    saved(module(), directory / "1" / file, [2] if batches else [])
    model = server(model_repository).model("sums")
    assert [tensor.name for tensor in model.metadata().inputs] == ["X"]
    told = {1: [], "two": []}
    for step in range(3):
        for number, name in enumerate(told, start=1):
            x = np.array([number * (step + 1)] * 2, np.float32)
            placed = {"sequence_id": name, "sequence_start": step == 0, "sequence_end": step == 2}
            answer = model.infer({"X": x[None] if batches else x}, **placed)
            assert list(answer.outputs) == ["SUM"]
            told[name].append(answer["SUM"].ravel().tolist())
    assert told == {1: [[1001] * 2, [3] * 2, [6] * 2], "two": [[1002] * 2, [6] * 2, [12] * 2]}


def test_state_that_is_told(model_repository, server):
    """A state that is also an output reaches the client, and the next request."""
    config = ModelConfig(name="sums", backend="pytorch")
    text_format.Parse(TENSORS + 'output { name: "NEW_COUNT" data_type: TYPE_INT64 dims: [ 1 ] }', config)
    text_format.Parse(SECTION, config.sequence_batching)
    directory = write_model(model_repository, config)
    saved(Named(), directory / "1" / "model.pt", [])
    model = server(model_repository).model("sums")
    x = np.ones(2, np.float32)
    answers = [model.infer({"X": x}, sequence_id=5, sequence_start=start) for start in (True, False)]
    assert [answer["NEW_COUNT"].tolist() for answer in answers] == [[1], [2]]
    (told,) = model.infer({"X": x}, sequence_id=5, outputs=["NEW_COUNT"]).outputs.items()
    assert (told[0], told[1].tolist()) == ("NEW_COUNT", [3])


def test_state_of_another_datatype(model_repository, server):
    """A result that is not what the configuration says of the state fails the request, and the text says both."""
    config = ModelConfig(name="sums", backend="pytorch")
    text_format.Parse(TENSORS, config)
    text_format.Parse(
        SECTION.replace('"NEW_TOTAL" data_type: TYPE_FP32', '"NEW_TOTAL" data_type: TYPE_FP16'),
        config.sequence_batching,
    )
    directory = write_model(model_repository, config)
    saved(Named(), directory / "1" / "model.pt", [])
    model = server(model_repository).model("sums")
    with pytest.raises(
        InvalidArgumentError, match="expects datatype TYPE_FP16 for output 'NEW_TOTAL', model provides TYPE_FP32"
    ):
        model.infer({"X": np.ones(2, np.float32)}, sequence_id=5, sequence_start=True)
