"""One model in every framework's form: equal answers over HTTP, over gRPC and in process, batched and not."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from charonia import Server
from charonia.serving import serve_in_thread

sys.path.insert(0, str(Path(__file__).parent))  # the folder is no package

from nets_in_onnx import write_onnx
from nets_in_pytorch import write_exported, write_torchscript
from nets_in_tensorflow import write_graph_def, write_saved_model
from small_nets import NETS

WAYS = {
    "onnx": write_onnx,
    "torchscript": write_torchscript,
    "exported": write_exported,
    "saved_model": write_saved_model,
    "graph_def": write_graph_def,
}
"""Each writes a net into a model's directory."""

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Serve every net in every form, and give the server and the addresses of its frontends by scheme."""
    repository = tmp_path_factory.mktemp("models")
    for net in NETS:
        for way, write in WAYS.items():
            write(net, repository / f"{net.name}_{way}")
    with Server(repository) as server, serve_in_thread(server, {"http-port": 0, "grpc-port": 0}) as urls:
        yield server, dict(url.split("://") for url in urls)


def in_process(server, _, model, x):
    """Ask in process."""
    return server.model(model).infer({"X": x})["Y"]


def over(kind, scheme):
    """Make a way to ask through an unmodified client."""

    def ask(_, addresses, model, x):
        tensor = kind.InferInput("X", list(x.shape), "FP32")
        tensor.set_data_from_numpy(x)
        with kind.InferenceServerClient(addresses[scheme]) as client:
            return client.infer(model, [tensor]).as_numpy("Y")

    return ask


ASKING = {
    "in process": in_process,
    "http": over(tritonclient.http, "http"),
    "grpc": over(tritonclient.grpc, "grpc"),
}


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("asking", ASKING)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("net", NETS, ids=lambda net: net.name)
def test_every_form_gives_the_same_answer(served, net, way, asking, batch):
    """Whatever framework runs a net, and however it is asked, the numbers are those that numpy computes."""
    x = np.random.default_rng(batch).normal(size=(batch, *net.input_shape)).astype(np.float32)
    answer = ASKING[asking](*served, f"{net.name}_{way}", x)
    np.testing.assert_allclose(answer, net.answer(x), rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.name)
def test_every_form_has_the_same_signature(served, net):
    """Clients cannot tell the forms apart by what the server says of them."""
    server, _ = served
    found = set()
    for way in WAYS:
        metadata = server.model_metadata(f"{net.name}_{way}")
        found.add(
            tuple((tensor.name, tensor.datatype, *tensor.shape) for tensor in (*metadata.inputs, *metadata.outputs))
        )
    assert found == {(("X", "FP32", -1, *net.input_shape), ("Y", "FP32", -1, net.outputs))}
