"""`charonia build-plan`: from a file to a file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from charonia.cli.group import group
from charonia_backend_tensorrt import cuda
from charonia_backend_tensorrt.command import build_plan
from charonia_backend_tensorrt.library import Library
from charonia_backend_tensorrt.plan import read_header
from click.testing import CliRunner

HOUSE = Path(__file__).parents[3]


def charonia(*arguments):
    return CliRunner().invoke(group, [str(argument) for argument in ("build-plan", *arguments)])


def test_plan_is_written_and_told(models, tmp_path):
    """The plan is where it shall be, in a directory that is made, and the line says how large it is and what made it."""
    plan = tmp_path / "models" / "m" / "1" / "model.plan"
    told = charonia(models.perceptron(), plan, "--library", "rtx", "--compute-capability", "8.6")
    assert told.exit_code == 0
    assert told.stdout == f"{plan}: {plan.stat().st_size:,} bytes, made by TensorRT for RTX {Library.RTX.version}\n"
    assert read_header(plan).library is Library.RTX


def test_options_reach_the_builder(models, tmp_path):
    """Profiles, flags and the workspace are taken."""
    told = charonia(
        *(models.perceptron(), tmp_path / "model.plan", "--library", "rtx", "--compute-capability", "8.6"),
        *("--profile", "X=1x3:4x3:8x3", "--profile", "X=8x3:16x3:32x3", "--flag", "tf32", "--workspace-mib", 256),
    )
    assert told.exit_code == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--profile", "X"], "'X' in the profile 'X' cannot be read"),
        (["--flag", "quick"], "has no flag 'quick'"),
        (["--plugins", "/nowhere/p.so"], "'/nowhere/p.so' cannot be loaded"),
    ],
)
def test_what_is_wrong_is_one_line(models, tmp_path, options, told):
    """A mistake is told without a traceback, and nothing is written."""
    plan = tmp_path / "model.plan"
    result = charonia(models.perceptron(), plan, "--library", "rtx", "--compute-capability", "8.6", *options)
    assert result.exit_code == 1
    assert told in result.stderr
    assert "Traceback" not in result.output
    assert not plan.exists()


@pytest.mark.skipif(bool(cuda.gpus()), reason="shows what happens without a GPU, and this machine has one")
def test_without_a_gpu_the_driver_is_named(models, tmp_path):
    """Where nobody says for which GPU, this machine's is meant, which is not there; nor need it be."""
    result = charonia(models.perceptron(), tmp_path / "model.plan", "--library", "rtx")
    assert result.exit_code == 1
    assert "no NVIDIA driver was found" in result.stderr
    assert "; or say with --compute-capability which GPUs will run the plan" in result.stderr


def test_tensorrt_is_told_no_compute_capability(models, tmp_path):
    """It makes plans for this machine's GPU alone, whether there is one or not."""
    words = ("--library", "tensorrt", "--compute-capability", "8.6")
    assert "leave --compute-capability out" in charonia(models.perceptron(), tmp_path / "model.plan", *words).stderr


def test_what_is_no_model(tmp_path):
    """A file that cannot be read has no operator that could be named."""
    (tmp_path / "junk.onnx").write_text("junk")
    told = charonia(tmp_path / "junk.onnx", tmp_path / "model.plan", "--library", "rtx", "--compute-capability", "8.6")
    assert told.exit_code == 1
    assert told.stderr.endswith("Failed to parse the ONNX model.\n")


def test_page_has_every_option():
    """The page about plans has a row for each option that the help shows."""
    page = (HOUSE / "docs/how-to/serve-tensorrt-plans.md").read_text()
    rows = set(re.findall(r"^\| `(--[\w-]+)` \|", page, re.MULTILINE))
    assert rows == {name for param in build_plan.params for name in param.opts if name.startswith("--")}
