"""What PyTorch keeps of exported programs, and forgets."""

from __future__ import annotations

import gc
import linecache
import weakref

import pytest
import torch
from charonia_backend_pytorch.exported import ExportedProgram, read_interface
from charonia_backend_pytorch.leftovers import Leftovers
from torch.export import Dim
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch_modules import Linear

CPU = torch.device("cpu")


@pytest.fixture
def file(tmp_path, saved):
    """Give an exported program whose batch varies."""
    saved.export(Linear(), (torch.ones(2, 3),), tmp_path / "model.pt2", dynamic={"x": {0: Dim("batch", max=8)}})
    return tmp_path / "model.pt2"


def remembered():
    """Count the generated sources that are there, and the answers about variable sizes."""
    sources = [name for name in linecache.cache if name.startswith("<eval_with_key>")]
    caches = [method for method in vars(ShapeEnv).values() if hasattr(method, "cache_info")]
    assert caches
    return len(sources), sum(cache.cache_info().currsize for cache in caches)


@pytest.mark.parametrize("times", [1, 5])
def test_nothing_is_left_of_programs_that_were_closed(file, times):
    """After a load, a run and a close, and after reading for completion alone, there is as much as before."""
    ExportedProgram(file, CPU).close()
    before = remembered()
    assert before[1] == 0
    for _ in range(times):
        read_interface(file)
        program = ExportedProgram(file, CPU)
        program.call({"x": torch.ones(3, 3)})
        assert remembered() > before
        program.close()
    assert remembered() == before


def test_weights_go_when_the_program_is_closed(file):
    """They do not wait for Python's collector."""
    program = ExportedProgram(file, CPU)
    weights = weakref.ref(next(program._module.parameters()))
    gc.disable()
    try:
        program.close()
        assert weights() is None
    finally:
        gc.enable()


def test_another_program_goes_on(file):
    """What is forgotten is nothing that a program needs that is still loaded; the sources of its code stay for tracebacks."""
    first, second = ExportedProgram(file, CPU), ExportedProgram(file, CPU)
    expected = second.call({"x": torch.ones(3, 3)})
    first.close()
    assert torch.equal(second.call({"x": torch.ones(3, 3)}), expected)
    code = second._module.forward.__func__.__code__
    assert linecache.getline(code.co_filename, 3)
    second.close()


def test_program_that_fails_to_load_leaves_nothing(file):
    """What was generated until it failed is forgotten."""
    ExportedProgram(file, CPU).close()
    before = remembered()
    with pytest.raises(TypeError, match="wrong"), Leftovers():
        raise TypeError(f"{torch.export.load(file).module()} is wrong")
    assert remembered() == before


def test_release_that_keeps_things_elsewhere_is_left_alone(monkeypatch, file):
    """Where the tables are not found, nothing is forgotten, and the program serves."""
    monkeypatch.delattr(torch.fx.graph_module._loader, "eval_cache")
    with Leftovers() as leftovers:
        pass
    leftovers.forget()
