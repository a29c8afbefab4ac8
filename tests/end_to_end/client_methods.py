"""What each public method of an unmodified client must do against this server, written once for all four forms of the client."""

from __future__ import annotations

import asyncio
import base64
import inspect
import queue
import urllib.request
from contextlib import contextmanager
from multiprocessing import shared_memory

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

ROW = [4.0, 5.0, 6.0]
PATIENCE = 30


class Recorder:
    """A plugin of the client: sees each request before it is sent."""

    def __init__(self):
        self.seen = []

    def __call__(self, request):
        self.seen.append(request)


class Methods:
    """One case for each method, by its name. The client has a model `fp32`, and may load and unload `other`.

    Args:
        module: the client's module.
        client: the client.
        http_url: the server's HTTP address, for what has to be sent by hand.
    """

    def __init__(self, module, client, http_url):
        self.module = module
        self.client = client
        self.http_url = http_url
        self.grpc = "grpc" in module.__name__
        self.json = {"as_json": True} if self.grpc else {}

    async def ask(self, method, *words, **named):
        """Call a method of the client, and wait for its answer where it has to be waited for."""
        answer = getattr(self.client, method)(*words, **named)
        return await answer if inspect.isawaitable(answer) else answer

    def tensors(self):
        """Make the input and the wanted output of one row."""
        tensor = self.module.InferInput("X", [1, 3], "FP32")
        tensor.set_data_from_numpy(np.array([ROW], np.float32))
        return {"inputs": [tensor], "outputs": [self.module.InferRequestedOutput("Y")]}

    def check(self, result, name="7"):
        """Expect the row, and the id that was sent."""
        response = result.get_response()
        assert result.as_numpy("Y").tolist() == [ROW]
        assert (response.id if self.grpc else response["id"]) == name

    async def is_server_live(self):
        assert await self.ask("is_server_live") is True

    async def is_server_ready(self):
        assert await self.ask("is_server_ready") is True

    async def is_model_ready(self):
        assert await self.ask("is_model_ready", "fp32") is True
        assert await self.ask("is_model_ready", "fp32", "1") is True
        assert await self.ask("is_model_ready", "other") is False

    async def get_server_metadata(self):
        told = await self.ask("get_server_metadata", **self.json)
        assert told["name"] == "charonia"
        assert "statistics" in told["extensions"]

    async def get_model_metadata(self):
        told = await self.ask("get_model_metadata", "fp32", **self.json)
        assert (told["name"], told["versions"], told["inputs"][0]["datatype"]) == ("fp32", ["1"], "FP32")

    async def get_model_config(self):
        told = await self.ask("get_model_config", "fp32", **self.json)
        assert (told["config"] if self.grpc else told)["backend"] == "onnxruntime"

    async def get_model_repository_index(self):
        told = await self.ask("get_model_repository_index", **self.json)
        rows = {row["name"]: row.get("state") for row in (told["models"] if self.grpc else told)}
        assert set(rows) == {"fp32", "other"}
        assert rows["fp32"] == "READY"

    async def load_model(self):
        await self.ask("load_model", "other")
        assert await self.ask("is_model_ready", "other") is True
        await self.ask("unload_model", "other")
        with pytest.raises(InferenceServerException, match="absent"):
            await self.ask("load_model", "absent")

    async def unload_model(self):
        await self.ask("load_model", "other")
        await self.ask("unload_model", "other", unload_dependents=True)
        assert await self.ask("is_model_ready", "other") is False

    async def get_inference_statistics(self):
        await self.ask("infer", "fp32", **self.tensors())
        told = await self.ask("get_inference_statistics", "fp32", **self.json)
        (row,) = told["model_stats"]
        assert row["name"] == "fp32"
        assert int(row["inference_count"]) >= 1
        assert await self.ask("get_inference_statistics", **self.json)

    async def get_trace_settings(self):
        assert (await self._trace())["trace_level"] == ["OFF"]

    async def update_trace_settings(self):
        await self.ask("update_trace_settings", settings={"trace_rate": "77"})
        assert (await self._trace())["trace_rate"] in ("77", ["77"])
        await self.ask("update_trace_settings", settings={"trace_rate": None})

    async def _trace(self):
        told = await self.ask("get_trace_settings", **self.json)
        return {name: value["value"] for name, value in told["settings"].items()} if self.grpc else told

    async def get_log_settings(self):
        assert (await self._log())["log_info"] in (True, False)

    async def update_log_settings(self):
        before = (await self._log())["log_verbose_level"]
        await self.ask("update_log_settings", {"log_verbose_level": 1})
        assert (await self._log())["log_verbose_level"] == 1
        await self.ask("update_log_settings", {"log_verbose_level": before})

    async def _log(self):
        told = await self.ask("get_log_settings", **self.json)
        return {name: next(iter(value.values())) for name, value in told["settings"].items()} if self.grpc else told

    async def get_system_shared_memory_status(self):
        assert await self._regions("system") == set()

    async def register_system_shared_memory(self):
        with memory(64) as key:
            await self.ask("register_system_shared_memory", "region", key, 64)
            assert await self._regions("system") == {"region"}
            await self.ask("unregister_system_shared_memory", "region")

    async def unregister_system_shared_memory(self):
        await self.ask("unregister_system_shared_memory", "no such region")
        with memory(64) as key:
            await self.ask("register_system_shared_memory", "region", key, 64)
            await self.ask("unregister_system_shared_memory")
        assert await self._regions("system") == set()

    async def get_cuda_shared_memory_status(self):
        assert await self._regions("cuda") == set()

    async def register_cuda_shared_memory(self):
        await self.ask("register_cuda_shared_memory", "region", base64.b64encode(bytes(64)), 0, 64)

    async def unregister_cuda_shared_memory(self):
        await self.ask("unregister_cuda_shared_memory", "no such region")
        await self.ask("unregister_cuda_shared_memory")

    async def _regions(self, kind):
        told = await self.ask(f"get_{kind}_shared_memory_status", **self.json)
        return set(told.get("regions", {})) if self.grpc else {region["name"] for region in told}

    async def infer(self):
        self.check(await self.ask("infer", "fp32", **self.tensors(), request_id="7"))
        compression = (
            {"compression_algorithm": "gzip"}
            if self.grpc
            else {"request_compression_algorithm": "gzip", "response_compression_algorithm": "deflate"}
        )
        self.check(await self.ask("infer", "fp32", **self.tensors(), request_id="8", **compression), "8")
        with pytest.raises(InferenceServerException, match="absent"):
            await self.ask("infer", "absent", **self.tensors())

    async def async_infer(self):
        if not self.grpc:
            self.check(self.client.async_infer("fp32", **self.tensors(), request_id="7").get_result())
            return
        results = queue.SimpleQueue()
        put = lambda result, error: results.put((result, error))  # noqa: E731 - the client wants exactly these two names
        self.client.async_infer("fp32", callback=put, **self.tensors(), request_id="7")
        result, error = results.get(timeout=PATIENCE)
        assert error is None
        self.check(result)

    async def start_stream(self):
        results = queue.SimpleQueue()
        self.client.start_stream(lambda result, error: results.put((result, error)))
        self.client.async_stream_infer("fp32", **self.tensors(), request_id="7")
        self.client.async_stream_infer("absent", **self.tensors(), request_id="8")
        answers = [results.get(timeout=PATIENCE) for _ in range(2)]
        self.client.stop_stream()
        (result,) = [result for result, error in answers if error is None]
        (error,) = [error for _, error in answers if error is not None]
        self.check(result)
        assert "absent" in str(error)

    async_stream_infer = stop_stream = start_stream

    async def stream_infer(self):
        async def requests():
            for number in range(3):
                yield {"model_name": "fp32", **self.tensors(), "request_id": str(number)}

        async with asyncio.timeout(PATIENCE):
            answers = [answer async for answer in self.client.stream_infer(requests())]
        for number, (result, error) in enumerate(answers):
            assert error is None
            self.check(result, str(number))
        assert len(answers) == 3

    async def generate_request_body(self):
        body, header_length = self.client.generate_request_body(**self.tensors(), request_id="7")
        answer, length = post(f"{self.http_url}/v2/models/fp32/infer", body, header_length)
        self.check(self.client.parse_response_body(answer, header_length=length))

    parse_response_body = generate_request_body

    async def register_plugin(self):
        plugin = Recorder()
        self.client.register_plugin(plugin)
        assert self.client.plugin() is plugin
        await self.infer()
        self.client.unregister_plugin()
        seen = len(plugin.seen)
        await self.is_server_live()
        assert seen == len(plugin.seen) == 3

    unregister_plugin = plugin = register_plugin

    async def close(self):
        await self.is_server_live()
        await self.ask("close")


def post(url, body, header_length):
    """Send a request that the client has only written; gives the response's body and the length of its header."""
    request = urllib.request.Request(url, body, {"Inference-Header-Content-Length": str(header_length)})
    with urllib.request.urlopen(request) as response:
        return response.read(), int(response.headers["Inference-Header-Content-Length"])


@contextmanager
def memory(size):
    """Make a region of system shared memory; gives its key, and removes it at the end."""
    region = shared_memory.SharedMemory(create=True, size=size)
    try:
        yield f"/{region.name.lstrip('/')}"
    finally:
        region.close()
        region.unlink()
