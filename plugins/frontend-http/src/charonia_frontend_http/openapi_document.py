"""The OpenAPI 3.1 document of a server as it is now: the protocol's endpoints, and those of each model that serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from charonia_frontend_http.model_operations import model_paths, model_tag
from charonia_frontend_http.server_operations import TAGS, server_paths

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from charonia.metadata import ServerMetadata
    from charonia.model import Model

__all__ = ["openapi_document"]

_TEXT = {"type": "string"}
_TENSOR = {
    "type": "object",
    "required": ["name", "datatype", "shape"],
    "properties": {
        "name": _TEXT,
        "datatype": _TEXT,
        "shape": {"type": "array", "items": {"type": "integer"}, "description": "-1 is any size"},
    },
}
_ROW = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": _TEXT,
        "version": _TEXT,
        "state": {"enum": ["UNAVAILABLE", "LOADING", "READY", "UNLOADING"]},
        "reason": _TEXT,
        "host_byte_size": {"type": "integer", "description": "how many bytes of this machine's memory it takes"},
    },
}
_SCHEMAS = {
    "Error": {"type": "object", "required": ["error"], "properties": {"error": _TEXT}},
    "ServerMetadata": {
        "type": "object",
        "required": ["name", "version", "extensions"],
        "properties": {"name": _TEXT, "version": _TEXT, "extensions": {"type": "array", "items": _TEXT}},
    },
    "ModelMetadata": {
        "type": "object",
        "required": ["name", "versions", "platform", "inputs", "outputs"],
        "properties": {
            "name": _TEXT,
            "versions": {"type": "array", "items": _TEXT},
            "platform": _TEXT,
            "inputs": {"type": "array", "items": {"$ref": "#/components/schemas/Tensor"}},
            "outputs": {"type": "array", "items": {"$ref": "#/components/schemas/Tensor"}},
        },
    },
    "Tensor": _TENSOR,
    "RepositoryIndex": {"type": "array", "items": _ROW},
    "Statistics": {
        "type": "object",
        "required": ["model_stats"],
        "properties": {"model_stats": {"type": "array", "items": {"type": "object"}}},
    },
}
_ERROR = {
    "description": "What is wrong: 400 with the request, 404 with the name, 500 with the model; 503 means not now.",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
}


def openapi_document(metadata: ServerMetadata, served: Mapping[str, Sequence[Model]]) -> dict[str, Any]:
    """Write the document.

    Args:
        metadata: the server's name and version.
        served: the versions of each model, ascending. Paths without a version are those of the last one; where there are
            several, each has paths of its own, too.
    """
    paths = server_paths()
    tags = [{"name": tag} for tag in TAGS]
    for versions in served.values():
        paths |= model_paths(versions[-1], version=False)
        tags.append({"name": model_tag(versions[-1])})
        if len(versions) > 1:
            for model in versions:
                paths |= model_paths(model, version=True)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": metadata.name,
            "version": metadata.version,
            "description": "Inference in the KServe v2 protocol, and a plain front door (predict) beside it.",
        },
        "servers": [{"url": ".."}],
        "tags": tags,
        "paths": paths,
        "components": {"schemas": _SCHEMAS, "responses": {"Error": _ERROR}},
    }
