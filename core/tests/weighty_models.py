"""Models that say how much memory they take, and asking them."""

from __future__ import annotations

import queue
import threading
from typing import ClassVar

import numpy as np
from charonia.backend import ArrayExecution, Backend, LoadedModel
from charonia.hookspecs import hookimpl
from charonia.request import InferenceRequest

TENSORS = {
    "input": [{"name": "INPUT0", "data_type": "TYPE_FP32", "dims": [16]}],
    "output": [{"name": "OUTPUT0", "data_type": "TYPE_FP32", "dims": [16]}],
}
ROW = np.arange(16, dtype=np.float32)[None]


class Memory:
    """What the models of a test take together, and the gates at which loads and executions wait."""

    def __init__(self):
        self.lock = threading.Lock()
        self.taken = 0
        self.most = 0
        self.loads = []
        self.load_gate = None
        self.run_gates = {}
        self.entered = queue.SimpleQueue()
        self.broken = set()

    def take(self, byte_size):
        with self.lock:
            self.taken += byte_size
            self.most = max(self.most, self.taken)


class Echo(ArrayExecution):
    memory: ClassVar[Memory]

    def run(self, inputs):
        gate = self.memory.run_gates.get(self.context.model.name)
        if gate is not None:
            self.memory.entered.put(self.context.model.name)
            assert gate.wait(30)
        return {"OUTPUT0": inputs["INPUT0"]}


class Weighty(LoadedModel):
    """Takes as many bytes as its file says."""

    memory: ClassVar[Memory]

    def __init__(self, context):
        super().__init__(context)
        self._byte_size = int(context.model_path.read_text())
        self.memory.take(self._byte_size)

    def instantiate(self, context):
        return Echo(context)

    @property
    def host_byte_size(self):
        return self._byte_size

    def close(self):
        self.memory.take(-self._byte_size)


class WeightyBackend(Backend):
    default_model_filename = "model.txt"
    memory: ClassVar[Memory]

    def load(self, context):
        self.memory.loads.append(context.name)
        if context.name in self.memory.broken:
            raise ValueError("broken")
        if self.memory.load_gate is not None:
            self.memory.entered.put(context.name)
            assert self.memory.load_gate.wait(30)
        return Weighty(context)


class WeightyPlugin:
    @hookimpl
    def charonia_backends(self):
        return {"weighty": f"{__name__}:WeightyBackend"}


def ask(server, name):
    assert server.model(name).infer({"INPUT0": ROW})["OUTPUT0"].tolist() == ROW.tolist()


def send(server, name, **options):
    """Send a request without waiting for its answer; give it, and where the answer comes."""
    answers = queue.SimpleQueue()
    request = InferenceRequest(name, {"INPUT0": ROW}, answers.put, **options)
    server.submit(request)
    return request, answers


def resident(server):
    """The models that are in memory, by what the index says."""
    return {row.name for row in server.index() if row.host_byte_size}
