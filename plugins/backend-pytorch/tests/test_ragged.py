"""PyTorch's models that take ragged batches: all elements end to end, with what describes them."""

from __future__ import annotations

import pytest
import torch
from charonia.testing.backend_bench import Bench
from charonia.testing.builders import write_model
from charonia.testing.ragged_suite import RAGGED_KINDS, assert_ragged_batch, ragged_config
from charonia_backend_pytorch.backend import PyTorchBackend


class Describing(torch.nn.Module):
    """Doubles X, and tells the sum and the number of MADE's elements in each row of FIXED."""

    def forward(self, X, FIXED, MADE):  # noqa: N803 - the configuration's names
        told = torch.stack([MADE.sum(), torch.ones_like(MADE).sum()])
        return {"Y": X + X, "TOLD": 0 * FIXED + told}


def save_exported(saved, kind, file):
    """Export the module for sizes of any kind."""
    dynamic = {0: torch.export.Dim.DYNAMIC}
    made = torch.ones([3, 1] if kind == "BATCH_ITEM_SHAPE" else [4], dtype=torch.int32)
    saved.export(Describing(), (torch.ones(9), torch.ones(3, 2), made), file, dynamic=[dynamic] * 3)


@pytest.mark.parametrize("kind", RAGGED_KINDS)
@pytest.mark.parametrize("file", ["model.pt", "model.pt2"])
def test_every_kind_of_batch_input(saved, tmp_path, file, kind):
    """The model gets the elements end to end and what describes them; each request gets its own part of the output back."""
    config = ragged_config(kind, "pytorch")
    config.default_model_filename = file
    version = write_model(tmp_path, config) / "1"
    if file == "model.pt":
        saved.script(Describing(), version / file)
    else:
        save_exported(saved, kind, version / file)
    with Bench(PyTorchBackend, config, tmp_path / "m") as bench:
        assert_ragged_batch(bench, kind)
