"""The endpoints of shared memory: register, unregister and status, for the system's memory and for that of GPUs."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

import orjson
from charonia.errors import InvalidArgumentError
from charonia.http_message import HttpResponse

from charonia_frontend_http.json_access import load_json, take_unsigned, wrong_type
from charonia_frontend_http.message import JSON

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from charonia.http_message import HttpRequest
    from charonia.shared_memory import SharedMemory

    from charonia_frontend_http.routes import Route

__all__ = ["SharedMemoryEndpoints"]

_HANDLE_SIZE = 64  # bytes of a cudaIpcMemHandle_t
_DONE = HttpResponse(200, b"", JSON)


class SharedMemoryEndpoints:
    """Answers requests about shared memory.

    Args:
        shared_memory: the server's regions.

    Attributes:
        by_name: the endpoints, by the names that the routes have for them.
    """

    def __init__(self, shared_memory: SharedMemory) -> None:
        self._memory = shared_memory
        self.by_name: Mapping[str, Callable[[Route, HttpRequest], HttpResponse]] = {
            "system_status": self._system_status,
            "system_register": self._system_register,
            "system_unregister": self._system_unregister,
            "cuda_status": self._cuda_status,
            "cuda_register": self._cuda_register,
            "cuda_unregister": self._cuda_unregister,
        }

    def _system_status(self, route: Route, request: HttpRequest) -> HttpResponse:
        regions = [
            {"name": region.name, "key": region.key, "offset": region.offset, "byte_size": region.byte_size}
            for region in self._memory.system_regions(route.region)
        ]
        return HttpResponse(200, orjson.dumps(regions), JSON)

    def _system_register(self, route: Route, request: HttpRequest) -> HttpResponse:
        self._memory.require_allowed()
        wanted = _wanted(route, request, "system")
        key = _string(_field(wanted, "key"))
        offset = take_unsigned(wanted.get("offset", 0), "")
        byte_size = take_unsigned(_field(wanted, "byte_size"), "")
        self._memory.register_system(route.region, key, offset, byte_size)
        return _DONE

    def _system_unregister(self, route: Route, request: HttpRequest) -> HttpResponse:
        self._memory.unregister_system(route.region)
        return _DONE

    def _cuda_status(self, route: Route, request: HttpRequest) -> HttpResponse:
        self._memory.require_cuda_region(route.region)
        return HttpResponse(200, b"[]", JSON)

    def _cuda_register(self, route: Route, request: HttpRequest) -> HttpResponse:
        self._memory.require_allowed()
        wanted = _wanted(route, request, "cuda")
        handle = _string(_member(_field(wanted, "raw_handle"), "b64"))
        take_unsigned(_member(wanted, "byte_size"), "")
        take_unsigned(_member(wanted, "device_id"), "")
        try:
            size = len(base64.b64decode(handle, validate=True))
        except (binascii.Error, ValueError):
            size = 0
        if size != _HANDLE_SIZE:
            raise InvalidArgumentError("'raw_handle' must be a valid base64 encoded cudaIpcMemHandle_t")
        self._memory.register_cuda(route.region)
        return _DONE

    def _cuda_unregister(self, route: Route, request: HttpRequest) -> HttpResponse:
        self._memory.require_allowed()  # and no more: there is nothing to unregister, which is no error
        return _DONE


def _wanted(route: Route, request: HttpRequest, kind: str) -> dict[str, Any]:
    """Read what is to be registered; as in the reference, what is no object has no fields."""
    if not route.region:
        raise InvalidArgumentError(f"'region name' is necessary to register {kind} shared memory region")
    document = load_json(request.body)
    return document if type(document) is dict else {}


def _field(wanted: dict[str, Any], name: str) -> Any:
    if name not in wanted:
        raise InvalidArgumentError(f"Shared memory register request has no '{name}' field")
    return wanted[name]


def _member(container: Any, name: str) -> Any:
    if type(container) is not dict or name not in container:
        raise InvalidArgumentError(f"attempt to access non-existing object member '{name}'")
    return container[name]


def _string(value: Any) -> str:
    if type(value) is not str:
        raise wrong_type("string")
    return value
