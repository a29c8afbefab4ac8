"""The part of the OpenAPI document that is about the server: health, repository, shared memory and settings."""

from __future__ import annotations

from typing import Any

from charonia_frontend_http.model_operations import answered

__all__ = ["TAGS", "server_paths"]

TAGS = ("server", "repository", "shared memory", "settings")
"""The groups of these operations."""

_TEXT = {"type": "string"}
_MODEL_NAME = {"name": "model", "in": "path", "required": True, "schema": _TEXT, "description": "The model's name."}


def server_paths() -> dict[str, Any]:
    """Describe what can be asked of the server, by path."""
    return _server() | _repository() | _shared_memory() | _settings()


def _server() -> dict[str, Any]:
    server = {"tags": ["server"]}
    return {
        "/v2": {
            "get": {
                **server,
                "operationId": "server-metadata",
                "summary": "The server's name, version and extensions",
                "responses": answered("The metadata.", {"$ref": "#/components/schemas/ServerMetadata"}),
            }
        },
        "/v2/health/live": _health("live", "Whether the server has started"),
        "/v2/health/ready": _health("ready", "Whether the server and its models are ready"),
        "/v2/models/stats": {
            "get": {
                **server,
                "operationId": "server-stats",
                "summary": "The counters of all models",
                "responses": answered("The counters.", {"$ref": "#/components/schemas/Statistics"}),
            }
        },
    }


def _repository() -> dict[str, Any]:
    return {
        "/v2/repository/index": {
            "post": {
                "tags": ["repository"],
                "operationId": "repository-index",
                "summary": "The models of the repositories and their states",
                "requestBody": _body({"type": "object", "properties": {"ready": {"type": "boolean"}}}, {"ready": True}),
                "responses": answered("A row for each version.", {"$ref": "#/components/schemas/RepositoryIndex"}),
            }
        },
        "/v2/repository/models/{model}/load": _control("load", "Load a model, or load it anew"),
        "/v2/repository/models/{model}/unload": _control("unload", "Take a model out of service"),
    }


def _health(name: str, summary: str) -> dict[str, Any]:
    return {
        "get": {
            "tags": ["server"],
            "operationId": f"server-{name}",
            "summary": summary,
            "responses": {"200": {"description": "It is so."}, "400": {"description": "It is not so."}},
        }
    }


def _control(name: str, summary: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"parameters": {"type": "object"}}}
    return {
        "post": {
            "tags": ["repository"],
            "operationId": f"repository-{name}",
            "summary": summary,
            "description": "Only with `--model-control-mode=explicit`.",
            "parameters": [_MODEL_NAME],
            "requestBody": _body(schema, {}),
            "responses": answered("Done."),
        }
    }


def _shared_memory() -> dict[str, Any]:
    size = {"type": "integer", "minimum": 0}
    system = {
        "type": "object",
        "required": ["key", "byte_size"],
        "properties": {"key": _TEXT, "offset": size, "byte_size": size},
    }
    handle = {"type": "object", "required": ["b64"], "properties": {"b64": _TEXT}}
    cuda = {
        "type": "object",
        "required": ["raw_handle", "device_id", "byte_size"],
        "properties": {"raw_handle": handle, "device_id": size, "byte_size": size},
    }
    return _regions("system", system, {"key": "/name", "byte_size": 64}) | _regions("cuda", cuda, None)


def _regions(kind: str, schema: dict[str, Any], example: object) -> dict[str, Any]:
    told = {"tags": ["shared memory"], "description": "Only with `--allow-client-shm=true`."}
    base = f"/v2/{kind}sharedmemory"
    region = [{"name": "region", "in": "path", "required": True, "schema": _TEXT, "description": "The region's name."}]
    rows = answered("A row for each region.", {"type": "array", "items": {"type": "object"}})
    paths: dict[str, Any] = {}
    for place, parameters in ((base, []), (f"{base}/region/{{region}}", region)):
        key = f"{kind}-region" if parameters else kind
        named = {"parameters": parameters} if parameters else {}
        which = "a region" if parameters else "all regions"
        paths[f"{place}/status"] = {
            "get": {**told, **named, "operationId": f"{key}-status", "summary": f"Tell {which}", "responses": rows}
        }
        paths[f"{place}/unregister"] = {
            "post": {
                **told,
                **named,
                "operationId": f"{key}-unregister",
                "summary": f"Forget {which}",
                "responses": answered("Done."),
            }
        }
    paths[f"{base}/region/{{region}}/register"] = {
        "post": {
            **told,
            "parameters": region,
            "operationId": f"{kind}-region-register",
            "summary": "Let the server use a region",
            "requestBody": _body(schema, example, required=True),
            "responses": answered("Done."),
        }
    }
    return paths


def _settings() -> dict[str, Any]:
    return {
        "/v2/logging": _setting("log", "what is logged", {"log_info": True}, []),
        "/v2/trace/setting": _setting("trace", "what is traced", {"trace_rate": 1000}, []),
        "/v2/models/{model}/trace/setting": _setting(
            "model-trace", "what is traced of a model", {"trace_rate": 1000}, [_MODEL_NAME]
        ),
    }


def _setting(name: str, what: str, example: object, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    told: dict[str, Any] = {"tags": ["settings"], "responses": answered("All settings.", {"type": "object"})}
    if parameters:
        told["parameters"] = parameters
    return {
        "get": {**told, "operationId": f"{name}-get", "summary": f"Tell {what}"},
        "post": {
            **told,
            "operationId": f"{name}-set",
            "summary": f"Change {what}",
            "requestBody": _body({"type": "object"}, example, required=True),
        },
    }


def _body(schema: dict[str, Any], example: object, *, required: bool = False) -> dict[str, Any]:
    shown = {"schema": schema} if example is None else {"schema": schema, "example": example}
    return {"required": required, "content": {"application/json": shown}}
