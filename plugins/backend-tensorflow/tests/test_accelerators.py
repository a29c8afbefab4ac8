"""Execution accelerators: what is asked, what this build has, and what TensorFlow is told."""

from __future__ import annotations

import pytest
import tensorflow as tf
from charonia.errors import InvalidArgumentError, UnsupportedError
from charonia.testing.builders import model_config
from charonia_backend_tensorflow.accelerators import accelerate, check_accelerators


def asking(*names, kind="gpu_execution_accelerator", **parameters):
    config = model_config("m")
    for name in names:
        accelerator = getattr(config.optimization.execution_accelerators, kind).add(name=name)
        for key, value in parameters.items():
            accelerator.parameters[key] = value
    return config


def rewriting(config):
    check_accelerators(config, tensorrt=True)
    options = tf.compat.v1.ConfigProto().graph_options.rewrite_options
    accelerate(config, options)
    return options


def test_tensorrt_is_told_what_is_asked():
    """The reference's parameters become those of TensorFlow's optimiser of that name."""
    (optimizer,) = rewriting(
        asking("tensorrt", precision_mode="FP16", max_cached_engines="5", minimum_segment_size="2")
    ).custom_optimizers
    assert optimizer.name == "TensorRTOptimizer"
    parameters = optimizer.parameter_map
    assert parameters["precision_mode"].s == b"FP16"
    assert (parameters["maximum_cached_engines"].i, parameters["minimum_segment_size"].i) == (5, 2)
    assert parameters["max_workspace_size_bytes"].i == 1 << 30
    assert parameters["is_dynamic_op"].b


def test_mixed_precision_is_switched_on():
    """It is a switch of TensorFlow's own rewriting."""
    options = rewriting(asking("auto_mixed_precision"))
    assert options.auto_mixed_precision == options.ON
    assert not options.custom_optimizers


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (asking("magic"), "unknown Execution Accelerator 'magic' is requested by model 'm'; known: tensorrt,"),
        (
            asking("tensorrt", precision_mode="FP8"),
            "unsupported precision mode 'FP8' is requested; known: FP32, FP16, INT8",
        ),
        (
            asking("tensorrt", speed="1"),
            "unknown parameter 'speed' is provided for TensorRT Execution Accelerator; known:",
        ),
        (asking("tensorrt", minimum_segment_size="few"), "parameter 'minimum_segment_size' of the TensorRT Execution"),
        (asking("tensorrt", "auto_mixed_precision"), "Auto mixed precision can not be set with TFTRT optimization"),
        (
            asking("openvino", kind="cpu_execution_accelerator"),
            "asks for the CPU Execution Accelerator 'openvino': CPU Execution Accelerator is not supported in TensorFlow backend",
        ),
    ],
)
def test_wrong_wishes_are_told(config, told):
    """The texts begin as the reference's."""
    with pytest.raises(InvalidArgumentError) as caught:
        check_accelerators(config, tensorrt=True)
    assert told in str(caught.value)


def test_build_without_tensorrt_is_told_with_a_way_on(serve, repository, models, reason, full_config):
    """The installed TensorFlow has no TensorRT, and the model that asks for it fails with that reason."""
    with pytest.raises(UnsupportedError, match="asks for the Execution Accelerator 'tensorrt', which the installed"):
        check_accelerators(asking("tensorrt"), tensorrt=False)
    more = 'optimization { execution_accelerators { gpu_execution_accelerator [ { name: "tensorrt" } ] } }'
    told = reason(serve(repository(models.identity(), full_config(more))))
    assert told.startswith("Unsupported: model 'm' asks for the Execution Accelerator 'tensorrt'")


def test_placing_inputs_on_gpus_is_told_to_have_no_effect(caplog):
    """`gpu_io` is passed over, but not in silence."""
    check_accelerators(asking("gpu_io"), tensorrt=False)
    assert '"gpu_io" has no effect' in caplog.text
