"""The check of a request against its model: what is right passes, what is wrong is told in the reference's words."""

from __future__ import annotations

import numpy as np
import pytest
from charonia.datatypes import DataType
from charonia.errors import InvalidArgumentError
from charonia.request import InferenceRequest
from charonia.signature import Signature
from charonia.tensor import MalformedTensor
from charonia_protos.model_config_pb2 import ModelConfig
from hypothesis import given
from hypothesis import strategies as st

ADD_SUB = ModelConfig(name="add_sub", max_batch_size=8)
for _name in ("INPUT0", "INPUT1"):
    ADD_SUB.input.add(name=_name, data_type=DataType.FP32.number, dims=[4])
ADD_SUB.output.add(name="OUTPUT0", data_type=DataType.FP32.number, dims=[4])

FLAT = ModelConfig(name="flat")
FLAT.input.add(name="X", data_type=DataType.INT32.number, dims=[-1, 2])
FLAT.input.add(name="Y", data_type=DataType.BYTES.number, dims=[1], optional=True)


def check(config, inputs, **options):
    request = InferenceRequest(config.name, inputs, lambda _: None, **options)
    Signature(config).check(request)
    return request


def refusal(config, inputs, **options):
    with pytest.raises(InvalidArgumentError) as caught:
        check(config, inputs, **options)
    return str(caught.value)


def floats(*shape):
    return np.zeros(shape, np.float32)


def test_right_request_passes_and_learns_its_batch_size():
    """A request that fits is accepted, and its batch size is the inputs' first dimension."""
    assert check(ADD_SUB, {"INPUT0": floats(3, 4), "INPUT1": floats(3, 4)}).batch_size == 3


def test_what_is_alike_is_looked_at_once_by_each_signature():
    """A request made again has its batch size without another look; another signature looks for itself."""
    pattern = InferenceRequest("add_sub", {}, lambda _: None).pattern()
    rows = {"INPUT0": floats(3, 4), "INPUT1": floats(3, 4)}
    signature = Signature(ADD_SUB)
    for _ in range(2):
        request = pattern.again(rows, lambda _: None)
        signature.check(request)
        assert request.batch_size == 3
    smaller = ModelConfig()
    smaller.CopyFrom(ADD_SUB)
    smaller.max_batch_size = 2
    for _ in range(2):
        with pytest.raises(InvalidArgumentError, match="batch-size must be <= 2"):
            Signature(smaller).check(pattern.again(rows, lambda _: None))


def test_model_without_batching_counts_one():
    """Where max_batch_size is 0 the shapes are exactly the dims, and a request counts one."""
    assert check(FLAT, {"X": np.zeros((5, 2), np.int32)}).batch_size == 1


@given(st.integers(1, 8), st.booleans())
def test_every_batch_size_up_to_the_maximum_passes(size, swapped):
    """All batch sizes from 1 to max_batch_size are right, in whatever order the inputs come."""
    names = ["INPUT1", "INPUT0"] if swapped else ["INPUT0", "INPUT1"]
    assert check(ADD_SUB, {name: floats(size, 4) for name in names}).batch_size == size


NOTE = (
    " NOTE: Setting a non-zero max_batch_size in the model config requires a batch dimension to be prepended to each input "
    "shape. If you want to specify the full shape including the batch dim in your input dims config, try setting "
    "max_batch_size to zero. See the model configuration docs for more info on max_batch_size."
)
ANON = "[request id: <id_unknown>] "


@pytest.mark.parametrize(
    ("config", "inputs", "text"),
    [
        (
            ADD_SUB,
            {"INPUT0": floats(1, 4)},
            ANON
            + "expected 2 inputs but got 1 inputs for model 'add_sub'. Got input(s) ['INPUT0'], but missing required "
            "input(s) ['INPUT1']. Please provide all required input(s).",
        ),
        (
            FLAT,
            {},
            ANON
            + "expected number of inputs between 1 and 2 but got 0 inputs for model 'flat'. Got input(s) [], but missing "
            "required input(s) ['X']. Please provide all required input(s).",
        ),
        (
            ADD_SUB,
            {"INPUT0": floats(1, 4), "ZZ": floats(1, 4)},
            "unexpected inference input 'ZZ' for model 'add_sub'",
        ),
        (
            ADD_SUB,
            {"INPUT0": floats(1, 4), "INPUT1": np.zeros((1, 4), np.int32)},
            ANON + "inference input 'INPUT1' data-type is 'INT32', but model 'add_sub' expects 'FP32'",
        ),
        (
            ADD_SUB,
            {"INPUT0": floats(1, 5), "INPUT1": floats(1, 4)},
            ANON + "unexpected shape for input 'INPUT0' for model 'add_sub'. Expected [-1,4], got [1,5]." + NOTE,
        ),
        (
            FLAT,
            {"X": np.zeros((3, 3), np.int32)},
            ANON + "unexpected shape for input 'X' for model 'flat'. Expected [-1,2], got [3,3]. ",
        ),
        (
            ADD_SUB,
            {"INPUT0": np.float32(1).reshape(()), "INPUT1": floats(1, 4)},
            ANON + "input 'INPUT0' has no shape but model requires batch dimension for 'add_sub'",
        ),
        (
            ADD_SUB,
            {"INPUT0": floats(1, 4), "INPUT1": floats(2, 4)},
            ANON + "input 'INPUT1' batch size does not match other inputs for 'add_sub'",
        ),
        (
            ADD_SUB,
            {"INPUT0": floats(9, 4), "INPUT1": floats(9, 4)},
            ANON + "inference request batch-size must be <= 8 for 'add_sub'",
        ),
        (
            ADD_SUB,
            {"INPUT0": floats(0, 4), "INPUT1": floats(0, 4)},
            ANON + "input byte size mismatch for input 'INPUT0' for model 'add_sub'. Expected 16, got 0",
        ),
        (
            FLAT,
            {"X": MalformedTensor(DataType.INT32, (-1, 2), InvalidArgumentError("late"))},
            ANON + "All input dimensions should be specified for input 'X' for model 'flat', got [-1,2]",
        ),
        (
            FLAT,
            {"X": MalformedTensor(None, (1, 2), InvalidArgumentError("late"))},
            ANON + "inference input 'X' data-type is '<invalid>', but model 'flat' expects 'INT32'",
        ),
    ],
)
def test_each_mistake_has_the_references_text(config, inputs, text):
    """Each way to be wrong is told as the reference tells it."""
    assert refusal(config, inputs) == text


def test_missing_required_input_is_noticed_beside_an_optional_one():
    """An optional input does not make up for a required one, which the reference lets pass."""
    assert "missing required input(s) ['X']" in refusal(FLAT, {"Y": np.array([b"a"], object)})


def test_unknown_output_comes_first():
    """An output that the model does not have is refused before the inputs are looked at."""
    text = refusal(ADD_SUB, {}, requested_outputs=("NOPE",))
    assert text == "unexpected inference output 'NOPE' for model 'add_sub'"


def test_error_repeats_the_requests_id():
    """A request that has an id finds it in the error."""
    text = refusal(ADD_SUB, {}, id="abc")
    assert text.startswith("[request id: abc] expected 2 inputs")


def test_malformed_data_is_told_only_when_all_else_is_right():
    """Datatype and shape are checked before the data, as in the reference."""
    error = InvalidArgumentError("the data is short")
    right = MalformedTensor(DataType.FP32, (1, 4), error)
    wrong = MalformedTensor(DataType.FP32, (1, 5), error)
    assert refusal(ADD_SUB, {"INPUT0": right, "INPUT1": floats(1, 4)}) == "the data is short"
    assert "unexpected shape" in refusal(ADD_SUB, {"INPUT0": wrong, "INPUT1": floats(1, 4)})


@pytest.mark.parametrize("datatype", DataType)
def test_malformed_data_of_any_datatype_is_told(datatype):
    """No datatype of a model is taken for the one that malformed data has not."""
    config = ModelConfig(name="any")
    config.input.add(name="X", data_type=datatype.number, dims=[4])
    malformed = MalformedTensor(datatype, (4,), InvalidArgumentError("the data is short"))
    assert refusal(config, {"X": malformed}) == "the data is short"


def test_optional_input_may_be_given():
    """A request with its optional inputs is right, too."""
    check(FLAT, {"X": np.zeros((1, 2), np.int32), "Y": np.array([b"a"], object)})


def test_metadata_shape_has_the_batch_in_front():
    """What the protocol shows is the dims with -1 in front where the model batches."""
    assert Signature(ADD_SUB).inputs["INPUT0"].shape == (-1, 4)
    assert Signature(FLAT).inputs["X"].shape == (-1, 2)
