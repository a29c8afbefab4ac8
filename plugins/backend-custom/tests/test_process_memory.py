"""How much memory a Python model in processes of its own takes, and that it gives all of it back to those who need it."""

from __future__ import annotations

import numpy as np
import psutil
from models_apart import APART

MODEL = """\
class TritonPythonModel:
    def initialize(self, args):
        self.weights = np.ones(64 << 20, np.uint8)

    def execute(self, requests):
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", self.weights[:1].astype(np.int32))]) for _ in requests]
"""


def ask(server, name):
    assert server.model(name).infer({"X": np.array([3], np.int32)})["Y"].tolist() == [1]


def test_processes_are_counted(serve):
    """What each instance's process takes is told, and nothing once they are gone."""
    serve.write("m", MODEL, instance_count=2, **APART)
    server = serve.start()
    (row,) = server.index()
    assert row.host_byte_size > 128 << 20
    server.unload("m")
    assert server.index()[0].host_byte_size == 0


def test_processes_make_room_for_each_other(serve):
    """In a memory budget, the process of one model ends before that of another begins."""
    for name in "ab":
        serve.write(name, MODEL, instance_count=1, **APART)
    server = serve.start(memory_budget=200 << 20)
    for name in "aba":
        ask(server, name)
        there = {row.name for row in server.index() if row.host_byte_size}
        assert there == {name}
        assert sum(child.memory_info().rss > 64 << 20 for child in psutil.Process().children(recursive=True)) == 1
