"""Plans are made of ONNX models, by the real TensorRT for RTX, without a GPU."""

from __future__ import annotations

import pytest
from charonia.errors import InvalidArgumentError, UnavailableError, UnsupportedError
from charonia_backend_tensorrt import cuda
from charonia_backend_tensorrt.build import BuildOptions, build
from charonia_backend_tensorrt.library import Library
from charonia_backend_tensorrt.plan import read_header
from charonia_backend_tensorrt.shapes import parse_profile

NO_GPU = pytest.mark.skipif(bool(cuda.gpus()), reason="shows what happens without a GPU, and this machine has one")


def options(*profiles, **more):
    more.setdefault("capabilities", ["8.6"])
    return BuildOptions(profiles=[parse_profile(text) for text in profiles], **more)


def test_plan_says_what_made_it(models, tmp_path):
    """What comes out is a plan of the installed version."""
    (tmp_path / "model.plan").write_bytes(build(Library.RTX, models.perceptron(), options()))
    header = read_header(tmp_path / "model.plan")
    assert header.library is Library.RTX
    assert ".".join(map(str, header.version)) == Library.RTX.version


def test_several_gpus_share_a_plan(models):
    """A plan may have parts for several compute capabilities."""
    model = models.perceptron()
    one, two = (build(Library.RTX, model, options(capabilities=each)) for each in (["8.6"], ["8.6", "8.9"]))
    assert one != two


@pytest.mark.parametrize("profiles", [["X=1x3:4x3:8x3"], ["X=2x3"], ["X=1x3:2x3:4x3", "X=4x3:8x3:16x3"]], ids=str)
def test_profiles_are_taken(models, profiles):
    """One profile, a fixed one, several."""
    assert build(Library.RTX, models.perceptron(), options(*profiles))


def test_shape_tensor_has_values_in_its_profile(models):
    """The numbers for an input that is a shape are its values."""
    assert build(Library.RTX, models.reshape(), options("X=1:6:100 S=1x1:2x3:10x10"))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (options("Z=1x3"), "the profile names Z, but the model's inputs are X"),
        (options("X=1x4:2x4:3x4"), r"the profile's shapes for X do not fit the model's \[-1, 3\]"),
        (options("X=3"), r"do not fit the model's \[-1, 3\]"),
        (options(flags=["fastest"]), "has no flag 'fastest': expected one of .*TF32"),
        (options(capabilities=["3.5"]), "no plans for the compute capability '3.5': expected one of 7.5, 8.0, 8.6"),
    ],
    ids=["input", "sizes", "rank", "flag", "capability"],
)
def test_options_that_do_not_fit_are_refused(models, given, told):
    """Each names what is possible."""
    with pytest.raises(InvalidArgumentError, match=told):
        build(Library.RTX, models.perceptron(), given)


def test_every_varying_input_is_in_a_profile(models):
    """An input that a profile leaves out is named, shape tensors too."""
    with pytest.raises(InvalidArgumentError, match="say something about each input that varies: add S"):
        build(Library.RTX, models.reshape(), options("X=6"))


def test_flags_and_workspace_are_taken(models):
    """A flag may be written in small letters."""
    assert build(Library.RTX, models.perceptron(), options(flags=["tf32"], workspace=1 << 28))


def test_model_that_is_none_is_refused_in_the_librarys_words(tmp_path):
    """A damaged file fails with what the parser says."""
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(UnsupportedError, match=r"cannot read '.*model.onnx' as an ONNX model: .+"):
        build(Library.RTX, tmp_path / "model.onnx", options())


def test_operator_that_is_unknown_is_named(models):
    """What the library lacks is told by the operator's name."""
    from onnx import TensorProto, helper

    node = helper.make_node("Conundrum", ["X"], ["Y"])
    model = models.graph([node], [("X", TensorProto.FLOAT, [1])], [("Y", TensorProto.FLOAT, [1])])
    with pytest.raises(UnsupportedError, match=r"\(operator Conundrum\)"):
        build(Library.RTX, model, options())


@NO_GPU
@pytest.mark.parametrize("library", [Library.RTX, Library.TENSORRT], ids=str)
def test_without_a_gpu_somebody_must_say_for_which(models, library):
    """TensorRT always wants the GPU; the one for RTX wants it or its compute capability."""
    with pytest.raises(UnavailableError, match="TensorRT needs an NVIDIA GPU"):
        build(library, models.perceptron(), options(capabilities=[]))
