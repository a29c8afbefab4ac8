"""Loads over gRPC that bring a configuration, or files."""

from __future__ import annotations

import asyncio
import json

import pytest
from charonia import Server, ServerOptions
from charonia.errors import InferenceError
from charonia.plugins import Plugins
from charonia.rpc import settled
from charonia.testing.fakes import ArithmeticPlugin
from charonia_frontend_grpc.application import GrpcApplication
from charonia_protos import grpc_service_pb2 as pb

CONFIG = json.dumps(
    {
        "backend": "arithmetic",
        "input": [{"name": "X", "data_type": "TYPE_FP32", "dims": [1]}],
        "output": [{"name": "Z", "data_type": "TYPE_FP32", "dims": [1]}],
    }
)


@pytest.fixture
async def server(model_repository):
    """Serve a repository of which clients choose the models."""
    options = ServerOptions(model_control_mode="explicit")
    plugins = Plugins(entry_points=(), extra=[ArithmeticPlugin()])
    with Server(model_repository, options=options, plugins=plugins) as server:
        yield server


@pytest.fixture
def call(server):
    """Load or unload a model with parameters, each given as (kind, value)."""

    async def send(verb, name, **parameters):
        message = getattr(pb, f"RepositoryModel{verb}Request")(model_name=name)
        for key, (kind, value) in parameters.items():
            setattr(message.parameters[key], kind, value)
        application = GrpcApplication(server, server.mailboxes.of(asyncio.get_running_loop()))
        await settled(application.call(f"RepositoryModel{verb}", message.SerializeToString()))

    return send


async def test_load_can_bring_a_configuration_and_files(server, call):
    """Both hold until the unload."""
    files = {"file:3/model.json": ("bytes_param", b'{"addend": 100}')}
    await call("Load", "fresh", config=("string_param", CONFIG), **files)
    assert (await server.model("fresh", 3).infer_async({"X": [7.0]}))["Z"].tolist() == [107.0]
    await call("Unload", "fresh", unload_dependents=("bool_param", True))
    with pytest.raises(InferenceError, match="failed to load 'fresh', failed to poll from model repository"):
        await call("Load", "fresh")


@pytest.mark.parametrize(
    ("name", "parameters", "code", "text"),
    [
        ("m", {"foo": ("string_param", "x")}, "INVALID_ARG", "unrecognized load parameter 'foo'."),
        (
            "m",
            {"config": ("int64_param", 1)},
            "INVALID_ARG",
            "invalid value type for load parameter 'config', expected string_param.",
        ),
        (
            "m",
            {"file:1/x": ("string_param", "x")},
            "INVALID_ARG",
            "invalid value type for load parameter 'file:1/x', expected bytes_param.",
        ),
        (
            "m",
            {"config": ("string_param", "{")},
            "INTERNAL",
            "failed to load 'm', failed to poll from model repository",
        ),
        (
            "m",
            {"file:1/x": ("bytes_param", b"")},
            "INTERNAL",
            "failed to load 'm', failed to poll from model repository",
        ),
        (
            "m",
            {"config": ("string_param", "{}"), "file:/x": ("bytes_param", b"")},
            "INVALID_ARG",
            "Invalid file parameter 'file:/x': ",
        ),
        ("", {}, "INVALID_ARG", "Model name cannot be empty. Please enter a valid name to deploy."),
        (
            "../m",
            {"config": ("string_param", CONFIG), "file:1/x": ("bytes_param", b"")},
            "INVALID_ARG",
            "invalid model name '../m', model name must not contain path traversal characters",
        ),
    ],
)
async def test_wrong_loads_are_refused(server, call, name, parameters, code, text):
    """The status and the first words are the reference's, where it has some; what served goes on serving."""
    await call("Load", "m")
    with pytest.raises(InferenceError) as caught:
        await call("Load", name, **parameters)
    assert (caught.value.code.name, str(caught.value)[: len(text)]) == (code, text)
    assert server.can_serve("m")


async def test_wrong_unloads_are_refused(call):
    """Whether dependents go, too, is a truth value."""
    with pytest.raises(InferenceError) as caught:
        await call("Unload", "m", unload_dependents=("int64_param", 1))
    assert str(caught.value) == "invalid value type for 'unload_dependents' parameter, expected bool_param."
