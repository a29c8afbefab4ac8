"""The ways in which requests are sent: each generator takes the one it is told, and the bare handler speaks the protocol."""

from __future__ import annotations

import io
import json
import sys
from unittest import mock

import pytest
from charonia_protos import grpc_service_pb2 as pb

from benchmarks.generators import OwnGenerator, PerfAnalyzer
from benchmarks.grpc_wire import grpc_request, model_name, request_id, response_head, streamed_response
from benchmarks.latency import LoadError
from benchmarks.models import MODELS
from benchmarks.process import ServerProcess, free_port
from benchmarks.sides import Side
from benchmarks.ways import WAYS

EMPTY_GRPC_SERVER = """
import asyncio, grpc

async def serve():
    server = grpc.aio.server()
    server.add_insecure_port("127.0.0.1:{port}")
    await server.start()
    print("listening", flush=True)
    await server.wait_for_termination()

asyncio.run(serve())
"""


REFUSED = "UNIMPLEMENTED: Method not found"


@pytest.mark.parametrize(
    ("way", "told"),
    # grpcio's client loses the status of a stream, and says so, where the refusal overtakes its first write
    [("grpc", REFUSED), ("grpc-stream", f"({REFUSED}|INTERNAL: Internal error from Core)")],
)
def test_a_refused_call_ends_the_load(way, told):
    """A status other than OK is told with what the server said."""
    port = free_port()
    program = EMPTY_GRPC_SERVER.format(port=port)
    server = ServerProcess("empty", [sys.executable, "-c", program], port, "listening")
    try:
        with pytest.raises(LoadError, match=f"the server answered {told}"):
            OwnGenerator().run(WAYS[way], port, "identity", 2, 0.1)
    finally:
        server.stop()


@pytest.mark.parametrize("name", MODELS)
def test_the_bare_grpc_handler_writes_the_messages_of_the_protocol(name):
    """What it puts together from bytes is what the client's library reads: the model, the id, the shape and the row."""
    request = pb.ModelInferRequest.FromString(grpc_request(name))
    request.id = "seven"
    body = request.SerializeToString()
    assert body.endswith(request.raw_input_contents[0])
    assert model_name(body) == name.encode()
    size = MODELS[name].answer_size
    row = bytes(range(size % 256)).ljust(size, b"x")
    response = request_id(body, name.encode()) + response_head(name, streamed=True) + row
    told = pb.ModelStreamInferResponse.FromString(streamed_response(response)).infer_response
    assert (told.model_name, told.id, told.raw_output_contents) == (name, "seven", [row])
    assert told.outputs[0].shape == [1, MODELS[name].outputs]
    assert told.parameters["triton_final_response"].bool_param
    plain = pb.ModelInferResponse.FromString(response_head(name, streamed=False) + row)
    assert (plain.model_name, plain.id, plain.raw_output_contents) == (name, "", [row])


def test_a_request_without_an_id_has_none_in_the_response():
    """The bare handler makes none up."""
    assert request_id(grpc_request("identity"), b"identity") == b""


def test_streamed_responses_of_any_size_are_framed():
    """The length before a response has as many bytes as it needs."""
    for size in (10, 127, 128, 5_000):
        response = pb.ModelInferResponse(id="x" * (size - 2 if size < 130 else size - 3)).SerializeToString()
        assert len(response) == size
        assert pb.ModelStreamInferResponse.FromString(streamed_response(response)).infer_response.id


@pytest.mark.parametrize(
    ("way", "flags"),
    [
        ("http", ["-i", "http"]),
        ("grpc", ["-i", "grpc"]),
        ("grpc-stream", ["-i", "grpc", "--streaming"]),
        ("http-shm", ["-i", "http", "--shared-memory", "system"]),
        ("grpc-shm", ["-i", "grpc", "--shared-memory", "system"]),
    ],
)
def test_perf_analyzer_is_told_the_way(way, flags, tmp_path):
    """Protocol, stream and shared memory are those that were asked for, and nothing else."""
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\n"
        "words = sys.argv[1:]\n"
        "known = {'-i', 'http', 'grpc', '--streaming', '--shared-memory', 'system'}\n"
        "sys.exit(' '.join(word for word in words if word in known))\n"
    )
    with pytest.raises(LoadError, match=f"failed: {' '.join(flags)}$"):
        PerfAnalyzer([sys.executable, str(program)]).run(WAYS[way], 1, "identity", 2, 0.1)


def test_a_side_serves_shared_memory_if_it_says_so(monkeypatch):
    """What a server tells of its extensions decides, and it is asked only where that matters."""
    told = {"extensions": ["binary_tensor_data", "system_shared_memory"]}
    server = mock.Mock(side_effect=lambda url: io.BytesIO(json.dumps(told).encode()))
    monkeypatch.setattr("urllib.request.urlopen", server)
    side = Side("any", {"http": 1, "grpc": 2}, mock.Mock())
    assert side.serves(WAYS["grpc-stream"])
    server.assert_not_called()
    assert side.serves(WAYS["grpc-shm"])
    told["extensions"].pop()
    assert not Side("any", {"http": 1, "grpc": 2}, mock.Mock()).serves(WAYS["http-shm"])
    assert (side.port(WAYS["grpc-shm"]), side.port(WAYS["http"])) == (2, 1)
