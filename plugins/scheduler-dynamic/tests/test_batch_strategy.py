"""Batches as a model's author decides: what a strategy may say, where it comes from, and how it may fail."""

from __future__ import annotations

import sys

import pytest
from charonia.errors import InvalidArgumentError, UnsupportedError
from charonia.testing.builders import model_config, scheduler_context
from charonia_scheduler_dynamic.batch_strategy import BatchStrategy, batch_strategy
from hypothesis import given, settings
from hypothesis import strategies as st

LIMIT = 5


class ByWeight(BatchStrategy):
    """Takes requests until their weights, which these tests give as priorities, are more than the limit."""

    def __init__(self, config=None):
        super().__init__(config)
        self.left = LIMIT

    def include(self, request):
        self.left -= request.priority
        return self.left >= 0


def weights(arrival, *weights, at=50):
    """Make arrivals of these weights, at one time."""
    return [arrival(at, priority=weight) for weight in weights]


def test_strategy_closes_batches(simulate, arrival):
    """While the instance is busy, batches are formed as the strategy says, in the order of the queue."""
    played = simulate("", [arrival(0), *weights(arrival, 2, 2, 1, 1, 9, 1, 4)], strategy=ByWeight)
    assert played.order == [[0], [1, 2, 3], [4], [5], [6, 7]]
    assert played.reasons == ["queue_empty", "strategy", "strategy", "strategy", "queue_empty"]


def test_rules_hold_beside_the_strategy(simulate, arrival):
    """No strategy makes a batch larger than the model takes, or one of different shapes."""

    class All(BatchStrategy):
        def include(self, request):
            return True

    arrivals = [arrival(0), arrival(50, 5), arrival(50, 4), arrival(50, 1, width=2)]
    played = simulate("", arrivals, strategy=lambda: All(None), max_batch_size=8)
    assert played.order == [[0], [1], [2], [3]]
    assert played.reasons[1:] == ["would_overflow", "signature_changed", "queue_empty"]


def test_what_is_closed_is_not_held_back(simulate, arrival):
    """A batch that nobody can join is executed at once, though its delay is not over; what is open waits for it."""
    section = "max_queue_delay_microseconds: 800000"
    played = simulate(section, weights(arrival, 3, 2, 1, at=0), strategy=ByWeight, instances=2)
    assert [(run.at, run.places, run.reason) for run in played.runs] == [
        (0, [0, 1], "strategy"),
        (800, [2], "delay_over"),
    ]


def test_batches_that_grew_apart_join_as_the_strategy_says(simulate, arrival):
    """With a delay, batches that were formed ahead join when the instance is free, unless the strategy is against it."""
    section = "max_queue_delay_microseconds: 1000"
    for weight, order in ((2, [[0], [1, 2]]), (4, [[0], [1], [2]])):
        arrivals = [arrival(0), arrival(50, priority=weight), arrival(100, priority=weight)]
        assert simulate(section, arrivals, strategy=ByWeight).order == order


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 100), st.integers(1, 3), st.integers(0, LIMIT + 2)), max_size=40),
    st.sampled_from([0, 5, 40]),
    st.lists(st.integers(1, 6), max_size=2),
    st.integers(1, 3),
)
def test_no_batch_is_against_the_strategy(simulate, arrival, tuples, delay_ms, preferred, instances):
    """Whatever comes when, all is executed once, in order, and in batches that the strategy allows."""
    arrivals = [arrival(at, size, priority=weight) for at, size, weight in sorted(tuples)]
    section = f"max_queue_delay_microseconds: {delay_ms * 1000} preferred_batch_size: {preferred}"
    played = simulate(section, arrivals, strategy=ByWeight, instances=instances, max_batch_size=6, execution_ms=20)
    assert [place for run in played.runs for place in run.places] == list(range(len(arrivals)))
    for run in played.runs:
        assert len(run.places) == 1 or sum(arrivals[place].priority for place in run.places) <= LIMIT


@pytest.mark.parametrize("fails_in", ["__init__", "include"])
def test_failing_strategy(simulate, arrival, fails_in, caplog):
    """Where a strategy fails, requests are executed one by one, and the log says why."""

    class Failing(BatchStrategy):
        def __init__(self):
            super().__init__(None)
            self.fail("__init__")

        def include(self, request):
            self.fail("include")

        def fail(self, where):
            if where == fails_in:
                raise ArithmeticError("no such weight")

    played = simulate("", [arrival(0), *weights(arrival, 1, 1)], strategy=Failing)
    assert played.order == [[0], [1], [2]]
    assert "no such weight" in caplog.text


FILE = """from __future__ import annotations

from dataclasses import dataclass

from charonia_scheduler_dynamic.batch_strategy import BatchStrategy

@dataclass
class Limit:
    most: int

class Few(BatchStrategy):
    def __init__(self, config):
        super().__init__(config)
        self.left = Limit(int(config.parameters["most"].string_value)).most

    def include(self, request):
        self.left -= 1
        return self.left >= 0

class Other:
    pass
"""


def context(directory, **parameters):
    """Make what the scheduler of a model with these parameters is told; its directory has a file with a strategy."""
    (directory / "1").mkdir(parents=True, exist_ok=True)
    (directory / "few.py").write_text(FILE)
    config = model_config("m", parameters={"most": "2", **parameters})
    config.dynamic_batching.SetInParent()
    return scheduler_context(config, directory=directory)


def test_strategy_of_a_file(tmp_path, simulate, arrival):
    """A file of the model's directory has the class; it is executed anew with each load, and is no module for others."""
    strategy = batch_strategy(context(tmp_path / "m", batch_strategy="few.py:Few"))
    assert simulate("", [arrival(0), *weights(arrival, 0, 0, 0)], strategy=strategy).order == [[0], [1, 2], [3]]
    assert strategy is not batch_strategy(context(tmp_path / "m", batch_strategy="few.py:Few"))
    assert not [name for name in sys.modules if name.startswith("charonia_scheduler_dynamic.batch_strategy_")]


def test_strategy_of_a_module(tmp_path, monkeypatch):
    """An installed module may have the class, too."""
    (tmp_path / "strategies_of_mine.py").write_text(FILE)
    monkeypatch.syspath_prepend(tmp_path)
    strategy = batch_strategy(context(tmp_path / "m", batch_strategy="strategies_of_mine:Few"))
    assert type(strategy()).__name__ == "Few"
    monkeypatch.delitem(sys.modules, "strategies_of_mine")


def test_models_without_one(tmp_path):
    """Most models have no strategy."""
    assert batch_strategy(context(tmp_path)) is None


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("few.py:Nothing", "it names no subclass of charonia_scheduler_dynamic.batch_strategy.BatchStrategy"),
        ("few.py:Other", "write <file>.py:<class>"),
        ("few.py", "it names no subclass"),
        ("absent.py:Few", "No such file"),
        ("../few.py:Few", "outside of the model's directory"),
        ("no_such_module:Few", "No module named 'no_such_module'"),
    ],
)
def test_strategies_that_cannot_be_used(tmp_path, named, told):
    """The load fails, and says what was found and what to write."""
    with pytest.raises(InvalidArgumentError, match=r"^parameter 'batch_strategy' of model 'm' is ") as refused:
        batch_strategy(context(tmp_path / "m", batch_strategy=named))
    assert f"'{named}', which cannot be used: " in str(refused.value)
    assert told in str(refused.value)


def test_strategy_whose_object_cannot_be_made(tmp_path):
    """What would fail for each batch fails the load."""
    with pytest.raises(InvalidArgumentError, match="invalid literal for int"):
        batch_strategy(context(tmp_path, batch_strategy="few.py:Few", most="many"))


@pytest.mark.parametrize("place", ["", "1"])
def test_strategies_in_c(tmp_path, place):
    """A model with a strategy as the reference takes it is refused, rather than batched in another way; the text tells the way."""
    told = r"has a batch strategy in C, '.*\.so', which this server cannot load: .* by the parameter 'batch_strategy'"
    with pytest.raises(UnsupportedError, match=told):
        batch_strategy(context(tmp_path, TRITON_BATCH_STRATEGY_PATH="/models/m/mine.so"))
    found = context(tmp_path)
    (tmp_path / place / "batchstrategy.so").touch()
    with pytest.raises(UnsupportedError, match=told):
        batch_strategy(found)
