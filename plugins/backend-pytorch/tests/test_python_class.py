"""Classes in Python: finding, weights, compilation, and what is left of them."""

from __future__ import annotations

import gc
import logging
import sys
import weakref

import numpy as np
import pytest
import torch
from charonia_backend_pytorch.python_class import PythonClass

RUNTIME = 'runtime: "model.py"'
NET = """
import torch


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([1.0, 2.0]))

    def forward(self, first, second):
        return first * self.weight, {"ahead": second.add_(1)}
"""
INPUTS = [("INPUT__0", "FP32", [2]), ("INPUT__1", "FP32", [2])]
OUTPUTS = [("OUTPUT__0", "FP32", [2]), ("OUTPUT__1", "FP32", [2])]


@pytest.fixture
def write():
    """Write the class, and weights if there are any, into a version's directory."""

    def files(source, weights=None, name="model.py"):
        def into(folder):
            (folder / name).write_text(source)
            if weights is not None:
                torch.save(weights, (folder / name).with_suffix(".pt"))

        return into

    return files


def ask(server):
    """Ask the model for both of its outputs."""
    answer = server.model("m").infer({"INPUT__0": [3.0, 4.0], "INPUT__1": [0.0, 1.0]})
    return answer["OUTPUT__0"].tolist(), answer["OUTPUT__1"].tolist()


def test_class_runs_with_the_weights_that_it_makes(serve, repository, config, write):
    """Without a file of weights the class has its own, and names lead to arguments and results as for TorchScript."""
    server = serve(repository(write(NET), config(INPUTS, OUTPUTS, RUNTIME)))
    assert ask(server) == ([3, 8], [1, 2])


def test_weights_lie_beside_the_class(serve, repository, config, write):
    """`model.pt` has the state of the class."""
    server = serve(repository(write(NET, {"weight": torch.tensor([10.0, 20.0])}), config(INPUTS, OUTPUTS, RUNTIME)))
    assert ask(server)[0] == [30, 80]


@pytest.mark.parametrize("more", [f'{RUNTIME} default_model_filename: "net.py"', 'default_model_filename: "net.py"'])
def test_file_may_have_another_name(serve, repository, config, write, more):
    """`default_model_filename` names the class, and the weights have the same stem; a name in .py tells enough."""
    files = write(NET, {"weight": torch.tensor([10.0, 20.0])}, "net.py")
    assert ask(serve(repository(files, config(INPUTS, OUTPUTS, more))))[0] == [30, 80]


def test_platform_is_the_older_word(serve, repository, config, write):
    """The platform leads to the backend, and the runtime to the class."""
    text = config(INPUTS, OUTPUTS, RUNTIME).replace('backend: "pytorch"', 'platform: "pytorch_libtorch"')
    assert ask(serve(repository(write(NET), text)))[0] == [3, 8]


def test_runtime_serves_torchscript_as_well(serve, repository, config, saved):
    """Where there is no class, `model.pt` is the model."""
    from torch_modules import Same

    text = config([("x", "FP32", [2])], [("y", "FP32", [2])], RUNTIME)
    server = serve(repository(lambda folder: saved.script(Same(), folder / "model.pt"), text))
    assert server.model("m").infer({"x": [1.0, 2.0]})["y"].tolist() == [1, 2]


def test_callers_arrays_stay_as_they_are(serve, repository, config, write):
    """What a class does to its inputs is done to its own."""
    handle = serve(repository(write(NET), config(INPUTS, OUTPUTS, RUNTIME))).model("m")
    mine = np.zeros(2, np.float32)
    handle.infer({"INPUT__0": [3.0, 4.0], "INPUT__1": mine})
    assert mine.tolist() == [0, 0]


def test_class_is_compiled_when_it_is_asked_for(serve, repository, config, write, parameter):
    """With options of torch.compile the compiled class answers; the backend "eager" needs no compiler."""
    more = RUNTIME + " " + parameter("TORCH_COMPILE_OPTIONAL_PARAMETERS", '{"backend": "eager"}')
    assert ask(serve(repository(write(NET), config(INPUTS, OUTPUTS, more)))) == ([3, 8], [1, 2])


def test_weights_of_a_compiled_class_go_with_it(tmp_path, write):
    """What PyTorch keeps of it has no weights."""
    write(NET)(tmp_path)
    program = PythonClass(tmp_path / "model.py", torch.device("cpu"), {"backend": "eager"})
    program.call({"first": torch.ones(2), "second": torch.ones(2)})
    weights = weakref.ref(program._module.weight)
    gc.disable()
    try:
        program.close()
        assert weights() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("value", ["no json", "[]", '{"model": 1}'])
def test_options_that_are_none_are_told(serve, repository, config, write, parameter, reason, value):
    """Anything but a JSON object, and the model itself, is refused."""
    more = RUNTIME + " " + parameter("TORCH_COMPILE_OPTIONAL_PARAMETERS", value)
    told = reason(serve(repository(write(NET), config(INPUTS, OUTPUTS, more))))
    assert "expected a JSON object with options of torch.compile" in told


VARIADIC = """
import torch


class Difference(torch.nn.Module):
    def forward(self, *tensors):
        return tensors[0] - tensors[1], tensors[1]
"""


def test_any_number_of_arguments_comes_in_the_configurations_order(serve, repository, config, write):
    """A forward with `*tensors` gets the inputs in their order."""
    inputs = [("b", "FP32", [2]), ("a", "FP32", [2])]
    handle = serve(repository(write(VARIADIC), config(inputs, OUTPUTS, RUNTIME))).model("m")
    assert handle.infer({"a": [1.0, 1.0], "b": [5.0, 6.0]})["OUTPUT__0"].tolist() == [4, 5]


TYPED = """
import torch
from torch.nn import Linear


class Net(torch.nn.Module):
    def forward(self, words: list[str], times: int, offset=None):
        return [word * times for word in words]


class Other(Net):
    pass
"""


def test_types_and_defaults_of_arguments_count(serve, repository, config, write, caplog):
    """Text, numbers and defaults work as in TorchScript; of several classes the first by name is taken, and told."""
    text = config([("words", "STRING", [-1]), ("times", "INT32", [1])], [("y", "STRING", [-1])], RUNTIME)
    with caplog.at_level(logging.WARNING):
        handle = serve(repository(write(TYPED), text)).model("m")
    assert handle.infer({"words": ["a", "b"], "times": [2]})["y"].tolist() == [b"aa", b"bb"]
    assert "has the classes Net, Other: the first by name, Net, is the model" in caplog.text


DICTIONARY = """
import torch


class Net(torch.nn.Module):
    def forward(self, tensors: dict[str, torch.Tensor]):
        return {"difference": tensors["a"] - tensors["b"]}
"""


def test_dictionary_is_taken(serve, repository, config, write):
    """A forward with one dictionary gets the inputs under their names."""
    inputs = [("b", "FP32", [2]), ("a", "FP32", [2])]
    text = config(inputs, [("difference", "FP32", [2])], RUNTIME)
    handle = serve(repository(write(DICTIONARY), text)).model("m")
    assert handle.infer({"a": [5.0, 6.0], "b": [1.0, 1.0]})["difference"].tolist() == [4, 5]


@pytest.mark.parametrize(
    ("source", "weights", "told"),
    [
        ("x = 1", None, "has no subclass of torch.nn.Module: define the model's class there"),
        ("import torch\nraise ValueError('not today')", None, "cannot load '"),
        ("import nothing_of_that_name", None, "No module named 'nothing_of_that_name'"),
        (NET, {"weights": torch.ones(2)}, "does not hold the weights of Net"),
    ],
    ids=["no class", "raises", "import", "weights"],
)
def test_class_that_cannot_be_made_is_told(serve, repository, config, write, reason, source, weights, told):
    """The reason names the file and what is wrong, and nothing of the file stays behind."""
    before = set(sys.modules)
    assert told in reason(serve(repository(write(source, weights), config(INPUTS, OUTPUTS, RUNTIME))))
    assert {name for name in set(sys.modules) - before if name.startswith("charonia_pytorch_model")} == set()


def test_nothing_is_left_of_an_unloaded_class(serve, repository, config, write):
    """Its module is forgotten, and no compiled form lies beside it."""
    folder = repository(write(NET), config(INPUTS, OUTPUTS, RUNTIME))
    server = serve(folder)
    assert [name for name in sys.modules if name.startswith("charonia_pytorch_model")]
    server.unload("m")
    server.close()
    assert [name for name in sys.modules if name.startswith("charonia_pytorch_model")] == []
    assert [path.name for path in (folder / "m" / "1").iterdir()] == ["model.py"]


def test_kind_model_asks_the_class_for_its_device(serve, repository, config, write):
    """Where the first weight is, there the inputs go."""
    more = RUNTIME + " instance_group [ { kind: KIND_MODEL } ]"
    assert ask(serve(repository(write(NET), config(INPUTS, OUTPUTS, more))))[0] == [3, 8]
