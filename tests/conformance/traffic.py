"""Requests of every kind that is counted in a way of its own, and the models that they ask beside those of the recordings."""

from __future__ import annotations

import http.client
import json
import queue
import re
from itertools import chain

import numpy as np
import pytest
from charonia.testing.patience import PATIENCE_SECONDS, wait_until
from tritonclient import grpc

SERVED = ("add_sub", "batched", "cached", "ens", "fail", "held", "many", "sequence")
"""The models that are asked."""

STATUSES = [200, 200, 400, 200, 200, 200, 200, 500, 200]
"""What the requests over HTTP end with."""

_TENSORS = """
input [ { name: "X" data_type: TYPE_FP32 dims: [ 1 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 1 ] } ]
"""
_CONTROLS = """
sequence_batching {
  max_sequence_idle_microseconds: 60000000
  control_input [
    { name: "START" control [ { kind: CONTROL_SEQUENCE_START fp32_false_true: [ 0, 1 ] } ] },
    { name: "READY" control [ { kind: CONTROL_SEQUENCE_READY fp32_false_true: [ 0, 1 ] } ] }
  ]
}
"""
_CONFIGS = {
    "batched": "max_batch_size: 4 dynamic_batching { max_queue_delay_microseconds: 60000000 }",
    "held": "max_batch_size: 4 dynamic_batching { default_queue_policy { max_queue_size: 1 } }",
    "many": "max_batch_size: 0 model_transaction_policy { decoupled: true }",
    "sequence": f"max_batch_size: 4 {_CONTROLS}",
}
_ANSWERS = """
import os
import threading

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            array = pb_utils.get_input_tensor_by_name(request, "X").as_numpy()
            HOLD
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("Y", array)]))
        return responses
"""
_HOLD = """
            open(ENTERED, "w").close()
            pause = threading.Event()
            while not os.path.exists(OPEN):
                pause.wait(0.01)
"""
_MANY = """
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            array = pb_utils.get_input_tensor_by_name(request, "X").as_numpy()
            sender = request.get_response_sender()
            for _ in range(int(array[0])):
                sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("Y", array)]))
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""


def write_models(repository):
    """Write the models that the recordings have not. Those that hold a request talk with `Traffic` by files of the repository."""
    for name, config in _CONFIGS.items():
        (repository / name / "1").mkdir(parents=True)
        (repository / name / "config.pbtxt").write_text(f'backend: "python"\n{config}\n{_TENSORS}')
        hold = ""
        if name == "held":
            hold = _HOLD.replace("ENTERED", repr(str(repository / "entered")))
            hold = hold.replace("OPEN", repr(str(repository / "open")))
        source = _MANY if name == "many" else _ANSWERS.replace("            HOLD\n", hold)
        (repository / name / "1" / "model.py").write_text(source)


def ask(port, path, document=None):
    """Give the status and the body of an answer over HTTP; a document is posted."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    connection.request("POST" if document else "GET", path, json.dumps(document) if document else None)
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response.status, body


def _tensor(name, datatype, values):
    return {"name": name, "datatype": datatype, "shape": [len(values), len(values[0])], "data": [*chain(*values)]}


def send_over_http(port):
    """Send requests that go well, that are merged by the client, that fail, that are cached, and that an ensemble answers."""
    statuses = []
    for model, inputs in (
        ("add_sub", [_tensor(name, "FP32", [[1, 2, 3, 4]]) for name in ("INPUT0", "INPUT1")]),
        ("add_sub", [_tensor(name, "FP32", [[1, 2, 3, 4]] * 3) for name in ("INPUT0", "INPUT1")]),
        ("add_sub", [_tensor("INPUT0", "FP32", [[1, 2, 3, 4]])]),  # refused: an input is missing
        ("ens", [_tensor(name, "FP32", [[1, 2, 3, 4]] * 2) for name in ("A", "B")]),
        ("cached", [_tensor("X", "FP32", [[1, 2]])]),
        ("cached", [_tensor("X", "FP32", [[1, 2]])]),
        ("cached", [_tensor("X", "FP32", [[3, 4]])]),
        ("fail", [{"name": "MODE", "datatype": "INT32", "shape": [1], "data": [9]}]),  # raises
        ("fail", [{"name": "MODE", "datatype": "INT32", "shape": [1], "data": [10]}]),
    ):
        statuses.append(ask(port, f"/v2/models/{model}/infer", {"inputs": inputs})[0])
    return statuses


def _input(value, *, batched=True):
    array = np.full((1, 1) if batched else (1,), value, np.float32)
    tensor = grpc.InferInput("X", list(array.shape), "FP32")
    tensor.set_data_from_numpy(array)
    return [tensor]


class GrpcTraffic:
    """Sends over gRPC what HTTP cannot, or only in one connection for each request.

    Args:
        port: where the server speaks gRPC.
        metrics_port: where its metrics are.
        repository: where the models lie that hold requests.
    """

    def __init__(self, port, metrics_port, repository):
        self._client = grpc.InferenceServerClient(f"127.0.0.1:{port}")
        self._metrics_port = metrics_port
        self._repository = repository

    def send(self):
        """Send all, one kind after the other."""
        with self._client:
            self._fill_a_batch()
            for value, flags in ((1, {"sequence_start": True}), (2, {}), (3, {"sequence_end": True})):
                self._client.infer("sequence", _input(value), sequence_id=7, **flags)
            self._stream()
            self._cancel_and_overflow()

    def _fill_a_batch(self):
        """Send as many as a batch takes: it waits for all of them."""
        answers = queue.SimpleQueue()
        for value in range(4):
            self._client.async_infer("batched", _input(value), lambda result, error: answers.put(error))
        assert [answers.get(timeout=PATIENCE_SECONDS) for _ in range(4)] == [None] * 4

    def _stream(self):
        """Send a request that gets three responses, and one that gets none."""
        answers = queue.SimpleQueue()
        self._client.start_stream(lambda result, error: answers.put((result, error)))
        for count in (3, 0):
            self._client.async_stream_infer("many", _input(count, batched=False), enable_empty_final_response=True)
        told = [answers.get(timeout=PATIENCE_SECONDS) for _ in range(3 + 1 + 1)]
        self._client.stop_stream()
        assert [error for _, error in told] == [None] * len(told)

    def _cancel_and_overflow(self):
        """While one request is held, take back one that waits, after another was refused since one waits already."""
        entered, opened = self._repository / "entered", self._repository / "open"
        answers = queue.SimpleQueue()
        self._client.async_infer("held", _input(1), lambda result, error: answers.put(error))
        wait_until(entered.exists)
        waiting = self._client.async_infer("held", _input(2), lambda result, error: None)
        wait_until(lambda: self._told("nv_inference_pending_request_count") == 1)
        with pytest.raises(grpc.InferenceServerException, match="Exceeds maximum queue size"):
            self._client.infer("held", _input(3))
        waiting.cancel()
        assert self._client.is_server_live()  # behind the cancellation, on the same connection
        opened.touch()
        assert answers.get(timeout=PATIENCE_SECONDS) is None
        wait_until(lambda: self._told("nv_inference_pending_request_count") == 0)
        entered.unlink()
        opened.unlink()

    def _told(self, name):
        page = ask(self._metrics_port, "/metrics")[1]
        return int(re.search(rf'^{name}\{{model="held",version="1"\}} (\d+)$', page, re.MULTILINE)[1])
