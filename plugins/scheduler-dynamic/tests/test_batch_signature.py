"""Which requests may be in one batch."""

from __future__ import annotations

import numpy as np
import pytest
from charonia.request import InferenceRequest
from charonia.testing.builders import model_config
from charonia_scheduler_dynamic.batch_signature import BatchSignature

INPUTS = (("FIXED", "FP32", [4]), ("OPEN", "FP32", [-1, 2]))


def config_of(**options):
    return model_config(inputs=INPUTS, **options)


def request_of(**inputs):
    return InferenceRequest("model", {name: np.zeros(shape, np.float32) for name, shape in inputs.items()}, id)


def test_sizes_without_the_batch_dimension_count():
    """Requests of different batch sizes may be mixed, of different shapes not."""
    signature = BatchSignature(config_of())
    assert signature.of(request_of(FIXED=(1, 4), OPEN=(1, 3, 2))) == signature.of(
        request_of(FIXED=(2, 4), OPEN=(2, 3, 2))
    )
    assert signature.of(request_of(FIXED=(1, 4), OPEN=(1, 3, 2))) != signature.of(
        request_of(FIXED=(1, 4), OPEN=(1, 5, 2))
    )


def test_whole_shape_counts_without_a_batch_dimension():
    """Where the model does not batch, the first dimension is like any other."""
    signature = BatchSignature(config_of(max_batch_size=0))
    assert signature.of(request_of(FIXED=(4,), OPEN=(1, 2))) != signature.of(request_of(FIXED=(4,), OPEN=(2, 2)))


def test_ragged_inputs_do_not_count():
    """Where an input may be ragged, its shape does not matter; here that makes all requests alike."""
    config = config_of()
    config.input[1].allow_ragged_batch = True
    assert BatchSignature(config).is_constant


def test_sizes_that_are_fixed_need_no_look():
    """Models without variable sizes and optional inputs have one signature."""
    assert BatchSignature(model_config()).is_constant
    assert not BatchSignature(config_of()).is_constant


@pytest.mark.parametrize("ragged", [False, True])
def test_set_of_optional_inputs_counts(ragged):
    """Requests that leave out an optional input are not mixed with those that give it, ragged or not."""
    config = config_of()
    config.input[1].optional = True
    config.input[1].allow_ragged_batch = ragged
    signature = BatchSignature(config)
    assert signature.of(request_of(FIXED=(1, 4))) != signature.of(request_of(FIXED=(1, 4), OPEN=(1, 3, 2)))
    assert signature.of(request_of(FIXED=(1, 4))) == signature.of(request_of(FIXED=(2, 4)))


def test_elements_of_shape_tensors_count():
    """A shape tensor's elements decide, of its first row where the model batches."""
    config = model_config(inputs=(("SHAPE", "INT32", [2]),))
    config.input[0].is_shape_tensor = True
    signature = BatchSignature(config)

    def of(rows):
        return signature.of(InferenceRequest("model", {"SHAPE": np.array(rows, np.int32)}, id))

    assert of([[1, 2]]) == of([[1, 2], [1, 2]])
    assert of([[1, 2]]) != of([[1, 3]])
