"""The local cache behind a server: the counts that clients see, and texts that come back whole."""

from __future__ import annotations

import numpy as np
import tritonclient.grpc
import tritonclient.http
from charonia import ServerOptions
from charonia.plugins import Plugins
from charonia.serving import serve_in_thread
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticPlugin


def cached(name, datatype):
    config = model_config(name, inputs=[("X", datatype, [2])], outputs=[("Y", datatype, [2])])
    config.response_cache.enable = True
    return config


def test_hits_and_misses_are_counted_over_both_protocols(server, model_repository):
    """Two clients of different protocols share what is kept, texts too, and both are told the same counts."""
    write_model(model_repository, cached("numbers", "FP32"))
    write_model(model_repository, cached("texts", "BYTES"))
    running = server(
        model_repository,
        options=ServerOptions(cache_config={"local": {"size": "100000"}}),
        plugins=Plugins(extra=[ArithmeticPlugin()]),
    )
    with serve_in_thread(running, {"http-port": 0, "grpc-port": 0}) as urls:
        (http_url,) = [url for url in urls if url.startswith("http")]
        (grpc_url,) = [url for url in urls if not url.startswith("http")]
        by_http = tritonclient.http.InferenceServerClient(http_url.removeprefix("http://"))
        by_grpc = tritonclient.grpc.InferenceServerClient(grpc_url.removeprefix("grpc://"))
        with by_http, by_grpc:
            for name, values in (
                ("numbers", np.array([[1, 2]], np.float32)),
                ("texts", np.array([[b"\x00a", "ö".encode()]], dtype=np.object_)),
            ):
                for client, kit in ((by_http, tritonclient.http), (by_grpc, tritonclient.grpc)) * 2:
                    datatype = "BYTES" if values.dtype == np.object_ else "FP32"
                    tensor = kit.InferInput("X", [1, 2], datatype)
                    tensor.set_data_from_numpy(values)
                    assert client.infer(name, [tensor]).as_numpy("Y").tolist() == values.tolist()
                (told,) = by_http.get_inference_statistics(name)["model_stats"]
                (counted,) = by_grpc.get_inference_statistics(name).model_stats
                assert told["inference_stats"]["cache_miss"]["count"] == counted.inference_stats.cache_miss.count == 1
                assert told["inference_stats"]["cache_hit"]["count"] == counted.inference_stats.cache_hit.count == 3
                assert told["inference_count"] == counted.inference_count == 1
                assert told["inference_stats"]["success"]["count"] == counted.inference_stats.success.count == 4
