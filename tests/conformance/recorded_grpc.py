"""Recorded exchanges over gRPC: sending their requests, and comparing answers, whole messages, with theirs."""

from __future__ import annotations

import grpc
import recorded_memory
from charonia_protos import grpc_service_pb2 as pb
from google.protobuf import json_format

SERVICE = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]
HEALTH = {b"\x08\x01": {"status": "SERVING"}, b"\x08\x02": {"status": "NOT_SERVING"}}


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


def check(exchange, answer, *, models=None, longer_text=False):
    """Compare an answer with the recorded one: code, text, and messages in their order.

    Args:
        exchange: what was recorded.
        answer: the code, the details, and the serialised responses.
        models: those whose entries are compared in an index; None means all.
        longer_text: the details may go on where the recorded ones end.
    """
    code, details, bodies = answer
    recorded = exchange["response"]
    if longer_text:
        assert details.startswith(recorded["details"] + ": ")
        details = recorded["details"]
    assert (code, details) == (recorded["code"], recorded["details"])
    recorded_memory.check(exchange)
    if exchange["request"]["rpc"] == "Health.Check":
        assert HEALTH[bodies[0]] == recorded["response"]
        return
    kind = SERVICE.methods_by_name[exchange["request"]["rpc"]].output_type.name
    wanted = recorded["responses"] if "responses" in recorded else [recorded["response"]] if code == "OK" else []
    assert [comparable(getattr(pb, kind).FromString(body), models) for body in bodies] == [
        comparable(message_of(kind, content), models) for content in wanted
    ]


def comparable(message, models):
    """Leave out of an index what may differ: reasons, and models that are not compared."""
    if isinstance(message, pb.RepositoryIndexResponse):
        return [
            (entry.name, entry.version, entry.state)
            for entry in message.models
            if models is None or entry.name in models
        ]
    return message
