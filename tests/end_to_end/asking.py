"""The ways to ask a model: in process, and through unmodified clients over HTTP and gRPC. Each gives the outputs by name."""

from __future__ import annotations

import tritonclient.grpc
import tritonclient.http
from charonia.serving import serve_in_thread
from tritonclient.utils import np_to_triton_dtype


class Served:
    """A running server, asked in one of the ways.

    Args:
        server: the server, started.
        way: one of `WAYS_OF_ASKING`.
        addresses: where its frontends listen, by scheme.
    """

    def __init__(self, server, way, addresses):
        self.server = server
        self._way = way
        self._addresses = addresses

    def ask(self, model, inputs):
        """Ask a model, with arrays by the names of its inputs."""
        if self._way == "in process":
            return dict(self.server.model(model).infer(inputs).outputs)
        kind = {"http": tritonclient.http, "grpc": tritonclient.grpc}[self._way]
        tensors = []
        for name, array in inputs.items():
            tensors.append(kind.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype)))
            tensors[-1].set_data_from_numpy(array)
        outputs = [tensor.name for tensor in self.server.model_metadata(model).outputs]
        with kind.InferenceServerClient(self._addresses[self._way]) as client:
            answer = client.infer(model, tensors)
            return {name: answer.as_numpy(name) for name in outputs}


WAYS_OF_ASKING = ("in process", "http", "grpc")


def frontends(server):
    """Serve HTTP and gRPC on free ports for the time of a `with` block, which gets a URL for each."""
    return serve_in_thread(server, {"http-port": 0, "grpc-port": 0})


def addresses_of(urls):
    """Give the address of each frontend by its scheme."""
    return dict(url.split("://") for url in urls)
