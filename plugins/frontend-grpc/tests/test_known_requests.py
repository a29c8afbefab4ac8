"""Requests that came before: the same as reading them anew, whatever comes."""

from __future__ import annotations

import numpy as np
import pytest
from charonia_frontend_grpc.infer_message import parse_infer
from charonia_frontend_grpc.infer_request import decode_infer
from charonia_frontend_grpc.known_requests import KnownRequests
from charonia_protos import grpc_service_pb2 as pb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

DTYPES = {"FP32": np.float32, "INT8": np.int8, "FP64": np.float64, "BOOL": np.bool_}


def message_of(names, datatypes, shapes, data, **fields):
    """Write a message with raw inputs."""
    message = pb.ModelInferRequest(model_name="m", **fields)
    for name, datatype, shape in zip(names, datatypes, shapes, strict=True):
        message.inputs.add(name=name, datatype=datatype, shape=shape)
    message.raw_input_contents.extend(data)
    return message.SerializeToString()


def nowhere(response):
    """Take no response."""


@pytest.fixture
def read(running):
    """Read a message, known or not, and tell whether it was known; what is not known is remembered."""
    model = running.get("m", None)
    requests = KnownRequests()

    def of(body):
        known = requests.find(body)
        if known is not None:
            return known.again(body, nowhere), True
        message, raw = parse_infer(body)
        decoded = decode_infer(model, None, message, raw, running.shared_memory, nowhere)
        requests.remember(body, raw, decoded)
        return decoded, False

    return of


def described(decoded):
    """Give all that a request says."""
    request = decoded.request
    inputs = {name: (tensor.dtype, tensor.shape, tensor.tobytes()) for name, tensor in request.inputs.items()}
    fields = ("model_name", "model_version", "id", "requested_outputs", "parameters", "priority", "timeout_us", "flags")
    return inputs, [getattr(request, field) for field in fields], decoded.classes, decoded.wants_empty_final


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.sampled_from(sorted(DTYPES)), st.integers(0, 5)), max_size=3),
    st.sampled_from(["", "some id"]),
    st.booleans(),
    st.data(),
)
def test_known_requests_say_what_they_say(read, inputs, id_, asks, data):
    """Whether or not a message is known, all that it says is what reading it anew says."""
    names = [f"X{place}" for place in range(len(inputs))]
    shapes = [[1, size] for _, size in inputs]
    bodies = []
    for _ in range(2):
        raw = [data.draw(st.binary(min_size=n, max_size=n)) for n in (DTYPES[t]().nbytes * size for t, size in inputs)]
        bodies.append(message_of(names, [datatype for datatype, _ in inputs], shapes, raw, id=id_))
    if asks:
        more = pb.ModelInferRequest()
        more.outputs.add(name="Y").parameters["classification"].int64_param = 2
        more.parameters["priority"].uint64_param = 3
        bodies = [more.SerializeToString() + body for body in bodies]
    for body in bodies:
        fresh = KnownRequests()
        assert fresh.find(body) is None
        known, _ = read(body)
        again, _ = read(body)
        assert described(known) == described(again)


def test_same_message_with_other_data_is_known(read):
    """One input or several, from the second time on."""
    for names in (["X"], ["X", "Z"]):
        for turn in range(3):
            data = [np.full(4, turn, np.float32).tobytes()] * len(names)
            decoded, known = read(message_of(names, ["FP32"] * len(names), [[1, 4]] * len(names), data))
            assert known is (turn > 0)
            assert [tensor.tolist() for tensor in decoded.request.inputs.values()] == [[[turn] * 4]] * len(names)


@pytest.mark.parametrize(
    "other",
    [
        message_of(["X"], ["FP32"], [[2, 2]], [b"\0" * 16]),
        message_of(["Y"], ["FP32"], [[1, 4]], [b"\0" * 16]),
        message_of(["X"], ["INT8"], [[1, 16]], [b"\0" * 16]),
        message_of(["X"], ["FP32"], [[1, 5]], [b"\0" * 20]),
        message_of(["X"], ["FP32"], [[1, 4]], [b"\0" * 16], model_version="1"),
        message_of(["X"], ["FP32"], [[1, 4]], [b"\0" * 16], id="a"),
    ],
)
def test_other_messages_are_not(read, other):
    """Another shape, name, datatype, size, version, or an id."""
    read(message_of(["X"], ["FP32"], [[1, 4]], [b"\0" * 16]))
    assert not read(other)[1]
    assert read(other)[1] is (b"\x1a\x01a" not in other)


def test_memory_of_messages_has_an_end(read):
    """Clients that send ever other messages do not fill the server's memory."""
    for size in range(1, 500):
        read(message_of(["X"], ["INT8"], [[1, size]], [b"\0" * size]))
        read(message_of([f"X{size}"], ["INT8"], [[1, 1]], [b"\0"]))
    decoded, known = read(message_of(["X"], ["INT8"], [[1, 499]], [b"\1" * 499]))
    assert known
    assert decoded.request.inputs["X"].tolist() == [[1] * 499]


def test_large_messages_are_known_and_stay_where_they_lie(read):
    """However large the data is, only what stands before it is looked at, and a tensor that lies well is a view of the message."""
    for turn in range(3):
        data = [np.full(20_000, turn + place, np.float32).tobytes() for place in range(2)]
        message = message_of(["X", "Z"], ["FP32"] * 2, [[100, 200], [1, 20_000]], data)
        memory = np.empty(-(-len(message) // 4), np.float32).view(np.uint8)[-len(message) :]
        memory[:] = np.frombuffer(message, np.uint8)
        decoded, known = read(memory.data)
        assert known is (turn > 0)
        first, last = decoded.request.inputs.values()
        assert (first.shape, last.shape) == ((100, 200), (1, 20_000))
        assert (first == turn).all()
        assert (last == turn + 1).all()
        assert np.shares_memory(last, memory)


@pytest.mark.parametrize("size", [16, 80_000])
def test_data_that_does_not_come_last_is_read_anew(read, size):
    """Even where the message ends as if it did."""
    data = np.arange(size // 4, dtype=np.float32).tobytes()
    rest = message_of(["X"], ["FP32"], [[1, size // 4]], [])
    raw = message_of([], [], [], [data], model_version="")[len(b"\x0a\x01m") :]
    unknown = b"\xc2\x3e" + raw[1:]  # a field of an age to come, of the same bytes
    for body in (raw + rest, raw + rest + unknown):
        for _ in range(2):
            decoded, known = read(body)
            assert not known
            assert decoded.request.inputs["X"].tobytes() == data
