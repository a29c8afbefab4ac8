"""The calls of the model repository: index, load and unload."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from charonia.errors import InvalidArgumentError, UnsupportedError
from charonia_protos import grpc_service_pb2 as pb

from charonia_frontend_grpc.documents import index_message

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charonia.server import Server

__all__ = ["RepositoryCalls"]


class RepositoryCalls:
    """Answers the calls of the model repository.

    Args:
        server: the server that has the models.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    async def index(self, message: pb.RepositoryIndexRequest) -> pb.RepositoryIndexResponse:
        """List the models of the repositories and their states."""
        _refuse_name(message.repository_name)
        return index_message(await asyncio.to_thread(self._server.index, ready=message.ready))

    async def load(self, message: pb.RepositoryModelLoadRequest) -> pb.RepositoryModelLoadResponse:
        """Load a model, and answer when it serves or has failed to."""
        _refuse_name(message.repository_name)
        _check_load_parameters(message.parameters)
        self._server.require_explicit_control()
        await asyncio.to_thread(self._server.load, message.model_name)
        return pb.RepositoryModelLoadResponse()

    async def unload(self, message: pb.RepositoryModelUnloadRequest) -> pb.RepositoryModelUnloadResponse:
        """Take a model out of service; what it has accepted is finished after the answer."""
        _refuse_name(message.repository_name)
        for name, parameter in message.parameters.items():
            if name == "unload_dependents" and parameter.WhichOneof("parameter_choice") != "bool_param":
                raise InvalidArgumentError(f"invalid value type for '{name}' parameter, expected bool_param.")
        self._server.require_explicit_control()
        await asyncio.to_thread(self._server.unload, message.model_name)
        return pb.RepositoryModelUnloadResponse()


def _refuse_name(repository: str) -> None:
    if repository:
        raise UnsupportedError("'repository_name' specification is not supported")


def _check_load_parameters(parameters: Mapping[str, pb.ModelRepositoryParameter]) -> None:
    for name, parameter in parameters.items():
        kind = "bytes_param" if name.startswith("file:") else "string_param" if name == "config" else ""
        if not kind:
            raise InvalidArgumentError(f"unrecognized load parameter '{name}'.")
        if parameter.WhichOneof("parameter_choice") != kind:
            raise InvalidArgumentError(f"invalid value type for load parameter '{name}', expected {kind}.")
    for name in parameters:
        raise UnsupportedError(f"the load parameter '{name}' is not supported yet: change the files of the repository")
