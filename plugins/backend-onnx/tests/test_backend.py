"""ONNX models, made here and run by the real ONNX Runtime, through a real server in process."""

from __future__ import annotations

import logging

import numpy as np
import onnx
import pytest
from charonia import DataType, Server, ServerOptions
from charonia.errors import InvalidArgumentError
from onnx import TensorProto, helper, numpy_helper

ELEMENT = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
    "BF16": TensorProto.BFLOAT16,
}


def identity(datatype="FP32", shape=("batch", 3)):
    element = ELEMENT[datatype]
    return graph_model(
        [helper.make_node("Identity", ["X"], ["Y"])],
        [helper.make_tensor_value_info("X", element, shape)],
        [helper.make_tensor_value_info("Y", element, shape)],
    )


def graph_model(nodes, inputs, outputs, initializers=()):
    graph = helper.make_graph(nodes, "g", inputs, outputs, initializer=list(initializers))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def perceptron():
    """A linear layer with a ReLU: large enough to have weights, small enough to check by hand."""
    weights = np.arange(12, dtype=np.float32).reshape(3, 4) - 6
    return weights, graph_model(
        [helper.make_node("MatMul", ["X", "W"], ["H"]), helper.make_node("Relu", ["H"], ["Y"])],
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["batch", 4])],
        [numpy_helper.from_array(weights, "W")],
    )


@pytest.fixture
def repository(tmp_path):
    def write(model, config=None, name="m", version=1):
        folder = tmp_path / name / str(version)
        folder.mkdir(parents=True, exist_ok=True)
        if isinstance(model, bytes):
            (folder / "model.onnx").write_bytes(model)
        elif model is not None:
            onnx.save(model, folder / "model.onnx")
        if config is not None:
            (tmp_path / name / "config.pbtxt").write_text(config)
        return tmp_path

    return write


@pytest.fixture
def serve():
    servers = []

    def start(repository, **options):
        server = Server(repository, options=ServerOptions(exit_on_error=False, **options))
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.close()


def reason(server):
    return server.index()[0].reason


SAMPLES = {
    "BOOL": [[True, False, True]],
    "BYTES": [[b"a", "ü".encode(), b""]],
}


@pytest.mark.parametrize("datatype", [datatype.name for datatype in DataType])
@pytest.mark.parametrize("shape", [("batch", 3), (1, 3), ("a", "b")], ids=str)
def test_every_datatype_comes_back_as_it_went(serve, repository, datatype, shape):
    """Without a configuration, an identity model of each datatype gives back what it got, batching or not."""
    server = serve(repository(identity(datatype, shape)))
    assert reason(server) == ""
    sent = np.array(SAMPLES.get(datatype, [[1, 2, 3]]), dtype=DataType[datatype].dtype)
    received = server.model("m").infer({"X": sent})["Y"]
    assert received.dtype == DataType[datatype].dtype
    assert received.tolist() == sent.tolist()


def test_batching_graph_is_completed_as_in_the_reference(serve, repository):
    """A variable first dimension on every tensor makes a batching model of at most 4, without the batch in its dims."""
    config = serve(repository(identity())).model_config("m")
    assert (config.platform, config.backend, config.default_model_filename) == (
        "onnxruntime_onnx",
        "onnxruntime",
        "model.onnx",
    )
    assert config.max_batch_size == 4
    assert list(config.input[0].dims) == [3]
    assert config.input[0].data_type == DataType.FP32.number
    assert [(group.name, group.count) for group in config.instance_group] == [("m", 2)]
    assert config.WhichOneof("scheduling_choice") is None  # nobody here could serve dynamic_batching


def test_default_max_batch_size_can_be_set(serve, repository):
    """The backend setting of that name is what a batching model gets."""
    settings = {"backend_config": {"onnxruntime": {"default-max-batch-size": "16"}}}
    assert serve(repository(identity()), **settings).model_config("m").max_batch_size == 16


def test_fixed_graph_is_completed_without_batching(serve, repository):
    """A fixed first dimension makes a model whose dims are the full shape."""
    config = serve(repository(identity(shape=(1, 3)))).model_config("m")
    assert config.max_batch_size == 0
    assert list(config.input[0].dims) == [1, 3]


def test_vector_of_the_batch_becomes_one_element_with_a_reshape(serve, repository):
    """Where nothing but the batch dimension is there, the protocol shows one element per row."""
    server = serve(repository(identity(shape=("batch",))))
    config = server.model_config("m")
    assert (list(config.input[0].dims), config.input[0].HasField("reshape")) == ([1], True)
    assert server.model("m").infer({"X": np.ones((3, 1), np.float32)})["Y"].shape == (3, 1)


def test_scalar_is_one_element(serve, repository):
    """A tensor without dimensions is shown as one of one element, since the protocol has no scalars."""
    server = serve(repository(identity(shape=())))
    assert server.model_metadata("m").inputs[0].shape == [1]
    assert server.model("m").infer({"X": np.array([2], np.float32)})["Y"].tolist() == [2.0]


def test_zero_elements_pass(serve, repository):
    """A variable dimension may be 0."""
    server = serve(repository(identity(shape=("a", "b"))))
    assert server.model("m").infer({"X": np.zeros((1, 0), np.float32)})["Y"].shape == (1, 0)


def test_partial_configuration_is_completed_by_name(serve, repository):
    """What is written stays; what is missing comes from the graph."""
    config = 'max_batch_size: 8 input [ { name: "X" dims: [ 3 ] } ]'
    config = serve(repository(identity(), config)).model_config("m")
    assert config.max_batch_size == 8
    assert config.input[0].data_type == DataType.FP32.number
    assert [tensor.name for tensor in config.output] == ["Y"]


def test_weights_compute(serve, repository):
    """A model with weights gives the numbers that numpy gives."""
    weights, model = perceptron()
    inputs = np.array([[1, 2, 3], [-1, 0.5, 2]], np.float32)
    outputs = serve(repository(model)).model("m").infer({"X": inputs})["Y"]
    np.testing.assert_allclose(outputs, np.maximum(inputs @ weights, 0), rtol=1e-6)


def test_directory_with_external_data_loads(serve, tmp_path):
    """`model.onnx` may be a directory that holds the graph beside its weights."""
    weights, model = perceptron()
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


def full_config(*, name="X", data_type="TYPE_FP32", dims="[ 3 ]", batch=4, more=""):
    return (
        f'max_batch_size: {batch} input [ {{ name: "{name}" data_type: {data_type} dims: {dims} }} ] '
        f'output [ {{ name: "Y" data_type: TYPE_FP32 dims: [ 3 ] }} ] {more}'
    )


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (full_config(name="XX"), "unexpected inference input 'XX'.*allowed inputs are: X; did you mean 'X'"),
        (full_config(data_type="TYPE_INT32"), "expects datatype TYPE_INT32 for input 'X', model provides TYPE_FP32"),
        (full_config(dims="[ 4 ]"), r"tensor 'X': the model expects 2 dimensions \(shape \[-1, 3\]\).*\[-1, 4\]"),
        (full_config(dims="[ 3, 1 ]"), r"specifies 3 dimensions \(shape \[-1, 3, 1\], with the batch dimension"),
    ],
)
def test_configuration_that_contradicts_the_graph_is_refused(serve, repository, config, told):
    """The reason names the tensor, what each side has, and what to do."""
    import re

    assert re.search(told, reason(serve(repository(identity(), config))))


def test_batches_of_a_fixed_graph_are_refused(serve, repository):
    """max_batch_size above 0 needs a variable first dimension: the completion, and the check, say so."""
    server = serve(repository(identity(shape=(1, 3)), "max_batch_size: 4"))
    assert "does not support batching while non-zero max_batch_size" in reason(server)
    server = serve(repository(identity(shape=(1, 3)), full_config(), name="n"))
    assert "the first dimension must be -1" in next(row.reason for row in server.index() if row.name == "n")


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"no model at all", "is no ONNX model, or is damaged"), (b"", "model.onnx'"), (None, "has no file")],
    ids=["garbage", "empty", "missing"],
)
def test_broken_file_is_named(serve, repository, content, told):
    """A file that cannot be loaded is named, with the reason."""
    config = 'backend: "onnxruntime"'
    assert told in reason(serve(repository(content, config)))


def test_unsupported_graph_types_are_named(serve, repository):
    """An output that is no tensor cannot be carried, and the message says how to export the model."""
    sequence = helper.make_tensor_sequence_value_info("S", TensorProto.FLOAT, None)
    model = graph_model(
        [helper.make_node("SequenceConstruct", ["X"], ["S"])],
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [1])],
        [sequence],
    )
    assert "output 'S' of the graph has type seq(tensor(float))" in reason(serve(repository(model)))


def test_text_that_is_no_utf8_is_refused(serve, repository):
    """ONNX Runtime takes text only: other bytes are the caller's mistake, and nothing else is harmed."""
    model = serve(repository(identity("BYTES"))).model("m")
    with pytest.raises(InvalidArgumentError, match=r"input 'X' has an element that is no UTF-8"):
        model.infer({"X": [[b"\xff", b"a", b"b"]]})
    assert model.infer({"X": [["a", "b", "c"]]})["Y"].tolist() == [[b"a", b"b", b"c"]]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ('parameters { key: "intra_op_thread_count" value { string_value: "many" } }', "expected a whole number"),
        ('parameters { key: "enable_mem_arena" value { string_value: "perhaps" } }', "expected 0 or 1"),
        ("optimization { graph { level: 7 } }", "expected 0, -1, 1 or 2"),
        (
            'optimization { execution_accelerators { cpu_execution_accelerator [ { name: "openvino" } ] } }',
            "OpenVINOExecutionProvider.*lacks.*pip install onnxruntime-openvino",
        ),
        (
            'optimization { execution_accelerators { cpu_execution_accelerator [ { name: "magic" } ] } }',
            "unknown Execution Accelerator 'magic' is requested.*known: openvino",
        ),
        ("instance_group [ { kind: KIND_GPU } ]", "KIND_GPU but no GPUs are available"),
    ],
)
def test_bad_settings_are_told(serve, repository, more, told):
    """A setting with a wrong value, or one that this build cannot serve, is a clear reason."""
    import re

    assert re.search(told, reason(serve(repository(identity(), full_config(more=more)))))


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
    ],
)
def test_session_parameters_are_taken(serve, repository, key, value):
    """Every parameter of the reference is accepted, and the model runs with it."""
    more = f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}'
    server = serve(repository(identity(), full_config(more=more)))
    assert reason(server) == ""
    assert server.model("m").infer({"X": [[1.0, 2.0, 3.0]]})["Y"].tolist() == [[1.0, 2.0, 3.0]]


def test_misspelt_parameter_is_told_in_the_log(serve, repository, caplog):
    """A parameter that is nearly one of ours is passed over, but not in silence."""
    more = 'parameters { key: "intra_op_thread_counts" value { string_value: "1" } }'
    with caplog.at_level(logging.WARNING):
        serve(repository(identity(), full_config(more=more)))
    assert 'did you mean "intra_op_thread_count"?' in caplog.text


def test_fewer_outputs_may_be_served(serve, repository):
    """A configuration may leave outputs of the graph out."""
    model = graph_model(
        [helper.make_node("Identity", ["X"], ["Y"]), helper.make_node("Neg", ["X"], ["Z"])],
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3]) for name in "YZ"],
    )
    server = serve(repository(model, full_config()))
    assert list(server.model("m").infer({"X": [[1.0, 2.0, 3.0]]}).outputs) == ["Y"]


def test_failing_run_is_the_requests_error(serve, repository):
    """What ONNX Runtime finds wrong at run time is told to the caller, and the next request runs."""
    model = graph_model(
        [helper.make_node("Reshape", ["X", "S"], ["Y"])],
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["n"])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [2, "m"])],
        [numpy_helper.from_array(np.array([2, -1], np.int64), "S")],
    )
    handle = serve(repository(model)).model("m")
    with pytest.raises(Exception, match="Reshape"):
        handle.infer({"X": np.zeros(3, np.float32)})
    assert handle.infer({"X": np.zeros(4, np.float32)})["Y"].shape == (2, 2)
