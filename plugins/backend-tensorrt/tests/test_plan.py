"""What a plan's first bytes tell, and which plan is chosen."""

from __future__ import annotations

import pytest
from charonia.backend import ModelContext
from charonia.config import parse_config
from charonia.errors import InvalidArgumentError, NotFoundError, UnsupportedError
from charonia_backend_tensorrt.library import Library
from charonia_backend_tensorrt.plan import PlanHeader, check_version, plan_file, read_header

TENSORRT_10_3 = b"ftrt" + bytes(20) + bytes([10, 3, 0, 26]) + bytes(36)


@pytest.fixture
def written(tmp_path):
    def write(data):
        (tmp_path / "model.plan").write_bytes(data)
        return tmp_path / "model.plan"

    return write


def test_both_libraries_plans_are_told_apart(written, plan):
    """A plan of TensorRT, and one of TensorRT for RTX."""
    header = read_header(written(TENSORRT_10_3))
    assert (header.library, header.version, str(header)) == (Library.TENSORRT, (10, 3, 0, 26), "TensorRT 10.3.0.26")
    assert read_header(written(plan)).library is Library.RTX


def test_plan_of_a_later_format_has_no_version(written):
    """Where the format is another one than is known, nothing is said about the version."""
    changed = bytearray(TENSORRT_10_3)
    changed[4] = 1
    assert read_header(written(bytes(changed))) == PlanHeader(Library.TENSORRT, ())


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "an empty file"),
        (b"\x08\x09\x12\x00" + bytes(60), "an ONNX model"),
        (b"PK\x03\x04" + bytes(60), "a ZIP archive, as PyTorch's models are"),
        (b"what", "a file that begins with b'what'"),
        (b"ftrt", "a file that begins with b'ftrt'"),
    ],
)
def test_what_is_no_plan_is_refused(written, data, found):
    """The text says what it seems to be, and how to come to a plan."""
    with pytest.raises(InvalidArgumentError, match=f"is no plan of TensorRT, but {found}.*charonia build-plan"):
        read_header(written(data))


@pytest.mark.parametrize("place", [24, 25], ids=["major", "minor"])
def test_plan_of_another_version_is_refused_with_both_versions(written, plan, place):
    """The text has the version that made it, the one that is installed, and the three ways out."""
    changed = bytearray(plan)
    changed[place] += 1
    path = written(bytes(changed))
    header = read_header(path)
    with pytest.raises(UnsupportedError) as caught:
        check_version(path, header)
    text = str(caught.value)
    assert f"TensorRT for RTX {'.'.join(map(str, header.version))}" in text
    assert f"TensorRT for RTX {Library.RTX.version} is installed" in text
    assert "version-compatible=true" in text


@pytest.mark.parametrize("place", [26, 27], ids=["patch", "build"])
def test_smaller_differences_are_the_librarys_to_judge(written, plan, place):
    """A difference in the last two numbers is not refused beforehand."""
    changed = bytearray(plan)
    changed[place] ^= 1
    path = written(bytes(changed))
    check_version(path, read_header(path))


def context(tmp_path, config=""):
    parsed = parse_config(config, model="m", file="config.pbtxt", environment={}).config
    if not parsed.default_model_filename:
        parsed.default_model_filename = "model.plan"
    (tmp_path / "1").mkdir()
    for name in ("model.plan", "ampere.plan"):
        (tmp_path / "1" / name).write_bytes(b"")
    return ModelContext("m", 1, tmp_path, parsed)


BY_CAPABILITY = (
    'cc_model_filenames { key: "8.6" value: "ampere.plan" } cc_model_filenames { key: "9.0" value: "hopper.plan" }'
)


@pytest.mark.parametrize(("capability", "file"), [("8.6", "ampere.plan"), ("8.9", "model.plan"), ("", "model.plan")])
def test_compute_capability_chooses_the_plan(tmp_path, capability, file):
    """A GPU gets the plan that is named for it, any other the default one."""
    assert plan_file(context(tmp_path, BY_CAPABILITY), capability).name == file


def test_plan_that_is_not_there_is_named(tmp_path):
    """The text has the file, the GPU and the capabilities that have a plan."""
    with pytest.raises(NotFoundError, match=r"hopper.plan' for a GPU of compute capability 9.0; .* plans for 8.6, 9.0"):
        plan_file(context(tmp_path, BY_CAPABILITY), "9.0")
