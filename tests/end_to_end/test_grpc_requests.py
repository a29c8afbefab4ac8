"""The unmodified client, the gRPC frontend and ONNX Runtime together: every datatype, beside HTTP on the same loop."""

from __future__ import annotations

import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.http as triton_http
from charonia import DataType, Server
from charonia.serving import serve_in_thread

SENT = {
    "BOOL": np.array([[True, False, True]]),
    "BYTES": np.array([[b"trumpet", "Tritonshorn für dich".encode(), b""]], dtype=np.object_),
    "INT64": np.array([[2**53 + 1, -(2**62), 0]], dtype=np.int64),
    "UINT64": np.array([[2**64 - 1, 2**53 + 1, 0]], dtype=np.uint64),
}


@pytest.fixture(scope="module")
def addresses(tmp_path_factory, save_identity):
    """Serve a model of each datatype on both frontends, and give their addresses by scheme."""
    repository = tmp_path_factory.mktemp("models")
    for datatype in DataType:
        save_identity(repository, datatype.name.lower(), datatype.name)
    with Server(repository) as server, serve_in_thread(server, {"http-port": 0, "grpc-port": 0}) as urls:
        yield dict(url.split("://") for url in urls)


def wish(kind, datatype):
    """Make a client's input."""
    array = SENT.get(datatype, np.array([[1, 2, 3]], dtype=DataType[datatype].dtype))
    tensor = kind.InferInput("X", [1, 3], datatype)
    tensor.set_data_from_numpy(array)
    return array, [tensor]


@pytest.mark.parametrize("datatype", DataType.__members__)
def test_client_gets_back_what_it_sent(addresses, datatype):
    """Every datatype passes through client, server and model unchanged."""
    array, inputs = wish(triton, datatype)
    with triton.InferenceServerClient(addresses["grpc"]) as client:
        answer = client.infer(datatype.lower(), inputs)
    assert answer.as_numpy("Y").tolist() == array.tolist()


def test_both_frontends_serve_the_same_models(addresses):
    """What one protocol counts, the other one tells."""
    with (
        triton.InferenceServerClient(addresses["grpc"]) as over_grpc,
        triton_http.InferenceServerClient(addresses["http"]) as over_http,
    ):
        before = over_grpc.get_inference_statistics("fp32").model_stats[0].inference_count
        over_http.infer("fp32", wish(triton_http, "FP32")[1])
        over_grpc.infer("fp32", wish(triton, "FP32")[1])
        assert over_grpc.get_inference_statistics("fp32").model_stats[0].inference_count == before + 2
        assert over_grpc.get_model_metadata("fp32", as_json=True)["inputs"][0]["name"] == "X"
        assert over_http.get_model_metadata("fp32")["inputs"][0]["name"] == "X"
