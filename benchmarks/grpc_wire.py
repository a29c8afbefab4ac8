"""The messages of a request and of its response over gRPC, as perf_analyzer and the servers write them: tensors as raw bytes."""

from __future__ import annotations

from charonia_protos import grpc_service_pb2 as pb
from charonia_protos import model_config_pb2 as config_pb

from benchmarks.models import INPUT, MODELS, OUTPUT

__all__ = [
    "MODEL_INFER",
    "MODEL_STREAM_INFER",
    "SERVICE",
    "documents",
    "grpc_request",
    "model_name",
    "request_id",
    "response_head",
    "streamed_response",
]

SERVICE = "inference.GRPCInferenceService"
MODEL_INFER = f"/{SERVICE}/ModelInfer"
MODEL_STREAM_INFER = f"/{SERVICE}/ModelStreamInfer"
_ID = 0x1A  # how field 3 begins, a text, in requests and in responses
_INFER_RESPONSE = b"\x12"  # how field 2 begins, a message
_SEVEN_BITS = 0x7F


def grpc_request(name: str) -> bytes:
    """Write an infer request of one row; the row's bytes are its last."""
    model = MODELS[name]
    tensor = pb.ModelInferRequest.InferInputTensor(name=INPUT, datatype=model.datatype, shape=[1, model.inputs])
    wanted = pb.ModelInferRequest.InferRequestedOutputTensor(name=OUTPUT)
    return pb.ModelInferRequest(
        model_name=name, inputs=[tensor], outputs=[wanted], raw_input_contents=[model.row_bytes()]
    ).SerializeToString()


def response_head(name: str, *, streamed: bool) -> bytes:
    """Write what stands before the output's bytes in an inference's response, of a call or of a stream."""
    model = MODELS[name]
    tensor = pb.ModelInferResponse.InferOutputTensor(name=OUTPUT, datatype=model.datatype, shape=[1, model.outputs])
    size = model.answer_size
    response = pb.ModelInferResponse(
        model_name=name, model_version="1", outputs=[tensor], raw_output_contents=[bytes(size)]
    )
    if streamed:
        response.parameters["triton_final_response"].bool_param = True
    return response.SerializeToString()[:-size]


def model_name(body: bytes) -> bytes:
    """Read the first field of a request, which is the model's name in all of them."""
    return body[2 : 2 + body[1]]


def request_id(body: bytes, name: bytes) -> bytes:
    """Cut the id out of an infer request, as the field that it is in the response, too; empty if there is none.

    It follows the model's name, as perf_analyzer asks for no version.
    """
    start = 2 + len(name)
    return body[start : start + 2 + body[start + 1]] if body[start] == _ID else b""


def streamed_response(response: bytes) -> bytes:
    """Make an inference's response one of a stream."""
    rest = len(response)
    length = bytearray()
    while rest > _SEVEN_BITS:
        length.append(rest & _SEVEN_BITS | 0x80)
        rest >>= 7
    length.append(rest)
    return _INFER_RESPONSE + length + response


def documents(name: str) -> dict[str, bytes]:
    """Write, by the name of the call, what perf_analyzer asks a server about a model before it starts."""
    model = MODELS[name]
    metadata = pb.ModelMetadataResponse(name=name, versions=["1"], platform="bare")
    for tensors, tensor, width in (
        (metadata.inputs, INPUT, model.inputs),
        (metadata.outputs, OUTPUT, model.outputs),
    ):
        tensors.add(name=tensor, datatype=model.datatype, shape=[-1, width])
    config = config_pb.ModelConfig(name=name, backend="bare", max_batch_size=8)
    data_type = config_pb.DataType.Value(model.config_type)
    config.input.add(name=INPUT, data_type=data_type, dims=[model.inputs])
    config.output.add(name=OUTPUT, data_type=data_type, dims=[model.outputs])
    return {
        "ModelMetadata": metadata.SerializeToString(),
        "ModelConfig": pb.ModelConfigResponse(config=config).SerializeToString(),
    }
