"""What needs a GPU: devices of instances, tensors that stay there, streams."""

from __future__ import annotations

import gc
import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from charonia.request import InferenceRequest
from charonia.tensor import as_numpy
from torch_modules import Linear, OnGpu, Same, Scores

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not torch.cuda.is_available(),
        reason="needs an NVIDIA GPU, and a build of PyTorch for CUDA; this machine has none",
    ),
]

ON_GPU = "instance_group [ { kind: KIND_GPU count: 2 } ] "
X = np.arange(12, dtype=np.float32).reshape(4, 3)


def ask(server, inputs, name="m"):
    """Submit a request as a frontend does, and give the response's outputs as they are."""
    answers = []
    server.submit(InferenceRequest(name, inputs, answers.append))
    server.close()
    (answer,) = answers
    assert answer.error is None
    return answer


def test_instances_run_on_the_gpu_and_outputs_stay_there(serve, repository, config):
    """The answer is a tensor on the device, whose numbers are those of the CPU."""
    module = Linear()
    server = serve(repository(module, config([("x", "FP32", [3])], [("y", "FP32", [2])], ON_GPU, batch=8)))
    answer = ask(server, {"x": X})["y"]
    assert answer.device.type == "cuda"
    np.testing.assert_allclose(as_numpy(answer), module(torch.from_numpy(X)).detach().numpy(), rtol=1e-4)


def test_tensor_that_is_on_the_gpu_is_not_copied(serve, repository, config):
    """What comes through DLPack from the same device goes in as it is, and an identity gives it back."""
    server = serve(repository(Same(), config([("x", "FP32", [3])], [("y", "FP32", [3])], ON_GPU, batch=8)))
    sent = torch.from_numpy(X).cuda()
    assert ask(server, {"x": sent})["y"].data_ptr() == sent.data_ptr()


def test_input_that_is_still_in_the_making_is_waited_for(serve, repository, config):
    """A caller need not wait for its own work on the device before it asks, whatever stream that is in."""
    handle = serve(repository(Same(), config([("x", "FP32", [3])], [("y", "FP32", [3])], ON_GPU, batch=8))).model("m")
    for stream in (torch.cuda.default_stream(), torch.cuda.Stream()):
        with torch.cuda.stream(stream):
            much = torch.ones(4096, 4096, device="cuda")
            for _ in range(50):
                much = much @ much * 0
            sent = much[:4, :3] + 1
            assert as_numpy(handle.infer({"x": sent})["y"]).tolist() == [[1, 1, 1]] * 4


@pytest.mark.parametrize("scripted", [True, False], ids=["TorchScript", "class"])
def test_model_that_chooses_its_devices_gives_what_is_ready(serve, repository, config, scripted):
    """With KIND_MODEL the inputs of TorchScript come from the CPU, and outputs may be on any device, and are complete."""
    more = "instance_group [ { kind: KIND_MODEL } ] " + ("" if scripted else 'runtime: "model.py"')
    text = config([("x", "FP32", [4, 3])], [("y", "FP32", [4, 3])], more)
    source = (Path(__file__).parent / "torch_modules.py").read_text()

    def write(folder):
        (folder / "model.py").write_text(source[: source.index("class Same")] + inspect.getsource(OnGpu))

    server = serve(repository(OnGpu() if scripted else write, text))
    answer = ask(server, {"x": X})["y"]
    assert answer.device.type == "cuda"
    np.testing.assert_array_equal(as_numpy(answer), X * 51)


def test_a_gpu_is_the_default(serve, repository, config):
    """Without a group there is an instance on each GPU."""
    server = serve(repository(Same(), config([("x", "FP32", [3])], [("y", "FP32", [3])])))
    group = server.model_config("m").instance_group[0]
    assert list(group.gpus) == list(range(torch.cuda.device_count()))


def test_bfloat16_leaves_the_gpu(serve, repository, config):
    """BF16 has no way from DLPack into numpy, so that it comes as an array."""
    server = serve(repository(Same(), config([("x", "BF16", [3])], [("y", "BF16", [3])], ON_GPU)))
    spec = server.get("m").signature.inputs["x"]
    assert isinstance(ask(server, {"x": np.ones(3, spec.datatype.dtype)})["y"], np.ndarray)


def test_exported_program_moves_to_the_gpu(serve, repository, saved):
    """A program that was exported on the CPU runs on the device of its instance."""

    def write(folder):
        saved.export(Scores(), (torch.ones(2, 3),), folder / "model.pt2", named={"scale": torch.ones(2, 1)})

    server = serve(repository(write, f'backend: "pytorch" {ON_GPU}'))
    answer = ask(server, {"x": np.ones((2, 3), np.float32), "scale": np.ones((2, 1), np.float32)})
    assert answer["sums"].device.type == "cuda"
    assert as_numpy(answer["sums"]).tolist() == [3, 3]


@pytest.mark.parametrize("kind", ["KIND_GPU", "KIND_MODEL"])
def test_class_runs_where_its_group_or_itself_says(serve, repository, config, kind):
    """KIND_GPU moves a class to the device; KIND_MODEL leaves it where it puts its weights."""
    source = (
        "import torch\nclass Net(torch.nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n"
        "        self.w = torch.nn.Parameter(torch.ones(3, device='cuda:0'))\n"
        "    def forward(self, x):\n        return x * self.w\n"
    )
    more = f'runtime: "model.py" instance_group [ {{ kind: {kind} }} ]'
    text = config([("x", "FP32", [3])], [("y", "FP32", [3])], more)
    server = serve(repository(lambda folder: (folder / "model.py").write_text(source), text))
    assert ask(server, {"x": X[0]})["y"].device.type == "cuda"


def test_requests_of_one_execution_are_split(serve, repository, config):
    """Several requests together are answered each with its own rows."""
    server = serve(repository(Same(), config([("x", "FP32", [3])], [("y", "FP32", [3])], ON_GPU, batch=8)))
    answers = []
    for number in range(20):
        server.submit(InferenceRequest("m", {"x": np.full((1, 3), number, np.float32)}, answers.append))
    server.close()
    assert sorted(float(as_numpy(answer["y"])[0, 0]) for answer in answers) == list(range(20))


def test_unloading_gives_the_memory_of_the_gpu_back(serve, repository, config):
    """Twenty loads and unloads leave nothing on the device."""
    text = config([("x", "FP32", [-1, 100_000])], [("y", "FP32", [-1, 2])], ON_GPU)
    server = serve(repository(Linear(100_000), text))
    server.unload("m")
    before = torch.cuda.memory_allocated()
    for _ in range(20):
        server.load("m")
        server.unload("m")
    gc.collect()
    assert torch.cuda.memory_allocated() <= before


@pytest.mark.parametrize("cleaned", [True, False])
def test_memory_goes_back_after_each_run_where_that_is_asked_for(serve, repository, config, parameter, cleaned):
    """With ENABLE_CACHE_CLEANING PyTorch keeps nothing for later of what a run has used."""
    text = config(
        [("x", "FP32", [-1, 3])],
        [("y", "FP32", [-1, 2])],
        ON_GPU + parameter("ENABLE_CACHE_CLEANING", str(cleaned).lower()),
    )
    server = serve(repository(Linear(), text))
    torch.cuda.empty_cache()
    before = torch.cuda.memory_reserved()
    ask(server, {"x": np.ones((10_000_000, 3), np.float32)})  # the answer, which stays on the device, is dropped here
    assert (torch.cuda.memory_reserved() - before < 100e6) is cleaned
