"""ONNX models, run by the real ONNX Runtime, through a real server in process."""

from __future__ import annotations

import logging

import numpy as np
import onnx
import pytest
from charonia import DataType
from charonia.errors import InternalError, InvalidArgumentError
from charonia.request import InferenceRequest
from charonia.testing.framework_suite import FrameworkSuite
from onnx import TensorProto, helper

SAMPLES = {
    "BOOL": [[True, False, True]],
    "BYTES": [[b"a", "ü\0".encode(), b""]],
}


class TestOnnxBackend(FrameworkSuite):
    """The suite of backends for frameworks."""

    backend = "onnxruntime"
    file = "model.onnx"

    @pytest.fixture(autouse=True)
    def _builder(self, models):
        self.models = models

    def save_model(self, path):
        nodes = [helper.make_node("Mul", ["X", "half"], ["Y"]), helper.make_node("Gather", ["table", "I"], ["Z"])]
        model = self.models.graph(
            nodes,
            [("X", "FP32", ["batch", 2]), ("I", "INT64", ["batch", 1])],
            [("Y", "FP32", ["batch", 2]), ("Z", "FP32", ["batch", 1])],
            {"half": np.float32(0.5), "table": np.array([7, 8], np.float32)},
        )
        onnx.save(model, path)


@pytest.mark.parametrize("datatype", [datatype.name for datatype in DataType])
@pytest.mark.parametrize("shape", [("batch", 3), (1, 3), ("a", "b")], ids=str)
def test_every_datatype_comes_back_as_it_went(serve, repository, models, reason, datatype, shape):
    """Without a configuration, an identity model of each datatype gives back what it got, batching or not."""
    server = serve(repository(models.identity(datatype, shape)))
    assert reason(server) == ""
    sent = np.array(SAMPLES.get(datatype, [[1, 2, 3]]), dtype=DataType[datatype].dtype)
    received = server.model("m").infer({"X": sent})["Y"]
    assert received.dtype == DataType[datatype].dtype
    assert received.tolist() == sent.tolist()


@pytest.mark.parametrize("datatype", [datatype.name for datatype in DataType])
def test_scalar_of_every_datatype_is_one_element(serve, repository, models, datatype):
    """A tensor without dimensions is shown as one of one element, since the protocol has no scalars."""
    server = serve(repository(models.identity(datatype, shape=())))
    assert server.model_metadata("m").inputs[0].shape == [1]
    sent = np.array(SAMPLES.get(datatype, [[1]])[0][:1], dtype=DataType[datatype].dtype)
    received = server.model("m").infer({"X": sent})["Y"]
    assert received.dtype == DataType[datatype].dtype
    assert received.tolist() == sent.tolist()


@pytest.mark.parametrize("datatype", [datatype.name for datatype in DataType])
def test_zero_elements_of_every_datatype_pass(serve, repository, models, datatype):
    """A variable dimension may be 0."""
    server = serve(repository(models.identity(datatype, shape=("a", "b"))))
    received = server.model("m").infer({"X": np.zeros((1, 0), DataType[datatype].dtype)})["Y"]
    assert (received.shape, received.dtype) == ((1, 0), DataType[datatype].dtype)


def test_fixed_dimension_of_zero_is_variable_in_the_configuration(serve, repository, models):
    """A configuration has no dimension of 0, so that the completed one says -1, and the model serves."""
    server = serve(repository(models.identity(shape=(1, 0))))
    assert list(server.model_config("m").input[0].dims) == [1, -1]
    assert server.model("m").infer({"X": np.zeros((1, 0), np.float32)})["Y"].shape == (1, 0)


def test_bfloat16_need_not_be_contiguous(serve, repository, models):
    """A view with strides is passed right, though the memory is handed to ONNX Runtime as it is."""
    handle = serve(repository(models.identity("BF16", ("a", "b")))).model("m")
    sent = np.arange(12).reshape(4, 3).astype(DataType.BF16.dtype).T[:, ::2]
    assert handle.infer({"X": sent})["Y"].tolist() == sent.tolist()


def test_bfloat16_goes_in_and_text_comes_out_beside_it(serve, repository, models):
    """A model that mixes bfloat16 with other datatypes serves all of them."""
    nodes = [helper.make_node("Identity", ["A"], ["B"]), helper.make_node("Cast", ["C"], ["D"], to=TensorProto.STRING)]
    inputs, outputs = [("A", "BF16", ["n"]), ("C", "INT32", [])], [("B", "BF16", ["n"]), ("D", "BYTES", [])]
    handle = serve(repository(models.graph(nodes, inputs, outputs))).model("m")
    answer = handle.infer({"A": np.array([1, 2], DataType.BF16.dtype), "C": np.array([7], np.int32)})
    assert answer["B"].astype(np.float32).tolist() == [1, 2]
    assert answer["D"].tolist() == [b"7"]


def test_text_and_bfloat16_go_in_together(serve, repository, models):
    """BYTES and BF16 inputs are possible side by side, as long as no output is BF16."""
    nodes = [helper.make_node("Identity", ["A"], ["B"]), helper.make_node("Cast", ["C"], ["D"], to=TensorProto.FLOAT)]
    inputs = [("A", "BYTES", ["n"]), ("C", "BF16", ["n"])]
    handle = serve(repository(models.graph(nodes, inputs, [("B", "BYTES", ["n"]), ("D", "FP32", ["n"])]))).model("m")
    answer = handle.infer({"A": [["a"]], "C": np.ones((1, 1), DataType.BF16.dtype)})
    assert (answer["B"].tolist(), answer["D"].tolist()) == ([[b"a"]], [[1.0]])


def test_text_in_and_bfloat16_out_is_refused_with_the_reason(serve, repository, models, reason):
    """The one signature that ONNX Runtime's Python interface cannot serve fails to load, and the text says why."""
    nodes = [
        helper.make_node("Identity", ["A"], ["B"]),
        helper.make_node("Cast", ["A"], ["D"], to=TensorProto.BFLOAT16),
    ]
    model = models.graph(nodes, [("A", "BYTES", ["n"])], [("B", "BYTES", ["n"]), ("D", "BF16", ["n"])])
    told = reason(serve(repository(model)))
    assert "has the BYTES input 'A' and the BF16 output 'D'" in told


def test_weights_compute(serve, repository, models):
    """A model with weights gives the numbers that numpy gives."""
    weights, model = models.perceptron()
    inputs = np.array([[1, 2, 3], [-1, 0.5, 2]], np.float32)
    outputs = serve(repository(model)).model("m").infer({"X": inputs})["Y"]
    np.testing.assert_allclose(outputs, np.maximum(inputs @ weights, 0), rtol=1e-6)


@pytest.mark.parametrize("platform", ['platform: "onnxruntime_onnx"', 'backend: "onnxruntime"', ""])
def test_model_is_found_by_platform_backend_or_file(serve, repository, models, reason, platform):
    """The older word, the newer word and the mere file lead to this backend."""
    server = serve(repository(models.identity(), platform))
    assert reason(server) == ""
    assert server.model_config("m").backend == "onnxruntime"


def test_directory_with_external_data_loads(serve, tmp_path, models):
    """`model.onnx` may be a directory that holds the graph beside its weights."""
    weights, model = models.perceptron()
    folder = tmp_path / "m" / "1" / "model.onnx"
    folder.mkdir(parents=True)
    onnx.save(
        model,
        folder / "model.onnx",
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
        convert_attribute=True,
    )
    assert (folder / "weights.bin").stat().st_size >= weights.nbytes
    inputs = np.ones((1, 3), np.float32)
    outputs = serve(tmp_path).model("m").infer({"X": inputs})["Y"]
    np.testing.assert_allclose(outputs, np.maximum(inputs @ weights, 0))


def test_input_with_a_default_may_be_configured(serve, repository, models):
    """An input that has an initializer is not asked for by itself; a configuration may open it, and make it optional."""
    node = helper.make_node("Add", ["X", "B"], ["Y"])
    default = {"B": np.array([1, 1], np.float32)}
    model = models.graph(
        [node], [("X", "FP32", ["batch", 2]), ("B", "FP32", [2])], [("Y", "FP32", ["batch", 2])], default
    )
    assert [tensor.name for tensor in serve(repository(model)).model_metadata("m").inputs] == ["X"]
    config = """
        input [ { name: "X" data_type: TYPE_FP32 dims: [ -1, 2 ] },
                { name: "B" data_type: TYPE_FP32 dims: [ 2 ] optional: true } ]
        output [ { name: "Y" data_type: TYPE_FP32 dims: [ -1, 2 ] } ]"""
    handle = serve(repository(model, config, name="opened")).model("opened")
    zeros = np.zeros((1, 2), np.float32)
    assert handle.infer({"X": zeros})["Y"].tolist() == [[1, 1]]
    assert handle.infer({"X": zeros, "B": np.array([5, 6], np.float32)})["Y"].tolist() == [[5, 6]]


def test_optional_input_of_the_graph_may_be_absent(serve, repository, models):
    """ONNX's own optional type becomes an optional input."""
    there = helper.make_graph(
        [helper.make_node("OptionalGetElement", ["X"], ["t"])],
        "there",
        [],
        [helper.make_tensor_value_info("t", TensorProto.FLOAT, [2])],
    )
    zeros = helper.make_tensor("zeros", TensorProto.FLOAT, [2], [0, 0])
    absent = helper.make_graph(
        [helper.make_node("Constant", [], ["e"], value=zeros)],
        "absent",
        [],
        [helper.make_tensor_value_info("e", TensorProto.FLOAT, [2])],
    )
    nodes = [
        helper.make_node("OptionalHasElement", ["X"], ["has"]),
        helper.make_node("If", ["has"], ["Y"], then_branch=there, else_branch=absent),
    ]
    model = models.graph(nodes, [], [("Y", "FP32", [2])], opset=18)
    tensor = helper.make_tensor_type_proto(TensorProto.FLOAT, [2])
    model.graph.input.append(helper.make_value_info("X", helper.make_optional_type_proto(tensor)))
    server = serve(repository(model))
    assert server.model_config("m").input[0].optional
    assert server.model("m").infer({})["Y"].tolist() == [0, 0]
    assert server.model("m").infer({"X": np.array([3, 4], np.float32)})["Y"].tolist() == [3, 4]


def test_input_that_is_optional_only_in_the_configuration_is_the_callers_to_give(
    serve, repository, models, full_config
):
    """Where the graph needs what the caller left out, the caller is told, and nothing is called a fault of the server."""
    node = helper.make_node("Add", ["X", "Z"], ["Y"])
    inputs = [("X", "FP32", ["batch", 3]), ("Z", "FP32", ["batch", 3])]
    config = full_config(more='input [ { name: "Z" data_type: TYPE_FP32 dims: [ 3 ] optional: true } ]')
    handle = serve(repository(models.graph([node], inputs, [("Y", "FP32", ["batch", 3])]), config)).model("m")
    with pytest.raises(InvalidArgumentError, match="input 'Z' is missing, which the graph of model 'm' needs"):
        handle.infer({"X": [[1.0, 2.0, 3.0]]})


def test_rank_that_the_graph_does_not_tell_is_the_configurations_to_say(serve, repository, models):
    """A graph without a word about a tensor's shape takes the configured dims."""
    node = helper.make_node("Reshape", ["X", "S"], ["Y"])
    inputs = [("X", "FP32", ["n"]), ("S", "INT64", ["r"])]
    config = 'output [ { name: "Y" data_type: TYPE_FP32 dims: [ -1, -1 ] } ]'
    handle = serve(repository(models.graph([node], inputs, [("Y", "FP32", None)]), config)).model("m")
    answer = handle.infer({"X": np.arange(6, dtype=np.float32), "S": np.array([2, 3])})
    assert answer["Y"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_default_max_batch_size_can_be_set(serve, repository, models):
    """The backend setting of that name is what a batching model gets."""
    settings = {"backend_config": {"onnxruntime": {"default-max-batch-size": "16"}}}
    assert serve(repository(models.identity()), **settings).model_config("m").max_batch_size == 16


def test_vector_of_the_batch_becomes_one_element_with_a_reshape(serve, repository, models):
    """Where nothing but the batch dimension is there, the protocol shows one element per row."""
    server = serve(repository(models.identity(shape=("batch",))))
    config = server.model_config("m")
    assert (list(config.input[0].dims), config.input[0].HasField("reshape")) == ([1], True)
    assert server.model("m").infer({"X": np.ones((3, 1), np.float32)})["Y"].shape == (3, 1)


def test_fewer_outputs_may_be_served(serve, repository, models, full_config):
    """A configuration may leave outputs of the graph out."""
    nodes = [helper.make_node("Identity", ["X"], ["Y"]), helper.make_node("Neg", ["X"], ["Z"])]
    outputs = [(name, "FP32", ["batch", 3]) for name in "YZ"]
    server = serve(repository(models.graph(nodes, [("X", "FP32", ["batch", 3])], outputs), full_config()))
    assert list(server.model("m").infer({"X": [[1.0, 2.0, 3.0]]}).outputs) == ["Y"]


def test_text_that_is_no_utf8_is_refused(serve, repository, models):
    """ONNX Runtime takes text only: other bytes are the caller's mistake, and nothing else is harmed."""
    model = serve(repository(models.identity("BYTES"))).model("m")
    with pytest.raises(InvalidArgumentError, match=r"input 'X' has an element that is no UTF-8"):
        model.infer({"X": [[b"\xff", b"a", b"b"]]})
    assert model.infer({"X": [["a", "b", "c"]]})["Y"].tolist() == [[b"a", b"b", b"c"]]


def test_failing_run_is_the_requests_error(serve, repository, models, caplog, capfd):
    """What ONNX Runtime finds wrong at run time is told to the caller and once in the log; the next request runs."""
    handle = serve(repository(models.halving())).model("m")
    with pytest.raises(InternalError, match=r"^onnx runtime error \d: Non-zero status code .* Reshape") as caught:
        handle.infer({"X": np.zeros(3, np.float32)})
    assert "/onnxruntime_src/" not in str(caught.value)
    assert len([record for record in caplog.records if "Reshape" in record.message]) == 1
    assert capfd.readouterr().err.count("Reshape") == 0
    assert handle.infer({"X": np.zeros(4, np.float32)})["Y"].shape == (2, 2)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("intra_op_thread_count", "1"),
        ("inter_op_thread_count", "1"),
        ("execution_mode", "1"),
        ("enable_mem_arena", "0"),
        ("enable_mem_pattern", "0"),
        ("memory.enable_memory_arena_shrinkage", "cpu:0"),
        ("session.use_device_allocator_for_initializers", "1"),
        ("gpu_mem_limit", "1000000"),
        ("somebody_elses", "word"),
    ],
)
def test_session_parameters_are_taken(serve, repository, models, reason, full_config, key, value):
    """Every parameter of the reference is accepted, and so is a stranger's; the model runs with it."""
    more = f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}'
    server = serve(repository(models.identity(), full_config(more=more)))
    assert reason(server) == ""
    assert server.model("m").infer({"X": [[1.0, 2.0, 3.0]]})["Y"].tolist() == [[1.0, 2.0, 3.0]]


@pytest.mark.parametrize("level", [0, -1, 1, 2])
def test_every_level_of_optimisation_is_taken(serve, repository, models, reason, full_config, level):
    """The reference's four levels load and run."""
    server = serve(repository(models.identity(), full_config(more=f"optimization {{ graph {{ level: {level} }} }}")))
    assert reason(server) == ""


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ('parameters { key: "intra_op_thread_count" value { string_value: "many" } }', "expected a whole number"),
        ('parameters { key: "enable_mem_arena" value { string_value: "perhaps" } }', "expected 0 or 1"),
        ('parameters { key: "execution_mode" value { string_value: "2" } }', "expected one of 0, 1"),
        ('parameters { key: "cudnn_conv_algo_search" value { string_value: "3" } }', "expected one of 0, 1, 2"),
        (
            'parameters { key: "memory.enable_memory_arena_shrinkage" value { string_value: "1" } }',
            "expected arenas such as cpu:0",
        ),
        ("optimization { graph { level: 7 } }", "expected 0 (all optimisations), -1"),
        (
            'optimization { execution_accelerators { cpu_execution_accelerator [ { name: "magic" } ] } }',
            "unknown Execution Accelerator 'magic' is requested for an instance on CPU; known: openvino",
        ),
        ("instance_group [ { kind: KIND_GPU } ]", "KIND_GPU but no GPUs are available"),
        (
            'model_operations { op_library_filename: "none.so" }',
            "names 'none.so' in model_operations.op_library_filename, which cannot be used",
        ),
    ],
)
def test_bad_settings_are_told(serve, repository, models, reason, full_config, monkeypatch, more, told):
    """A setting with a wrong value, or one that this build cannot serve, is a clear reason."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert told in reason(serve(repository(models.identity(), full_config(more=more))))


def test_misspelt_parameter_is_told_in_the_log(serve, repository, models, full_config, caplog):
    """A parameter that is nearly one of ours is passed over, but not in silence."""
    more = 'parameters { key: "intra_op_thread_counts" value { string_value: "1" } }'
    with caplog.at_level(logging.WARNING):
        serve(repository(models.identity(), full_config(more=more)))
    assert 'did you mean "intra_op_thread_count"?' in caplog.text


def test_accelerator_that_no_instance_uses_is_told_in_the_log(
    serve, repository, models, full_config, caplog, monkeypatch
):
    """A model that asks for TensorRT and lands on the CPU serves, as in the reference, but not in silence."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    more = 'optimization { execution_accelerators { gpu_execution_accelerator [ { name: "tensorrt" } ] } }'
    with caplog.at_level(logging.WARNING):
        serve(repository(models.identity(), full_config(more=more)))
    assert 'the execution accelerator "tensorrt" has no effect' in caplog.text


def test_kind_model_runs_on_the_cpu(serve, repository, models, full_config):
    """Instances that leave the device to the model share the session of the CPU."""
    server = serve(repository(models.identity(), full_config(more="instance_group [ { kind: KIND_MODEL count: 2 } ]")))
    assert server.model("m").infer({"X": [[1.0, 2.0, 3.0]]})["Y"].tolist() == [[1.0, 2.0, 3.0]]


def test_request_of_another_rank_is_the_callers_mistake(serve, repository, models, full_config):
    """A dimension that the configuration leaves open and the graph does not is INVALID_ARG, not a fault of the server."""
    config = full_config(dims="[ -1 ]").replace("dims: [ 3 ]", "dims: [ -1 ]")
    handle = serve(repository(models.identity(), config)).model("m")
    with pytest.raises(InvalidArgumentError, match=r"^onnx runtime error 2: Got invalid dimensions for input: X"):
        handle.infer({"X": np.zeros((1, 5), np.float32)})


def test_requests_of_one_execution_are_split(serve, repository, models):
    """Submitted requests are answered with their own rows, whoever shares the session."""
    server = serve(repository(models.identity()))
    answers = []
    requests = [
        InferenceRequest("m", {"X": np.full((1, 3), number, np.float32)}, answers.append) for number in range(20)
    ]
    for request in requests:
        server.submit(request)
    server.close()
    assert sorted(float(answer["Y"][0, 0]) for answer in answers) == list(range(20))
