"""Padding: inputs grow as declared, what is executed is full of the value, and each client gets its own sizes back."""

from __future__ import annotations

import queue

import charonia_scheduler_dynamic
import numpy as np
import pytest
from charonia.errors import InvalidArgumentError
from charonia.plugins import Plugins
from charonia.request import InferenceRequest, InferenceResponse
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticPlugin, Gate
from charonia_scheduler_dynamic.padding import Padding
from hypothesis import given
from hypothesis import strategies as st


def config_of(parameters, *, datatype="FP32", dims=(-1,), max_batch_size=8):
    return model_config(
        inputs=(("INPUT0", datatype, list(dims)),),
        outputs=(("OUTPUT0", datatype, list(dims)),),
        max_batch_size=max_batch_size,
        parameters=parameters,
    )


def padded(array, parameters, **options):
    """Pad a request of one array, and give what is executed."""
    request = InferenceRequest("model", {"INPUT0": array}, lambda _: None)
    return Padding.of(config_of(parameters, **options)).pad(request).inputs["INPUT0"]


@pytest.mark.parametrize(
    ("parameters", "sizes"),
    [
        ({"pad_to_multiple.INPUT0": "4"}, {0: 0, 1: 4, 4: 4, 5: 8}),
        ({"pad_to_buckets.INPUT0": "16, 4,64"}, {0: 4, 4: 4, 5: 16, 17: 64, 64: 64, 65: 65}),
    ],
)
def test_sizes_grow_to_the_next(parameters, sizes):
    """A size becomes the next multiple, or the next bucket; what fits, or is beyond all buckets, is passed on uncopied."""
    for size, grown in sizes.items():
        array = np.ones((2, size), np.float32)
        result = padded(array, parameters)
        assert result.shape == (2, grown)
        assert (result is array) == (size == grown)
        assert result.sum() == 2 * size


@pytest.mark.parametrize(
    ("datatype", "array", "value", "expected"),
    [
        ("FP32", np.ones((1, 1), np.float32), "-1.5", [[1, -1.5, -1.5]]),
        ("INT64", np.ones((1, 1), np.int64), "7", [[1, 7, 7]]),
        ("BOOL", np.ones((1, 1), bool), "1", [[True, True, True]]),
        ("BYTES", np.array([[b"a"]], object), "<pad>", [[b"a", b"<pad>", b"<pad>"]]),
        ("BYTES", np.array([[b"a"]], object), "", [[b"a", b"", b""]]),
    ],
)
def test_value_that_is_filled_in(datatype, array, value, expected):
    """It is of the input's datatype, text included."""
    result = padded(array, {"pad_to_multiple.INPUT0": "3", "pad_value.INPUT0": value}, datatype=datatype)
    assert result.tolist() == expected
    assert result.dtype == array.dtype


def test_only_variable_dimensions_grow():
    """Fixed dimensions and the batch stay as they are; without a batch dimension the first is like any other."""
    parameters = {"pad_to_multiple.INPUT0": "4"}
    assert padded(np.ones((3, 5, 2, 6), np.float32), parameters, dims=(-1, 2, -1)).shape == (3, 8, 2, 8)
    assert padded(np.ones((5, 3), np.float32), parameters, dims=(-1, 3), max_batch_size=0).shape == (8, 3)


@given(st.integers(1, 3), st.integers(0, 9), st.integers(1, 9))
def test_cutting_undoes_padding(batch, first, second):
    """Where the output has the input's shape, the client gets exactly what it sent."""
    config = config_of({"pad_to_multiple.INPUT0": "4", "cut_output.OUTPUT0": "INPUT0"}, dims=(-1, 2, -1))
    answers = queue.SimpleQueue()
    array = np.arange(batch * first * 2 * second, dtype=np.float32).reshape(batch, first, 2, second)
    executed = Padding.of(config).pad(InferenceRequest("model", {"INPUT0": array}, answers.put))
    executed.respond(InferenceResponse({"OUTPUT0": executed.inputs["INPUT0"]}, parameters={"a": 1}))
    response = answers.get_nowait()
    assert np.array_equal(response["OUTPUT0"], array)
    assert response.parameters == {"a": 1}


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"pad_to_multiple.OTHER": "4"}, "'pad_to_multiple.OTHER' of model 'model': expected an input with a variable"),
        ({"pad_to_multiple.INPUT0": "0"}, "expected a number of 1 or more, found '0'"),
        ({"pad_to_multiple.INPUT0": "4,8"}, "expected a number of 1 or more, found '4,8'"),
        ({"pad_to_buckets.INPUT0": "4,x"}, "expected sizes of 1 or more, such as 16,32,64, found '4,x'"),
        ({"pad_value.INPUT0": "1"}, "'pad_value.INPUT0' of model 'model': expected an input that is padded"),
        ({"pad_to_multiple.INPUT0": "4", "pad_value.INPUT0": "x"}, "expected a number, found 'x'"),
        (
            {"pad_to_multiple.INPUT0": "4", "cut_output.OTHER": "INPUT0"},
            "expected an output of the model, found 'OTHER'",
        ),
        ({"pad_to_multiple.INPUT0": "4", "cut_output.OUTPUT0": "X"}, "expected an input that is padded, found 'X'"),
    ],
)
def test_declarations_that_cannot_be(parameters, text):
    """What names no tensor, or has a wrong value, keeps the model from loading, and the text says what was expected."""
    with pytest.raises(InvalidArgumentError) as refused:
        Padding.of(config_of(parameters))
    assert text in str(refused.value)


def test_models_that_declare_nothing():
    """Nothing is done for ordinary models."""
    assert Padding.of(config_of({})) is None


@pytest.mark.parametrize("section", ["", "preserve_ordering: true"])
def test_requests_of_different_sizes_share_a_batch(model_repository, server, section):
    """Through a server: sizes that grow to the same are one execution, and each client gets its own size back."""
    config = config_of({"gate": "held", "scale": "2", "pad_to_buckets.INPUT0": "4,8", "cut_output.OUTPUT0": "INPUT0"})
    config.dynamic_batching.SetInParent()
    config.dynamic_batching.preserve_ordering = bool(section)
    write_model(model_repository, config)
    started = server(
        model_repository, plugins=Plugins(entry_points=(), extra=[ArithmeticPlugin(), charonia_scheduler_dynamic])
    )
    answers = [queue.SimpleQueue() for _ in range(4)]
    with Gate("held") as gate:
        for width, sink in zip((1, 2, 4, 3), answers, strict=True):
            array = np.full((1, width), width, np.float32)
            started.submit(InferenceRequest("model", {"INPUT0": array}, sink.put))
            if width == 1:
                gate.wait_entered()
    for width, sink in zip((1, 2, 4, 3), answers, strict=True):
        assert sink.get(timeout=30)["OUTPUT0"].tolist() == [[2 * width] * width]
    [statistics] = started.statistics("model")
    assert sorted(statistics.counters.batches) == [1, 3]
    assert statistics.counters.queue.count == 4
