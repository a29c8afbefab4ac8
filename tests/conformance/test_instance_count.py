"""Another number of instances beside the reference: both make those that are missing, end those that are too many, and no other."""

from __future__ import annotations

import sys
import threading

import pytest
from charonia import Server, ServerOptions
from charonia.serving import serve_in_thread
from lifecycle_side import PATIENCE_TRIES, PAUSE_SECONDS, Side, reference_beside

MODEL = """
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def note(self, what):
        with open({log!r}, "a") as file:
            file.write(what)

    def initialize(self, args):
        self.note("+")

    def execute(self, requests):
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", np.full([1], 7, np.int32))]) for _ in requests]

    def finalize(self):
        self.note("-")
"""
STEPS = [
    ("instance_group [ { kind: KIND_CPU count: 3 } ]", 3, 0),
    ("instance_group [ { kind: KIND_CPU count: 2 } ]", 3, 1),
    ('instance_group [ { name: "other" kind: KIND_CPU count: 2 } ]', 3, 1),
    ("instance_group [ { kind: KIND_CPU count: 1 }, { kind: KIND_CPU count: 2 } ]", 4, 1),
    ("instance_group [ { kind: KIND_CPU count: 1 } ]", 4, 3),
]
"""What the configuration says after each step, and how many instances have been made and ended by then."""


class Counted(Side):
    """A side whose model writes down when an instance of it is made, and when one ends."""

    def __init__(self, root):
        super().__init__(root)
        self.log = root / "log"
        self.replaced = 0
        folder = self.models / "a" / "1"
        folder.mkdir(parents=True)
        (folder / "model.py").write_text(MODEL.format(log=str(self.log)))
        self.say("instance_group [ { kind: KIND_CPU count: 1 } ]")

    def say(self, group):
        """Write a configuration with this group of instances."""
        tensors = 'input [ { name: "X" data_type: TYPE_INT32 dims: [ 1 ] } ]'
        tensors += 'output [ { name: "Y" data_type: TYPE_INT32 dims: [ 1 ] } ]'
        (self.models / "a" / "config.pbtxt").write_text(f'backend: "python"\n{tensors}\n{group}\n')

    def wait_for(self, made, ended):
        """Wait until so many instances have been made and ended; gives what there is in the end."""
        pause = threading.Event()
        for _ in range(PATIENCE_TRIES):
            log = self.log.read_text()
            seen = log.count("+") - self.replaced, log.count("-") - self.replaced
            if seen == (made, ended):
                break
            pause.wait(PAUSE_SECONDS)
        return seen

    def load_once_more(self):
        """Load again what has not changed, and forget what came of that: the reference counts what Python compiled as a change."""
        self.load("a")
        assert self.wait_for(2, 1) == (2, 1)
        self.replaced = 1


@pytest.fixture
def reference(tmp_path, run_reference):
    """Start the reference in the mode "explicit", with its model loaded."""
    side = Counted(tmp_path / "reference")
    with reference_beside(run_reference, side, [side.models]) as start:
        start("--model-control-mode=explicit", "--load-model=a")
        side.load_once_more()
        yield side


def test_instances_come_and_go_in_place(reference, tmp_path, subtests, monkeypatch):
    """Both servers have made, and ended, the same number of instances after each step, and answer."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    ours = Counted(tmp_path / "ours")
    options = ServerOptions(model_control_mode="explicit", load_model=["a"])
    with (
        Server(ours.models, options=options) as server,
        serve_in_thread(server, {"http-port": 0, "allow-grpc": False}) as (ours.url,),
    ):
        for group, made, ended in STEPS:
            with subtests.test(group):
                for side in (ours, reference):
                    side.say(group)
                    assert side.load("a")[0] == 200
                    assert side.wait_for(made, ended) == (made, ended)
                    assert side.infer("a") == 7
