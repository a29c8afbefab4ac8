"""Another number of instances: sequences stay where they are to their end, and new ones go where there is room."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from charonia import Server, ServerOptions
from charonia.plugins import Plugins
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticPlugin
from google.protobuf import json_format

IDLE = "max_sequence_idle_microseconds: 1000000 "
OLDEST = IDLE + "oldest { max_candidate_sequences: 1 }"
PATIENCE_SECONDS = 30.0

SECTIONS = pytest.mark.parametrize("section", [IDLE, OLDEST], ids=["direct", "oldest"])


def ended(model, instance):
    """Ask for an instance as its thread does; tell whether it is told that there is no more work. Something must be there."""
    return model.scheduler.next_batch(instance) is None


@SECTIONS
def test_backlog_gets_the_slots_of_new_instances(model, section):
    """A sequence that waits for a slot has one as soon as there is another instance."""
    model = model(section, instances=("A",), max_batch_size=1)
    model.send("a", 1, start=True)
    model.send("b", 2, start=True)
    assert model.values("A") == [1]
    model.scheduler.resize(model.config, ["A", "B"])
    assert model.values("B") == [2]
    model.send("a", 3)
    model.send("b", 4)
    assert (model.values("A"), model.values("B")) == ([3], [4])


@SECTIONS
def test_sequence_stays_where_it_is_until_its_end(model, section):
    """An instance that leaves executes the sequences that it has, gets no new ones, and goes after the last one's end."""
    model = model(section, instances=("A", "B"), max_batch_size=1)
    model.send("a", 1, start=True)
    model.send("b", 2, start=True)
    assert (model.values("A"), model.values("B")) == ([1], [2])
    model.scheduler.resize(model.config, ["A"])
    model.send("c", 3, start=True)
    model.send("b", 4)
    assert model.values("B") == [4]
    assert model.take("A") is None
    model.send("b", 5, end=True)
    assert model.values("B") == [5]
    assert ended(model, "B")
    assert model.take("A") is None
    model.send("a", 6, end=True)
    assert [model.values("A") for _ in range(2)] == [[6], [3]]


@SECTIONS
def test_silent_sequence_lets_its_instance_go(model, section):
    """A sequence that has ended since it was silent is no reason to stay."""
    model = model(section, instances=("A", "B"), max_batch_size=1)
    model.send("a", 1, start=True)
    model.send("b", 2, start=True)
    assert (model.values("A"), model.values("B")) == ([1], [2])
    model.scheduler.resize(model.config, ["A"])
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ended, model, "B")
        model.clock.advance(1.0)
        assert asking.result(PATIENCE_SECONDS)


def test_instance_without_sequences_goes_at_once(model):
    """Its slots are not taken any more, and its thread is woken."""
    model = model(IDLE, instances=("A", "B"), max_batch_size=1)
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ended, model, "B")
        model.scheduler.resize(model.config, ["A"])
        assert asking.result(PATIENCE_SECONDS)
    model.send("a", 1, start=True)
    model.send("b", 2, start=True)
    assert model.values("A") == [1]
    assert model.take("A") is None


def test_state_of_those_who_stay_survives(model):
    """What the server keeps for a sequence goes on where it is, at instances that stay and at those that leave."""
    state = 'state { input_name: "S" output_name: "S" data_type: TYPE_INT32 dims: [ 1 ] }'
    model = model(IDLE + state, instances=("A", "B"), max_batch_size=1)

    def step(name, instance, value, **flags):
        model.send(name, value, **flags)
        (request,) = model.take(instance)
        total = request.inputs["S"] + request.inputs["X"]
        model.execute(request, S=total)
        return int(total.ravel()[0])

    assert (step("a", "A", 1, start=True), step("b", "B", 10, start=True)) == (1, 10)
    model.scheduler.resize(model.config, ["C", "A"])
    assert (step("a", "A", 2), step("b", "B", 20), step("c", "C", 100, start=True)) == (3, 30, 100)
    assert step("b", "B", 30, end=True) == 60
    assert ended(model, "B")
    assert (step("a", "A", 3, end=True), step("c", "C", 200, end=True)) == (6, 300)


def test_late_answer_comes_after_its_instance_has_gone(model):
    """A last request that is answered late neither keeps the scheduler from letting the instance go, nor harms anybody."""
    model = model(IDLE, instances=("A", "B"), max_batch_size=1)
    model.send("a", 1, start=True)
    last = model.send("b", 2, start=True, end=True)
    (late,) = model.take("B")
    model.scheduler.resize(model.config, ["A"])
    assert ended(model, "B")
    model.execute(late)
    assert last.responses[-1].error is None
    assert model.values("A") == [1]


def test_no_request_of_a_sequence_is_lost(tmp_path):
    """In a server whose instances come and go, every sequence is answered in its order."""

    def config(count):
        config = model_config("m", max_batch_size=2, instance_count=count)
        config.sequence_batching.max_sequence_idle_microseconds = 10_000_000
        return config

    write_model(tmp_path, config(2))
    options = ServerOptions(model_control_mode="explicit", load_model=["m"])
    stop = threading.Event()
    with Server(tmp_path, options=options, plugins=Plugins(extra=[ArithmeticPlugin()])) as server:
        model = server.get("m")

        def talk(client):
            said = 0
            while not stop.is_set() or not said:
                said += 1
                for step in range(4):
                    answer = server.model("m").infer(
                        {"INPUT0": np.full((1, 16), step, np.float32)},
                        sequence_id=client * 1_000_000 + said,
                        sequence_start=step == 0,
                        sequence_end=step == 3,
                    )
                    assert answer["OUTPUT0"][0, 0] == step
            return said

        with ThreadPoolExecutor(4) as clients:
            talks = [clients.submit(talk, client) for client in range(1, 5)]
            try:
                for count in [1, 3, 2, 4, 1, 2] * 5:
                    server.load("m", config=json_format.MessageToJson(config(count)))
            finally:
                stop.set()
            assert all(future.result(PATIENCE_SECONDS) for future in talks)
        assert server.get("m") is model
