"""Models of PyTorch, saved here, and servers around them."""

from __future__ import annotations

import warnings

import pytest
import torch


class Saved:
    """Saves modules the two ways that PyTorch has, without its warnings that the older one is deprecated."""

    def script(self, module, file):
        """Compile a module, and save it as TorchScript."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.jit.save(torch.jit.script(module.eval()), file)

    def trace(self, module, inputs, file):
        """Record a module, and save it as TorchScript."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.jit.save(torch.jit.trace(module.eval(), inputs), file)

    def export(self, module, inputs, file, *, named=None, dynamic=None):
        """Export a module, and save the program."""
        torch.export.save(torch.export.export(module.eval(), inputs, named, dynamic_shapes=dynamic), file)


@pytest.fixture
def saved():
    return Saved()


@pytest.fixture
def repository(tmp_path):
    """Write a model into the repository, and give the repository.

    The model is a module, which becomes TorchScript, or a function that gets the version's directory and writes its files there.
    """

    def write(model, config=None, name="m"):
        folder = tmp_path / name / "1"
        folder.mkdir(parents=True)
        if isinstance(model, torch.nn.Module):
            Saved().script(model, folder / "model.pt")
        else:
            model(folder)
        if config is not None:
            (tmp_path / name / "config.pbtxt").write_text(config)
        return tmp_path

    return write


@pytest.fixture
def config():
    """Write a configuration: tensors are (name, datatype as in TYPE_…, dims)."""

    def write(inputs, outputs, more="", batch=0):
        def tensors(word, listed):
            return "".join(
                f'{word} [ {{ name: "{name}" data_type: TYPE_{kind} dims: {list(dims)} }} ] '
                for name, kind, dims in listed
            )

        return (
            f'backend: "pytorch" max_batch_size: {batch} {tensors("input", inputs)} {tensors("output", outputs)} {more}'
        )

    return write


@pytest.fixture
def parameter():
    """Write one parameter for a configuration."""

    def write(key, value):
        escaped = value.replace('"', '\\"')
        return f'parameters {{ key: "{key}" value {{ string_value: "{escaped}" }} }} '

    return write
