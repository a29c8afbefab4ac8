"""Whatever the graph, and in whatever order its models answer: no response is lost, doubled, or made of what belongs to another."""

from __future__ import annotations

import dataclasses

import numpy as np
from charonia.config import ModelConfig
from charonia.errors import CancelledError, InvalidArgumentError
from charonia.models import NoModels
from charonia.request import InferenceRequest, InferenceResponse
from charonia.testing.builders import model_config, scheduler_context
from charonia_scheduler_ensemble.scheduler import EnsembleScheduler
from hypothesis import given
from hypothesis import strategies as st

PRIME = 10_007
"""Numbers are taken modulo it: a sum of others than those meant is another number, almost always."""


@dataclasses.dataclass
class Step:
    """A step: "sum" gives a number made of what it reads; "many" gives several, one for each of its responses."""

    model: str
    reads: list[str]
    writes: str

    def gives(self, values, number=0):
        """Make the number that a model gives, of those that it gets."""
        return sum((3 * place + 2) * value for place, value in enumerate(values, 1 + number)) % PRIME


@dataclasses.dataclass
class Graph:
    """Steps in phases: each after the first begins with a decoupled step, and what follows reads its responses alone."""

    phases: list[list[Step]]
    outputs: list[str]

    @property
    def steps(self):
        """All steps, in an order in which they could be executed."""
        return [step for phase in self.phases for step in phase]

    def needed(self):
        """Tell the steps that the outputs follow from."""
        wanted, found = set(self.outputs), []
        for step in reversed(self.steps):
            if step.writes in wanted:
                found.append(step)
                wanted.update(step.reads)
        return found

    def answers(self, given, fan_out):
        """Give all answers, as lists of numbers, and how often models are asked."""
        needed = {step.writes for step in self.needed()}
        waves, asked = [dict(given)], 0
        for phase in self.phases:
            for step in phase:
                if step.writes in needed:
                    asked += len(waves)
                    waves = [made for wave in waves for made in _passed(step, wave, fan_out)]
        return sorted([wave[output] for output in self.outputs] for wave in waves), asked


def _passed(step, wave, fan_out):
    values = [wave[tensor] for tensor in step.reads]
    if step.model == "sum":
        return [wave | {step.writes: step.gives(values)}]
    return [{step.writes: step.gives(values, number)} for number in range(fan_out)]


@st.composite
def graphs(draw):
    """Make a graph, with two inputs."""
    there, phases = ["I0", "I1"], []
    count = 0
    for place in range(draw(st.integers(1, 3))):
        phase = []
        if place:
            phase.append(Step("many", [draw(st.sampled_from(there))], f"t{count}"))
            there = [f"t{count}"]
            count += 1
        for _ in range(draw(st.integers(0 if place else 1, 5))):
            reads = draw(st.lists(st.sampled_from(there), min_size=1, max_size=3))
            phase.append(Step("sum", reads, f"t{count}"))
            there.append(f"t{count}")
            count += 1
        phases.append(phase)
    made = [tensor for tensor in there if tensor.startswith("t")]
    return Graph(phases, draw(st.lists(st.sampled_from(made), min_size=1, unique=True)))


class Asked(NoModels):
    """Keeps what models are asked, until the test has them answer."""

    def __init__(self, fan_out):
        self.fan_out = fan_out
        self.requests = []
        self.told = {}  # by request: how many responses it has had
        self.count = 0

    def model_config(self, name, version=None):
        inputs = [(f"X{place}", "INT64", [1]) for place in range(3)]
        config = model_config(
            name, inputs=inputs, outputs=[("Y", "INT64", [1])], max_batch_size=0, decoupled=name == "many"
        )
        for tensor in config.input:
            tensor.optional = True
        return config

    def submit_prompt(self, request):
        return False

    def submit(self, request):
        self.count += 1
        self.requests.append(request)
        self.told[id(request)] = 0

    def answer(self, request, *, final_with_last):
        """Give the next response to a request."""
        number = self.told[id(request)]
        many = request.model_name == "many"
        left = (self.fan_out if many else 1) - number
        outputs = {}
        if left:
            values = [int(array.item()) for _, array in sorted(request.inputs.items())]
            outputs = {"Y": np.array([Step(request.model_name, [], "").gives(values, number)])}
        final = left == 0 or (left == 1 and (final_with_last or not many))
        self.told[id(request)] += 1
        if final:
            self.requests.remove(request)
        request.respond(InferenceResponse(outputs, final=final))


def scheduler_of(graph, models, most):
    """Make the scheduler of a graph. Steps may stand in any order: they are written from last to first."""
    config = ModelConfig(name="e", platform="ensemble")
    config.model_transaction_policy.decoupled = len(graph.phases) > 1
    for name in ("I0", "I1"):
        config.input.add(name=name, dims=[1])
    for name in graph.outputs:
        config.output.add(name=name, dims=[1])
    config.ensemble_scheduling.max_inflight_requests = most
    for step in reversed(graph.steps):
        reads = {f"X{place}": tensor for place, tensor in enumerate(step.reads)}
        config.ensemble_scheduling.step.add(
            model_name=step.model, model_version=-1, input_map=reads, output_map={"Y": step.writes}
        )
    return EnsembleScheduler(scheduler_context(config, models=models))


def send(scheduler, given):
    """Send a request, and give it with the list of its responses."""
    responses = []
    inputs = {name: np.array([value]) for name, value in given.items()}
    request = InferenceRequest("e", inputs, responses.append)
    scheduler.enqueue(request)
    return request, responses


def numbers(responses, graph):
    """Read the answers, and check that the last response is the only final one."""
    assert [response.final for response in responses] == [False] * (len(responses) - 1) + [True]
    return sorted([int(it[name].item()) for name in graph.outputs] for it in responses if it.outputs)


@given(graphs(), st.integers(0, 3), st.sampled_from([0, 0, 1, 2]), st.booleans(), st.data())
def test_every_answer_is_made_of_its_own(graph, fan_out, most, final_with_last, data):
    """Several requests at once, whose models answer in any order, have all their answers, and no model is asked in vain."""
    models = Asked(fan_out)
    most = (
        most if len(graph.phases) == 1 else 0
    )  # a step that is held back waits, and here is nobody to go on meanwhile
    scheduler = scheduler_of(graph, models, most)
    given = [{"I0": 100 * place + 1, "I1": 1000 * place + 7} for place in range(3)]
    sent = [send(scheduler, one) for one in given]
    while models.requests:
        assert not most or len({id(request.parent) for request in models.requests}) <= most
        models.answer(data.draw(st.sampled_from(models.requests)), final_with_last=final_with_last)
    expected = [graph.answers(one, fan_out) for one in given]
    assert [numbers(responses, graph) for _, responses in sent] == [answers for answers, _ in expected]
    assert models.count == sum(asked for _, asked in expected)
    assert scheduler.pending == 0


@given(graphs(), st.integers(0, 3), st.booleans(), st.integers(0, 12), st.data())
def test_an_end_before_the_end(graph, fan_out, cancels, after, data):
    """Whenever a model fails or the client takes the request back, there is one final response, and nothing begins after it."""
    models = Asked(fan_out)
    request, responses = send(scheduler_of(graph, models, 0), {"I0": 5, "I1": 9})
    asked = None
    while models.requests:
        one = data.draw(st.sampled_from(models.requests))
        if after or asked is not None or (responses[-1:] and responses[-1].final):
            after -= 1
            models.answer(one, final_with_last=True)
            continue
        asked = models.count
        if cancels:
            request.cancel()
        else:
            models.requests.remove(one)
            one.fail(InvalidArgumentError("enough"))
    assert [response.final for response in responses] == [False] * (len(responses) - 1) + [True]
    if asked is None:
        assert numbers(responses, graph) == graph.answers({"I0": 5, "I1": 9}, fan_out)[0]
        return
    assert models.count == asked
    if cancels:
        assert isinstance(responses[-1].error, CancelledError)
    else:
        assert str(responses[-1].error).startswith("in ensemble 'e', enough (step ")
