"""Ensembles where memory is limited: their steps come when they are asked, and are spared while others can go."""

from __future__ import annotations

import queue

import numpy as np
import pytest
from charonia.request import InferenceRequest
from charonia.testing.fakes import Gate

SIZE = 1 << 26
"""So much that nothing else that the process takes matters."""


@pytest.fixture
def models(repository):
    """Models whose files say that they take as much memory as each other."""
    weighty(repository, "inc", addend=1)
    weighty(repository, "double", scale=2, gate="held")
    weighty(repository, "other")
    weighty(repository, "new")
    repository.ensemble(("inc", {"X": "I"}, {"Y": "m"}), ("double", {"X": "m"}, {"Y": "O"}))
    repository.ensemble(("e", {"I": "I"}, {"O": "O"}), name="outer")
    return repository


def weighty(repository, name, **settings):
    """Write a model with much beside it that counts as its weights."""
    repository.model(name, **settings)
    with (repository.path / name / "1" / "weights").open("wb") as file:
        file.truncate(SIZE)


def resident(server):
    """The models that are in memory."""
    return {row.name for row in server.index() if row.host_byte_size}


def ask(server, name, tensor="X"):
    return server.model(name).infer({tensor: [3]}).outputs


def test_steps_come_when_they_are_asked(models):
    """An ensemble is ready with nothing in memory, and answers even where its steps do not fit in together."""
    server = models.serve(memory_budget=SIZE * 3 // 2)
    assert server.model_ready("e")
    assert resident(server) == set()
    for _ in range(3):
        assert ask(server, "e", "I")["O"].tolist() == [8]
    assert resident(server) == {"double"}


@pytest.mark.parametrize("name", ["e", "outer"])
def test_steps_in_use_are_spared(models, name):
    """While an ensemble has a request, its steps stay although another model was used after them, which goes."""
    server = models.serve(memory_budget=SIZE * 7 // 2)
    answers = queue.SimpleQueue()
    with Gate("held") as gate:
        server.submit(InferenceRequest(name, {"I": np.array([3], np.float32)}, answers.put))
        gate.wait_entered()
        ask(server, "other")
        ask(server, "new")
        assert resident(server) == {"inc", "double", "new"}
    assert answers.get(timeout=60).outputs["O"].tolist() == [8]
    ask(server, "other")
    assert resident(server) == {"double", "new", "other"}


def test_models_of_equal_names_are_told_apart(models):
    """Where repositories are namespaces, an ensemble in use spares its own step, and not what has its name elsewhere."""
    elsewhere = models.beside("elsewhere")
    weighty(elsewhere, "inc", addend=10)
    server = models.serve(elsewhere, memory_budget=SIZE * 7 // 2, model_namespacing=True)
    answers = queue.SimpleQueue()
    with Gate("held") as gate:
        server.submit(InferenceRequest("e", {"I": np.array([3], np.float32)}, answers.put))
        gate.wait_entered()
        other = InferenceRequest("inc", {"X": np.array([3], np.float32)}, answers.put)
        other.model_namespace = str(elsewhere.path)
        server.submit(other)
        assert answers.get(timeout=60).outputs["Y"].tolist() == [13]
        ask(server, "new")
        assert [(row.name, row.namespace) for row in server.index() if row.host_byte_size] == [
            ("double", str(models.path)),
            ("inc", str(models.path)),
            ("new", str(models.path)),
        ]
    assert answers.get(timeout=60).outputs["O"].tolist() == [8]
