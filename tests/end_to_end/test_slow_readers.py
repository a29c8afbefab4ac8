"""Clients that read slowly what a model makes fast: the model waits for them, over both protocols, and only theirs."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from urllib.parse import urlsplit

import grpc
import numpy as np
import pytest
from charonia import Server
from charonia.serving import serve_in_thread
from charonia_protos import grpc_service_pb2 as pb

RESPONSES = 400
BYTES = 200_000
AHEAD = 200
"""More responses than may be unread, with those that lie in the buffers of sockets and clients; without a bound it is all of them."""

MODEL = f"""
import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            count = pb.get_input_tensor_by_name(request, "COUNT").as_numpy()
            made = np.zeros({BYTES}, np.uint8)
            for number in range({RESPONSES}):
                count[0] = number + 1
                sender.send(pb.InferenceResponse([pb.Tensor("MADE", made)]))
            sender.send(flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""
CONFIG = """
backend: "python"
input [ { name: "COUNT" data_type: TYPE_INT64 dims: [ 1 ] } ]
output [ { name: "MADE" data_type: TYPE_UINT8 dims: [ -1 ] } ]
model_transaction_policy { decoupled: true }
"""


@pytest.fixture
def served(tmp_path):
    """Serve a model that makes many large responses; gives the server and its URLs by scheme."""
    (tmp_path / "talker" / "1").mkdir(parents=True)
    (tmp_path / "talker" / "1" / "model.py").write_text(MODEL)
    (tmp_path / "talker" / "config.pbtxt").write_text(CONFIG)
    with (
        Server(tmp_path) as server,
        serve_in_thread(server, {"http-port": 0, "grpc-port": 0, "allow-metrics": False}) as urls,
    ):
        yield server, {urlsplit(url).scheme: urlsplit(url) for url in urls}


def watch_requests(server, monkeypatch):
    """Keep what the requests of the model tell about how far it is, by their input, which the model writes to."""
    counts = []
    submit = type(server).submit

    def watched(self, request):
        count = request.inputs["COUNT"].copy()
        request.inputs = {"COUNT": count}
        counts.append(count)
        submit(self, request)

    monkeypatch.setattr(type(server), "submit", watched)
    return counts


def read_events(url):
    """Ask for the responses as events, and give them one by one as they are read."""
    body = json.dumps({"inputs": [{"name": "COUNT", "shape": [1], "datatype": "INT64", "data": [0]}]})
    with closing(http.client.HTTPConnection(url.hostname, url.port, timeout=60)) as connection:
        connection.request("POST", "/v2/models/talker/infer", body, {"Accept": "text/event-stream"})
        with connection.getresponse() as response:
            assert response.status == 200
            while line := response.readline():
                if line.startswith(b"data:"):
                    yield line


def read_stream(url):
    """Ask over a gRPC stream, and give the responses one by one as they are read."""
    options = [
        ("grpc.max_receive_message_length", -1),
        ("grpc.http2.bdp_probe", 0),
    ]  # else the client's own buffers grow
    with grpc.insecure_channel(url.netloc, options) as channel:
        stream = channel.stream_stream(
            "/inference.GRPCInferenceService/ModelStreamInfer",
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=pb.ModelStreamInferResponse.FromString,
        )
        request = pb.ModelInferRequest(model_name="talker", raw_input_contents=[np.zeros(1, np.int64).tobytes()])
        request.inputs.add(name="COUNT", datatype="INT64", shape=[1])
        yield from stream(iter([request]))


@pytest.mark.parametrize(("scheme", "read"), [("http", read_events), ("grpc", read_stream)])
def test_model_waits_for_a_slow_reader(served, monkeypatch, scheme, read):
    """However slowly a client reads, no more than some responses are made ahead of it, and none is lost."""
    server, urls = served
    counts = watch_requests(server, monkeypatch)
    received = 0
    for _ in read(urls[scheme]):
        received += 1
        assert counts[0][0] - received < AHEAD
    assert received == RESPONSES


@pytest.mark.parametrize(("scheme", "read"), [("http", read_events), ("grpc", read_stream)])
def test_client_that_leaves_frees_the_model(served, monkeypatch, scheme, read):
    """A model that waits for a reader who has gone goes on with the next request."""
    server, urls = served
    watch_requests(server, monkeypatch)
    reader = read(urls[scheme])
    next(reader)
    reader.close()
    assert sum(1 for _ in read(urls[scheme])) == RESPONSES
