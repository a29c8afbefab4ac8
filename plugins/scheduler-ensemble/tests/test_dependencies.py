"""An ensemble follows its models: loaded with them, ready when they are, gone when one goes, finished before they go."""

from __future__ import annotations

import queue
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from charonia import Server, ServerOptions
from charonia.cli.repository_check import RepositoryCheck
from charonia.errors import InternalError, InvalidArgumentError, NotFoundError
from charonia.load_teller import Phase
from charonia.request import InferenceRequest
from charonia.testing.fakes import Gate
from charonia.testing.patience import wait_until


@pytest.fixture
def models(repository):
    """A repository with two models and an ensemble of both."""
    repository.model("inc", addend=1)
    repository.model("double", scale=2)
    repository.ensemble(("double", {"X": "I"}, {"Y": "m"}), ("inc", {"X": "m"}, {"Y": "O"}))
    return repository


def rows(server):
    """Give the index: model → the state and reason of its last row."""
    return {row.name: (row.state, row.reason) for row in server.index()}


def ready(server):
    """List the models that serve."""
    return sorted(row.name for row in server.index(ready=True))


def ask(server, model="e", value=3):
    """Ask an ensemble."""
    return server.model(model).infer({"I": [value]})["O"].tolist()


EXPLICIT = {"model_control_mode": "explicit", "exit_on_error": False}


def test_load_brings_what_is_used(models):
    """Loading an ensemble loads the models of its steps."""
    server = models.serve(**EXPLICIT)
    server.load("e")
    assert ready(server) == ["double", "e", "inc"]
    assert ask(server) == [7]


@pytest.mark.parametrize("threads", [1, 4])
def test_start_loads_each_model_once(models, threads):
    """A start loads users and used in whatever order, each once."""
    models.ensemble(("e", {"I": "I"}, {"O": "O"}), name="a")
    steps = []
    server = Server(models.path, options=ServerOptions(model_load_thread_count=threads), plugins=models.plugins)
    try:
        server.start(steps.append)
        assert ask(server, "a") == [7]
    finally:
        server.close()
    assert sorted(step.model for step in steps if step.phase is Phase.READY) == ["a", "double", "e", "inc"]


def test_unload_of_a_step_takes_its_users(models):
    """Ensembles go with a model that they use, those around them too, and come back with it."""
    models.ensemble(("e", {"I": "I"}, {"O": "O"}), name="outer")
    server = models.serve()
    server.unload("inc")
    assert ready(server) == ["double"]
    with pytest.raises(NotFoundError, match="has no available versions"):
        ask(server)
    server.load("inc")
    assert ready(server) == ["double", "e", "inc", "outer"]
    assert ask(server, "outer") == [7]


def test_unload_of_an_ensemble_leaves_its_models(models):
    """An ensemble goes alone, and does not come back with a model that it used."""
    server = models.serve(**EXPLICIT)
    server.load("e")
    server.unload("e")
    assert ready(server) == ["double", "inc"]
    server.load("inc")
    assert ready(server) == ["double", "inc"]


def test_unload_with_dependents(models):
    """With `unload_dependents`, models go that nobody asked for by name and nobody else uses."""
    models.ensemble(("inc", {"X": "I"}, {"Y": "O"}), name="other")
    models.model("third")
    models.ensemble(("third", {"X": "I"}, {"Y": "m"}), ("e", {"I": "m"}, {"O": "O"}), name="outer")
    server = models.serve(**EXPLICIT)
    for name in ("third", "other", "outer"):
        server.load(name)
    server.unload("outer", unload_dependents=True)
    assert ready(server) == ["inc", "other", "third"]


def test_changed_step_is_used_at_once(models):
    """An ensemble uses the new version of a model from its switch on, and is loaded anew with it."""
    server = models.serve()
    assert ask(server) == [7]
    models.model("inc", addend=100)
    server.load("inc")
    assert ask(server) == [106]
    assert server.model("e").statistics().success.count == 1


def test_load_of_an_ensemble_brings_what_has_changed_of_its_models(models):
    """What a model repository has anew of the models of an ensemble serves once that is loaded, through ensembles in it, too."""
    models.ensemble(("e", {"I": "I"}, {"O": "O"}), name="outer")
    server = models.serve(**EXPLICIT)
    server.load("outer")
    models.model("inc", addend=100)
    server.load("outer")
    assert [ask(server), ask(server, "outer")] == [[106], [106]]
    models.model("double", scale=3)
    server.load("e")
    assert [ask(server), ask(server, "outer")] == [[109], [109]]
    models.model("inc", addend=200)
    models.ensemble(("double", {"X": "I"}, {"Y": "m"}), ("inc", {"X": "m"}, {"Y": "O"}), dims=[2])
    with pytest.raises(InvalidArgumentError):
        server.load("e")
    assert ask(server) == [209]  # as it was, with what has changed


@pytest.mark.parametrize(("file", "text"), [("1/model.json", "no JSON"), ("config.pbtxt", "no_such_field: 1")])
def test_load_of_an_ensemble_whose_models_have_gone_bad(models, file, text):
    """A model that cannot be loaded anew goes on serving, and so does the ensemble."""
    server = models.serve(**EXPLICIT)
    server.load("e")
    (models.path / "inc" / file).write_text(text)
    server.load("e")
    assert ask(server) == [7]
    with pytest.raises((InternalError, InvalidArgumentError)):
        server.load("inc")


def test_load_of_an_ensemble_brings_what_it_does_not_fit(models):
    """As if the changed model had been loaded by itself: all that do not go with it any more go, and come back when they do."""
    models.ensemble(("e", {"I": "I"}, {"O": "O"}), name="outer")
    server = models.serve()
    models.model("inc", addend=1, dims=[2])
    with pytest.raises(InvalidArgumentError, match="load failed for model 'e'"):
        server.load("outer")
    assert ready(server) == ["double", "inc"]
    models.model("inc", addend=1)
    server.load("outer")
    assert ask(server, "outer") == [7]


def test_step_that_does_not_fit_any_more(models):
    """Where a model changes so that an ensemble does not fit, the ensemble goes, with the reason, and comes back when it fits."""
    server = models.serve()
    models.model("inc", addend=1, dims=[2])
    server.load("inc")
    assert ready(server) == ["double", "inc"]
    reason = "ensemble tensor m: inconsistent shape: [1] is inferred from model double while [2] is inferred"
    wait_until(lambda: reason in rows(server)["e"][1])  # once it is unloaded
    models.model("inc", addend=1)
    server.load("inc")
    assert ask(server) == [7]


def test_step_that_becomes_decoupled(models):
    """What an ensemble takes over from its models follows them."""
    models.model("count", decoupled=True)
    models.ensemble(("double", {"X": "I"}, {"Y": "O"}))
    server = models.serve()
    models.model("double", decoupled=True)
    server.load("double")
    assert server.model_config("e").model_transaction_policy.decoupled
    assert [it["O"].tolist() for it in server.model("e").stream({"I": [2]})] == [[2], [1]]


def test_failed_load_leaves_the_ensemble(models):
    """An ensemble's own failed load leaves the serving one, as any model's does."""
    server = models.serve()
    models.ensemble(("double", {"X": "I"}, {"NOPE": "O"}))
    with pytest.raises(
        InvalidArgumentError, match="load failed for model 'e': in ensemble e, ensemble tensor O is mapped from"
    ):
        server.load("e")
    assert ask(server) == [7]


def test_all_that_does_not_fit_is_told_at_once(models):
    """One failed load tells every problem with every model of the ensemble."""
    models.ensemble(
        ("ghost", {"X": "I"}, {"Y": "m"}), ("inc", {"NOPE": "m"}, {"Y": "n"}), ("double", {"X": "n"}, {"Y": "O"}, 7)
    )
    server = models.serve(**EXPLICIT)
    with pytest.raises(InvalidArgumentError) as caught:
        server.load("e")
    told = str(caught.value)
    assert "ensemble e contains models that are not available or ambiguous: ghost" in told
    assert "ensemble tensor m is mapping to non-existing input NOPE in model inc" in told
    assert "ensemble 'e' depends on 'double' whose required version 7 is not loaded." in told


def test_graph_and_models_are_looked_at_at_once(models):
    """One failed load tells the circle, the tensor that nothing writes, the model that is missing and the one that does not fit.

    A check of the repository, which loads nothing, tells the same.
    """
    models.model("pair", inputs=("A", "B"))
    models.model("wide", dims=[2])
    models.ensemble(
        ("pair", {"A": "I", "B": "c"}, {"Y": "c"}),
        ("inc", {"X": "lost"}, {"Y": "m"}),
        ("ghost", {"X": "I"}, {"Y": "n"}),
        ("wide", {"X": "n"}, {"Y": "O"}),
        ("double", {"X": "m"}, {"NOPE": "P"}),
        outputs=("O", "P"),
    )
    server = models.serve(**EXPLICIT)
    with pytest.raises(InternalError, match="failed to load 'e', failed to poll from model repository: ") as caught:
        server.load("e")
    (failure,) = [row.reason for row in server.index() if row.name == "e"]
    check = RepositoryCheck([str(models.path)], models.plugins, ServerOptions())
    check.run()
    found = [(finding.line, finding.text.partition(" (")[0]) for finding in check.findings]
    assert found == [(it.line, it.text.partition(" (")[0]) for it in caught.value.__cause__.problems]
    for told in (str(caught.value), failure, "".join(map(str, check.findings))):
        at = [
            told.index(part)
            for part in (
                "ensemble tensor 'c' is never written in ensemble 'e' (these wait for each other: step 0 (model 'pair'))",
                "'lost', is not connected (step 1 (model 'inc') reads it, but no step writes it, nor is it an input)",
                "contains models that are not available or ambiguous: ghost (",
                "(see step 2 (model 'ghost'))",
                "tensor O: inconsistent shape: [1] is inferred from model e while [2] is inferred from model wide (see step 3 (",
                "ensemble tensor P is mapped from non-existing output NOPE in model double (see step 4 (",
            )
        ]
        assert at == sorted(at)


def test_circle_is_told_beside_what_else_is_wrong(models):
    """An ensemble in a circle of ensembles is told that, and what is wrong with its other steps, too."""
    models.ensemble(("e", {"I": "I"}, {"O": "O"}), name="outer")
    models.ensemble(("outer", {"I": "I"}, {"O": "m"}), ("inc", {"X": "m"}, {"NOPE": "O"}))
    server = models.serve(**EXPLICIT)
    with pytest.raises(InvalidArgumentError) as caught:
        server.load("outer")
    told = str(caught.value)
    assert "circular dependency between ensembles: e -> ... -> outer -> e (see step 0 (model 'outer'))" in told
    assert (
        "ensemble tensor O is mapped from non-existing output NOPE in model inc (see step 1 (model 'inc'); its outputs"
        in told
    )


def test_circle_with_what_serves(models):
    """An ensemble that would come to use itself fails to load, though an older version of what it uses serves."""
    models.ensemble(("e", {"I": "I"}, {"O": "O"}), name="outer")
    server = models.serve()
    models.ensemble(("outer", {"I": "I"}, {"O": "O"}))
    with pytest.raises(InvalidArgumentError, match=r"circular dependency between ensembles: e -> \.\.\. -> outer -> e"):
        server.load("e")
    assert ask(server, "outer") == [7]


def test_what_serves_goes_with_its_models(models):
    """After a failed load, the ensemble that goes on serving still goes with a model that only it uses."""
    server = models.serve()
    models.ensemble(("double", {"X": "I"}, {"NOPE": "O"}))
    with pytest.raises(InvalidArgumentError, match="non-existing output NOPE"):
        server.load("e")
    server.unload("inc")
    assert ready(server) == ["double"]


@pytest.mark.parametrize("fits", [True, False])
def test_what_serves_follows_its_models(models, fits):
    """After a failed load, the ensemble that goes on serving is loaded anew with a model that only it uses, as long as it fits."""
    server = models.serve()
    models.ensemble(("double", {"X": "I"}, {"NOPE": "O"}))
    with pytest.raises(InvalidArgumentError, match="non-existing output NOPE"):
        server.load("e")
    models.model("inc", addend=100, max_batch_size=4 if fits else 0, dims=[1 if fits else 2])
    server.load("inc")
    assert ready(server) == (["double", "e", "inc"] if fits else ["double", "inc"])
    if fits:
        assert ask(server) == [106]
        assert any("non-existing output NOPE" in row.reason for row in server.index() if row.name == "e")


def test_step_that_fails_to_load(models):
    """A model that fails to load fails the ensembles around it, with the reference's texts."""
    (models.path / "inc" / "1" / "model.json").write_text("no JSON")
    models.ensemble(("e", {"I": "I"}, {"O": "O"}), name="outer")
    server = models.serve(**EXPLICIT)
    with pytest.raises(InvalidArgumentError) as caught:
        server.load("outer")
    assert str(caught.value).startswith(
        "load failed for model 'outer': ensemble 'outer' depends on 'e' which is not valid. Model 'e' failed with error: "
        "ensemble 'e' depends on 'inc' which has no loaded version. Model 'inc' loading failed with error: version 1 is at "
        "UNAVAILABLE state: "
    )


def test_circle_of_ensembles(models):
    """Ensembles that use each other fail by name, at a start with any number of threads, too."""
    models.ensemble(("b", {"I": "I"}, {"O": "O"}), name="a")
    models.ensemble(("a", {"I": "I"}, {"O": "O"}), name="b")
    server = models.serve(exit_on_error=False)
    assert ready(server) == ["double", "e", "inc"]
    with pytest.raises(InvalidArgumentError, match="circular dependency between ensembles: "):
        server.load("a")


def test_missing_model_is_a_failure_of_its_own(models):
    """A model that is in no repository is not found by name either."""
    server = models.serve(**EXPLICIT)
    with pytest.raises(InternalError, match="failed to load 'ghost'"):
        server.load("ghost")


def held_request(server):
    """Send a request to the ensemble whose first step is held."""
    responses = queue.SimpleQueue()
    server.submit(InferenceRequest("e", {"I": np.array([3], np.float32)}, responses.put))
    return responses


@pytest.mark.parametrize("how", ["unload", "close"])
def test_ensembles_finish_before_their_models_go(models, how):
    """A request that an ensemble accepted still finds the models of its later steps."""
    models.model("double", scale=2, gate="going")
    server = models.serve()
    with Gate("going") as gate:
        responses = held_request(server)
        gate.wait_entered()
        if how == "unload":
            server.unload("inc")
            server.unload("inc")
            assert rows(server)["inc"][0] == "UNLOADING"
        else:
            server.begin_shutdown()
            server.unload("inc")
            server.unload("double")
        assert ready(server) == (["double"] if how == "unload" else [])
    response = responses.get(timeout=30)
    assert response.error is None
    assert response["O"].tolist() == [7]


def test_a_replaced_ensemble_finishes_before_its_models_go(models):
    """An ensemble that uses a model no more still finds it for the requests that it accepted when it did."""
    models.model("double", scale=2, gate="going")
    server = models.serve()
    with Gate("going") as gate:
        responses = held_request(server)
        gate.wait_entered()
        models.ensemble(("double", {"X": "I"}, {"Y": "O"}))
        server.load("e")
        server.unload("inc")
        assert ready(server) == ["double", "e"]
        assert rows(server)["inc"][0] == "UNLOADING"
    response = responses.get(timeout=30)
    assert response.error is None, response.error
    assert response["O"].tolist() == [7]


def test_a_reload_of_an_ensemble_does_not_let_its_models_go_before_it(models):
    """Also while the ensemble is loading anew, a server that closes keeps the models that its old version still needs."""
    models.model("double", scale=2, gate="going")
    models.model("zebra")  # which nobody uses, so that it may go at once
    server = models.serve()
    with ThreadPoolExecutor(1) as caller, Gate("going") as gate:
        responses = held_request(server)
        gate.wait_entered()
        with server._lifecycle.models.known("e").loading:  # as while it loads
            closed = caller.submit(server.close)
            while "zebra" in ready(server):
                assert not closed.done()
            gate.open()
            response = responses.get(timeout=30)
        assert closed.result(30)
    assert response.error is None, response.error
    assert response["O"].tolist() == [7]


def test_labels_are_inherited(repository):
    """An output without a label file has the labels of the model that makes it."""
    repository.model("inc", addend=1)
    config = repository.path / "inc" / "config.pbtxt"
    config.write_text(config.read_text().replace('name: "Y"', 'name: "Y" label_filename: "labels.txt"'))
    (repository.path / "inc" / "labels.txt").write_text("one")
    repository.ensemble(("inc", {"X": "I"}, {"Y": "O"}))
    repository.ensemble(("inc", {"X": "I"}, {"Y": "O"}), name="own", label_files={"O": "mine.txt"})
    (repository.path / "own" / "mine.txt").write_text("two")
    server = repository.serve()
    assert server.labels("e") == {"O": (b"one",)}
    assert server.labels("own") == {"O": (b"two",)}
