"""Responses leave in the order of their requests, whoever makes them when."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from charonia.errors import CancelledError, UnavailableError
from charonia.request import InferenceRequest, InferenceResponse
from charonia_scheduler_dynamic.response_order import ResponseOrder
from hypothesis import given
from hypothesis import strategies as st


class Clients:
    """Requests in an order, and the responses as they arrive."""

    def __init__(self, count):
        self.order = ResponseOrder()
        self.seen = []
        self.requests = [self._request(number) for number in range(count)]
        self.executed = [self.order.follow(request) for request in self.requests]

    def _request(self, number):
        return InferenceRequest(
            "model",
            {"X": np.zeros((2, 1), np.float32)},
            lambda response: self.seen.append((number, response.parameters.get("part"), response.final)),
        )

    def answer(self, number, part=None, *, final=True):
        """Answer the execution of a request."""
        self.executed[number].respond(InferenceResponse(parameters={"part": part}, final=final))


@given(st.permutations(range(6)))
def test_any_order_of_executions(permutation):
    """However the executions end, the responses come in the order of the requests."""
    clients = Clients(6)
    for number in permutation:
        clients.answer(number)
    assert [number for number, _, _ in clients.seen] == [0, 1, 2, 3, 4, 5]


def test_first_in_line_gets_its_parts_at_once():
    """Responses of the request that is first are passed on as they come, those of others wait."""
    clients = Clients(2)
    clients.answer(1, "b1", final=False)
    clients.answer(0, "a1", final=False)
    assert clients.seen == [(0, "a1", False)]
    clients.answer(1, "b2")
    clients.answer(0, "a2")
    assert clients.seen == [(0, "a1", False), (0, "a2", True), (1, "b1", False), (1, "b2", True)]


def test_errors_keep_their_place_and_hold_up_nobody():
    """A request that fails, or whose time is over, is answered in its turn, and the next ones after it."""
    clients = Clients(3)
    clients.executed[1].fail(UnavailableError("Request timeout expired"))
    clients.answer(2)
    assert clients.seen == []
    clients.executed[0].fail(CancelledError(""))
    assert [number for number, _, _ in clients.seen] == [0, 1, 2]


def test_refused_request_leaves_no_gap():
    """A request that the queue did not take has no turn."""
    clients = Clients(2)
    clients.order.forget_last()
    clients.answer(0)
    follower = clients.order.follow(clients._request(7))
    follower.respond(InferenceResponse())
    assert [number for number, _, _ in clients.seen] == [0, 7]


def test_what_is_executed_tells_of_the_request():
    """The execution sees the batch size and the cancellation, and the request learns when it was executed."""
    clients = Clients(1)
    executed = clients.executed[0]
    clients.requests[0].batch_size = 2
    clients.requests[0].cancel()
    assert executed.cancelled
    executed.started_ns = 7
    executed.compute_ns = (1, 2, 3)
    executed.respond(InferenceResponse())
    assert (clients.requests[0].started_ns, clients.requests[0].compute_ns) == (7, (1, 2, 3))


def test_many_threads():
    """Executions that end on many threads at the same time are told one by one, in order."""
    clients = Clients(400)
    together = threading.Barrier(4)

    def work(first):
        together.wait(30)
        for number in range(first, 400, 4):
            clients.answer(number)

    with ThreadPoolExecutor(4) as threads:
        for future in [threads.submit(work, first) for first in range(4)]:
            future.result(30)
    assert [number for number, _, _ in clients.seen] == list(range(400))
