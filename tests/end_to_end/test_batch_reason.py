"""A request that asks for it is told why its batch was closed, whatever the protocol and the scheduler."""

from __future__ import annotations

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from charonia import Server
from charonia.plugins import Plugins
from charonia.serving import serve_in_thread
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticPlugin

SCHEDULERS = {
    "unbatched": "",
    "full": "dynamic_batching { max_queue_delay_microseconds: 60000000 }",
    "queue_empty": "dynamic_batching { preserve_ordering: true preferred_batch_size: [ 4 ] }",
}
"""A section of the configuration for each reason that a lone request of batch size 2 has, where that is all that fits."""


@pytest.fixture(scope="module")
def addresses(tmp_path_factory):
    """Serve a model for each reason, and give the addresses for HTTP and gRPC."""
    repository = tmp_path_factory.mktemp("models")
    for reason, section in SCHEDULERS.items():
        config = model_config(reason, max_batch_size=4 if "preferred" in section else 2)
        directory = write_model(repository, config)
        with (directory / "config.pbtxt").open("a") as file:
            file.write(section)
    with (
        Server(repository, plugins=Plugins(extra=[ArithmeticPlugin()])) as server,
        serve_in_thread(server, {"http-port": 0, "grpc-port": 0}) as urls,
    ):
        yield {url.partition("://")[0]: url.partition("://")[2] for url in urls}


@pytest.fixture(autouse=True)
def _no_surviving_threads():
    """Let the server's threads go on after a test: they end with the module."""


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize("reason", SCHEDULERS)
def test_reason_is_told_to_whom_asks(addresses, protocol, reason):
    """The response has the parameter that the request has, with the reason for its value; and no other response has it."""
    library = {"http": tritonclient.http, "grpc": tritonclient.grpc}[protocol]
    tensor = library.InferInput("INPUT0", [2, 16], "FP32")
    tensor.set_data_from_numpy(np.zeros((2, 16), np.float32))
    with library.InferenceServerClient(addresses[protocol]) as client:
        asked = client.infer(reason, [tensor], parameters={"batch_reason": True})
        silent = client.infer(reason, [tensor])
    if protocol == "http":
        assert asked.get_response()["parameters"] == {"batch_reason": reason}
        assert "parameters" not in silent.get_response()
    else:
        assert asked.get_response().parameters["batch_reason"].string_param == reason
        assert not silent.get_response().parameters
