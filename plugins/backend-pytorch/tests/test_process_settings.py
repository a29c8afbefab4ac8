"""What PyTorch has only once in a process."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from charonia.errors import InvalidArgumentError, UnsupportedError
from charonia_backend_pytorch.process_settings import ProcessSettings
from hypothesis import given
from hypothesis import strategies as st
from torch_modules import Linear


class Switchboard(dict):
    """Keeps what was set last."""

    def settings(self):
        """Give the process settings that set these."""
        return ProcessSettings({name: lambda value, name=name: self.__setitem__(name, value) for name in "ab"})


def test_first_model_decides_and_the_next_is_told(caplog):
    """While the first is loaded, another wish is passed over with a warning; later it is granted."""
    board = Switchboard()
    settings = board.settings()
    settings.want("first", {"a": 1})
    with caplog.at_level(logging.WARNING):
        settings.want("second", {"a": 2, "b": 3})
    assert board == {"a": 1, "b": 3}
    assert (
        'model "second" wants a to be 2, but PyTorch has it once in a process, and it is 1 for the model "first"'
        in caplog.text
    )
    settings.release("first", {"a": 1})
    settings.release("second", {"a": 2, "b": 3})
    settings.want("second", {"a": 2})
    assert board["a"] == 2


def test_new_version_of_a_model_changes_what_it_alone_has_set(caplog):
    """A model that is loaded again with another value gets it, while its old version still drains."""
    board = Switchboard()
    settings = board.settings()
    settings.want("m", {"a": 1})
    settings.want("m", {"a": 2})
    settings.release("m", {"a": 1})
    assert board["a"] == 2
    assert caplog.text == ""


def test_refused_wish_leaves_nothing_held():
    """A model that fails to load for one wish does not hold the others."""

    def refuse(value):
        raise RuntimeError("no")

    settings = ProcessSettings({"a": lambda value: None, "b": refuse})
    with pytest.raises(InvalidArgumentError, match="PyTorch refuses b 1: no"):
        settings.want("m", {"a": 1, "b": 1})
    assert settings._held == {}


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from("ab"), st.integers(0, 2)), max_size=12))
def test_value_never_changes_under_another_model(wishes):
    """Whoever wants what, the value in force is the one of a model that holds it alone, or the one all found."""
    board = Switchboard()
    settings = board.settings()
    for model, name, value in wishes:
        before = dict(settings._held)
        settings.want(model, {name: value})
        if name in before and {*before[name][1]} - {model}:
            assert board[name] == before[name][0]
        else:
            assert board[name] == value
    for model, name, value in wishes:
        settings.release(model, {name: value})
    assert settings._held == {}


@pytest.fixture
def as_before():
    """Leave PyTorch as it was."""
    threads = torch.get_num_threads()
    executor, profiling = torch._C._jit_set_profiling_executor(True), torch._C._jit_set_profiling_mode(True)
    torch._C._jit_set_profiling_executor(executor)
    torch._C._jit_set_profiling_mode(profiling)
    fuser, cudnn = torch._C._jit_texpr_fuser_enabled(), torch.backends.cudnn.enabled
    yield
    torch.set_num_threads(threads)
    torch._C._jit_set_profiling_executor(executor)
    torch._C._jit_set_profiling_mode(profiling)
    torch._C._jit_set_texpr_fuser_enabled(fuser)
    torch.backends.cudnn.enabled = cudnn


def test_parameters_reach_pytorch(serve, repository, config, parameter, as_before):
    """What a model's parameters say is so in PyTorch once it is loaded."""
    more = (
        parameter("NUM_THREADS", "1")
        + parameter("DISABLE_CUDNN", "true")
        + parameter("ENABLE_TENSOR_FUSER", "false")
        + parameter("ENABLE_JIT_EXECUTOR", "false")
        + parameter("ENABLE_JIT_PROFILING", "false")
        + parameter("INTER_OP_THREAD_COUNT", str(torch.get_num_interop_threads()))
    )
    text = config([("x", "FP32", [1, 3])], [("y", "FP32", [1, 2])], more)
    handle = serve(repository(Linear(), text)).model("m")
    with ThreadPoolExecutor(1) as fresh:
        assert fresh.submit(torch.get_num_threads).result() == 1  # as an instance's thread; the others keep theirs
    assert not torch.backends.cudnn.enabled
    assert not torch._C._jit_texpr_fuser_enabled()
    assert not torch._C._jit_set_profiling_executor(False)
    assert handle.infer({"x": [[1.0, 2.0, 3.0]]})["y"].shape == (1, 2)


def test_inter_op_threads_that_come_too_late_are_told(serve, repository, config, parameter, caplog):
    """PyTorch takes their number once, before its first parallel work."""
    wanted = torch.get_num_interop_threads() + 1
    more = parameter("INTER_OP_THREAD_COUNT", str(wanted))
    folder = repository(Linear(), config([("x", "FP32", [1, 3])], [("y", "FP32", [1, 2])], more))
    with caplog.at_level(logging.WARNING):
        serve(folder)
    assert (torch.get_num_interop_threads() == wanted) or f"not {wanted}: PyTorch takes it once" in caplog.text


def test_switch_that_pytorch_no_longer_has_is_told(monkeypatch):
    """A release without one of the switches says so."""
    monkeypatch.delattr(torch._C, "_jit_set_profiling_mode")
    with pytest.raises(UnsupportedError, match="no such switch of TorchScript: remove the parameter"):
        ProcessSettings().want("m", {"ENABLE_JIT_PROFILING": 1})
