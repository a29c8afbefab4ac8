"""The bytes of a request and of its response, as perf_analyzer and the servers write them: tensors in binary."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from benchmarks.models import INPUT, OUTPUT

if TYPE_CHECKING:
    from benchmarks.models import BenchmarkModel

__all__ = ["documents", "http_request", "is_whole", "response_head"]

_HEADER_END = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length: "


def http_request(model: BenchmarkModel) -> bytes:
    """Write an infer request of one row, with its HTTP header."""
    row = model.row_bytes()
    head = _json(
        {
            "id": "",
            "inputs": [_tensor(INPUT, model.datatype, model.inputs, len(row))],
            "outputs": [{"name": OUTPUT, "parameters": {"binary_data": True}}],
        }
    )
    body = head + row
    return (
        f"POST /v2/models/{model.name}/infer HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/octet-stream\r\n"
        f"Inference-Header-Content-Length: {len(head)}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def is_whole(received: bytes | bytearray) -> bool:
    """Tell whether a response over HTTP/1.1 has come to its end, by the length that its header tells."""
    end = received.find(_HEADER_END)
    return end >= 0 and len(received) >= end + len(_HEADER_END) + _content_length(received[:end])


def _content_length(head: bytes | bytearray) -> int:
    lower = head.lower()
    start = lower.find(_LENGTH) + len(_LENGTH)
    if start < len(_LENGTH):
        return 0
    end = lower.find(b"\r\n", start)
    return int(lower[start : end if end >= 0 else len(lower)])


def response_head(model: BenchmarkModel) -> bytes:
    """Write what stands before the output's bytes in a response."""
    output = _tensor(OUTPUT, model.datatype, model.outputs, model.answer_size)
    return _json({"model_name": model.name, "model_version": "1", "outputs": [output]})


def documents(model: BenchmarkModel) -> dict[str, bytes]:
    """Write, by path, what perf_analyzer asks a server before it starts."""
    tensors = [
        (key, name, width) for key, name, width in (("input", INPUT, model.inputs), ("output", OUTPUT, model.outputs))
    ]
    metadata = {"name": model.name, "versions": ["1"], "platform": "bare"} | {
        f"{key}s": [{"name": name, "datatype": model.datatype, "shape": [-1, width]}] for key, name, width in tensors
    }
    config = {"name": model.name, "platform": "", "backend": "bare", "max_batch_size": 8, "instance_group": []} | {
        key: [{"name": name, "data_type": model.config_type, "dims": [width]}] for key, name, width in tensors
    }
    path = f"/v2/models/{model.name}"
    return {
        "/v2": _json({"name": "bare", "version": "1", "extensions": []}),
        "/v2/health/ready": b"",
        path: _json(metadata),
        f"{path}/config": _json(config),
    }


def _tensor(name: str, datatype: str, width: int, size: int) -> dict[str, object]:
    return {"name": name, "datatype": datatype, "shape": [1, width], "parameters": {"binary_data_size": size}}


def _json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
