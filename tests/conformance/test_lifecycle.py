"""The life of models beside the reference: the same steps at both servers, and after each of them the same picture.

Three differences are meant, and left out of the picture. The index here has rows for what serves without being stored. It
has a row with the reason where a model cannot be read. And a load is not repeated because Python has kept compiled code.
"""

from __future__ import annotations

import sys

import pytest
from charonia import Server, ServerOptions
from charonia.serving import serve_in_thread
from lifecycle_side import MODEL, Side, reference_beside, same

ALL = "version_policy { all {} }"
OVERRIDE = {
    "backend": "python",
    "input": [{"name": "X", "data_type": "TYPE_INT32", "dims": [1]}],
    "output": [{"name": "Y", "data_type": "TYPE_INT32", "dims": [1]}],
    "instance_group": [{"kind": "KIND_CPU", "count": 1}],
}


@pytest.fixture
def reference(run_reference, tmp_path):
    """Give the reference's side of the test, and what starts it with some flags."""
    side = Side(tmp_path / "reference")
    with reference_beside(run_reference, side, [side.models]) as start:
        yield side, start


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
    ("store", "c", 1, 60),
    ("configure", "c", "version_policy { specific { versions: [ 9 ] } }"),
    ("load", "c"),  # no version was there at any time
    ("configure", "c", ""),
    ("load", "c"),
    ("unload", "c"),
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
