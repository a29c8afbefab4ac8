"""A model as the codec sees it, and both directions of its codec, as a client uses them."""

from __future__ import annotations

import json

from charonia import DataType
from charonia.request import InferenceResponse
from charonia.shared_memory import SharedMemory
from charonia.signature import Signature
from charonia.tensor import encode_bytes
from charonia_frontend_http.infer_request import decode_infer
from charonia_frontend_http.infer_response import ResponseEncoder
from charonia_frontend_http.known_requests import KnownRequests
from charonia_protos.model_config_pb2 import ModelConfig

LIMIT = 1 << 20


class FakeModel:
    """The facts of a model, which is all that the codec looks at."""

    def __init__(self, datatype=DataType.FP32, dims=(-1,), max_batch_size=0, inputs=("X",)):
        config = ModelConfig(name="m", max_batch_size=max_batch_size)
        for name in inputs:
            config.input.add(name=name, data_type=datatype.number, dims=dims)
        config.output.add(name="X", data_type=datatype.number, dims=dims)
        self.name, self.version, self.signature, self.labels = "m", 1, Signature(config), {}


def decode(model, body, header_length=None, *, limit=LIMIT, known=None):
    """Decode a body twice, as a model is asked that was asked the same before; both must tell the same."""
    if known is None:
        known = KnownRequests()
        decode(model, body, header_length, limit=limit, known=known)
    return decode_infer(model, None, body, header_length, limit, SharedMemory(allowed=False), lambda _: None, known)


def binary_body(arrays_by_name, *, outputs=None, **more):
    """Write a binary request as a client does."""
    inputs, tail = [], b""
    for name, array in arrays_by_name.items():
        datatype = DataType.of_dtype(array.dtype)
        data = encode_bytes(array) if datatype is DataType.BYTES else array.tobytes()
        inputs.append(
            {
                "name": name,
                "shape": list(array.shape),
                "datatype": datatype.name,
                "parameters": {"binary_data_size": len(data)},
            }
        )
        tail += data
    document = {"inputs": inputs, **more}
    if outputs is not None:
        document["outputs"] = outputs
    header = json.dumps(document).encode()
    return header + tail, str(len(header))


def respond(model, decoded, array):
    return ResponseEncoder(model).encode(decoded, InferenceResponse({"X": array}))


def read_response(response):
    """Read a response as a client does: the document, and the binary tail."""
    length = response.headers.get("Inference-Header-Content-Length")
    size = int(length) if length else len(response.body)
    return json.loads(response.body[:size]), response.body[size:]
