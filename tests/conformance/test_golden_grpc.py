"""Exchanges over gRPC recorded from the reference, replayed against this server over a real socket; messages are compared whole."""

from __future__ import annotations

import sys
from pathlib import Path

import grpc  # noqa: TID253 - this test is about it
import pytest
from charonia import Server, ServerOptions
from charonia.serving import serve_in_thread
from charonia_protos import grpc_service_pb2 as pb
from google.protobuf import json_format

HERE = Path(__file__).parent
MODELS = HERE / "model_repository"
sys.path.insert(0, str(HERE))

import recorded_memory  # noqa: E402 - the folder is no package
from differences import LONGER_TEXTS, ON_PURPOSE, WAITING  # noqa: E402 - the folder is no package

SERVICE = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]
HEALTH = {b"\x08\x01": {"status": "SERVING"}, b"\x08\x02": {"status": "NOT_SERVING"}}
FILES = {path.stem: recorded_memory.load(path) for path in sorted((HERE / "golden").glob("grpc_*.json"))}
RECORDINGS = [(topic, exchange) for topic, file in FILES.items() for exchange in file["exchanges"]]


@pytest.fixture(autouse=True)
def _no_surviving_threads():
    """Let a model that is loaded anew keep its new threads: they are of the server of all tests here, and end with it."""


@pytest.fixture(scope="module")
def channel():
    """Serve the recordings' models, with their flags, on a free port, and connect to it."""
    options = ServerOptions(
        model_control_mode="explicit",
        load_model=["*"],
        exit_on_error=False,
        allow_client_shm=True,  # as it was without being asked when the recordings were made
    )
    with (
        recorded_memory.objects(FILES.values()),
        Server(MODELS, options=options) as server,
        serve_in_thread(server, {"grpc-port": 0, "allow-http": False}) as (url,),
        grpc.insecure_channel(url.removeprefix("grpc://")) as opened,
    ):
        yield opened


def message_of(kind, content):
    """Make a message from its JSON."""
    return json_format.ParseDict(content, getattr(pb, kind)())


def ask(channel, request):
    """Send a recorded request, and give (code, details, serialised responses)."""
    if request["rpc"] == "Health.Check":
        path, bodies, streams = "/grpc.health.v1.Health/Check", [b""], False
    else:
        method = SERVICE.methods_by_name[request["rpc"]]
        path, streams = f"/{SERVICE.full_name}/{method.name}", method.client_streaming
        contents = request["messages"] if streams else [request["message"]]
        bodies = [message_of(method.input_type.name, content).SerializeToString() for content in contents]
    metadata = [tuple(pair) for pair in request.get("metadata", ())]
    responses = []
    try:
        if streams:
            responses.extend(channel.stream_stream(path)(iter(bodies), metadata=metadata, timeout=30))
        else:
            responses.append(channel.unary_unary(path)(bodies[0], metadata=metadata, timeout=30))
    except grpc.RpcError as error:
        return error.code().name, error.details(), responses
    return "OK", "", responses


@pytest.mark.parametrize(("topic", "exchange"), RECORDINGS, ids=[f"{topic}-{item['id']}" for topic, item in RECORDINGS])
def test_recorded_exchange(channel, topic, exchange):
    """The call ends with the recorded status and text, and answers with the recorded messages in their order."""
    key = (topic, exchange["id"])
    if key in ON_PURPOSE or key in WAITING:
        pytest.skip(ON_PURPOSE.get(key) or f"waits for {WAITING[key]}")
    recorded = exchange["response"]
    code, details, bodies = ask(channel, exchange["request"])
    if key in LONGER_TEXTS:
        assert details.startswith(recorded["details"] + ": ")
        details = recorded["details"]
    assert (code, details) == (recorded["code"], recorded["details"])
    recorded_memory.check(exchange)
    if exchange["request"]["rpc"] == "Health.Check":
        assert HEALTH[bodies[0]] == recorded["response"]
        return
    kind = SERVICE.methods_by_name[exchange["request"]["rpc"]].output_type.name
    wanted = recorded["responses"] if "responses" in recorded else [recorded["response"]] if code == "OK" else []
    assert [comparable(getattr(pb, kind).FromString(body)) for body in bodies] == [
        comparable(message_of(kind, content)) for content in wanted
    ]


def comparable(message):
    """Leave out of an index what may differ: reasons, and models that are not in this repository."""
    if isinstance(message, pb.RepositoryIndexResponse):
        here = {path.name for path in MODELS.iterdir()}
        return [(entry.name, entry.version, entry.state) for entry in message.models if entry.name in here]
    return message


def test_every_difference_is_of_a_recording():
    """The list of differences names only what is recorded."""
    recorded = {(topic, exchange["id"]) for topic, exchange in RECORDINGS}
    assert {key for key in {*ON_PURPOSE, *LONGER_TEXTS, *WAITING} if key[0].startswith("grpc")} <= recorded
