"""What a request was is gone when it is answered: nothing of it waits for the garbage to be collected, with all its tensors."""

from __future__ import annotations

import asyncio
import gc
import logging
import queue
from collections import Counter
from contextlib import ExitStack, suppress

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from asking import addresses_of, frontends
from charonia import InferenceError, Server, ServerOptions
from soak_models import STREAMS, write_models
from tritonclient.utils import InferenceServerException

TIMES = 30
MODELS = ("net", "script", "cached", "merged_net", "chain", "chain_of_chains")
SEQUENCES = ("totals", "states")
ROW = np.ones((1, 3), np.float32)
FAILS = """
class TritonPythonModel:
    def execute(self, requests):
        raise ValueError("no answer")
"""
TENSORS = """backend: "python"
max_batch_size: 8
input [ { name: "X" data_type: TYPE_FP32 dims: [ 3 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 3 ] } ]
"""


@pytest.fixture(params=["lean", "standard"])
def served(request, tmp_path):
    """Serve nets, scripts, graphs of them, sequences and streams; give the server, and a client for each protocol."""
    write_models(tmp_path)
    (tmp_path / "fails" / "1").mkdir(parents=True)
    (tmp_path / "fails" / "config.pbtxt").write_text(TENSORS)
    (tmp_path / "fails" / "1" / "model.py").write_text(FAILS)
    with ExitStack() as opened:
        server = opened.enter_context(Server(tmp_path, options=ServerOptions(transport=request.param)))
        addresses = addresses_of(opened.enter_context(frontends(server)))
        http = opened.enter_context(tritonclient.http.InferenceServerClient(addresses["http"]))
        grpc = opened.enter_context(tritonclient.grpc.InferenceServerClient(addresses["grpc"]))
        yield server, http, grpc


def inputs(kind, row=ROW):
    """Make the input of a request, in the form of a client."""
    tensor = kind.InferInput("X", list(row.shape), "FP32")
    tensor.set_data_from_numpy(row)
    return [tensor]


@pytest.fixture
def left(monkeypatch):
    """Ask many times, and count what is left of that, by kind, among the objects of this project."""
    # pytest keeps what is logged, and with it the errors that are told of
    monkeypatch.setattr(logging.root.manager, "disable", logging.CRITICAL)

    def of(ask):
        for _ in range(5):  # what is made once is made now
            ask()
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            for _ in range(TIMES):
                ask()
            gc.collect()
            kinds = Counter(f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.garbage)
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
        # a thread may be about to let the last ones go
        return {kind: n for kind, n in kinds.items() if kind.startswith("charonia") and n > TIMES // 5}

    return of


def test_of_requests(served, left):
    """In process, over HTTP, and over gRPC."""
    server, http, grpc = served
    for model in MODELS:
        assert left(lambda model=model: server.model(model).infer({"X": ROW})) == {}
        assert left(lambda model=model: http.infer(model, inputs(tritonclient.http))) == {}
        assert left(lambda model=model: grpc.infer(model, inputs(tritonclient.grpc))) == {}


@pytest.mark.parametrize(("model", "row"), [("fails", ROW), ("net", ROW[:, :2])])
def test_of_failures(model, row, served, left):
    """Where the model fails, and where the request does not fit: an error leads to where it was raised, and to the tensors there."""
    server, http, grpc = served

    def ask(how):
        with suppress(InferenceError, InferenceServerException):
            how()
            pytest.fail("the request was answered")

    async def ask_from_a_coroutine():
        with suppress(
            InferenceError
        ):  # within: `asyncio.run` itself keeps what a coroutine raises until garbage is collected
            await server.model(model).infer_async({"X": row})
            pytest.fail("the request was answered")

    assert left(lambda: ask(lambda: server.model(model).infer({"X": row}))) == {}
    assert left(lambda: asyncio.run(ask_from_a_coroutine())) == {}
    assert left(lambda: ask(lambda: list(server.model(model).stream({"X": row})))) == {}
    assert left(lambda: ask(lambda: http.infer(model, inputs(tritonclient.http, row)))) == {}
    assert left(lambda: ask(lambda: grpc.infer(model, inputs(tritonclient.grpc, row)))) == {}


def test_of_sequences(served, left):
    """Each of two steps."""
    _, _, grpc = served

    def ask(model):
        grpc.infer(model, inputs(tritonclient.grpc), sequence_id=7, sequence_start=True)
        grpc.infer(model, inputs(tritonclient.grpc), sequence_id=7, sequence_end=True)

    for model in SEQUENCES:
        assert left(lambda model=model: ask(model)) == {}


@pytest.mark.parametrize("model", STREAMS)
def test_of_streams(model, served, left):
    """Requests with several responses, in one stream: of one execution, and of several."""
    _, _, grpc = served
    told = queue.Queue()
    grpc.start_stream(lambda result, error: told.put((result, error)))

    def ask():
        grpc.async_stream_infer(model, inputs(tritonclient.grpc), enable_empty_final_response=True)
        while True:
            result, error = told.get(timeout=60)
            assert error is None
            if result.get_response().parameters["triton_final_response"].bool_param:
                return

    assert left(ask) == {}
    grpc.stop_stream()
