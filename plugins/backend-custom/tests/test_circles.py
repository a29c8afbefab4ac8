"""Calls that wait for each other in a circle are errors that name it; calls that only look so are answered."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from charonia.errors import InternalError
from charonia.models import NoModels
from charonia.request import InferenceRequest
from charonia_backend_custom.circles import WaitGraph
from charonia_backend_custom.running import Running

CALLS = """
class TritonPythonModel:
    def execute(self, requests):
        (request,) = requests
        x = request.inputs()[0].as_numpy()
        if x[0] == 0:
            return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", x)])]
        call = pb_utils.InferenceRequest(model_name="{other}", inputs=[pb_utils.Tensor("X", x - 1)], requested_output_names=["Y"])
        response = call.exec()
        if response.has_error():
            raise pb_utils.TritonModelException(response.error().message())
        return [response]
"""


def test_a_model_that_calls_itself_with_one_instance(serve):
    """The only instance waits for itself: the error says so, and the instance goes on."""
    serve.write("a", CALLS.format(other="a"))
    model = serve.start().model("a")
    for _ in range(2):
        with pytest.raises(InternalError, match="in a circle, a -> a:"):
            model.infer({"X": [1]})
    assert model.infer({"X": [0]})["Y"].tolist() == [0]


def test_two_models_that_call_each_other(serve):
    """The circle is named from the model that called last."""
    serve.write("a", CALLS.format(other="b"))
    serve.write("b", CALLS.format(other="a"))
    server = serve.start()
    with pytest.raises(InternalError, match="in a circle, b -> a -> b:"):
        server.model("a").infer({"X": [2]})
    assert server.model("a").infer({"X": [1]})["Y"].tolist() == [0]


def test_a_recursion_that_has_instances_enough(serve):
    """A model with another instance for each level of its calls is no circle; one level more is."""
    serve.write("a", CALLS.format(other="a"), instance_count=3)
    model = serve.start().model("a")
    assert model.infer({"X": [2]})["Y"].tolist() == [0]
    with pytest.raises(InternalError, match="in a circle, a -> a -> a -> a:"):
        model.infer({"X": [3]})


def test_a_circle_of_requests_that_do_not_stem_from_each_other(serve):
    """Two clients' requests, each of which holds the instance that the other one's call needs, do not hang."""
    source = (
        CALLS.replace("        call =", "        meeting.wait(30) if x[0] == 9 else None\n        call =")
        + "\nmeeting = None\n"
    )
    serve.write("a", source.format(other="b"))
    serve.write("b", source.format(other="a"))
    server = serve.start()
    meeting = threading.Barrier(2)
    for module in serve.modules():
        module.meeting = meeting
    failures = []

    def ask(name):
        try:
            server.model(name).infer({"X": [9]})
        except InternalError as error:
            failures.append(str(error))

    threads = [threading.Thread(target=ask, args=[name]) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert any("in a circle" in failure for failure in failures)


def test_a_model_that_calls_itself_from_a_decoupled_coroutine(serve):
    """Such an execution holds no instance, so that it may call its own model."""
    source = """
    class TritonPythonModel:
        async def execute(self, requests):
            (request,) = requests
            x = request.inputs()[0].as_numpy()
            responses = []
            if x[0]:
                call = pb_utils.InferenceRequest(model_name="m", inputs=[pb_utils.Tensor("X", x - 1)], requested_output_names=["Y"])
                responses = [r async for r in await call.async_exec(decoupled=True) if r.output_tensors()]
            sender = request.get_response_sender()
            for response in responses:
                sender.send(response)
            sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("Y", x)]), flags=1)
    """
    model = serve(source, decoupled=True)
    assert [int(response["Y"][0]) for response in model.stream({"X": [3]})] == [0, 1, 2, 3]


def request_to(model, **options):
    """A request that nobody answers."""
    return InferenceRequest(model, {"X": np.zeros(1)}, lambda response: None, **options)


def execution(seat, requests=None, **options):
    """An execution that has begun, of a request to the instance's model if not given."""
    running = Running(seat, requests or [request_to(seat.model)], **options)
    seat.enter(running)
    return running


class Ensemble(NoModels):
    """The other models of a server whose model "e" is made of one step, "a"."""

    def model_config(self, name, version=None):
        from charonia.config import ModelConfig

        config = ModelConfig(name=name)
        if name == "e":
            config.ensemble_scheduling.step.add(model_name="a")
        return config


def test_an_ensemble_that_needs_the_model_that_calls_it():
    """A model that holds its only instance cannot wait for an ensemble in which it is a step."""
    graph = WaitGraph()
    running = execution(graph.join("a", 1))
    call = request_to("e")
    with graph.waiting(running, call, Ensemble()):
        assert call.done
    other = graph.join("a", 1)
    call = request_to("e")
    with graph.waiting(running, call, Ensemble()):
        assert not call.done
    graph.quit(other)
    call = request_to("e")
    with graph.waiting(running, call, Ensemble()):
        assert call.done


class Repository(NoModels):
    """The other models as those of one repository see them, where repositories are namespaces."""

    def __init__(self, name):
        self.name = name

    def key_of(self, name, namespace=""):
        return f"{self.name}::{name}"


def test_models_of_equal_names_are_no_circle():
    """Where repositories are namespaces, a model that waits for one of its own name in another one does not wait for itself."""
    graph = WaitGraph()
    running = execution(graph.join("A::m", 1))
    graph.join("B::m", 1)
    call = request_to("m")
    with graph.waiting(running, call, Repository("B")):
        assert not call.done
    with graph.waiting(running, call, Repository("A")):
        assert call.done


def test_a_call_that_somebody_works_on_is_waited_for():
    """An execution that computes is a way on, however many wait for it."""
    graph = WaitGraph()
    call = request_to("b")
    call.started_ns = 1
    caller = execution(graph.join("a", 1))
    execution(graph.join("b", 1), [call])
    with graph.waiting(caller, call, NoModels()):
        assert not call.done


def test_an_execution_whose_turn_has_not_come_holds_nothing_and_waits():
    """What was passed on ahead of its turn is stuck if that before it is; and as long as it waits, it holds no instance."""
    graph = WaitGraph()
    call = request_to("a")
    call.started_ns = 1
    a = graph.join("a", 1)
    first = execution(a)
    execution(a, [call], behind=first)
    with graph.waiting(first, call, NoModels()):
        assert call.done

    b = graph.join("b", 1)
    graph.join("b", 1)
    holding = execution(b)
    execution(b, behind=holding)
    free = request_to("b")
    with graph.waiting(holding, free, NoModels()):
        assert not free.done  # the other instance can take it


def test_the_requests_of_a_batch_cancel_its_calls_together():
    """A call that several requests have caused is taken back when all of them are."""
    requests = [request_to("a"), request_to("a")]
    call = request_to("b", parent=Running(WaitGraph().join("a", 1), requests).parent)
    requests[0].cancel()
    assert not call.cancelled
    requests[1].cancel()
    assert call.cancelled
