"""The calls of the model repository: index, load and unload."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from charonia.errors import InvalidArgumentError, UnsupportedError
from charonia.overrides import FILE_PREFIX
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
        config, files = _load_parameters(message.parameters)
        self._server.require_explicit_control()
        await asyncio.to_thread(self._server.load, message.model_name, config=config, files=files)
        return pb.RepositoryModelLoadResponse()

    async def unload(self, message: pb.RepositoryModelUnloadRequest) -> pb.RepositoryModelUnloadResponse:
        """Take a model out of service; what it has accepted is finished after the answer."""
        _refuse_name(message.repository_name)
        dependents = False
        for name, parameter in message.parameters.items():
            if name == "unload_dependents":
                if parameter.WhichOneof("parameter_choice") != "bool_param":
                    raise InvalidArgumentError(f"invalid value type for '{name}' parameter, expected bool_param.")
                dependents = parameter.bool_param
        self._server.require_explicit_control()
        await asyncio.to_thread(self._server.unload, message.model_name, unload_dependents=dependents)
        return pb.RepositoryModelUnloadResponse()


def _refuse_name(repository: str) -> None:
    if repository:
        raise UnsupportedError("'repository_name' specification is not supported")


def _load_parameters(
    parameters: Mapping[str, pb.ModelRepositoryParameter],
) -> tuple[str | None, dict[str, bytes]]:
    """Read what is to be loaded instead of what lies in the repository: a configuration, and files by their paths."""
    config: str | None = None
    files: dict[str, bytes] = {}
    for name, parameter in parameters.items():
        kind = "bytes_param" if name.startswith(FILE_PREFIX) else "string_param" if name == "config" else ""
        if not kind:
            raise InvalidArgumentError(f"unrecognized load parameter '{name}'.")
        if parameter.WhichOneof("parameter_choice") != kind:
            raise InvalidArgumentError(f"invalid value type for load parameter '{name}', expected {kind}.")
        if name == "config":
            config = parameter.string_param
        else:
            files[name.removeprefix(FILE_PREFIX)] = parameter.bytes_param
    return config, files
