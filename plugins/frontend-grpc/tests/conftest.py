"""A server in front of the backend without a framework, and ways to reach it with and without a transport."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import charonia_frontend_grpc
import charonia_transport_lean
import grpc
import numpy as np
import pytest
from charonia import Server, ServerOptions
from charonia.plugins import Plugins
from charonia.serving import serve_in_thread
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticPlugin
from charonia_frontend_grpc.application import SERVICE, GrpcApplication
from charonia_protos import grpc_service_pb2 as pb

MODELS = {
    "m": {},
    "slow": {"parameters": {"gate": "slow"}},
    "picky": {"parameters": {"fail_on": "7"}},
    "countdown": {"decoupled": True},
    "slowdown": {"decoupled": True, "parameters": {"gate": "slowdown"}},
    "picky_countdown": {"decoupled": True, "parameters": {"fail_on": "7"}},
}
"""All take and give rows of FP32, `m` and `slow` and `picky` what they get, and the decoupled ones as often as it says."""


@pytest.fixture
def model_repository(tmp_path):
    """Write the models."""
    for name, settings in MODELS.items():
        config = model_config(
            name, inputs=[("X", "FP32", [-1])], outputs=[("Y", "FP32", [-1])], instance_count=1, **settings
        )
        write_model(tmp_path, config)
    write_model(tmp_path, model_config("text", inputs=[("X", "BYTES", [-1])], outputs=[("Y", "BYTES", [-1])]))
    return tmp_path


@pytest.fixture(params=["standard", "lean"])
def transport(request):
    """Name the transport, for tests that need a network: they run over each."""
    return request.param


@pytest.fixture
def running(model_repository, request):
    """Give the server that `serve` and others put frontends before."""
    networked = "transport" in request.fixturenames
    options = ServerOptions(transport=request.getfixturevalue("transport") if networked else "standard")
    plugins = Plugins(entry_points=(), extra=[ArithmeticPlugin(), charonia_frontend_grpc, charonia_transport_lean])
    with Server(model_repository, options=options, plugins=plugins) as server:
        yield server


@pytest.fixture
def application(running):
    """Give an application on the test's loop."""

    async def make():
        return GrpcApplication(running, running.mailboxes.of(asyncio.get_running_loop()))

    return make


@pytest.fixture
def serve(transport, running):
    """Serve over gRPC with options of the frontend, and give host and port."""
    with ExitStack() as opened:

        def start(**options):
            settings = {name.replace("_", "-"): value for name, value in options.items()}
            (url,) = opened.enter_context(serve_in_thread(running, {"grpc-port": 0, **settings}))
            return url.partition("://")[2]

        yield start


@pytest.fixture
def channel(serve):
    """Connect to a server without options."""
    with grpc.insecure_channel(serve()) as opened:
        yield opened


@pytest.fixture
def infer_request():
    """Make the message of an infer request with one row."""

    def make(model="m", row=(1.0, 2.0), **fields):
        message = pb.ModelInferRequest(model_name=model, **fields)
        message.inputs.add(name="X", datatype="FP32", shape=[1, len(row)])
        message.raw_input_contents.append(np.array(row, np.float32).tobytes())
        return message

    return make


@pytest.fixture
def calls():
    """Give the callable of a call of the service on a channel, with messages in and out."""

    def of(channel, name):
        method = SERVICE.methods_by_name[name]
        kind = channel.stream_stream if method.client_streaming else channel.unary_unary
        return kind(
            f"/{SERVICE.full_name}/{name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=getattr(pb, method.output_type.name).FromString,
        )

    return of


@pytest.fixture
def rows_of():
    """Read the rows of FP32 in a response."""
    return lambda response: [np.frombuffer(raw, np.float32).tolist() for raw in response.raw_output_contents]
