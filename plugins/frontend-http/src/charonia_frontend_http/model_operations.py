"""The part of the OpenAPI document that is about one model: its paths, with schemas of its own inputs and outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from charonia_frontend_http.event_stream import EVENT_STREAM
from charonia_frontend_http.media_type import FORM, NPY
from charonia_frontend_http.message import BINARY, JSON
from charonia_frontend_http.tensor_schema import (
    flat_tensor,
    flat_tensor_example,
    generate_example,
    generate_value,
    nested_tensor,
    nested_tensor_example,
    written_shape,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from charonia.model import Model
    from charonia.signature import Signature, TensorSpec

__all__ = ["answered", "model_paths", "model_tag"]

_TEXT = {"type": "string"}
_LABELS = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}


def answered(description: str, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    """Describe the responses of an operation: the good one, with JSON of a schema or empty, and every error."""
    good: dict[str, Any] = {"description": description}
    if schema is not None:
        good["content"] = {JSON: {"schema": schema}}
    return {"200": good, "default": {"$ref": "#/components/responses/Error"}}


def model_tag(model: Model) -> str:
    """Name the group of a model's operations."""
    return f"model {model.name}"


def model_paths(model: Model, *, version: bool) -> dict[str, Any]:
    """Describe what can be asked of a model, by path.

    Args:
        model: the version whose signature is told.
        version: whether the paths name the version.
    """
    base = f"/v2/models/{quote(model.name, safe='')}"
    key = model.name
    if version:
        base += f"/versions/{model.version}"
        key += f"-{model.version}"
    told = {"tags": [model_tag(model)]}
    paths: dict[str, Any] = {
        base: {"get": {**told, "operationId": f"metadata-{key}", "summary": "The model's inputs and outputs"}},
        f"{base}/ready": {"get": {**told, "operationId": f"ready-{key}", "summary": "Whether the model is ready"}},
        f"{base}/config": {"get": {**told, "operationId": f"config-{key}", "summary": "The model's configuration"}},
        f"{base}/stats": {"get": {**told, "operationId": f"stats-{key}", "summary": "The model's counters"}},
    }
    paths[base]["get"]["responses"] = answered("The metadata.", {"$ref": "#/components/schemas/ModelMetadata"})
    paths[f"{base}/ready"]["get"]["responses"] = answered("It is ready.")
    paths[f"{base}/config"]["get"]["responses"] = answered("The configuration, complete.", {"type": "object"})
    paths[f"{base}/stats"]["get"]["responses"] = answered("The counters.", {"$ref": "#/components/schemas/Statistics"})
    asked: dict[str, Any] = {f"{base}/infer": {"post": {**told, "operationId": f"infer-{key}", **_infer(model)}}}
    if not model.decoupled:  # a request with any number of responses has no place in these two
        asked = {
            f"{base}/predict": {"post": {**told, "operationId": f"predict-{key}", **_predict(model)}},
            **asked,
            f"{base}/generate": {"post": {**told, "operationId": f"generate-{key}", **_generate(model, stream=False)}},
        }
    stream = {**told, "operationId": f"generate-stream-{key}", **_generate(model, stream=True)}
    return {**asked, f"{base}/generate_stream": {"post": stream}, **paths}


def _predict(model: Model) -> dict[str, Any]:
    signature = model.signature
    inputs, outputs = list(signature.inputs.values()), list(signature.outputs.values())
    shown: dict[str, Any] = {
        "schema": {
            "type": "object",
            "properties": {spec.name: nested_tensor(spec, signature) for spec in inputs},
            "required": _required(inputs),
            "additionalProperties": False,
        }
    }
    example = nested_tensor_example(spec for spec in inputs if not spec.optional)
    if example is not None:
        shown["example"] = example
    parts = {spec.name: {"description": f"{written_shape(spec)}: JSON, .npy, or raw text"} for spec in inputs}
    content: dict[str, Any] = {JSON: shown}
    if len(inputs) == 1 or len(_required(inputs)) == 1:
        content[NPY] = {"schema": {"contentMediaType": NPY}}
    content[FORM] = {"schema": {"type": "object", "properties": parts, "required": _required(inputs)}}
    responses = answered(
        "The outputs by name.",
        {"type": "object", "properties": {spec.name: nested_tensor(spec, signature) for spec in outputs}},
    )
    responses["200"]["content"][NPY] = {"schema": {"contentMediaType": NPY}}
    return {
        "summary": "Ask the model: values in, values out",
        "description": f"Takes {_told(inputs)}. Gives {_told(outputs)}.",
        "parameters": [
            {
                "name": "outputs",
                "in": "query",
                "description": "The outputs wanted, with commas between them; all if not said.",
                "schema": {"type": "string"},
            }
        ],
        "requestBody": {"required": True, "content": content},
        "responses": responses,
    }


def _infer(model: Model) -> dict[str, Any]:
    signature = model.signature
    shown: dict[str, Any] = {"schema": _infer_request(signature)}
    inputs = flat_tensor_example(spec for spec in signature.inputs.values() if not spec.optional)
    if inputs is not None:
        shown["example"] = {"inputs": inputs}
    responses = answered("The outputs.", _infer_response(model))
    if model.decoupled:
        responses["200"] = _events("An event for each response, as a client gets them that accepts text/event-stream.")
    else:
        responses["200"]["content"][BINARY] = {"schema": {"contentMediaType": BINARY}}
    return {
        "summary": "Ask the model in the KServe v2 protocol",
        "description": "A body may be JSON followed by the binary data of tensors: `Inference-Header-Content-Length` says how "
        "many bytes of it are JSON.",
        "parameters": [
            {
                "name": "Inference-Header-Content-Length",
                "in": "header",
                "description": "The length of the JSON in bytes, where binary data follows it.",
                "schema": {"type": "integer", "minimum": 0},
            }
        ],
        "requestBody": {
            "required": True,
            "content": {JSON: shown, BINARY: {"schema": {"contentMediaType": BINARY}}},
        },
        "responses": responses,
    }


def _generate(model: Model, *, stream: bool) -> dict[str, Any]:
    inputs, outputs = model.signature.inputs.values(), model.signature.outputs.values()
    shown: dict[str, Any] = {
        "schema": {
            "type": "object",
            "properties": {"id": {"type": "string"}, **{spec.name: generate_value(spec) for spec in inputs}},
            "required": [spec.name for spec in inputs if not spec.optional],
        }
    }
    example = generate_example(spec for spec in inputs if not spec.optional)
    if example is not None:
        shown["example"] = example
    schema = {"type": "object", "properties": {spec.name: generate_value(spec) for spec in outputs}}
    responses = answered("The outputs by name, with the model's name and version.", schema)
    if stream:
        responses["200"] = _events("An event for each response.")
    return {
        "summary": "Get each response as a server-sent event" if stream else "Ask the model with a plain object",
        "description": "Members that are no inputs are parameters for the model.",
        "requestBody": {"required": True, "content": {JSON: shown}},
        "responses": responses,
    }


def _events(description: str) -> dict[str, Any]:
    return {"description": description, "content": {EVENT_STREAM: {"schema": _TEXT}}}


def _infer_request(signature: Signature) -> dict[str, Any]:
    inputs = list(signature.inputs.values())
    output = {
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"enum": list(signature.outputs)}, "parameters": {"type": "object"}},
    }
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string", "description": "the caller's own name of the request"},
            "parameters": _LABELS,
            "inputs": {**_tensors(inputs, signature), "minItems": len(_required(inputs)), "maxItems": len(inputs)},
            "outputs": {"type": "array", "items": output, "description": "the outputs wanted; all if not said"},
        },
    }


def _infer_response(model: Model) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["model_name", "model_version", "outputs"],
        "properties": {
            "id": {"type": "string"},
            "model_name": {"const": model.name},
            "model_version": {"const": str(model.version)},
            "parameters": _LABELS,
            "outputs": _tensors(list(model.signature.outputs.values()), model.signature),
        },
    }


def _tensors(specs: Collection[TensorSpec], signature: Signature) -> dict[str, Any]:
    return {"type": "array", "items": {"oneOf": [flat_tensor(spec, signature) for spec in specs]} if specs else {}}


def _required(specs: Collection[TensorSpec]) -> list[str]:
    return [spec.name for spec in specs if not spec.optional]


def _told(specs: Collection[TensorSpec]) -> str:
    return ", ".join(f"`{spec.name}` ({written_shape(spec)})" for spec in specs) or "nothing"
