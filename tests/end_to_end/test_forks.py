"""What a model in the server's process forks, and the signals that it sends to it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

from charonia.testing.patience import PATIENCE_SECONDS

CONFIG = """
backend: "python"
input [ { name: "X" data_type: TYPE_INT32 dims: [ 1 ] } ]
output [ { name: "Y" data_type: TYPE_INT32 dims: [ 4 ] } ]
"""
MODEL = """
import os
import signal

import numpy as np
import triton_python_backend_utils as pb_utils


def ended_by(number):
    pid = os.fork()
    if pid == 0:
        while True:
            signal.pause()
    os.kill(pid, number)
    return os.WTERMSIG(os.waitpid(pid, 0)[1])


class TritonPythonModel:
    def initialize(self, args):
        self.earlier = [ended_by(signal.SIGTERM), ended_by(signal.SIGINT)]

    def execute(self, requests):
        numbers = self.earlier + [ended_by(signal.SIGTERM), ended_by(signal.SIGINT)]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", np.array(numbers, np.int32))]) for _ in requests]
"""


def test_signals_to_forks_are_not_the_servers(tmp_path):
    """A process that a model has forked is ended by the signals that would end the server, and the server goes on."""
    (tmp_path / "forks/1").mkdir(parents=True)
    (tmp_path / "forks/config.pbtxt").write_text(CONFIG)
    (tmp_path / "forks/1/model.py").write_text(MODEL)
    command = [str(Path(sys.executable).with_name("charonia")), "serve", "--http-port=0", "--grpc-port=0"]
    with subprocess.Popen([*command, f"--model-repository={tmp_path}"], stdout=subprocess.PIPE, text=True) as server:
        try:
            url = next(line.strip() for line in server.stdout if line.startswith("  http://"))
            asked = {"inputs": [{"name": "X", "datatype": "INT32", "shape": [1], "data": [1]}]}
            for _ in range(2):
                answer = urllib.request.urlopen(
                    f"{url}/v2/models/forks/infer", json.dumps(asked).encode(), timeout=PATIENCE_SECONDS
                )
                with answer:
                    (output,) = json.load(answer)["outputs"]
                assert output["data"] == 2 * [signal.SIGTERM, signal.SIGINT]
            server.terminate()
            server.communicate(timeout=PATIENCE_SECONDS)
        finally:
            server.kill()
    assert server.returncode == 0
