"""A server with a repository of its own, beside another one: what a test does at both, and what it looks like then."""

from __future__ import annotations

import base64
import json
import shutil
import threading
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager

from benchmarks.process import free_port

PATIENCE_TRIES = 150
PAUSE_SECONDS = 0.1

MODEL = """
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        if {broken}:
            raise ValueError("broken")

    def execute(self, requests):
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor("Y", np.full([1], {tag}, np.int32))]) for _ in requests
        ]
"""
CONFIG = """
backend: "python"
input [ {{ name: "X", data_type: TYPE_INT32, dims: [ 1 ] }} ]
output [ {{ name: "Y", data_type: TYPE_INT32, dims: [ 1 ] }} ]
instance_group [ {{ kind: KIND_CPU, count: 1 }} ]
{more}
"""
QUESTION = {"inputs": [{"name": "X", "datatype": "INT32", "shape": [1], "data": [0]}]}


class Side:
    """One of the two servers, with a repository of its own.

    Args:
        root: a directory, in which the repository is `models`.
    """

    def __init__(self, root):
        self.models = root / "models"
        self.models.mkdir(parents=True)
        self.url = ""

    # -- what a step does

    def store(self, name, version, tag, *, broken=False):
        """Write a version, and a configuration if there is none."""
        folder = self.models / name / str(version)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.py").write_text(MODEL.format(tag=tag, broken=broken))
        if not (self.models / name / "config.pbtxt").exists():
            self.configure(name, "")

    def configure(self, name, more):
        """Write a configuration with something more in it."""
        (self.models / name / "config.pbtxt").write_text(CONFIG.format(more=more))

    def remove(self, path):
        """Remove a folder."""
        shutil.rmtree(self.models / path)

    def touch(self, path):
        """Write a file that says nothing."""
        (self.models / path).write_text("nothing")

    def load(self, name, config=None, files=None):
        """Ask to load a model, and give the answer."""
        parameters = {} if config is None else {"config": config if isinstance(config, str) else json.dumps(config)}
        for path, text in (files or {}).items():
            parameters[f"file:{path}"] = base64.b64encode(text.encode()).decode()
        return self.ask(f"repository/models/{name}/load", {"parameters": parameters} if parameters else {})

    def unload(self, name):
        """Ask to unload a model, and give the answer."""
        return self.ask(f"repository/models/{name}/unload", {})

    # -- what it looks like

    def ask(self, path, document=None):
        """Give the status, and the kind of the error: what stands before the first reason."""
        data = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(f"{self.url}/v2/{path}", data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                text = json.loads(error.read() or b"{}").get("error", "")
            for end in ("model repository", "UNAVAILABLE state"):
                text = text.partition(end)[0]
            return error.code, text.strip()

    def picture(self):
        """Tell what the index says of what is stored or does not serve, what each model answers, and whether all is ready."""
        rows = json.loads(self.ask("repository/index", {})[1])
        seen = {
            (row["name"], row["version"], row["state"], self.reason(row.get("reason", "")))
            for row in rows
            if row.get("version") and ((self.models / row["name"]).is_dir() or row["state"] != "READY")
        }
        answers = {name: self.infer(name) for name in ("a", "b", "c")}
        return {"index": seen, "answers": answers, "ready": self.ask("health/ready")[0]}

    @staticmethod
    def reason(text):
        """Keep of a reason only what both servers must say in the same words."""
        return text if text in {"", "unloaded"} else "failed"

    def infer(self, name):
        status, content = self.ask(f"models/{name}/infer", QUESTION)
        return json.loads(content)["outputs"][0]["data"][0] if status == 200 else (status, content)


@contextmanager
def reference_beside(run_reference, side, repositories):
    """Give a function that starts the reference on a side, with some flags and these repositories; it is stopped at the end."""
    with ExitStack() as opened:

        def start(*flags):
            port, side.grpc_port = free_port(), free_port()
            side.url = f"http://127.0.0.1:{port}"
            words = [
                *(f"--model-repository={repository}" for repository in repositories),
                *("--http-address=127.0.0.1", f"--http-port={port}", "--grpc-address=127.0.0.1"),
                *(f"--grpc-port={side.grpc_port}", "--allow-metrics=false", "--exit-on-error=false"),
                *("--exit-timeout-secs=5", *flags),
            ]
            opened.enter_context(run_reference(port, *words))

        yield start


def same(ours, theirs, answer=None):
    """Compare the pictures, until they are the same or it has taken too long: both servers do things in the background.

    With an answer, that of the model "a" must have come to be this one.
    """
    pause = threading.Event()
    for _ in range(PATIENCE_TRIES):
        pictures = ours.picture(), theirs.picture()
        if pictures[0] == pictures[1] and answer in {None, pictures[0]["answers"].get("a")}:
            break
        pause.wait(PAUSE_SECONDS)
    assert pictures[0] == pictures[1]
    assert answer in {None, pictures[0]["answers"].get("a")}
