"""Requests that a model's own tests make."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest
import triton_python_backend_utils as pb_utils


def test_a_request_tells_what_it_was_made_from():
    """A test makes a request with no server."""
    tensor = pb_utils.Tensor("X", np.zeros(1))
    request = pb_utils.InferenceRequest(
        request_id="i",
        correlation_id="s",
        inputs=[tensor],
        requested_output_names=["Y"],
        model_name="m",
        flags=pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_START,
        timeout=5,
        parameters={"a": 1},
    )
    assert request.inputs() == [tensor]
    assert request.request_id() == "i"
    assert request.correlation_id() == "s"
    assert request.requested_output_names() == ["Y"]
    assert request.flags() == 1
    assert request.timeout() == 5
    assert json.loads(request.parameters()) == {"a": 1}
    assert not request.is_cancelled()
    assert pb_utils.get_input_tensor_by_name(request, "X") is tensor
    assert pb_utils.get_input_tensor_by_name(request, "Y") is None
    assert "request_id='i'" in repr(request)
    request.set_flags(pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_END)
    assert request.flags() == 2
    request.set_release_flags(pb_utils.TRITONSERVER_REQUEST_RELEASE_ALL)


def test_nobody_waits_for_the_answer_to_such_a_request():
    """There is no sender without a server."""
    with pytest.raises(pb_utils.TritonModelException, match="nobody to send responses to"):
        pb_utils.InferenceRequest().get_response_sender()


@pytest.mark.parametrize(
    "call",
    [
        lambda: pb_utils.InferenceRequest().exec(),
        lambda: asyncio.run(pb_utils.InferenceRequest().async_exec()),
        lambda: pb_utils.InferenceRequest().preferred_memory(),
        lambda: pb_utils.InferenceRequest().trace(),
        lambda: pb_utils.InferenceRequest().set_release_flags(pb_utils.TRITONSERVER_REQUEST_RELEASE_RESCHEDULE),
        lambda: pb_utils.MetricFamily(name="n", description="d", kind=pb_utils.MetricFamily.COUNTER),
        lambda: pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU),
        lambda: pb_utils.load_model(model_name="m"),
        lambda: pb_utils.unload_model(model_name="m"),
        lambda: pb_utils.is_model_ready("m"),
    ],
)
def test_what_is_not_there_yet_says_so(call):
    """Each name of the reference's module exists, and refuses in one way what cannot be done yet."""
    with pytest.raises(
        pb_utils.TritonModelException, match=r"is not supported yet by this version of charonia-backend-custom$"
    ):
        call()
