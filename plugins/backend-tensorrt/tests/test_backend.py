"""Plans in a real server, on a machine without a GPU: what is wrong is told, and the server goes on."""

from __future__ import annotations

import pytest
from charonia.testing.builders import model_config, write_model
from charonia_backend_tensorrt import cuda
from charonia_backend_tensorrt.library import Library

NO_GPU = pytest.mark.skipif(bool(cuda.gpus()), reason="shows what happens without a GPU, and this machine has one")
COMPLETE = 'max_batch_size: 8 input { name: "X" data_type: TYPE_FP32 dims: 3 } output { name: "Y" data_type: TYPE_FP32 dims: 4 } '


@NO_GPU
@pytest.mark.parametrize(
    "config", ["", COMPLETE, COMPLETE + "instance_group { kind: KIND_CPU }"], ids=["completed", "complete", "CPU"]
)
def test_without_a_driver_loading_says_what_is_missing(serve, repository, plan, reason, config):
    """A good plan fails with the driver's absence, whatever its configuration says."""
    assert "TensorRT needs an NVIDIA GPU, and no NVIDIA driver was found" in reason(serve(repository(plan, config)))


@NO_GPU
def test_server_goes_on(serve, repository, plan, reason):
    """Another model serves beside the one that failed."""
    folder = repository(plan)
    (folder / "double" / "1").mkdir(parents=True)
    (folder / "double" / "1" / "model.py").write_text(
        "import triton_python_backend_utils as pb\nclass TritonPythonModel:\n    def execute(self, requests):\n"
        "        return [pb.InferenceResponse([pb.Tensor('Y', 2 * r.inputs()[0].as_numpy())]) for r in requests]\n"
    )
    write_model(
        folder, model_config("double", backend="python", inputs=[("X", "FP32", [1])], outputs=[("Y", "FP32", [1])])
    )
    server = serve(folder)
    assert "NVIDIA driver" in reason(server)
    assert server.model("double").infer({"X": [[1.5]]})["Y"].tolist() == [[3.0]]


@pytest.mark.parametrize("config", ["", COMPLETE], ids=["completed", "complete"])
def test_plan_of_another_version_is_refused(serve, repository, plan, reason, config):
    """The reason has both versions, with a driver or without."""
    changed = bytearray(plan)
    changed[24] += 1
    told = reason(serve(repository(bytes(changed), config)))
    assert f"was made by TensorRT for RTX {plan[24] + 1}." in told
    assert f"TensorRT for RTX {Library.RTX.version} is installed" in told


def test_file_that_is_no_plan_is_refused(serve, repository, reason):
    """An ONNX model under the name of a plan is recognised."""
    assert "is no plan of TensorRT, but an ONNX model" in reason(serve(repository(b"\x08\x09\x12\x07" + bytes(60))))


def test_missing_plan_is_named(serve, repository, reason):
    """The reason has the file that was expected."""
    assert "has no plan '" in reason(serve(repository(None)))


def test_library_of_plugins_is_loaded_before_the_plan(serve, repository, plan, reason):
    """A setting of the server or a field of the model names plugins; one that is missing fails the model."""
    by_setting = serve(repository(plan), backend_config={"tensorrt": {"plugins": "/nowhere/a.so;/nowhere/b.so"}})
    assert "'/nowhere/a.so' cannot be loaded as a library of plugins" in reason(by_setting)
    by_model = serve(repository(plan, 'model_operations { op_library_filename: "c.so" }'))
    assert "'c.so' cannot be loaded as a library of plugins" in reason(by_model)


@NO_GPU
def test_version_compatible_plans_are_left_to_the_library(serve, repository, plan, reason):
    """With the setting another version is no reason for a refusal, so that only the driver is missing."""
    changed = bytearray(plan)
    changed[25] += 1
    server = serve(repository(bytes(changed)), backend_config={"tensorrt": {"version-compatible": "true"}})
    assert "no NVIDIA driver was found" in reason(server)


@NO_GPU
@pytest.mark.parametrize(
    ("value", "told"), [("GREEDY", "expected STATIC or ON_PROFILE_CHANGE"), ("on_profile_change", "driver")]
)
def test_allocation_strategy_is_one_of_two(serve, repository, plan, reason, value, told):
    """The parameter is read when the model loads."""
    more = f'parameters {{ key: "execution_context_allocation_strategy" value {{ string_value: "{value}" }} }}'
    assert told in reason(serve(repository(plan, COMPLETE + more)))
