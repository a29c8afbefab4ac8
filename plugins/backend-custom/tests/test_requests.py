"""Requests that a model's own tests make."""

from __future__ import annotations

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
    assert request.requested_output_names() == {"Y"}
    assert (request.model_name(), request.model_version()) == ("m", -1)
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
        lambda: pb_utils.MetricFamily(name="n", description="d", kind=pb_utils.MetricFamily.COUNTER),
        lambda: pb_utils.load_model(model_name="m"),
        lambda: pb_utils.unload_model(model_name="m"),
        lambda: pb_utils.is_model_ready("m"),
    ],
)
def test_what_needs_a_server_says_so(call):
    """Without a server, each wish that only one can grant is refused, with what to do instead."""
    with pytest.raises(pb_utils.TritonModelException, match=r"needs a server, .* the fixture `python_model`"):
        call()


def test_async_exec_needs_an_event_loop():
    """As in the reference."""
    with pytest.raises(RuntimeError, match="no running event loop"):
        pb_utils.InferenceRequest().async_exec()


def test_release_flags():
    """The last call says whether the request is to be executed once more; there are two flags."""
    request = pb_utils.InferenceRequest()
    assert not request.rescheduled
    request.set_release_flags(pb_utils.TRITONSERVER_REQUEST_RELEASE_RESCHEDULE)
    assert request.rescheduled
    request.set_release_flags(pb_utils.TRITONSERVER_REQUEST_RELEASE_ALL)
    assert not request.rescheduled
    with pytest.raises(pb_utils.TritonModelException, match="release flags are 3: expected"):
        request.set_release_flags(3)


def test_parameters_are_simple_values():
    """As in the reference, a list is refused when the request is made."""
    with pytest.raises(pb_utils.TritonModelException, match="found type <class 'list'>"):
        pb_utils.InferenceRequest(parameters={"a": [1]})


def test_preferred_memory_and_trace():
    """A request tells the memory that it prefers, and the trace that it belongs to."""
    memory = pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_GPU, 1)
    trace = pb_utils.InferenceTrace("{}")
    request = pb_utils.InferenceRequest(preferred_memory=memory, trace=trace)
    assert request.preferred_memory() is memory
    assert (memory.memory_type, memory.device_id) == (pb_utils.TRITONSERVER_MEMORY_GPU, 1)
    assert repr(memory) == "PreferredMemory(TRITONSERVER_MEMORY_GPU, 1)"
    assert request.trace().get_context() == "{}"
    assert pb_utils.InferenceRequest().preferred_memory() is None
    assert pb_utils.InferenceRequest().trace().get_context() is None
    with pytest.raises(TypeError, match="expected TRITONSERVER_MEMORY_CPU"):
        pb_utils.PreferredMemory(7)
