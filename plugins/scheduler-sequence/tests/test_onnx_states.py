"""States of ONNX models: their graphs have inputs and outputs that clients do not know."""

from __future__ import annotations

import pytest
from charonia.config import ModelConfig
from charonia.testing.builders import write_model
from google.protobuf import text_format
from onnx import TensorProto, helper

OLDEST = "oldest { max_candidate_sequences: 4 }"
DIRECT = "direct {}"
SECTION = """
    max_sequence_idle_microseconds: 60000000
    state { input_name: "TOTAL_IN" output_name: "TOTAL" data_type: TYPE_FP32 dims: [ 1 ]
            initial_state { name: "i" data_type: TYPE_FP32 dims: [ 1 ] zero_data: true } }
    state { input_name: "WORD_IN" output_name: "WORD_OUT" data_type: TYPE_STRING dims: [ 1 ] }
    control_input { name: "FIRST" control { kind: CONTROL_SEQUENCE_START fp32_false_true: [ 0, 1 ] } }
"""


def graph(lead):
    """Make a graph that adds up X, tells what WORD was the last time, and adds a thousand where a sequence starts."""
    shape = [*lead, 1]
    number, text = TensorProto.FLOAT, TensorProto.STRING
    nodes = [
        helper.make_node("Add", ["X", "TOTAL_IN"], ["TOTAL"]),
        helper.make_node("Mul", ["FIRST", "thousand"], ["extra"]),
        helper.make_node("Add", ["TOTAL", "extra"], ["SUM"]),
        helper.make_node("Identity", ["WORD"], ["WORD_OUT"]),
        helper.make_node("Identity", ["WORD_IN"], ["BEFORE"]),
    ]
    inputs = [helper.make_tensor_value_info(name, number, shape) for name in ("X", "TOTAL_IN", "FIRST")]
    inputs += [helper.make_tensor_value_info(name, text, shape) for name in ("WORD", "WORD_IN")]
    outputs = [helper.make_tensor_value_info(name, number, shape) for name in ("SUM", "TOTAL")]
    outputs += [helper.make_tensor_value_info(name, text, shape) for name in ("BEFORE", "WORD_OUT")]
    made = helper.make_graph(nodes, "sums", inputs, outputs, [helper.make_tensor("thousand", number, [1], [1000.0])])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


@pytest.mark.parametrize("completed", [True, False], ids=["completed", "written"])
@pytest.mark.parametrize("batches", [True, False], ids=["batches", "single"])
@pytest.mark.parametrize("way", [OLDEST, DIRECT], ids=["oldest", "direct"])
def test_states(model_repository, server, play_sums, completed, batches, way):
    """Two sequences side by side have their own numbers and words, whether the configuration is written or completed."""
    config = ModelConfig(name="sums", platform="onnxruntime_onnx", max_batch_size=4 if batches else 0)
    text_format.Parse(SECTION + way, config.sequence_batching)
    if not batches and way == DIRECT:
        config.instance_group.add(kind="KIND_CPU", count=2)
    if not completed:
        text_format.Merge(
            """input { name: "X" data_type: TYPE_FP32 dims: [ 1 ] } input { name: "WORD" data_type: TYPE_STRING dims: [ 1 ] }
            output { name: "SUM" data_type: TYPE_FP32 dims: [ 1 ] }
            output { name: "BEFORE" data_type: TYPE_STRING dims: [ 1 ] }""",
            config,
        )
    write_model(model_repository, config, {"1/model.onnx": graph(["batch"] if batches else [])})
    model = server(model_repository).model("sums")
    assert [tensor.name for tensor in model.metadata().inputs] == ["X", "WORD"]
    assert [tensor.name for tensor in model.metadata().outputs] == ["SUM", "BEFORE"]
    play_sums(model, batches=batches)


def test_unknown_state(model_repository, server):
    """A state that the graph does not have fails the load, and the error lists those that it could be."""
    config = ModelConfig(name="sums", platform="onnxruntime_onnx")
    text_format.Parse(SECTION.replace('"TOTAL"', '"TOTL"'), config.sequence_batching)
    write_model(model_repository, config, {"1/model.onnx": graph([])})
    with pytest.raises(Exception, match=r"unexpected inference output 'TOTL'.*did you mean 'TOTAL'"):
        server(model_repository)
