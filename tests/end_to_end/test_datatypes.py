"""An unmodified client, the HTTP frontend and ONNX Runtime together: every datatype, in JSON and in binary."""

from __future__ import annotations

import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from charonia import DataType, Server
from charonia.serving import serve_in_thread
from tritonclient.utils import InferenceServerException

SENT = {
    "BOOL": np.array([[True, False, True]]),
    "BYTES": np.array([[b"trumpet", "Tritonshorn für dich".encode(), b""]], dtype=np.object_),
    "INT64": np.array([[2**53 + 1, -(2**62), 0]], dtype=np.int64),
    "UINT64": np.array([[2**64 - 1, 2**53 + 1, 0]], dtype=np.uint64),
}


def sample(datatype):
    return SENT[datatype] if datatype in SENT else np.array([[1, 2, 3]], dtype=DataType[datatype].dtype)


@pytest.fixture(scope="module")
def url(tmp_path_factory, save_identity):
    repository = tmp_path_factory.mktemp("models")
    for datatype in DataType:
        save_identity(repository, datatype.name.lower(), datatype.name)
    with Server(repository) as server, serve_in_thread(server, {"http-port": 0, "allow-grpc": False}) as urls:
        yield urls[0]


def wish(client, datatype, *, sent_binary, wanted_binary):
    """Make a client's input and output."""
    tensor = client.InferInput("X", [1, 3], datatype)
    tensor.set_data_from_numpy(sample(datatype), binary_data=sent_binary)
    return [tensor], [client.InferRequestedOutput("Y", binary_data=wanted_binary)]


FORMS = [
    pytest.param(
        datatype, sent, wanted, id=f"{datatype}-{'binary' if sent else 'JSON'}-{'binary' if wanted else 'JSON'}"
    )
    for datatype in DataType.__members__
    for sent in (False, True)
    for wanted in (False, True)
    if datatype not in {"FP16", "BF16"} or (sent and wanted)  # the protocol has no JSON form of these two
]


@pytest.mark.parametrize(("datatype", "sent", "wanted"), FORMS)
def test_blocking_client_gets_back_what_it_sent(url, datatype, sent, wanted):
    """Every datatype passes through client, server and model unchanged, whatever form it is sent and wanted in."""
    inputs, outputs = wish(triton, datatype, sent_binary=sent, wanted_binary=wanted)
    with triton.InferenceServerClient(url.removeprefix("http://")) as client:
        received = client.infer(datatype.lower(), inputs, outputs=outputs).as_numpy("Y")
    check(datatype, received, wanted)


@pytest.mark.parametrize(("datatype", "sent", "wanted"), FORMS)
async def test_asyncio_client_gets_back_what_it_sent(url, datatype, sent, wanted):
    """The same through the client's asyncio form."""
    inputs, outputs = wish(triton_aio, datatype, sent_binary=sent, wanted_binary=wanted)
    async with triton_aio.InferenceServerClient(url.removeprefix("http://")) as client:
        received = (await client.infer(datatype.lower(), inputs, outputs=outputs)).as_numpy("Y")
    check(datatype, received, wanted)


def check(datatype, received, wanted_binary):
    expected = sample(datatype).tolist()
    if datatype == "BYTES" and not wanted_binary:  # from JSON the client makes text
        expected = [[element.decode() for element in row] for row in expected]
    assert received.tolist() == expected


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
def test_half_precision_has_no_json_form(url, datatype):
    """Where a client wants one of the two half-precision datatypes in JSON, it is told to ask for binary."""
    inputs, outputs = wish(triton, datatype, sent_binary=True, wanted_binary=False)
    with (
        triton.InferenceServerClient(url.removeprefix("http://")) as client,
        pytest.raises(InferenceServerException, match=datatype),
    ):
        client.infer(datatype.lower(), inputs, outputs=outputs)
