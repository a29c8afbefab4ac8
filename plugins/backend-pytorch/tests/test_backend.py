"""PyTorch's models, run by the real PyTorch, through a real server in process."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from charonia import DataType
from charonia.errors import InternalError, InvalidArgumentError
from charonia.request import InferenceRequest
from charonia.testing.framework_suite import FrameworkSuite
from torch_modules import Counter, HalfAndRow, Linear, Overwriting, Same, Scalar


class TestPyTorchBackend(FrameworkSuite):
    """The suite of backends for frameworks, on TorchScript."""

    backend = "pytorch"
    file = "model.pt"

    @pytest.fixture(autouse=True)
    def _saved(self, saved):
        self.saved = saved

    def save_model(self, path):
        self.saved.script(HalfAndRow(), path)


NUMBERS = [datatype for datatype in DataType if datatype is not DataType.BYTES]


@pytest.mark.parametrize("datatype", NUMBERS, ids=lambda datatype: datatype.name)
def test_every_datatype_comes_back_as_it_went(serve, repository, config, datatype):
    """An identity model of each datatype gives back what it got, from memory that may be written to or not."""
    text = config([("x", datatype.name, [-1, -1])], [("y", datatype.name, [-1, -1])])
    handle = serve(repository(Same(), text)).model("m")
    sent = np.array([[1, 0, 1], [0, 1, 1]], datatype.dtype)
    frozen = sent.copy()
    frozen.flags.writeable = False
    for tensor in (sent, frozen, sent.T[:, ::-1], np.zeros((1, 0), datatype.dtype)):
        received = handle.infer({"x": tensor})["y"]
        assert received.dtype == datatype.dtype
        assert received.tolist() == tensor.tolist()


def test_scalar_is_one_element(serve, repository, config):
    """A result without dimensions is shown as one element, since the protocol has no scalars."""
    server = serve(repository(Scalar(), config([("x", "FP32", [3])], [("y", "FP32", [1])])))
    assert server.model("m").infer({"x": [1.0, 2.0, 3.0]})["y"].tolist() == [6]


@pytest.mark.parametrize("platform", ['platform: "pytorch_libtorch"', 'backend: "pytorch"', ""])
def test_model_is_found_by_platform_backend_or_file(serve, repository, config, platform):
    """The older word, the newer word and the mere file lead to this backend."""
    text = config([("x", "FP32", [3])], [("y", "FP32", [3])]).replace('backend: "pytorch"', platform)
    server = serve(repository(Same(), text))
    assert server.model_config("m").backend == "pytorch"
    assert server.model("m").ready


def test_file_may_have_another_name(serve, repository, config, saved):
    """What a file is, is told by what is in it."""
    text = config([("x", "FP32", [3])], [("y", "FP32", [3])], 'default_model_filename: "net.bin"')
    handle = serve(repository(lambda folder: saved.script(Same(), folder / "net.bin"), text)).model("m")
    assert handle.infer({"x": [1.0, 2.0, 3.0]})["y"].tolist() == [1, 2, 3]


def test_requests_of_one_execution_are_split(serve, repository, config):
    """Submitted requests are answered with their own rows."""
    server = serve(repository(Same(), config([("x", "FP32", [3])], [("y", "FP32", [3])], batch=8)))
    answers = []
    for number in range(20):
        server.submit(InferenceRequest("m", {"x": np.full((1, 3), number, np.float32)}, answers.append))
    server.close()
    assert sorted(float(answer["y"][0, 0]) for answer in answers) == list(range(20))


def test_model_that_writes_to_its_input_does_not_write_to_the_callers(serve, repository, config):
    """The caller's array is as it was, although the model overwrites what it gets."""
    handle = serve(repository(Overwriting(), config([("x", "FP32", [2])], [("y", "FP32", [2])]))).model("m")
    mine = np.array([1, 2], np.float32)
    assert handle.infer({"x": mine})["y"].tolist() == [2, 4]
    assert mine.tolist() == [1, 2]


def test_state_is_the_instances_own_and_answers_do_not_change_later(serve, repository, config):
    """A program that keeps state is not shared, and its memory is not what callers get."""
    text = config([("x", "FP32", [2])], [("y", "FP32", [2])], "instance_group [ { kind: KIND_CPU count: 1 } ]")
    handle = serve(repository(Counter(), text)).model("m")
    first = handle.infer({"x": [1.0, 2.0]})["y"]
    second = handle.infer({"x": [1.0, 2.0]})["y"]
    assert (first.tolist(), second.tolist()) == ([1, 2], [2, 4])


@pytest.mark.parametrize(
    ("module", "said", "programs"),
    [(Linear(), "", 1), (Linear(), "false", 3), (Counter(), "", 3), (Counter(), "true", 1)],
    ids=["shared", "own", "state", "state shared"],
)
def test_instances_share_weights_unless_told_otherwise(serve, repository, config, parameter, module, said, programs):
    """There is one set of weights on a device, or one for each instance, as the parameter says, or the program's state."""
    width = 2 if isinstance(module, Counter) else 3
    more = "instance_group [ { kind: KIND_CPU count: 3 } ] " + (
        parameter("ENABLE_WEIGHT_SHARING", said) if said else ""
    )
    server = serve(repository(module, config([("x", "FP32", [-1, width])], [("y", "FP32", [-1, 2])], more)))
    executions = [instance._execution for instance in server.get("m")._instances._members]
    assert len(executions) == 3
    assert len({id(execution._program) for execution in executions}) == programs


def test_failing_run_is_the_requests_error(serve, repository, config, caplog):
    """The caller gets PyTorch's sentence without its traces; the log gets all of it; the next request runs."""
    handle = serve(repository(Linear(), config([("x", "FP32", [-1, -1])], [("y", "FP32", [-1, 2])]))).model("m")
    with pytest.raises(InternalError) as caught:
        handle.infer({"x": np.ones((1, 5), np.float32)})
    assert str(caught.value) == ("PyTorch execute failure: mat1 and mat2 shapes cannot be multiplied (1x5 and 3x2)")
    assert "Traceback of TorchScript" in caplog.text
    assert handle.infer({"x": np.ones((1, 3), np.float32)})["y"].shape == (1, 2)


def test_output_of_another_datatype_is_told(serve, repository, config):
    """The file does not tell datatypes, so that the first run finds a wrong one; worded as in the reference."""
    handle = serve(repository(Same(), config([("x", "FP32", [2])], [("y", "INT64", [2])]))).model("m")
    with pytest.raises(
        InvalidArgumentError, match="configuration expects datatype TYPE_INT64 for output 'y', model provides TYPE_FP32"
    ):
        handle.infer({"x": [1.0, 2.0]})


@pytest.mark.parametrize(
    ("files", "more", "told"),
    [
        ({}, "", "unable to find '"),
        ({"model.pt": b"?"}, "", "is damaged, or no model: expected TorchScript"),
        ({"model.pt": b"?"}, 'runtime: "model.rb"', "asks for the runtime 'model.rb': expected 'model.py'"),
        ({"model.pt": None}, "", "was written by torch.save and has weights, or a pickled object, but no program"),
    ],
    ids=["missing", "damaged", "runtime", "checkpoint"],
)
def test_file_that_cannot_be_served_is_told(serve, repository, config, reason, files, more, told):
    """The reason says what was found and what to do."""

    def write(folder):
        for name, content in files.items():
            if content is None:
                torch.save({"weight": torch.ones(1)}, folder / name)
            else:
                (folder / name).write_bytes(content)

    assert told in reason(serve(repository(write, config([("x", "FP32", [2])], [("y", "FP32", [2])], more))))


def test_truncated_file_is_told(serve, repository, config, reason, saved):
    """An archive whose end is there, and whose middle is not, is called damaged."""

    def write(folder):
        saved.script(Linear(300), folder / "model.pt")
        whole = (folder / "model.pt").read_bytes()
        middle = whole.index(b"constants.pkl")
        (folder / "model.pt").write_bytes(whole[: middle - 60] + whole[middle + 400 :])

    assert "is damaged" in reason(serve(repository(write, config([("x", "FP32", [3])], [("y", "FP32", [2])]))))


def test_kind_model_leaves_the_device_to_the_model(serve, repository, config):
    """Weights that were saved on the CPU run there."""
    more = "instance_group [ { kind: KIND_MODEL count: 2 } ]"
    handle = serve(repository(Linear(), config([("x", "FP32", [1, 3])], [("y", "FP32", [1, 2])], more))).model("m")
    assert handle.infer({"x": np.ones((1, 3), np.float32)})["y"].shape == (1, 2)


@pytest.mark.parametrize("missing", ["load"])
def test_build_without_torchscript_is_told(serve, repository, config, reason, monkeypatch, missing):
    """Where PyTorch no longer loads TorchScript, the reason says so and what to do."""
    folder = repository(Same(), config([("x", "FP32", [2])], [("y", "FP32", [2])]))
    monkeypatch.delattr(torch.jit, missing)
    told = reason(serve(folder))
    assert f"PyTorch {torch.__version__} has no torch.jit.load, and so no TorchScript: export the model anew" in told
