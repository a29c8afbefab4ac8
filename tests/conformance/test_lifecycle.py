"""The life of models beside the reference: the same steps at both servers, and after each of them the same picture.

Three differences are meant, and left out of the picture. The index here has rows for what serves without being stored any more. It
has a row with the reason where a model cannot be read. And a load is not repeated because Python has kept compiled code.
"""

from __future__ import annotations

import base64
import json
import shutil
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from charonia import Server, ServerOptions
from charonia.serving import serve_in_thread

sys.path[:0] = [str(Path(__file__).parents[2])]  # the folder is no package

from benchmarks.process import ServerProcess, free_port  # noqa: E402 - see above
from benchmarks.tools.download import UnavailableError, cache_folder  # noqa: E402 - see above
from benchmarks.tools.reference_server import (  # noqa: E402 - see above
    install_reference,
    reference_command,
    reference_environment,
)

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
ALL = "version_policy { all {} }"
OVERRIDE = {
    "backend": "python",
    "input": [{"name": "X", "data_type": "TYPE_INT32", "dims": [1]}],
    "output": [{"name": "Y", "data_type": "TYPE_INT32", "dims": [1]}],
    "instance_group": [{"kind": "KIND_CPU", "count": 1}],
}
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
        """Tell what the index says of the versions of models that are stored, what each model answers, and whether all is ready."""
        rows = json.loads(self.ask("repository/index", {})[1])
        seen = {
            (row["name"], row["version"], row["state"], self.reason(row.get("reason", "")))
            for row in rows
            if row.get("version") and (self.models / row["name"]).is_dir()
        }
        answers = {name: self.infer(name) for name in ("a", "b")}
        return {"index": seen, "answers": answers, "ready": self.ask("health/ready")[0]}

    @staticmethod
    def reason(text):
        """Keep of a reason only what both servers must say in the same words."""
        return text if text in {"", "unloaded"} else "failed"

    def infer(self, name):
        status, content = self.ask(f"models/{name}/infer", QUESTION)
        return json.loads(content)["outputs"][0]["data"][0] if status == 200 else (status, content)


@pytest.fixture
def reference(tmp_path):
    """Start the reference with some flags on its side of the test."""
    if not (cache_folder("charonia-reference") / "ready").exists():  # too large a download for a test
        pytest.skip("the reference is not installed: `python -m benchmarks.tools.reference_server` does it")
    try:
        venv = install_reference()
    except UnavailableError as error:
        pytest.skip(str(error))
    side = Side(tmp_path / "reference")
    started = []

    def start(*flags):
        port = free_port()
        side.url = f"http://127.0.0.1:{port}"
        words = [
            *reference_command(venv),
            *(f"--model-repository={side.models}", "--http-address=127.0.0.1", f"--http-port={port}"),
            *("--allow-grpc=false", "--allow-metrics=false", "--exit-on-error=false", "--exit-timeout-secs=5", *flags),
        ]
        environment = reference_environment(venv) | {"PYTHONDONTWRITEBYTECODE": "1"}
        started.append(ServerProcess("the reference", words, port, "Started HTTPService", environment))

    yield side, start
    for process in started:
        process.stop()


def same(ours, theirs, answer=None):
    """Compare the pictures, until they are the same or it has taken too long: both servers do things in the background.

    With an answer, that of the model "a" must have come to be this one.
    """
    pause = threading.Event()
    for _ in range(PATIENCE_TRIES):
        pictures = ours.picture(), theirs.picture()
        if pictures[0] == pictures[1] and answer in {None, pictures[0]["answers"]["a"]}:
            break
        pause.wait(PAUSE_SECONDS)
    assert pictures[0] == pictures[1]
    assert answer in {None, pictures[0]["answers"]["a"]}


def play(sides, steps, subtests, monkeypatch):
    """Do each step at both sides, and compare the answers, and then the pictures."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for number, (name, *arguments) in enumerate(steps):
        options = arguments.pop() if arguments and isinstance(arguments[-1], dict) and name == "store" else {}
        with subtests.test(f"{number}: {name} {arguments}"):
            ours, theirs = (getattr(side, name)(*arguments, **options) for side in sides)
            if name in {"load", "unload"}:
                assert (ours[0], ours[1] or "") == (theirs[0], theirs[1] or "")
            same(*sides)


EXPLICIT = [
    ("store", "a", 1, 10),
    ("load", "a"),
    ("load", "a"),  # nothing has changed
    ("store", "a", 1, 11),
    ("load", "a"),
    ("touch", "a/1/notes.txt"),
    ("load", "a"),  # a file of the version
    ("touch", "a/notes.txt"),
    ("load", "a"),  # a file beside the versions
    ("store", "a", 2, 20),
    ("load", "a"),  # the latest takes over
    ("unload", "a"),
    ("unload", "a"),
    ("unload", "ghost"),
    ("load", "ghost"),
    ("load", "a"),
    ("store", "a", 3, 30, {"broken": True}),
    ("load", "a"),  # fails, and the old one serves
    ("load", "a"),  # is tried again
    ("store", "a", 3, 31),
    ("load", "a"),
    ("remove", "a/3"),
    ("load", "a"),  # back to the one before
    ("configure", "a", ALL),
    ("load", "a"),  # the policy alone
    ("store", "a", 4, 40),
    ("load", "a"),
    ("remove", "a/1"),
    ("load", "a"),
    ("configure", "a", "no_such_field: 1"),
    ("load", "a"),  # cannot be read, and the old one serves
    ("configure", "a", "version_policy { specific { versions: [ 9 ] } }"),
    ("load", "a"),  # no version is left
    ("configure", "a", ALL),
    ("load", "a"),
    ("load", "a", OVERRIDE),
    ("load", "a", "no JSON"),
    ("load", "a", {**OVERRIDE, "name": "other"}),
    ("load", "a", {**OVERRIDE, "unknown": 1}),
    ("load", "a", OVERRIDE, {"1/model.py": MODEL.format(tag=99, broken=False)}),
    ("load", "b", OVERRIDE, {"1/model.py": MODEL.format(tag=98, broken=False)}),
    ("load", "b"),  # there are no files of its own
    ("unload", "b"),
    ("store", "b", 1, 50, {"broken": True}),
    ("load", "b"),  # the first load fails
    ("remove", "a"),
    ("load", "a"),  # it is not there any more, and serves
    ("unload", "a"),
]


def test_explicit_mode(reference, tmp_path, subtests, monkeypatch):
    """Loads and unloads by request: what is loaded anew and what is not, what a failure leaves, overrides, and their errors."""
    theirs, start = reference
    start("--model-control-mode=explicit")
    ours = Side(tmp_path / "ours")
    with (
        Server(ours.models, options=ServerOptions(model_control_mode="explicit")) as server,
        serve_in_thread(server, {"http-port": 0, "allow-grpc": False}) as (ours.url,),
    ):
        play((ours, theirs), EXPLICIT, subtests, monkeypatch)


POLLED = [
    (10, "store", "a", 1, 10),
    (11, "store", "a", 1, 11),
    (20, "store", "a", 2, 20),
    (20, "load", "a"),  # is not allowed
    (20, "unload", "a"),  # neither is this
    (20, "remove", "a/1"),
    (20, "touch", "a/notes.txt"),
    (30, "store", "a", 3, 30),
]


def test_poll_mode(reference, tmp_path, subtests, monkeypatch):
    """What lies in the repository is followed: a model and versions that come and change; and clients may load nothing."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    theirs, start = reference
    start("--model-control-mode=poll", "--repository-poll-secs=1")
    ours = Side(tmp_path / "ours")
    options = ServerOptions(model_control_mode="poll", repository_poll_secs=1, repository_settle_secs=0.2)
    with (
        Server(ours.models, options=options) as server,
        serve_in_thread(server, {"http-port": 0, "allow-grpc": False}) as (ours.url,),
    ):
        for number, (answer, name, *arguments) in enumerate(POLLED):
            with subtests.test(f"{number}: {name} {arguments}"):
                answers = [getattr(side, name)(*arguments) for side in (ours, theirs)]
                assert answers[0] == answers[1]
                same(ours, theirs, answer)
