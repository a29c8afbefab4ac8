"""Models that generate token by token, in turns: many clients at once over both protocols, each with its own tokens."""

from __future__ import annotations

import http.client
import json
import queue
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from urllib.parse import urlsplit

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from charonia import Server
from charonia.serving import serve_in_thread

CLIENTS = 6
PATIENCE_SECONDS = 60.0

STREAMS = """
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            self.tell(request, len(requests))

    def tell(self, request, together):
        prompt, length, made, most = (
            pb_utils.get_input_tensor_by_name(request, name).as_numpy().item() for name in ("PROMPT", "LENGTH", "MADE", "MOST")
        )
        made += 1
        most = max(most, together)
        outputs = {
            "TOKEN": np.array([[f"{prompt.decode()}-{made}"]], np.object_),
            "TOGETHER": np.array([[together]], np.int32),
            "MADE": np.array([[made]], np.int32),
            "MOST": np.array([[most]], np.int32),
        }
        ends = made >= length and most >= WANTED
        flags = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL if ends else 0
        response = pb_utils.InferenceResponse([pb_utils.Tensor(name, array) for name, array in outputs.items()])
        request.get_response_sender().send(response, flags)
        if not ends:
            request.set_release_flags(pb_utils.TRITONSERVER_REQUEST_RELEASE_RESCHEDULE)
"""
ONCE = """
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        self.texts = {}

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        name = request.correlation_id()
        prompt, length = (pb_utils.get_input_tensor_by_name(request, n).as_numpy().item() for n in ("PROMPT", "LENGTH"))
        text = self.texts[name] = [*self.texts.get(name, []), f"{prompt.decode()}-{len(self.texts.get(name, [])) + 1}"]
        if len(text) < length:
            request.set_release_flags(pb_utils.TRITONSERVER_REQUEST_RELEASE_RESCHEDULE)
            return None
        tokens = np.array([[" ".join(self.texts.pop(name))]], np.object_)
        return pb_utils.InferenceResponse([pb_utils.Tensor("TOKEN", tokens)])
"""
CONFIG = """
backend: "python"
max_batch_size: 6
input [
  { name: "PROMPT" data_type: TYPE_STRING dims: [ 1 ] },
  { name: "LENGTH" data_type: TYPE_INT32 dims: [ 1 ] }
]
output [ { name: "TOKEN" data_type: TYPE_STRING dims: [ 1 ] } ]
sequence_batching { iterative_sequence: true oldest { max_candidate_sequences: %d } %s }
"""
TELLS = """
output [ { name: "TOGETHER" data_type: TYPE_INT32 dims: [ 1 ] } ]
model_transaction_policy { decoupled: true }
"""
STATES = " ".join(
    f'state {{ input_name: "{name}" output_name: "{name}" data_type: TYPE_INT32 dims: [ 1 ] }}'
    for name in ("MADE", "MOST")
)
GRAPH = """
platform: "ensemble"
max_batch_size: 6
input [ { name: "P" data_type: TYPE_STRING dims: [ 1 ] }, { name: "N" data_type: TYPE_INT32 dims: [ 1 ] } ]
output [ { name: "T" data_type: TYPE_STRING dims: [ 1 ] } ]
ensemble_scheduling { step {
  model_name: "once" model_version: -1
  input_map { key: "PROMPT" value: "P" } input_map { key: "LENGTH" value: "N" }
  output_map { key: "TOKEN" value: "T" }
} }
"""


@pytest.fixture
def served(tmp_path):
    """Serve the models; gives the server and its addresses by scheme."""
    models = {
        "together": (CONFIG % (CLIENTS, STATES) + TELLS, STREAMS.replace("WANTED", str(CLIENTS))),
        "one": (CONFIG % (1, STATES) + TELLS, STREAMS.replace("WANTED", "1")),
        "once": (CONFIG % (CLIENTS, ""), ONCE),
        "graph": (GRAPH, ""),
    }
    for name, (config, source) in models.items():
        (tmp_path / name / "1").mkdir(parents=True)
        (tmp_path / name / "config.pbtxt").write_text(config)
        if source:
            (tmp_path / name / "1" / "model.py").write_text(source)
    with (
        Server(tmp_path) as server,
        serve_in_thread(server, {"http-port": 0, "grpc-port": 0, "allow-metrics": False}) as urls,
    ):
        yield server, {urlsplit(url).scheme: urlsplit(url) for url in urls}


def read_events(url, model, prompt, length):
    """Ask for a stream of events, and give tokens, and how many requests were executed together."""
    body = json.dumps({"PROMPT": prompt, "LENGTH": length})
    with closing(http.client.HTTPConnection(url.hostname, url.port, timeout=PATIENCE_SECONDS)) as connection:
        connection.request("POST", f"/v2/models/{model}/generate_stream", body)
        with connection.getresponse() as response:
            assert response.status == 200
            while line := response.readline():
                if line.startswith(b"data:"):
                    event = json.loads(line.removeprefix(b"data:"))
                    yield event["TOKEN"], event["TOGETHER"]


def read_stream(url, model, prompt, length):
    """Ask over a gRPC stream, and give tokens, and how many requests were executed together."""
    responses = queue.SimpleQueue()
    with tritonclient.grpc.InferenceServerClient(url.netloc) as client:
        client.start_stream(lambda result, error: responses.put((result, error)))
        client.async_stream_infer(model, inputs(tritonclient.grpc, prompt, length), enable_empty_final_response=True)
        try:
            ended = False
            while not ended:
                result, error = responses.get(timeout=PATIENCE_SECONDS)
                assert error is None
                ended = result.get_response().parameters["triton_final_response"].bool_param
                yield result.as_numpy("TOKEN").item().decode(), result.as_numpy("TOGETHER").item()
        finally:
            client.stop_stream(cancel_requests=True)


def inputs(client, prompt, length, names=("PROMPT", "LENGTH")):
    """Make the inputs for one of the client libraries."""
    made = []
    for name, array in zip(names, (np.array([[prompt]], np.object_), np.array([[length]], np.int32)), strict=True):
        made.append(client.InferInput(name, [1, 1], "BYTES" if array.dtype == np.object_ else "INT32"))
        made[-1].set_data_from_numpy(array)
    return made


both = pytest.mark.parametrize(("scheme", "read"), [("http", read_events), ("grpc", read_stream)])


@both
def test_many_at_once(served, scheme, read):
    """Every client gets its own tokens in their order, whenever it came; and all are executed together while all go on."""
    _, urls = served

    def tokens(number):
        return list(read(urls[scheme], "together", f"p{number}", 20 * number))

    with ThreadPoolExecutor(CLIENTS) as clients:
        told = list(clients.map(tokens, range(CLIENTS)))
    for number, got in enumerate(told):
        assert len(got) >= 20 * number
        assert [token for token, _ in got] == [f"p{number}-{place}" for place in range(1, len(got) + 1)]
        assert max(together for _, together in got) == CLIENTS


@both
def test_a_client_that_goes_away(served, scheme, read):
    """What nobody reads any more ends, and another client has its place."""
    _, urls = served
    endless = read(urls[scheme], "one", "endless", 1_000_000_000)
    assert [next(endless)[0] for _ in range(3)] == ["endless-1", "endless-2", "endless-3"]
    with ThreadPoolExecutor(1) as other:
        waiting = other.submit(lambda: list(read(urls[scheme], "one", "short", 2)))
        assert next(endless)[0] == "endless-4"
        endless.close()
        assert [token for token, _ in waiting.result(PATIENCE_SECONDS)] == ["short-1", "short-2"]


@both
def test_unloading_waits_for_the_last_token(served, scheme, read):
    """A request in progress is written to its end, though the model is on its way out."""
    server, urls = served
    stream = read(urls[scheme], "one", "long", 300)
    assert next(stream)[0] == "long-1"
    with ThreadPoolExecutor(1) as other:
        unloaded = other.submit(server.unload, "one")
        assert [token for token, _ in stream] == [f"long-{place}" for place in range(2, 301)]
        unloaded.result(PATIENCE_SECONDS)
    assert not server.model_ready("one")


def test_one_answer(served):
    """A model with one answer for each request gives it over both protocols, and as a step of a graph."""
    _, urls = served
    with (
        closing(tritonclient.http.InferenceServerClient(urls["http"].netloc)) as http_client,
        tritonclient.grpc.InferenceServerClient(urls["grpc"].netloc) as grpc_client,
    ):
        by_http = http_client.infer("once", inputs(tritonclient.http, "h", 3))
        by_grpc = grpc_client.infer("once", inputs(tritonclient.grpc, "g", 2))
        by_graph = grpc_client.infer("graph", inputs(tritonclient.grpc, "s", 4, ("P", "N")))
        (told,) = http_client.get_inference_statistics("once")["model_stats"]
    assert by_http.as_numpy("TOKEN").item() == b"h-1 h-2 h-3"
    assert by_grpc.as_numpy("TOKEN").item() == b"g-1 g-2"
    assert by_graph.as_numpy("T").item() == b"s-1 s-2 s-3 s-4"
    assert (told["execution_count"], told["inference_count"]) == (9, 9)
    assert (told["inference_stats"]["success"]["count"], told["inference_stats"]["fail"]["count"]) == (3, 0)
