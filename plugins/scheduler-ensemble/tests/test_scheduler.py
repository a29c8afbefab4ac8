"""Requests to ensembles: every kind of graph gives the right answers, and errors name their step."""

from __future__ import annotations

import itertools
import queue
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from charonia.errors import CancelledError, InternalError, InvalidArgumentError
from charonia.request import InferenceRequest
from charonia.testing.fakes import Gate

CHAIN = (("double", {"X": "I"}, {"Y": "m"}), ("inc", {"X": "m"}, {"Y": "O"}))


@pytest.fixture
def models(repository):
    """A repository with a few small models."""
    repository.model("inc", addend=1)
    repository.model("double", scale=2)
    repository.model("two", ("A", "B"), ("S", "T"))
    repository.model("count", decoupled=True)
    return repository


def values(response):
    """Give a response's outputs as lists."""
    return {name: np.asarray(tensor).ravel().tolist() for name, tensor in response.outputs.items()}


def send(server, value, model="e", **options):
    """Submit a request to an ensemble, and give it with the queue of its responses."""
    responses = queue.SimpleQueue()
    request = InferenceRequest(model, {"I": np.array([value], np.float32)}, responses.put, **options)
    server.submit(request)
    return request, responses


def test_chain(models):
    """Each step gets what the one before it made."""
    models.ensemble(*CHAIN)
    assert values(models.serve().model("e").infer({"I": [3]})) == {"O": [7]}


def test_branches_meet(models):
    """A tensor may have several readers, and a step several writers to wait for, in whatever order they are written."""
    models.ensemble(
        ("two", {"A": "p", "B": "q"}, {"S": "O", "T": "P"}),
        ("inc", {"X": "I"}, {"Y": "p"}),
        ("double", {"X": "I"}, {"Y": "q"}),
        outputs=("P", "O"),
    )
    answer = models.serve().model("e").infer({"I": [5]})
    assert values(answer) == {"P": [10], "O": [6]}
    assert list(answer.outputs) == ["P", "O"]


@pytest.mark.parametrize("shape", ["chain", "fan"])
def test_graph_of_any_size(models, shape):
    """Two thousand steps, one after the other or side by side, give what the same model gives when it is asked as often."""
    numbers = range(2000)
    if shape == "chain":
        tensors = ["I", *(f"t{number}" for number in numbers[1:]), "O"]
        models.ensemble(*(("inc", {"X": read}, {"Y": written}) for read, written in itertools.pairwise(tensors)))
    else:
        outputs = [f"O{number}" for number in numbers]
        models.ensemble(*(("inc", {"X": "I"}, {"Y": output}) for output in outputs), outputs=outputs)
    server = models.serve()
    answer = values(server.model("e").infer({"I": [7]}))
    assert answer == ({"O": [2007]} if shape == "chain" else {output: [8] for output in outputs})
    assert server.model("inc").statistics().execution_count == 2000


def test_a_chain_of_ensembles(models):
    """Ensembles of quick models may follow each other as often as one likes, too."""
    models.ensemble(*CHAIN, name="inner")
    tensors = ["I", *(f"t{number}" for number in range(1, 200)), "O"]
    models.ensemble(*(("inner", {"I": read}, {"O": written}) for read, written in itertools.pairwise(tensors)))
    server = models.serve()
    for _ in range(3):
        assert values(server.model("e").infer({"I": [-1]})) == {"O": [-1]}
    assert server.model("inner").statistics().execution_count == 600


def test_a_chain_of_known_responses(repository):
    """Where each response of a long chain is in the cache, the whole answer is."""
    repository.model("inc", addend=1)
    repository.cache("inc")
    tensors = ["I", *(f"t{number}" for number in range(1, 1000)), "O"]
    repository.ensemble(*(("inc", {"X": read}, {"Y": written}) for read, written in itertools.pairwise(tensors)))
    server = repository.serve(cache_config={"local": {"size": "10000000"}})
    for _ in range(2):
        assert values(server.model("e").infer({"I": [0]})) == {"O": [1000]}
    assert server.model("inc").statistics().execution_count == 1000


def test_steps_run_side_by_side(models):
    """Two steps whose inputs are there execute at the same time."""
    models.model("slow1", gate="both", addend=1)
    models.model("slow2", gate="both", addend=2)
    models.ensemble(
        ("slow1", {"X": "I"}, {"Y": "p"}),
        ("slow2", {"X": "I"}, {"Y": "q"}),
        ("two", {"A": "p", "B": "q"}, {"S": "O", "T": "P"}),
        outputs=("O", "P"),
    )
    server = models.serve()
    with Gate("both") as gate:
        _, responses = send(server, 1)
        assert {gate.wait_entered(), gate.wait_entered()} == {"slow1_0", "slow2_0"}
        gate.open()
        assert values(responses.get(timeout=30)) == {"O": [2], "P": [3]}


def test_tensors_are_not_copied(models):
    """A step gets the very array that the step before it gave."""
    models.model("same")
    models.ensemble(("same", {"X": "I"}, {"Y": "m"}), ("same", {"X": "m"}, {"Y": "O"}))
    tensor = np.array([4], np.float32)
    assert np.shares_memory(models.serve().model("e").infer({"I": tensor})["O"], tensor)


@pytest.mark.parametrize("read", ["I", "m"])
def test_tensors_of_several_readers_are_read_only(models, read):
    """No reader can change what the others get, neither another step nor the client."""
    models.model("same")
    models.ensemble(
        ("same", {"X": "I"}, {"Y": "m"}),
        ("same", {"X": read}, {"Y": "O"}),
        ("same", {"X": read}, {"Y": "P"}),
        outputs=("O", "P", "m"),
    )
    answer = models.serve().model("e").infer({"I": np.array([4], np.float32)})
    assert values(answer) == {"O": [4], "P": [4], "m": [4]}
    with pytest.raises(ValueError, match="read-only"):
        answer["O"][0] = 5


@pytest.mark.parametrize("read", ["I", "m"])
def test_one_tensor_for_two_inputs(models, read):
    """A step may read a tensor by two of its inputs."""
    models.ensemble(
        ("inc", {"X": "I"}, {"Y": "m"}), ("two", {"A": read, "B": read}, {"S": "O", "T": "P"}), outputs=("O", "P", "m")
    )
    answer = models.serve().model("e").infer({"I": [5]})
    assert values(answer) == {"O": [5 + (read == "m")], "P": [5 + (read == "m")], "m": [6]}
    asked = models.serve().model("e").infer({"I": [5]}, outputs=["O"])
    assert values(asked) == {"O": [5 + (read == "m")]}


def test_ensembles_in_ensembles(models):
    """A step may be an ensemble."""
    models.ensemble(*CHAIN, name="inner")
    models.ensemble(("inner", {"I": "I"}, {"O": "m"}), ("inc", {"X": "m"}, {"Y": "O"}))
    assert values(models.serve().model("e").infer({"I": [3]})) == {"O": [8]}


def test_unwanted_steps_are_left_out(models):
    """Only what is asked for is computed."""
    models.ensemble(("inc", {"X": "I"}, {"Y": "O"}), ("double", {"X": "O"}, {"Y": "P"}), outputs=("O", "P"))
    server = models.serve()
    assert values(server.model("e").infer({"I": [1]}, outputs=["O"])) == {"O": [2]}
    assert server.model("double").statistics().success.count == 0


@pytest.mark.parametrize(("batch", "first", "second"), [(0, 0, 4), (4, 4, 4), (4, 4, 0), (0, 4, 0)])
def test_models_with_and_without_batches(repository, batch, first, second):
    """A batch dimension of 1 is added or taken away where that makes a tensor fit."""
    repository.model("first", max_batch_size=first, addend=1)
    repository.model("second", max_batch_size=second, scale=2)
    if batch and not second:
        repository.model("second", max_batch_size=0, scale=2, dims=[-1, 1])
    repository.ensemble(("first", {"X": "I"}, {"Y": "m"}), ("second", {"X": "m"}, {"Y": "O"}), max_batch_size=batch)
    answer = repository.serve().model("e").infer({"I": [[3]] if batch else [3]})
    assert answer["O"].shape == ((1, 1) if batch else (1,))
    assert values(answer) == {"O": [8]}


def test_optional_inputs(repository):
    """An optional input that is not given is not given to the step, and steps that would need it are passed over."""
    repository.model("inc", addend=1)
    repository.model("either", ("A", "B"), ("S", "T"), optional=("B",))
    repository.ensemble(
        ("inc", {"X": "J"}, {"Y": "j"}),
        ("either", {"A": "I", "B": "j"}, {"S": "O"}),
        inputs=("I", "J"),
        optional=("J",),
    )
    model = repository.serve().model("e")
    assert values(model.infer({"I": [1]})) == {"O": [1]}
    assert values(model.infer({"I": [1], "J": [2]})) == {"O": [1]}


def test_output_that_cannot_be_made(models):
    """Where an output needs an input that was not given, the reference's error says so."""
    models.ensemble(
        ("inc", {"X": "I"}, {"Y": "O"}),
        ("double", {"X": "J"}, {"Y": "P"}),
        inputs=("I", "J"),
        outputs=("O", "P"),
        optional=("J",),
    )
    model = models.serve().model("e")
    with pytest.raises(
        InvalidArgumentError, match=r"in ensemble 'e', .request id: a. unexpected deadlock, at least one output"
    ):
        model.infer({"I": [1]}, id="a")
    assert values(model.infer({"I": [1]}, outputs=["O"])) == {"O": [2]}


def test_errors_name_their_step(models):
    """A step's error keeps its code, with the reference's beginning and the step at the end."""
    models.model("picky", fail_on=4)
    models.ensemble(("double", {"X": "I"}, {"Y": "m"}), ("picky", {"X": "m"}, {"Y": "O"}))
    model = models.serve().model("e")
    with pytest.raises(
        InternalError, match=r"^in ensemble 'e', ValueError: X has the value 4 \(step 1, model 'picky'\)$"
    ):
        model.infer({"I": [2]})
    assert values(model.infer({"I": [1]})) == {"O": [2]}
    assert model.statistics().fail.count == 1


def test_failures_are_counted_where_they_happen(models):
    """A step counts its own reason; the ensemble, which executes nothing, counts one other failure, as in the reference."""
    models.model("picky", fail_on=4)
    models.ensemble(("double", {"X": "I"}, {"Y": "m"}), ("picky", {"X": "m"}, {"Y": "O"}))
    server = models.serve()
    with pytest.raises(InternalError):
        server.model("e").infer({"I": [2]})
    failures = {name: server.model(name).statistics().failures for name in ("e", "picky")}
    assert {name: {str(reason) for reason in told if told[reason]} for name, told in failures.items()} == {
        "e": {"OTHER"},
        "picky": {"BACKEND"},
    }
    assert server.model("e").statistics().fail.count == 1


def test_response_names_the_sequence(models):
    """Every response tells the request's sequence, as in the reference."""
    models.ensemble(*CHAIN)
    model = models.serve().model("e")
    assert model.infer({"I": [1]}).parameters == {"sequence_id": 0, "sequence_start": False, "sequence_end": False}
    told = model.infer({"I": [1]}, sequence_id="talk", sequence_start=True).parameters
    assert told == {"sequence_id": "talk", "sequence_start": True, "sequence_end": False}


def test_one_request_is_one_execution(models):
    """An ensemble counts a request once, with the sums of its steps' times; the steps count theirs."""
    models.ensemble(*CHAIN)
    server = models.serve()
    for number in range(3):
        server.model("e").infer({"I": [number]})
    counters = server.model("e").statistics()
    assert (counters.inference_count, counters.execution_count, counters.success.count) == (3, 3, 3)
    assert counters.batches[1].compute_infer.count == 3
    steps = [server.model(name).statistics().compute_infer.ns for name in ("double", "inc")]
    assert counters.compute_infer.ns == sum(steps)


COUNTED = (("count", {"X": "I"}, {"Y": "d"}), ("double", {"X": "d"}, {"Y": "O"}))


def test_decoupled_step(models):
    """Each response of a decoupled step goes its own way, and the last one ends the request."""
    models.ensemble(*COUNTED)
    server = models.serve()
    assert server.model_config("e").model_transaction_policy.decoupled
    assert [values(it) for it in server.model("e").stream({"I": [3]})] == [{"O": [6]}, {"O": [4]}, {"O": [2]}]
    assert list(server.model("e").stream({"I": [0]})) == []


def test_ways_of_one_response_meet_again(models):
    """Tensors that follow from one response of a decoupled step are combined with each other alone."""
    models.ensemble(
        ("count", {"X": "I"}, {"Y": "d"}),
        ("double", {"X": "d"}, {"Y": "p"}),
        ("inc", {"X": "d"}, {"Y": "q"}),
        ("two", {"A": "p", "B": "q"}, {"S": "O", "T": "P"}),
        outputs=("O", "P"),
    )
    got = [values(it) for it in models.serve().model("e").stream({"I": [20]})]
    assert sorted(it["O"][0] for it in got) == [2 * number for number in range(1, 21)]
    assert all(it["P"][0] == it["O"][0] / 2 + 1 for it in got)


def test_decoupled_steps_in_a_row(models):
    """A decoupled step may follow another one."""
    models.ensemble(("count", {"X": "I"}, {"Y": "d"}), ("count", {"X": "d"}, {"Y": "O"}))
    got = [values(it)["O"][0] for it in models.serve().model("e").stream({"I": [3]})]
    assert sorted(got) == [1, 1, 1, 2, 2, 3]


def test_cancelled_request_goes_no_further(models):
    """A request that is taken back gets its one answer, and no step begins after that."""
    models.model("held", gate="held")
    models.ensemble(("held", {"X": "I"}, {"Y": "m"}), ("inc", {"X": "m"}, {"Y": "O"}))
    server = models.serve()
    with Gate("held") as gate:
        request, responses = send(server, 1)
        gate.wait_entered()
        request.cancel()
    response = responses.get(timeout=30)
    assert isinstance(response.error, CancelledError)
    assert response.final
    assert server.model("inc").statistics().execution_count == 0


def test_limit_of_requests_in_progress(models):
    """With a limit, further requests wait for their turn before their first step, in their order."""
    models.model("held", gate="limit")
    models.ensemble(("inc", {"X": "I"}, {"Y": "m"}), ("held", {"X": "m"}, {"Y": "O"}), max_inflight_requests=1)
    server = models.serve()
    with Gate("limit") as gate:
        _, first = send(server, 1)
        gate.wait_entered()
        cancelled, second = send(server, 2)
        _, third = send(server, 3)
        cancelled.cancel()
        assert server.model("inc").statistics().execution_count == 1
        assert server.model("e").statistics().pending == 2
        gate.open()
        assert values(first.get(timeout=30)) == {"O": [2]}
        assert isinstance(second.get(timeout=30).error, CancelledError)
        assert values(third.get(timeout=30)) == {"O": [4]}
    assert server.model("e").statistics().pending == 0


def test_limit_holds_a_decoupled_step_back(models):
    """A decoupled step waits where the one that follows is so many responses behind."""
    models.model("held", gate="behind")
    models.ensemble(("count", {"X": "I"}, {"Y": "d"}), ("held", {"X": "d"}, {"Y": "O"}), max_inflight_requests=2)
    server = models.serve()
    with Gate("behind") as gate:
        _, responses = send(server, 9)
        gate.wait_entered()
        assert server.get("held").snapshot().in_flight <= 2
        gate.open()
        got = [responses.get(timeout=30) for _ in range(9)]
    assert sorted(values(it)["O"][0] for it in got) == list(range(1, 10))


def test_many_requests_at_once(models):
    """Answers belong to their requests, whatever else is on the way."""
    models.ensemble(*CHAIN)
    model = models.serve().model("e")
    with ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(lambda number: values(model.infer({"I": [number]})), range(200)))
    assert answers == [{"O": [2 * number + 1]} for number in range(200)]


async def test_from_an_event_loop(models):
    """Coroutines ask ensembles as they ask any model."""
    models.ensemble(*CHAIN)
    assert values(await models.serve().model("e").infer_async({"I": [3]})) == {"O": [7]}


def test_responses_of_an_ensemble_are_cached(models):
    """An ensemble that asks for it is answered from the response cache, and its steps are not asked again."""
    models.ensemble(*CHAIN)
    models.cache("e")
    server = models.serve(cache_config={"local": {"size": "1048576"}})
    assert [values(server.model("e").infer({"I": [3]})) for _ in range(2)] == [{"O": [7]}] * 2
    counters = server.model("e").statistics()
    assert (counters.success.count, counters.execution_count, counters.cache_hit.count) == (2, 1, 1)
    assert server.model("inc").statistics().execution_count == 1
