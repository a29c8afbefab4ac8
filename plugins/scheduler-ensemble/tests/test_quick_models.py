"""Steps whose models are quick: executed where the request comes in, in any mix with others, and answered all the same."""

from __future__ import annotations

import itertools
import queue
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from charonia.config import ModelConfig
from charonia.errors import InvalidArgumentError
from charonia.models import NoModels
from charonia.request import InferenceRequest, InferenceResponse
from charonia.testing.builders import model_config, scheduler_context
from charonia_protos.model_config_pb2 import ModelEnsembling
from charonia_scheduler_ensemble.scheduler import EnsembleScheduler
from hypothesis import given
from hypothesis import strategies as st


class Increments(NoModels):
    """Models that add one.

    Those called "quick" are executed by who asks, "busy" would be, "slow" is by another thread, and "known" is answered while it
    is being asked, as from a cache.
    """

    def __init__(self, pool):
        self.pool = pool
        self.here = 0
        self.deepest = 0
        self.fails_at = None

    def model_config(self, name, version=None):
        return model_config(
            name, inputs=[("X", "FP32", [1])], outputs=[("Y", "FP32", [1])], max_batch_size=0, decoupled=name == "many"
        )

    def submit_prompt(self, request):
        if request.model_name != "quick":
            return False
        self.here += 1
        self.answer(request)
        return True

    def submit(self, request):
        if request.model_name == "known":
            self.answer(request)
        else:
            self.pool.submit(self.answer, request)

    def answer(self, request):
        self.deepest = max(self.deepest, len(list(_frames())))
        value = request.inputs["X"]
        if self.fails_at is not None and value[0] == self.fails_at:
            request.fail(InvalidArgumentError("enough"))
        else:
            request.respond(InferenceResponse({"Y": value + 1}))


def _frames():
    frame = sys._getframe()
    while frame is not None:
        yield frame
        frame = frame.f_back


@pytest.fixture(scope="module")
def pool():
    with ThreadPoolExecutor(2) as pool:
        yield pool


def chain(models, names, **scheduling):
    """An ensemble of these models, one after the other."""
    config = ModelConfig(name="e", platform="ensemble")
    config.input.add(name="t0", dims=[1])
    config.output.add(name=f"t{len(names)}", dims=[1])
    config.ensemble_scheduling.MergeFrom(ModelEnsembling(**scheduling))
    for number, name in enumerate(names):
        config.ensemble_scheduling.step.add(
            model_name=name, model_version=-1, input_map={"X": f"t{number}"}, output_map={"Y": f"t{number + 1}"}
        )
    return EnsembleScheduler(scheduler_context(config, models=models))


def ask(scheduler, value=0.0):
    answers = queue.SimpleQueue()
    scheduler.enqueue(InferenceRequest("e", {"t0": np.array([value], np.float32)}, answers.put))
    answer = answers.get(timeout=30)
    assert answers.empty()
    return answer


def test_a_way_of_quick_steps_stays_on_one_thread_and_shallow(pool):
    """However many quick steps there are, they are executed by who asks, and the stack does not grow with them."""
    models = Increments(pool)
    assert ask(chain(models, ["quick"] * 2))["t2"].tolist() == [2]
    shallow, models.deepest = models.deepest, 0
    assert ask(chain(models, ["quick"] * 100))["t100"].tolist() == [100]
    assert models.here == 102
    assert models.deepest == shallow


@pytest.mark.parametrize(
    "names", [["known"], ["quick"], ["slow"], ["slow", "known", "known"], ["known", "quick", "slow"]]
)
def test_a_long_way_is_shallow_whoever_answers(pool, names):
    """However long a chain is, and wherever its steps are answered, the stack does not grow with it."""
    models = Increments(pool)
    ask(chain(models, names * 2))
    shallow, models.deepest = models.deepest, 0
    times = 2000 // len(names)
    assert ask(chain(models, names * times), 3.0)[f"t{times * len(names)}"].tolist() == [3 + times * len(names)]
    assert models.deepest <= shallow


@given(st.lists(st.sampled_from(["quick", "busy", "slow", "known"]), min_size=1, max_size=12))
def test_any_mix_gives_the_same_answer(pool, names):
    """Quick steps and others may follow each other as they like."""
    models = Increments(pool)
    assert ask(chain(models, names), 5.0)[f"t{len(names)}"].tolist() == [5 + len(names)]
    at_once = itertools.takewhile(lambda name: name in {"quick", "known"}, names)
    assert models.here == list(at_once).count("quick")


@given(st.lists(st.sampled_from(["quick", "slow", "known"]), min_size=1, max_size=8), st.integers(0, 7))
def test_an_error_is_told_once_wherever_it_happens(pool, names, where):
    """The first step that fails ends the request, with its name."""
    models = Increments(pool)
    models.fails_at = where
    answer = ask(chain(models, names))
    if where < len(names):
        assert f"enough (step {where}, model '{names[where]}')" in str(answer.error)
    else:
        assert answer.error is None


def test_branches_of_quick_and_slow_models_meet(pool):
    """A step that reads what a quick and a slow step write begins when both are there, on whichever thread."""
    models = Increments(pool)
    config = ModelConfig(name="e", platform="ensemble")
    config.input.add(name="t0", dims=[1])
    config.output.add(name="a2", dims=[1])
    config.output.add(name="b2", dims=[1])
    steps = config.ensemble_scheduling.step
    for name, source, target in (("quick", "t0", "a"), ("slow", "t0", "b"), ("quick", "a", "a2"), ("quick", "b", "b2")):
        steps.add(model_name=name, model_version=-1, input_map={"X": source}, output_map={"Y": target})
    scheduler = EnsembleScheduler(scheduler_context(config, models=models))
    for value in range(50):
        answer = ask(scheduler, value)
        assert (answer["a2"].tolist(), answer["b2"].tolist()) == ([value + 2], [value + 2])


def test_a_long_queue_is_shallow(pool):
    """Where requests wait for others to end, the stack does not grow with those that end at once."""
    held = threading.Event()

    class Held(Increments):
        def submit(self, request):
            if held.is_set():
                self.answer(request)
            else:
                self.pool.submit(lambda: (held.wait(30), self.answer(request)))

    models = Held(pool)
    scheduler = chain(models, ["busy"], max_inflight_requests=1)
    answers = queue.SimpleQueue()
    for value in range(1000):
        scheduler.enqueue(InferenceRequest("e", {"t0": np.array([value], np.float32)}, answers.put))
    assert scheduler.pending == 999
    held.set()
    assert [int(answers.get(timeout=30)["t1"][0]) for _ in range(1000)] == list(range(1, 1001))
    assert models.deepest < 100


def test_a_refusal_of_the_quick_way_is_the_answer(pool):
    """What the model says when it is asked is the step's error, as on the other way."""

    class Refusing(Increments):
        def submit_prompt(self, request):
            raise InvalidArgumentError("not this one")

    answer = ask(chain(Refusing(pool), ["quick", "quick"]))
    assert str(answer.error) == "in ensemble 'e', not this one (step 0, model 'quick')"


def test_a_late_answer_of_a_quick_model_goes_on_from_its_own_thread(pool):
    """A model that was asked here may answer from elsewhere."""

    class Late(Increments):
        def submit_prompt(self, request):
            thread = threading.Thread(target=self.answer, args=(request,))
            thread.start()
            thread.join()
            return True

    assert ask(chain(Late(pool), ["quick", "quick", "quick"]))["t3"].tolist() == [3]
