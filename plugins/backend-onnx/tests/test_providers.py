"""Which execution providers are asked for: everything up to the call that needs a GPU."""

from __future__ import annotations

import pytest
from charonia.backend import Device
from charonia.errors import InvalidArgumentError, UnavailableError
from charonia_backend_onnx.providers import (
    CPU,
    CUDA,
    OPENVINO,
    TENSORRT,
    available_providers,
    check_obtained,
    idle_accelerators,
    wanted_providers,
)
from charonia_protos.model_config_pb2 import ModelConfig

ALL = [TENSORRT, CUDA, OPENVINO, CPU]
GPU = Device("GPU", 1)


def config_with(kind, name, **parameters):
    config = ModelConfig(name="m")
    accelerator = getattr(config.optimization.execution_accelerators, f"{kind}_execution_accelerator").add(name=name)
    for key, value in parameters.items():
        accelerator.parameters[key] = value
    return config


def test_cpu_instance_runs_on_the_cpu():
    """Without accelerators an instance on the CPU wants nothing else."""
    assert wanted_providers(ModelConfig(name="m"), Device("CPU"), [CPU]) == [(CPU, {})]


def test_gpu_instance_wants_cuda_on_its_device():
    """An instance on a GPU wants CUDA on that one, and the CPU for what CUDA lacks."""
    assert wanted_providers(ModelConfig(name="m"), GPU, ALL) == [(CUDA, {"device_id": "1"}), (CPU, {})]


def test_tensorrt_comes_before_cuda_with_its_options():
    """The accelerator's parameters become the provider's options; options of TensorRT's own pass through."""
    config = config_with(
        "gpu", "tensorrt", precision_mode="FP16", max_workspace_size_bytes="1024", trt_engine_cache_enable="1"
    )
    (first, options), (second, _), last = wanted_providers(config, GPU, ALL)
    assert (first, second, last) == (TENSORRT, CUDA, (CPU, {}))
    assert options == {
        "device_id": "1",
        "trt_fp16_enable": "1",
        "trt_max_workspace_size": "1024",
        "trt_engine_cache_enable": "1",
    }


def test_cuda_accelerator_is_not_doubled():
    """CUDA as an accelerator, and the older parameters of the model, make one provider."""
    config = config_with("gpu", "cuda", cudnn_conv_use_max_workspace="0")
    config.parameters["cudnn_conv_algo_search"].string_value = "1"
    config.parameters["arena_extend_strategy"].string_value = "1"
    assert wanted_providers(config, GPU, ALL)[0] == (
        CUDA,
        {
            "device_id": "1",
            "cudnn_conv_use_max_workspace": "0",
            "cudnn_conv_algo_search": "HEURISTIC",
            "arena_extend_strategy": "kSameAsRequested",
        },
    )


def test_openvino_serves_the_cpu():
    """OpenVINO is an accelerator of instances on the CPU."""
    assert wanted_providers(config_with("cpu", "openvino"), Device("CPU"), ALL)[0] == (OPENVINO, {"device_type": "CPU"})


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (config_with("gpu", "tensorrt", precision_mode="FP4"), "unsupported precision mode 'FP4' is requested"),
        (config_with("gpu", "tensorrt", colour="red"), "unknown parameter 'colour' is provided for TensorRT"),
        (config_with("gpu", "openvino"), "unknown Execution Accelerator 'openvino' is requested"),
    ],
)
def test_unknown_wishes_are_refused(config, text):
    """An accelerator, a parameter or a mode that nobody knows is an error, not a shrug."""
    with pytest.raises(InvalidArgumentError, match=text):
        wanted_providers(config, GPU, ALL)


def test_provider_that_the_build_lacks_is_named_with_the_way_to_it():
    """The error tells the provider, what the build has, and what to install."""
    with pytest.raises(InvalidArgumentError, match=r"wants CUDAExecutionProvider.*lacks.*charonia-backend-onnx\[gpu\]"):
        wanted_providers(ModelConfig(name="m"), GPU, [CPU])


def test_silent_fall_back_is_noticed():
    """A session that became one of the CPU, although CUDA was wanted, is refused."""
    with pytest.raises(UnavailableError, match="silently fell back to CPUExecutionProvider"):
        check_obtained(ModelConfig(name="m"), GPU, [(CUDA, {}), (CPU, {})], [CPU])
    check_obtained(ModelConfig(name="m"), GPU, [(CUDA, {}), (CPU, {})], [CUDA, CPU])


def test_wrong_value_for_cuda_is_told():
    """A parameter of CUDA is checked wherever the instances run."""
    config = ModelConfig(name="m")
    config.parameters["arena_extend_strategy"].string_value = "2"
    with pytest.raises(InvalidArgumentError, match="'arena_extend_strategy' of model 'm' is '2': expected one of 0, 1"):
        wanted_providers(config, Device("CPU"), ALL)


@pytest.mark.parametrize(
    ("mode", "flags"),
    [("FP32", []), ("FP16", ["trt_fp16_enable"]), ("BF16", ["trt_bf16_enable"]), ("INT8", ["trt_int8_enable"])],
)
def test_precision_modes_of_tensorrt(mode, flags):
    """The reference's four modes become TensorRT's switches."""
    _, options = wanted_providers(config_with("gpu", "tensorrt", precision_mode=mode), GPU, ALL)[0]
    assert [name for name in options if name != "device_id"] == flags


def test_installed_onnxruntime_serves_the_cpu():
    """The list of providers is the real one."""
    assert CPU in available_providers()


def test_accelerators_without_an_instance_are_idle():
    """An accelerator has an effect only where an instance runs on a device of its kind."""
    config = config_with("gpu", "tensorrt")
    config.optimization.execution_accelerators.cpu_execution_accelerator.add(name="openvino")
    assert idle_accelerators(config, [Device("CPU")]) == ["tensorrt"]
    assert idle_accelerators(config, [GPU]) == ["openvino"]
    assert idle_accelerators(config, [GPU, Device("CPU")]) == []
