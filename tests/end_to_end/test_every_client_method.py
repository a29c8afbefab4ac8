"""Every public method of the unmodified client, in all of its four forms, against a server that serves both protocols."""

from __future__ import annotations

import inspect
from contextlib import nullcontext

import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
from charonia import Server, ServerOptions
from charonia.serving import serve_in_thread
from client_methods import Methods
from tritonclient.utils import InferenceServerException

MODULES = (tritonclient.http, tritonclient.http.aio, tritonclient.grpc, tritonclient.grpc.aio)

REFUSED = {
    "register_cuda_shared_memory": "failed to register CUDA shared memory region: 'region', GPUs not supported",
}
"""The methods that are answered with an error, because what they ask for cannot be on this machine."""


def public_methods(module):
    """Find what a form of the client offers, so that a method that a later release adds is not forgotten."""
    return [name for name, _ in inspect.getmembers(module.InferenceServerClient, callable) if not name.startswith("_")]


@pytest.fixture(scope="module")
def urls(tmp_path_factory, save_identity):
    """Serve one model that is loaded and one that is not; gives the address of each protocol."""
    repository = tmp_path_factory.mktemp("models")
    save_identity(repository, "fp32")
    save_identity(repository, "other")
    options = ServerOptions(model_control_mode="explicit", load_model=["fp32"], allow_client_shm=True)
    with (
        Server(repository, options=options) as server,
        serve_in_thread(server, {"http-port": 0, "grpc-port": 0}) as urls,
    ):
        yield {url.partition("://")[0]: url for url in urls}


@pytest.mark.parametrize(
    ("module", "method"),
    [
        pytest.param(module, name, id=f"{module.__name__.removeprefix('tritonclient.')}-{name}")
        for module in MODULES
        for name in public_methods(module)
    ],
)
async def test_a_method_of_the_client_does_what_it_is_for(urls, module, method):
    """The server answers as the client expects, or with the error that the table of refusals has for the method."""
    assert hasattr(Methods, method), f"the client has a method {method} for which there is no case yet"
    protocol = "grpc" if "grpc" in module.__name__ else "http"
    client = module.InferenceServerClient(urls[protocol].partition("://")[2])
    methods = Methods(module, client, urls["http"])
    try:
        refused = REFUSED.get(method)
        expected = pytest.raises(InferenceServerException, match=refused) if refused else nullcontext()
        with expected:
            await getattr(methods, method)()
    finally:
        await methods.ask("close")
