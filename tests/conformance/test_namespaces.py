"""Repositories as namespaces beside the reference: what a name stands for, in every mode and over both protocols.

Differences that are meant: an ensemble that serves goes on with its models though the name of one becomes unclear; a name that nobody
asked to load is not found, which is 404 here; and all statistics can be asked for at once.
"""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager

import numpy as np
import pytest
from charonia import Server, ServerOptions
from charonia.serving import serve_in_thread
from lifecycle_side import QUESTION, Side, reference_beside, same
from tritonclient import grpc

UNCLEAR = "model namespace must be provided to resolve ambiguity."
NAMES = ("a", "m", "only", "ea", "eb", "far", "unclear")
ENSEMBLE = """
platform: "ensemble"
input [ {{ name: "X" data_type: TYPE_INT32 dims: [ 1 ] }} ]
output [ {{ name: "Y" data_type: TYPE_INT32 dims: [ 1 ] }} ]
ensemble_scheduling {{ step [ {{
  model_name: "{step}" model_version: -1 input_map {{ key: "X" value: "X" }} output_map {{ key: "Y" value: "Y" }}
}} ] }}
"""


class Sides(Side):
    """A side with three repositories; a model's name here has the repository's before it, as in "A/m"."""

    def __init__(self, root):
        super().__init__(root)
        self.repositories = [self.models / name for name in "ABC"]
        for repository in self.repositories:
            repository.mkdir()

    def compose(self, name, step):
        """Write an ensemble of one step."""
        folder = self.models / name
        (folder / "1").mkdir(parents=True)
        (folder / "config.pbtxt").write_text(ENSEMBLE.format(step=step))

    def picture(self):
        """Tell the index, and what each name answers, or that it is unclear, or else nothing."""
        rows = json.loads(self.ask("repository/index", {})[1])
        index = sorted(
            (row["name"], row.get("version", ""), row.get("state", ""), self.reason(row.get("reason", "")))
            for row in rows
        )
        return {"index": index, "answers": {name: self.answer(name) for name in NAMES}}

    def answer(self, name):
        status, content = self.ask(f"models/{name}/infer", QUESTION)
        if status == 200:
            return json.loads(content)["outputs"][0]["data"][0]
        return content if UNCLEAR in content else "nothing"

    def grpc_errors(self):
        """Ask for an unclear name in several ways over gRPC; gives how each ends."""
        ends = []
        with grpc.InferenceServerClient(f"127.0.0.1:{self.grpc_port}") as client:
            x = grpc.InferInput("X", [1], "INT32")
            x.set_data_from_numpy(np.zeros(1, np.int32))
            for call in (
                lambda: client.infer("m", [x]),
                lambda: client.get_model_metadata("m"),
                lambda: client.get_model_config("m"),
                lambda: client.get_inference_statistics("m"),
                lambda: client.is_model_ready("m"),
                lambda: sorted(row.name for row in client.get_model_repository_index().models),
                lambda: client.load_model("m"),
                lambda: client.unload_model("only"),
            ):
                try:
                    ends.append(call())
                except grpc.InferenceServerException as error:
                    ends.append((error.status(), error.message()))
        return ends


@pytest.fixture
def sides(run_reference, tmp_path):
    """Give both sides, with the same models in their repositories, and what starts the reference."""
    pair = Sides(tmp_path / "ours"), Sides(tmp_path / "theirs")
    for side in pair:
        side.store("A/m", 1, 2)
        side.store("B/m", 1, 3)
        side.store("B/only", 1, 4)
        side.store("A/a", 1, 6)
        side.compose("A/ea", "m")
        side.compose("B/eb", "m")
        side.compose("A/far", "only")
    with reference_beside(run_reference, pair[1], pair[1].repositories) as start:
        yield *pair, start


@contextmanager
def served(side, **options):
    """Serve on our side, over both protocols."""
    options = ServerOptions(model_namespacing=True, exit_on_error=False, **options)
    with (
        Server(side.repositories, options=options) as server,
        serve_in_thread(server, {"http-port": 0, "grpc-port": 0}) as urls,
    ):
        side.url = next(url for url in urls if url.startswith("http"))
        side.grpc_port = next(int(url.rpartition(":")[2]) for url in urls if not url.startswith("http"))
        yield


def test_all_models_are_loaded(sides):
    """In the mode "none", clear names are answered, unclear ones are told, and ensembles find their own models first."""
    ours, theirs, start = sides
    start("--model-namespacing=true")
    with served(ours):
        same(ours, theirs)
        assert ours.picture()["answers"] == {
            "m": f"There are 2 identifiers of model 'm' in global map, {UNCLEAR}",
            "a": 6,
            "only": 4,
            "ea": 2,
            "eb": 3,
            "far": 4,
            "unclear": "nothing",
        }
        assert ours.grpc_errors() == theirs.grpc_errors()


EXPLICIT = [
    ("load", "m"),
    ("load", "ea"),
    ("load", "far"),
    ("unload", "only"),
    ("load", "eb"),
    ("unload", "m"),
    ("load", "far"),
    ("unload", "far"),
    ("store", "C/only", 1, 5),
    ("load", "only"),
    ("load", "ghost"),
    ("unload", "ghost"),
    ("unload", "only"),
]


def test_explicit_mode(sides, subtests, monkeypatch):
    """Loads and unloads by name are for all models of the name, and take what uses them along."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    ours, theirs, start = sides
    start("--model-namespacing=true", "--model-control-mode=explicit")
    with served(ours, model_control_mode="explicit"):
        for number, (name, *arguments) in enumerate(EXPLICIT):
            with subtests.test(f"{number}: {name} {arguments}"):
                answers = [getattr(side, name)(*arguments) for side in (ours, theirs)]
                assert answers[0] == answers[1]
                same(ours, theirs)


def test_poll_mode(sides, monkeypatch):
    """A name becomes unclear when another repository gets it."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    ours, theirs, start = sides
    start("--model-namespacing=true", "--model-control-mode=poll", "--repository-poll-secs=1")
    with served(ours, model_control_mode="poll", repository_poll_secs=1, repository_settle_secs=0.2):
        same(ours, theirs)
        for side in (ours, theirs):
            side.store("B/a", 1, 7)
        same(ours, theirs, f"There are 2 identifiers of model 'a' in global map, {UNCLEAR}")


def test_models_that_cannot_be_told_apart(sides):
    """An ensemble whose step several other repositories have is not loaded, and the reason is the same."""
    ours, theirs, start = sides
    for side in (ours, theirs):
        side.compose("C/unclear", "m")
    start("--model-namespacing=true", "--model-control-mode=explicit")
    with served(ours, model_control_mode="explicit"):
        for name in ("m", "unclear"):
            answers = [side.load(name) for side in (ours, theirs)]
            assert [status for status, _ in answers] == [answers[0][0]] * 2
        assert all("contains models that are not available or ambiguous: m" in text for _, text in answers)
