"""What needs a GPU: executing plans, which are made here, and compared with ONNX Runtime on the CPU."""

from __future__ import annotations

import gc

import numpy as np
import onnxruntime
import pytest
from charonia.errors import InvalidArgumentError, PluginError
from charonia.request import InferenceRequest
from charonia.tensor import as_numpy
from charonia.testing.backend_suite import BackendSuite, Sample
from charonia.testing.builders import model_config, write_model
from charonia_backend_tensorrt import cuda
from charonia_backend_tensorrt.build import BuildOptions, build
from charonia_backend_tensorrt.library import Library
from charonia_backend_tensorrt.shapes import parse_profile
from cuda.bindings import runtime

WEIGHTS = np.arange(12, dtype=np.float32).reshape(3, 4) - 6
"""Those of the perceptron among the `models`."""

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not cuda.gpus(), reason="needs an NVIDIA GPU and its driver; this machine has none"),
]


@pytest.fixture(params=list(Library), ids=str)
def made(request):
    """Make a plan of a model, with profiles, by each library that is installed."""

    def make(model, *profiles, **options):
        try:
            _ = request.param.module
        except PluginError as error:
            pytest.skip(f"needs the library: {error}")
        capability = cuda.compute_capability(0)
        name = f"SM{capability.replace('.', '')}"
        if request.param is Library.RTX and name not in request.param.module.ComputeCapability.__members__:
            pytest.skip(f"{request.param} makes no plans for GPUs of compute capability {capability}")
        return build(request.param, model, BuildOptions(profiles=[parse_profile(text) for text in profiles], **options))

    return make


class TestTensorRTBackend(BackendSuite):
    """The suite of all backends, on a plan that batches."""

    backend = "tensorrt"
    tolerance = 1e-2

    @pytest.fixture(autouse=True)
    def _plan(self, models):
        self.plan = build(Library.installed(), models.perceptron(), BuildOptions())

    def write_model(self, repository, name, plan=None):
        config = model_config(name, backend="tensorrt", inputs=[("X", "FP32", [3])], outputs=[("Y", "FP32", [4])])
        write_model(repository, config, {"1/model.plan": self.plan if plan is None else plan})

    def write_broken_model(self, repository, name):
        self.write_model(repository, name, b"?")

    def samples(self):
        inputs = [np.full((1, 3), number, np.float32) for number in (1, -2)]
        return [Sample({"X": x}, {"Y": np.maximum(x @ WEIGHTS, 0)}) for x in inputs]


def expected(model, inputs):
    """Ask ONNX Runtime on the CPU."""
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


def test_plan_computes_what_onnx_runtime_does(serve, repository, models, made):
    """Batches of every size that the profile allows have the same answers."""
    model = models.perceptron()
    handle = serve(repository(made(model, max_batch_size=8))).model("m")
    for size in (1, 3, 8):
        x = np.random.default_rng(size).normal(size=(size, 3)).astype(np.float32)
        np.testing.assert_allclose(handle.infer({"X": x})["Y"], expected(model, {"X": x})[0], rtol=1e-2, atol=1e-2)


def test_configuration_comes_from_the_engine(serve, repository, models, made):
    """The largest batch, the tensors and the GPUs are filled in."""
    config = serve(repository(made(models.perceptron(), max_batch_size=16))).model_config("m")
    assert config.max_batch_size == 16
    assert [(each.name, list(each.dims)) for each in (*config.input, *config.output)] == [("X", [3]), ("Y", [4])]
    assert list(config.instance_group[0].gpus) == list(cuda.gpus())


def test_requests_of_several_instances_get_their_own_answers(serve, repository, models, made):
    """Two instances with a stream each share the engine, and mix nothing up."""
    model = models.perceptron()
    server = serve(repository(made(model), "instance_group { kind: KIND_GPU count: 2 }"))
    sent = [np.full((1, 3), number, np.float32) for number in range(50)]
    answers = {}
    for number, x in enumerate(sent):
        server.submit(InferenceRequest("m", {"X": x}, lambda answer, number=number: answers.update({number: answer})))
    server.close()
    for number, x in enumerate(sent):
        np.testing.assert_allclose(as_numpy(answers[number]["Y"]), expected(model, {"X": x})[0], rtol=1e-2, atol=1e-2)


def test_profiles_serve_their_shapes_and_refuse_others(serve, repository, models, made):
    """An instance with two profiles serves both ranges; what neither allows is the caller's mistake."""
    model = models.perceptron()
    plan = made(model, "X=1x3:2x3:4x3", "X=8x3:16x3:32x3")
    config = 'max_batch_size: 32 instance_group { kind: KIND_GPU profile: ["0", "1"] }'
    handle = serve(repository(plan, config)).model("m")
    for size in (1, 4, 8, 32):
        x = np.ones((size, 3), np.float32)
        np.testing.assert_allclose(handle.infer({"X": x})["Y"], expected(model, {"X": x})[0], rtol=1e-2, atol=1e-2)
    with pytest.raises(InvalidArgumentError, match="dimension 0 to be between 1 and 4 but received 6"):
        handle.infer({"X": np.ones((6, 3), np.float32)})


def test_shape_tensor_makes_the_output_s_shape(serve, repository, models, made):
    """The values of an input are the output's shape, and may change from one request to the next."""
    handle = serve(repository(made(models.reshape(), "X=1:6:100 S=1x1:2x3:100x100"))).model("m")
    for shape in ((2, 3), (3, 2), (1, 6)):
        answer = handle.infer({"X": np.arange(6, dtype=np.float32), "S": np.array(shape)})["Y"]
        np.testing.assert_array_equal(answer, np.arange(6, dtype=np.float32).reshape(shape))


def test_shape_that_depends_on_the_data(serve, repository, models, made, request):
    """How many boxes are left, only the execution knows."""
    if Library.RTX in request.node.callspec.params.values():
        pytest.skip("TensorRT for RTX has no operator whose shape depends on the data")
    model = models.boxes()
    handle = serve(repository(made(model, "B=1x1x4:1x6x4:1x100x4 S=1x1x1:1x1x6:1x1x100"))).model("m")
    for count in (1, 6, 20):
        corners = np.arange(count, dtype=np.float32)[:, None] * 10 + np.array([0, 0, 5, 5], np.float32)
        inputs = {"B": corners[None], "S": np.linspace(0.5, 1, count, dtype=np.float32)[None, None]}
        np.testing.assert_array_equal(handle.infer(inputs)["Y"], expected(model, inputs)[0])


def test_plan_is_chosen_by_the_compute_capability(serve, repository, models, made):
    """The plan of this GPU's capability is loaded, and the default one, which is none, is not."""
    capability = cuda.compute_capability(0)
    repository(b"no plan")
    config = f'cc_model_filenames {{ key: "{capability}" value: "this.plan" }}'
    server = serve(repository(made(models.perceptron()), config, file="this.plan"))
    assert server.model("m").infer({"X": np.zeros((1, 3), np.float32)})["Y"].tolist() == [[0, 0, 0, 0]]


def test_instances_on_the_cpu_are_refused(serve, repository, models, made, reason):
    """A plan runs on GPUs only."""
    server = serve(repository(made(models.perceptron()), "instance_group { kind: KIND_CPU }"))
    assert "TensorRT backend supports only GPU device" in reason(server)


def test_unloading_gives_the_memory_of_the_gpu_back(serve, repository, models, made):
    """After twenty loads and unloads no more of the GPU is in use than after the first."""
    server = serve(repository(made(models.perceptron())))
    free = []
    for _ in range(20):
        server.unload("m")
        gc.collect()
        free.append(runtime.cudaMemGetInfo()[1])
        server.load("m")
    assert free[-1] >= free[0]
