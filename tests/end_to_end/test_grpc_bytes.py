"""Messages that no client would send, against a live gRPC server: each call ends with a status that blames the client, or with OK."""

from __future__ import annotations

import contextlib

import grpc
import numpy as np
import pytest
from charonia import Server
from charonia.serving import serve_in_thread
from charonia_protos import grpc_service_pb2 as pb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PATIENCE = 20
SERVICE = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]
UNARY = [method.name for method in SERVICE.methods if not method.client_streaming]
OUR_FAULT = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DEADLINE_EXCEEDED}
BOUNDED = settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def inference(**changes):
    """Write an infer request that is right but for the changes."""
    tensor = pb.ModelInferRequest.InferInputTensor(name="X", datatype="FP32", shape=[1, 3])
    row = np.array([1, 2, 3], np.float32).tobytes()
    return pb.ModelInferRequest(**{"model_name": "fp32", "inputs": [tensor], "raw_input_contents": [row]} | changes)


RIGHT = inference().SerializeToString()


@st.composite
def damaged(draw):
    """Take a right message, and cut out, put in or change some bytes."""
    body = bytearray(RIGHT)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(body)))
        body[start : start + draw(st.integers(0, 4))] = draw(st.binary(max_size=4))
    return bytes(body)


PARAMETERS = st.dictionaries(
    st.sampled_from(
        ["sequence_id", "priority", "timeout", "shared_memory_region", "classification", "binary_data", "x"]
    ),
    st.one_of(
        st.booleans().map(lambda value: pb.InferParameter(bool_param=value)),
        st.integers(-(2**63), 2**63 - 1).map(lambda value: pb.InferParameter(int64_param=value)),
        st.floats().map(lambda value: pb.InferParameter(double_param=value)),
        st.text(max_size=5).map(lambda value: pb.InferParameter(string_param=value)),
        st.just(pb.InferParameter()),
    ),
    max_size=2,
)
NAMES = st.sampled_from(["X", "Y", ""]) | st.text(max_size=5)
INPUTS = st.builds(
    pb.ModelInferRequest.InferInputTensor,
    name=NAMES,
    datatype=st.sampled_from(["FP32", "BYTES", "BF16", "FP33", ""]),
    shape=st.lists(st.sampled_from([1, 3, 0, -1, 2**62]), max_size=3),
    parameters=PARAMETERS,
    contents=st.none()
    | st.lists(st.floats(width=32), max_size=4).map(lambda row: pb.InferTensorContents(fp32_contents=row)),
)
OUTPUTS = st.builds(pb.ModelInferRequest.InferRequestedOutputTensor, name=NAMES, parameters=PARAMETERS)
STRANGE = st.builds(
    inference,
    model_name=st.sampled_from(["fp32", "fp32", "fp32", "absent", ""]),
    model_version=st.sampled_from(["", "1", "9", "-1", "x", "9" * 30]),
    id=st.text(max_size=5),
    parameters=PARAMETERS,
    inputs=st.lists(INPUTS, max_size=3),
    outputs=st.lists(OUTPUTS, max_size=2),
    raw_input_contents=st.lists(st.sampled_from([b"", b"abc", bytes(12)]), max_size=3),
).map(pb.ModelInferRequest.SerializeToString)
MESSAGES = st.just(RIGHT) | damaged() | STRANGE | st.binary(max_size=60)


@pytest.fixture
def channel(tmp_path, save_identity):
    """Connect to a server with one model; at the end, nothing that was asked is still in progress."""
    save_identity(tmp_path, "fp32")
    with Server(tmp_path) as server:
        with (
            serve_in_thread(server, {"allow-http": False, "grpc-port": 0}) as (url,),
            grpc.insecure_channel(url.removeprefix("grpc://")) as channel,
        ):
            yield channel
            answer = pb.ModelInferResponse.FromString(ask(channel, "ModelInfer", RIGHT))
            assert len(answer.raw_output_contents[0]) == 12
        assert server.close(), "requests of clients that have gone are still in progress"


def ask(channel, name, body):
    return channel.unary_unary(f"/{SERVICE.full_name}/{name}")(body, timeout=PATIENCE)


def test_no_message_is_too_strange_for_a_call(channel):
    """Whatever the bytes are and whichever call gets them, the status is not one of the server's own failures."""

    @BOUNDED
    @given(st.sampled_from(["ModelInfer"] * len(UNARY) + UNARY), MESSAGES)
    def try_message(name, body):
        code = grpc.StatusCode.OK
        try:
            ask(channel, name, body)
        except grpc.RpcError as error:
            code = error.code()
        assert code not in OUR_FAULT

    try_message()


def test_no_message_is_too_strange_for_a_stream(channel):
    """A stream gives one answer for each message, the last one, which is right, included; or ends because of a broken message."""

    @BOUNDED
    @given(st.lists(MESSAGES, max_size=4))
    def try_messages(bodies):
        call = channel.stream_stream(f"/{SERVICE.full_name}/ModelStreamInfer")(iter([*bodies, RIGHT]), timeout=PATIENCE)
        answers = []
        with contextlib.suppress(grpc.RpcError):
            answers += map(pb.ModelStreamInferResponse.FromString, call)
        assert call.code() not in OUR_FAULT
        if call.code() is grpc.StatusCode.OK:
            assert len(answers) == len(bodies) + 1
            assert any(answer.infer_response.model_name == "fp32" for answer in answers)

    try_messages()


def test_streams_that_are_left_leave_nothing_behind(channel):
    """Clients that cancel their stream after any number of requests and answers are forgotten."""
    for requests in range(5):
        for answers in range(requests + 1):
            call = channel.stream_stream(f"/{SERVICE.full_name}/ModelStreamInfer")(
                iter([RIGHT] * requests), timeout=PATIENCE
            )
            for _ in range(answers):
                next(call)
            call.cancel()
            with contextlib.suppress(grpc.RpcError):
                list(call)
