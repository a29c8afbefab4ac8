"""One model in every framework's form: equal answers over HTTP, over gRPC and in process, batched and not."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from asking import WAYS_OF_ASKING, Served, addresses_of, frontends
from charonia import Server
from nets_in_onnx import write_onnx
from nets_in_pytorch import write_exported, write_torchscript
from nets_in_tensorflow import write_graph_def, write_saved_model
from small_nets import NETS

FORMS = {
    "onnx": (write_onnx, "onnxruntime"),
    "torchscript": (write_torchscript, "pytorch"),
    "exported": (write_exported, "pytorch"),
    "saved_model": (write_saved_model, "tensorflow"),
    "graph_def": (write_graph_def, "tensorflow"),
}
"""What writes a net into a model's directory, and the backend that serves it."""

TOLERANCE = 1e-5
TOGETHER = 4


def config(net, backend, *, batch, lead="", more=""):
    """Write a configuration in full; `lead` are the dims before those of the net's own."""
    return (
        f'backend: "{backend}" max_batch_size: {batch} {more} '
        f'input [ {{ name: "X" data_type: TYPE_FP32 dims: [ {lead} {", ".join(map(str, net.input_shape))} ] }} ] '
        f'output [ {{ name: "Y" data_type: TYPE_FP32 dims: [ {lead} {net.outputs} ] }} ]'
    )


WAIT_FOR_EACH_OTHER = (
    "instance_group { kind: KIND_CPU count: 1 } "
    f"dynamic_batching {{ preferred_batch_size: {TOGETHER} max_queue_delay_microseconds: 60000000 }}"
)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """Serve every net in every form: as its writer configures it, not batching, and merging requests into batches of four."""
    repository = tmp_path_factory.mktemp("models")
    for net in NETS:
        for form, (write, backend) in FORMS.items():
            name = f"{net.name}_{form}"
            write(net, repository / name)
            for kind, text in (
                ("plain", config(net, backend, batch=0, lead="-1,")),
                ("merging", config(net, backend, batch=TOGETHER, more=WAIT_FOR_EACH_OTHER)),
            ):
                write(net, repository / f"{name}_{kind}")
                (repository / f"{name}_{kind}" / "config.pbtxt").write_text(text)
    with Server(repository) as server, frontends(server) as urls:
        addresses = addresses_of(urls)
        # the server's clock starts with the first request that waits, and is to be the fixture's, not a test's
        ask_together(
            Served(server, "in process", addresses), f"{NETS[0].name}_onnx_merging", [sample(NETS[0], 1)] * TOGETHER
        )
        yield server, addresses


@pytest.fixture(params=WAYS_OF_ASKING)
def served(request, running):
    """Ask in each of the ways."""
    server, addresses = running
    return Served(server, request.param, addresses)


def sample(net, batch, seed=0):
    return np.random.default_rng(seed + batch).normal(size=(batch, *net.input_shape)).astype(np.float32)


def ask_together(served, model, samples):
    """Have each sample asked by a client of its own, all at once, and give the answers in their order."""
    with ThreadPoolExecutor(len(samples)) as clients:
        return list(clients.map(lambda x: served.ask(model, {"X": x}), samples))


def check(answer, net, x):
    np.testing.assert_allclose(answer["Y"], net.answer(x), rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("kind", ["", "_plain"], ids=["batching", "plain"])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("net", NETS, ids=lambda net: net.name)
def test_every_form_gives_the_same_answer(served, net, form, batch, kind):
    """Whatever framework runs a net, batching or not, and however it is asked, the numbers are those that numpy computes."""
    x = sample(net, batch)
    check(served.ask(f"{net.name}_{form}{kind}", {"X": x}), net, x)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("net", NETS, ids=lambda net: net.name)
def test_requests_that_are_merged_get_their_own_answers(served, net, form):
    """Four requests that become one execution are answered as if each had come alone."""
    model = f"{net.name}_{form}_merging"
    before = served.server.statistics(model)[0].counters.execution_count
    samples = [sample(net, 1, seed) for seed in range(TOGETHER)]
    answers = ask_together(served, model, samples)
    for x, answer in zip(samples, answers, strict=True):
        check(answer, net, x)
    assert served.server.statistics(model)[0].counters.execution_count - before == 1


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.name)
def test_every_form_has_the_same_signature(running, net):
    """Clients cannot tell the forms apart by what the server says of them."""
    server, _ = running
    found = set()
    for form in FORMS:
        metadata = server.model_metadata(f"{net.name}_{form}")
        found.add(
            tuple((tensor.name, tensor.datatype, *tensor.shape) for tensor in (*metadata.inputs, *metadata.outputs))
        )
    assert found == {(("X", "FP32", -1, *net.input_shape), ("Y", "FP32", -1, net.outputs))}
