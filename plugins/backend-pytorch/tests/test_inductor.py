"""Packages of AOTInductor, compiled here by the machine's compiler."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from charonia.errors import InternalError, InvalidArgumentError
from charonia_backend_pytorch.inductor import InductorPackage

pytestmark = [
    pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++, by which PyTorch compiles the package"),
    pytest.mark.timeout(600),  # compiling takes ten seconds, and many more on a machine that is busy
]

_COMPILE = """
import sys, torch
from torch_modules import Scores

batch = torch.export.Dim("batch", min=1, max=64)
program = torch.export.export(
    Scores().eval(), (torch.ones(2, 3),), {"scale": torch.ones(2, 1)},
    dynamic_shapes={"x": {0: batch}, "scale": {0: batch}},
)
options = {"aot_inductor.precompile_headers": False}
torch._inductor.aoti_compile_and_package(program, package_path=sys.argv[1], inductor_configs=options)
torch.export.save(program, sys.argv[2])
"""
INPUTS = [("ARGS[0]", "FP32", [3]), ("KWARGS[scale]", "FP32", [1])]
OUTPUTS = [("RESULT[scores]", "FP32", [2]), ("RESULT[sums]", "FP32", [1])]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Give the folder with a package, and with the exported program that it was made from."""
    folder = tmp_path_factory.mktemp("compiled")
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parent),
        "TORCHINDUCTOR_CACHE_DIR": str(folder / "cache"),
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
    }
    command = [sys.executable, "-c", _COMPILE, str(folder / "package.pt2"), str(folder / "program.pt2")]
    subprocess.run(command, check=True, env=environment, capture_output=True, timeout=580)
    return folder


@pytest.fixture
def package(compiled):
    """Write the package into a version's directory."""

    def write(folder):
        shutil.copy(compiled / "package.pt2", folder / "model.pt2")

    return write


@pytest.mark.parametrize(
    ("first", "second", "scores"),
    [
        ("ARGS[0]", "KWARGS[scale]", "RESULT[scores]"),
        ("ARGS[0]", "scale", "scores"),
        ("INPUT__0", "INPUT__1", "OUTPUT__0"),
    ],
    ids=["paths", "keys", "numbers"],
)
def test_package_answers_as_the_program_does(serve, repository, config, compiled, package, first, second, scores):
    """What was compiled gives the numbers of what it was compiled from, under names of each convention."""
    text = config([(first, "FP32", [3]), (second, "FP32", [1])], [(scores, "FP32", [2])], batch=8)
    handle = serve(repository(package, text)).model("m")
    x, scale = np.arange(6, dtype=np.float32).reshape(2, 3), np.array([[2], [3]], np.float32)
    program = torch.export.load(compiled / "program.pt2").module()
    expected = program(torch.from_numpy(x), scale=torch.from_numpy(scale))["scores"].detach().numpy()
    np.testing.assert_allclose(handle.infer({first: x, second: scale})[scores], expected, rtol=1e-5)


def test_package_needs_its_tensors_written(serve, repository, package, reason):
    """A package does not tell its datatypes; the reason says what the call looks like."""
    told = reason(serve(repository(package, 'backend: "pytorch"')))
    assert "must contain at least one input" in told
    assert "forward takes ARGS[0]: a tensor, scale: a tensor" in told


def test_failing_run_is_the_requests_error(serve, repository, config, package):
    """Shapes that the configuration leaves open and the package does not are an error without C++ frames."""
    inputs = [("ARGS[0]", "FP32", [-1]), ("scale", "FP32", [1])]
    handle = serve(repository(package, config(inputs, OUTPUTS[:1], batch=8))).model("m")
    with pytest.raises(InternalError, match=r"^PyTorch execute failure: ") as caught:
        handle.infer({"ARGS[0]": np.ones((2, 5), np.float32), "scale": np.ones((2, 1), np.float32)})
    assert "frame #" not in str(caught.value)


def test_package_for_another_device_is_refused(compiled):
    """A package for the CPU does not run on a GPU, and the text says so before anything runs."""
    with pytest.raises(
        InvalidArgumentError, match="was compiled for the device 'cpu', but an instance shall run it on 'cuda'"
    ) as caught:
        InductorPackage(compiled / "package.pt2", torch.device("cuda", 0))
    assert "instance_group" in str(caught.value)
