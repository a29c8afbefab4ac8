"""The options of sessions, and sessions themselves."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from charonia.backend import Device, InstanceContext, ModelContext
from charonia.errors import InvalidArgumentError, UnavailableError
from charonia_backend_onnx.backend import OnnxBackend
from charonia_backend_onnx.openvino_plugin import openvino_plugin_is_installed
from charonia_backend_onnx.runtime import onnxruntime
from charonia_backend_onnx.session import model_file, open_for_reading, open_session, session_options
from charonia_protos.model_config_pb2 import ModelConfig
from google.protobuf import text_format

CPU = Device("CPU")
TWO = "instance_group { kind: KIND_CPU count: 2 }"


@pytest.fixture
def context(repository, models, full_config):
    """Describe the identity model as the core does when it loads it."""

    def make(text=TWO, name="m"):
        folder = repository(models.identity(), name=name) / name
        config = text_format.Parse(full_config(more=text), ModelConfig(name=name))
        config.default_model_filename = "model.onnx"
        return ModelContext(name, 1, folder, config)

    return make


def parameter(key, value):
    return f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }} '


def test_instances_share_the_cores_by_default(context):
    """The pool has what the instances' own threads leave, and pool threads that wait do not spin."""
    cores = len(os.sched_getaffinity(0))
    options = session_options(context(), {}, CPU)
    assert options.intra_op_num_threads == max(1, cores - 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    alone = session_options(context("instance_group { kind: KIND_CPU count: 1 }"), {}, CPU)
    assert alone.intra_op_num_threads == cores


def test_threads_that_are_written_win(context):
    """The model's parameters come before the backend's settings, and these before the default."""
    settings = {"intra_op_thread_count": "3", "inter_op_thread_count": "5"}
    options = session_options(context(TWO + parameter("intra_op_thread_count", 7)), settings, CPU)
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (7, 5)


def test_parameters_become_options(context):
    """Each of the reference's parameters does what it says."""
    text = (
        parameter("execution_mode", 1)
        + parameter("enable_mem_arena", 0)
        + parameter("enable_mem_pattern", 0)
        + parameter("session.use_device_allocator_for_initializers", 1)
        + "optimization { graph { level: -1 } }"
    )
    options = session_options(context(text), {}, CPU)
    assert options.execution_mode == onnxruntime().ExecutionMode.ORT_PARALLEL
    assert (options.enable_cpu_mem_arena, options.enable_mem_pattern) == (False, False)
    assert options.get_session_config_entry("session.use_device_allocator_for_initializers") == "1"
    assert options.graph_optimization_level == onnxruntime().GraphOptimizationLevel.ORT_ENABLE_BASIC


def test_instances_of_a_device_share_one_session(context):
    """The weights are in memory once."""
    with_two = context()
    model = OnnxBackend({}).load(with_two)
    first, second = (model.instantiate(InstanceContext(f"m_0_{index}", CPU, with_two, 2)) for index in (0, 1))
    assert first._session is second._session
    for each in (first, second, model):
        each.close()


def test_file_may_lie_in_a_directory(context):
    """A directory of the file's name holds the file `model.onnx`."""
    described = context()
    assert model_file(described) == described.version_directory / "model.onnx"
    content = model_file(described).read_bytes()
    model_file(described).unlink()
    (described.model_path).mkdir()
    (described.model_path / "model.onnx").write_bytes(content)
    assert model_file(described) == described.version_directory / "model.onnx" / "model.onnx"
    assert open_for_reading(described).get_inputs()[0].name == "X"


def test_session_never_falls_back_by_itself(context):
    """ONNX Runtime would retry on the CPU, with a line on standard output, when a provider fails in a run."""
    assert open_for_reading(context())._enable_fallback is False


def test_provider_that_this_build_lacks_is_an_error(context, capfd):
    """Asking the real build for a provider that it does not have fails, with nothing on standard output."""
    described = context()
    with pytest.raises(InvalidArgumentError, match="NoSuchExecutionProvider"):
        open_session(described, session_options(described, {}, CPU), [("NoSuchExecutionProvider", {})])
    assert capfd.readouterr().out == ""


def test_openvino_serves_or_says_what_is_missing(context):
    """With OpenVINO for this CPU the model runs on it; without, the reason names the package, or the processor."""
    described = context(
        'optimization { execution_accelerators { cpu_execution_accelerator { name: "openvino" } } } ' + TWO
    )
    model = OnnxBackend({}).load(described)
    instance = InstanceContext("m_0_0", CPU, described, 2)
    if "OpenVINOExecutionProvider" in onnxruntime().get_available_providers():
        assert model.instantiate(instance)._session.get_providers()[0] == "OpenVINOExecutionProvider"
    elif openvino_plugin_is_installed():
        try:
            assert model.instantiate(instance)._session.get_providers()[0] == "OpenVINOExecutionProvider"
        except UnavailableError as error:
            assert "for none of this machine's CPUs" in str(error)  # noqa: PT017 - either end is right, by the processor
    else:
        with pytest.raises(InvalidArgumentError, match=r"lacks .*: pip install onnxruntime-ep-openvino"):
            model.instantiate(instance)
    model.close()


GLOBAL_POOL = """
import sys
from charonia import Server, ServerOptions

def options(size):
    settings = {"enable-global-threadpool": "1", "intra_op_thread_count": size, "inter_op_thread_count": "1"}
    return ServerOptions(exit_on_error=False, backend_config={"onnxruntime": settings})

with Server(sys.argv[1], options=options("3")) as server:
    print([server.model(name).infer({"X": [[1.0, 2.0, 3.0]]})["Y"].tolist() for name in ("a", "b")])
with Server(sys.argv[1], options=options("3")) as server:
    print(server.model_ready("a"))
with Server(sys.argv[1], options=options("4")) as server:
    print(server.index()[0].reason)
"""


def test_global_thread_pool_serves_all_models(repository, models):
    """With the backend's setting, no session wants a pool of its own, which ONNX Runtime would refuse; another size is, by name."""
    for name in "ab":
        folder = repository(models.identity(), name=name)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", GLOBAL_POOL, folder], capture_output=True, text=True, check=True
    )
    answers, again, refused = done.stdout.splitlines()
    assert answers == "[[[1.0, 2.0, 3.0]], [[1.0, 2.0, 3.0]]]"
    assert again == "True"
    assert (
        "asks for 4 intra-op and 1 inter-op threads, but this process has global thread pools of another size"
        in refused
    )
