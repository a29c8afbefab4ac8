"""What a person reads when ONNX Runtime fails: real failures, provoked here."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from charonia.errors import InternalError, InvalidArgumentError
from charonia_backend_onnx.failures import run_failure
from charonia_backend_onnx.runtime import onnxruntime
from onnx import helper


def magic(models, domain=""):
    """An operator that does not exist."""
    node = helper.make_node("Magic", ["X"], ["Y"], domain=domain)
    model = models.graph([node], [("X", "FP32", [1])], [("Y", "FP32", [1])])
    if domain:
        model.opset_import.append(helper.make_opsetid(domain, 1))
    return model


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"no model at all", "Invalid argument: '{file}' is no ONNX model, or is damaged: Protobuf parsing failed"),
        (b"", "Invalid argument: '{file}' is no ONNX model, or is damaged: "),
        (None, "Not found: model 'm' has no file '{file}': put the ONNX file there"),
    ],
    ids=["garbage", "empty", "missing"],
)
def test_broken_file_is_named(serve, repository, reason, content, told):
    """A file that cannot be loaded is named, with the reason."""
    folder = repository(content, 'backend: "onnxruntime"')
    assert reason(serve(folder)).startswith(told.format(file=folder / "m" / "1" / "model.onnx"))


def test_cut_file_is_damaged(serve, repository, models, reason):
    """A file that ends too soon is told like garbage."""
    content = models.perceptron()[1].SerializeToString()[:-20]
    assert "is no ONNX model, or is damaged" in reason(serve(repository(content)))


def test_file_that_may_not_be_read_is_told_in_words(serve, repository, reason):
    """ONNX Runtime tells the system's error by its number."""
    folder = repository(None, 'backend: "onnxruntime"')
    (folder / "m" / "1" / "model.onnx").symlink_to("/proc/sys/vm/drop_caches")  # which not even root may read
    assert reason(serve(folder)).endswith("with CPUExecutionProvider: Permission denied")


@pytest.mark.parametrize("versions", [{"opset": 99}, {"ir_version": 99}], ids=str)
def test_model_from_the_future_is_told_with_both_ways_out(serve, repository, models, reason, versions):
    """A model that is newer than the runtime names the runtime's version, an upgrade, and an older export."""
    told = reason(serve(repository(models.identity(**versions))))
    assert f"is newer than ONNX Runtime {onnxruntime().__version__} understands" in told
    assert "install a newer ONNX Runtime, or export the model for an older opset" in told
    assert "/onnxruntime_src/" not in told


@pytest.mark.parametrize("domain", ["", "acme"])
def test_unknown_operator_is_told_with_the_place_for_its_library(serve, repository, models, reason, domain):
    """An operator that the runtime lacks is named, and so is the field for libraries of custom ones."""
    told = reason(serve(repository(magic(models, domain))))
    assert "Magic" in told
    assert told.endswith("name the library of a custom operator in model_operations.op_library_filename")


def test_operator_without_a_kernel_is_unsupported(serve, repository, models, reason):
    """An operator that exists, but for no datatype of this model, is told as what this runtime cannot run."""
    node = helper.make_node("Conv", ["X", "X"], ["Y"])
    shape = [1, 1, 1, 1]
    told = reason(serve(repository(models.graph([node], [("X", "FP64", shape)], [("Y", "FP64", shape)]))))
    assert told.startswith("Unsupported: ONNX Runtime")
    assert "Could not find an implementation for Conv" in told


@pytest.mark.parametrize("content", [None, b"123"], ids=["missing", "cut"])
def test_external_data_that_cannot_be_read_is_told(serve, repository, models, reason, content):
    """Weights in another file that is missing or too short are told, with the place where they belong."""
    folder = repository(None) / "m" / "1"
    onnx.save(
        models.perceptron()[1], folder / "model.onnx", save_as_external_data=True, location="w.bin", size_threshold=0
    )
    (folder / "w.bin").unlink()
    if content is not None:
        (folder / "w.bin").write_bytes(content)
    told = reason(serve(folder.parent.parent))
    assert "keeps its weights in other files, and they cannot be read" in told
    assert "a directory model.onnx/ that holds model.onnx and the weights" in told


def test_unsupported_graph_types_are_named(serve, repository, models, reason):
    """An output that is no tensor cannot be carried, and the message says how to export the model."""
    model = models.graph([helper.make_node("SequenceConstruct", ["X"], ["S"])], [("X", "FP32", [1])], [])
    model.graph.output.append(helper.make_tensor_sequence_value_info("S", onnx.TensorProto.FLOAT, None))
    told = reason(serve(repository(model)))
    assert "output 'S' of the graph has type seq(tensor(float)), which the protocol cannot carry" in told


def test_failing_models_leave_the_others_alone(serve, repository, models, reason):
    """A model that cannot load does not keep its neighbour from serving."""
    repository(b"?", name="broken")
    server = serve(repository(models.identity(), name="whole"))
    assert reason(server, "broken")
    assert server.model("whole").infer({"X": np.ones((1, 3), np.float32)})["Y"].shape == (1, 3)


def test_failure_without_onnxruntimes_form_keeps_its_text():
    """An exception that does not look like ONNX Runtime's own is INTERNAL with its own words."""
    failure = run_failure(RuntimeError("bad weather"))
    assert (type(failure), str(failure)) == (InternalError, "onnx runtime error 1: bad weather")


def test_missing_input_is_the_callers_mistake():
    """The check that ONNX Runtime makes in Python has another form, and is an invalid argument all the same."""
    assert type(run_failure(ValueError("Required inputs (['X']) are missing"))) is InvalidArgumentError
