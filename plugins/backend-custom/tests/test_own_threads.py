"""Circles through threads that a model has started itself."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest
from charonia.errors import InternalError
from charonia.models import NoModels
from charonia.request import InferenceRequest
from charonia_backend_custom import circles
from charonia_backend_custom.circles import WaitGraph
from charonia_backend_custom.running import OwnThread, Running
from charonia_backend_custom.thread_waits import awaited_thread, place_of

CALLS = """
from concurrent.futures import ThreadPoolExecutor

class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request.inputs()[0].as_numpy()) for request in requests]

    def answer(self, x):
        if x[0] == 0:
            return pb_utils.InferenceResponse([pb_utils.Tensor("Y", x)])
        {wait}

    def call(self, x):
        request = pb_utils.InferenceRequest(
            model_name="{other}", inputs=[pb_utils.Tensor("X", x - 1)], requested_output_names=["Y"]
        )
        response = request.exec()
        if response.has_error():
            raise pb_utils.TritonModelException(response.error().message())
        return response
"""

POOL = """
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(self.call, x).result()
"""
JOIN = """
        answers = []
        def work():
            try:
                answers.append(self.call(x))
            except pb_utils.TritonModelException as error:
                answers.append(pb_utils.InferenceResponse(error=str(error)))
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        return answers[0]
"""
THREAD_OF_A_THREAD = JOIN.replace("thread.start()", "inner = thread").replace(
    "thread.join()",
    """
        def outer():
            inner.start()
            inner.join()
        thread = threading.Thread(target=outer)
        thread.start()
        thread.join()
""",
)
HERE = "        return self.call(x)"


@pytest.mark.parametrize(("a", "b"), [(POOL, HERE), (JOIN, HERE), (THREAD_OF_A_THREAD, HERE), (JOIN, POOL)])
def test_a_circle_through_own_threads_is_named(serve, a, b):
    """Where the execution waits for the thread's end, or its result, it is found, and the instances go on."""
    serve.write("a", CALLS.format(wait=a.strip(), other="b"))
    serve.write("b", CALLS.format(wait=b.strip(), other="a"))
    server = serve.start()
    with pytest.raises(InternalError, match=r"in a circle, (a -> b -> a|b -> a -> b)"):
        server.model("a").infer({"X": [2]})
    assert server.model("a").infer({"X": [1]})["Y"].tolist() == [0]


# -- what is no circle


def test_a_thread_to_which_a_call_was_left_does_not_hold_the_instance(serve):
    """An execution that does not wait itself ends, and its instance answers the call for which a thread of its own waits."""
    source = """
    class TritonPythonModel:
        def execute(self, requests):
            return [self.answer(request.inputs()[0].as_numpy()) for request in requests]

        def answer(self, x):
            if x[0]:
                call = pb_utils.InferenceRequest(
                    model_name="m", inputs=[pb_utils.Tensor("X", x - 1)], requested_output_names=["Y"]
                )
                responses = call.exec(decoupled=True)
                threads.append(threading.Thread(target=lambda: seen.extend(responses)))
                threads[0].start()
                threads[0].join(0.01)
            return pb_utils.InferenceResponse([pb_utils.Tensor("Y", x)])

    threads, seen = [], []
    """
    model = serve(source)
    assert model.infer({"X": [1]})["Y"].tolist() == [1]
    module = serve.module()
    module.threads[0].join()
    (response,) = module.seen
    assert not response.has_error()
    assert response.output_tensors()[0].as_numpy().tolist() == [0]


class Held:
    """A model "a" with one instance, whose execution is on this thread, and a thread of its own that waits for "b"."""

    def __init__(self):
        self.now = 0.0
        self.graph = WaitGraph(clock=lambda: self.now)
        self.a = self.execution("a")
        self.first = self.request("b", started=True)
        self.b = self.execution("b", self.first)
        self.second = self.request("a")

    @staticmethod
    def request(model, *, started=False):
        made = InferenceRequest(model, {"X": np.zeros(1)}, lambda response: None)
        made.started_ns = int(started)
        return made

    def execution(self, model, request=None):
        seat = self.graph.join(model, 1)
        running = Running(seat, [request or self.request(model, started=True)])
        seat.enter(running)
        return running

    def wait_on_own_thread(self, during):
        """Call "b" from a thread of "a", and "a" from the execution of "b"; give whether one of the calls was failed meanwhile."""
        failed = []

        def work():
            with (
                self.graph.waiting(OwnThread("a", 1, threading.get_ident()), self.first, NoModels()),
                self.graph.waiting(self.b, self.second, NoModels()),
            ):
                during()
                failed.append(self.first.done or self.second.done)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join(30)
        self.graph.close()
        return failed[0]


def test_an_execution_that_moves_is_waited_for(monkeypatch):
    """A thread beside an execution that works is no circle, however long it takes: the instance will be free."""
    steps = itertools.count()
    monkeypatch.setattr(circles, "place_of", lambda thread: ((thread, next(steps)),))
    held = Held()

    def during():
        for held.now in range(0, 1000, 50):
            held.graph.look()

    assert not held.wait_on_own_thread(during)


@pytest.mark.parametrize(("seconds", "failed"), [(59.0, False), (60.0, True)])
def test_an_execution_that_has_not_moved_for_a_minute_is_taken_to_wait(monkeypatch, seconds, failed):
    """What it waits for cannot be seen where it is an event, say: for a minute it may be something else."""
    monkeypatch.setattr(circles, "place_of", lambda thread: ((thread, 7),))
    held = Held()

    def during():
        held.graph.look()
        held.now = seconds
        held.graph.look()

    assert held.wait_on_own_thread(during) is failed


@pytest.mark.parametrize(("seconds", "failed"), [(59.0, False), (60.0, True)])
def test_an_execution_in_another_process_is_taken_to_wait_after_a_minute(seconds, failed):
    """Its threads cannot be seen, so that only the time tells."""
    held = Held()
    held.a.thread = 0

    def during():
        held.graph.look()
        held.now = seconds
        held.graph.look()

    assert held.wait_on_own_thread(during) is failed


def test_a_join_that_gives_up_is_no_wait_without_end():
    """An execution that joins its thread for some time goes on by itself."""
    held = Held()

    def during():
        held.a.thread = joining.ident
        held.graph.look()
        end.set()

    end = threading.Event()
    joined = threading.Thread(target=end.wait)
    joining = threading.Thread(target=joined.join, args=(30,))
    joined.start()
    joining.start()
    assert not held.wait_on_own_thread(during)
    joining.join()


def test_what_a_thread_waits_for_is_read_from_its_stack():
    """A thread that is joined is found through others; one whose work's result is awaited, too; and nobody else."""
    end = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(end.wait)
        inner = threading.Thread(target=work.result)
        outer = threading.Thread(target=inner.join)
        for thread in (inner, outer):
            thread.start()
        (worker,) = pool._threads
        while not awaited_thread(outer.ident, {worker.ident}):
            pass
        assert awaited_thread(outer.ident, {inner.ident, worker.ident}) == inner.ident
        assert awaited_thread(worker.ident, {inner.ident, outer.ident}) == 0
        assert awaited_thread(0, {inner.ident}) == 0
        end.set()
        outer.join()


def test_a_future_on_which_nobody_works_yet_tells_no_thread():
    """Who will do the work is not known, nor whether anybody will."""
    future = Future()
    waiting = threading.Thread(target=future.result)
    waiting.start()
    assert awaited_thread(waiting.ident, {threading.get_ident()}) == 0
    future.set_result(None)
    waiting.join()
    assert place_of(waiting.ident) == ()
