"""Requests of different shapes, sent over the network to a real ONNX model, in one execution."""

from __future__ import annotations

import queue

import numpy as np
import onnx
import tritonclient.grpc
from charonia import Server
from charonia.serving import serve_in_thread
from onnx import TensorProto, helper

CONFIG = """
backend: "onnxruntime"
max_batch_size: 4
input [ { name: "WORDS" data_type: TYPE_FP32 dims: [ -1 ] allow_ragged_batch: true } ]
output [ { name: "DOUBLED" data_type: TYPE_FP32 dims: [ -1 ] }, { name: "LENGTH" data_type: TYPE_INT32 dims: [ 1 ] } ]
batch_input [ { kind: BATCH_ITEM_SHAPE target_name: "COUNTS" data_type: TYPE_INT32 source_input: "WORDS" } ]
batch_output [ { target_name: "DOUBLED" kind: BATCH_SCATTER_WITH_INPUT_SHAPE source_input: "WORDS" } ]
instance_group [ { count: 1 kind: KIND_CPU } ]
dynamic_batching { preferred_batch_size: [ 3 ] max_queue_delay_microseconds: 20000000 }
"""


def write_model(repository):
    """Write a model that doubles the words of a ragged batch, and tells how many each request has."""
    nodes = [
        helper.make_node("Add", ["WORDS", "WORDS"], ["DOUBLED"]),
        helper.make_node("Identity", ["COUNTS"], ["LENGTH"]),
    ]
    graph = helper.make_graph(
        nodes,
        "words",
        [
            helper.make_tensor_value_info("WORDS", TensorProto.FLOAT, ["n"]),
            helper.make_tensor_value_info("COUNTS", TensorProto.INT32, ["batch", 1]),
        ],
        [
            helper.make_tensor_value_info("DOUBLED", TensorProto.FLOAT, ["n"]),
            helper.make_tensor_value_info("LENGTH", TensorProto.INT32, ["batch", 1]),
        ],
    )
    version = repository / "words" / "1"
    version.mkdir(parents=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, version / "model.onnx")
    (version.parent / "config.pbtxt").write_text(CONFIG)


def test_requests_of_different_shapes_share_an_execution(tmp_path):
    """Three clients' requests of three lengths make up one batch, and each gets its own part back."""
    write_model(tmp_path)
    arrays = [np.arange(width, dtype=np.float32).reshape(1, width) for width in (3, 1, 5)]
    with (
        Server(tmp_path) as server,
        serve_in_thread(server, {"grpc-port": 0, "allow-http": False}) as (url,),
        tritonclient.grpc.InferenceServerClient(url.removeprefix("grpc://")) as client,
    ):
        answers = queue.SimpleQueue()
        for array in arrays:
            tensor = tritonclient.grpc.InferInput("WORDS", array.shape, "FP32")
            tensor.set_data_from_numpy(array)
            client.async_infer(
                "words", [tensor], lambda result, error: answers.put(error or result), request_id=str(array.shape[1])
            )
        results = [answers.get(timeout=30) for _ in arrays]
        [statistics] = server.statistics("words")
    by_id = {result.get_response().id: result for result in results}
    for array in arrays:
        result = by_id[str(array.shape[1])]
        assert np.array_equal(result.as_numpy("DOUBLED"), array * 2)
        assert result.as_numpy("LENGTH").tolist() == [[array.shape[1]]]
    assert list(statistics.counters.batches) == [3]
    assert statistics.counters.batch_reasons == {"preferred_size": 1}
