"""The models by which two servers are asked what `triton_python_backend_utils` does in them, and how the questions are asked.

The model "probe" runs Python code that comes as its input, with `request`, `pb_utils`, `model` and a few modules at hand, and
answers with `repr` of what the code has left in `out`, or with the type and text of what it raised. "probe_async" does so with the body
of a coroutine, which returns its answer. "echo" and "many" are there to be called.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request

_HEAD = """\
import asyncio, json, os, threading
import numpy as np
import triton_python_backend_utils as pb_utils


def told(error):
    return type(error).__name__ + ("" if isinstance(error, TypeError) else f": {error}")


def x_of(request):
    return pb_utils.get_input_tensor_by_name(request, "X").as_numpy()


def answer(text):
    return pb_utils.InferenceResponse([pb_utils.Tensor("TOLD", np.array([text], np.object_))])


class TritonPythonModel:
    def initialize(self, args):
        self.args = args
        self.kept = []
"""

_PROBE = """
    def execute(self, requests):
        return [answer(self.run(request)) for request in requests]

    def run(self, request):
        code = pb_utils.get_input_tensor_by_name(request, "CODE").as_numpy()[0].decode()
        names = {**globals(), "request": request, "model": self, "out": None}
        try:
            exec(code, names)
            return repr(names["out"])
        except Exception as error:
            return told(error)
"""

_PROBE_ASYNC = """
    async def execute(self, requests):
        return [answer(await self.run(request)) for request in requests]

    async def run(self, request):
        code = pb_utils.get_input_tensor_by_name(request, "CODE").as_numpy()[0].decode()
        names = {**globals(), "request": request, "model": self}
        try:
            exec("async def work():\\n" + "".join(f"    {line}\\n" for line in code.splitlines()), names)
            return repr(await names["work"]())
        except Exception as error:
            return told(error)
"""

_ECHO = """
    def execute(self, requests):
        return [self.echo(request) for request in requests]

    def echo(self, request):
        x = x_of(request)
        if x[0] < 0:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError("negative", pb_utils.TritonError.INVALID_ARG))
        if x[0] > 999:
            raise ValueError("large")
        told = [request.request_id(), request.correlation_id(), request.flags(), request.timeout(), request.parameters()]
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor("Y", 2 * x), pb_utils.Tensor("TOLD", np.array([repr(told)], np.object_))]
        )
"""

_MANY = """
    def execute(self, requests):
        for request in requests:
            sender, x = request.get_response_sender(), int(x_of(request)[0])
            for number in range(x):
                sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("Y", np.array([number], np.int32))]))
            if x < 0:
                sender.send(pb_utils.InferenceResponse(error=pb_utils.TritonError("negative")))
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""

_TOLD = '{ name: "TOLD" data_type: TYPE_STRING dims: [ 1 ] }'
_ASKED = f'input [ {{ name: "CODE" data_type: TYPE_STRING dims: [ 1 ] }} ]\noutput [ {_TOLD} ]\n'
_CALLED = 'input [ { name: "X" data_type: TYPE_INT32 dims: [ 1 ] } ]\noutput [ { name: "Y" data_type: TYPE_INT32 dims: [ 1 ] }'
_CONFIGS = {
    "probe": (_PROBE, _ASKED),
    "probe_async": (_PROBE_ASYNC, _ASKED),
    "echo": (_ECHO, f"{_CALLED}, {_TOLD} ]\n"),
    "many": (_MANY, f"{_CALLED} ]\nmodel_transaction_policy {{ decoupled: true }}\n"),
}


def write_models(repository, completions):
    """Write all models into a repository, and those whose `auto_complete_config` is asked about.

    Args:
        repository: its directory.
        completions: the name of each such model, the body of its method, and its configuration.
    """
    for name, (methods, config) in _CONFIGS.items():
        _write(repository / name, _HEAD + methods, config)
    for name, (body, config) in completions.items():
        source = "class TritonPythonModel:\n    @staticmethod\n    def auto_complete_config(config):\n"
        source += "".join(f"        {line}\n" for line in body.splitlines()) + "        return config\n"
        _write(repository / name, source + "    def execute(self, requests):\n        return []\n", config)


def _write(directory, source, config):
    (directory / "1").mkdir(parents=True)
    (directory / "1/model.py").write_text(source)
    (directory / "config.pbtxt").write_text(f'backend: "python"\n{config}')


def ask(address, model, code):
    """Have a model run code, and give what it tells; or the error of the request."""
    asked = {"inputs": [{"name": "CODE", "datatype": "BYTES", "shape": [1], "data": [code]}]}
    asked |= {"id": "an id", "parameters": {"p": 1}}
    try:
        return _call(address, f"/v2/models/{model}/infer", asked)["outputs"][0]["data"][0]
    except urllib.error.HTTPError as error:
        return f"HTTP {error.code} {json.loads(error.read())['error']}"


def completed(address, model):
    """Tell how a configuration was completed, or why the model does not serve, without the places in files."""
    try:
        config = _call(address, f"/v2/models/{model}/config")
    except urllib.error.HTTPError:
        (row,) = [row for row in _call(address, "/v2/repository/index", {}) if row["name"] == model]
        return row["reason"].partition("\n\nAt:")[0]
    keys = ("max_batch_size", "dynamic_batching", "model_transaction_policy")
    tensors = {
        kind: [[tensor["name"], tensor["data_type"], tensor["dims"]] for tensor in config[kind]]
        for kind in ("input", "output")
    }
    return json.dumps(tensors | {key: config[key] for key in keys if key in config}, sort_keys=True)


def _call(address, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{address}{path}", data, timeout=30) as answer:
        return json.load(answer)
