"""Flow: a model that answers one request many times waits for its reader."""

from __future__ import annotations

import threading

import pytest
from charonia.flow import Flow
from charonia.request import InferenceRequest, InferenceResponse


@pytest.fixture
def run():
    """Run something in a thread that is joined at the end."""
    threads = []

    def start(work):
        thread = threading.Thread(target=work)
        thread.start()
        threads.append(thread)
        return thread

    yield start
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def wait_held(flow):
    """Wait until somebody is held up."""
    while not flow._room._waiters:
        pass


def test_model_is_held_up_until_something_is_read(run):
    """So many responses may be unread; the next one waits until one of them is read."""
    flow, sent = Flow(3), []

    def send():
        for number in range(5):
            flow.wait()
            sent.append(number)

    thread = run(send)
    wait_held(flow)
    assert sent == [0, 1, 2]
    flow.read()
    flow.read()
    thread.join(30)
    assert sent == [0, 1, 2, 3, 4]


def request_with_flow():
    """Make a request that has a flow of two responses, and the list that it is answered into."""
    responses = []
    request = InferenceRequest("m", {}, responses.append)
    request.flow = Flow(2)
    return request, responses


def test_cancelling_lets_the_model_go_on(run):
    """A model that is held up goes on when the request is taken back; what it still sends is dropped."""
    request, responses = request_with_flow()

    def answer():
        for _ in range(10):
            request.respond(InferenceResponse(final=False))
        request.respond(InferenceResponse())

    run(answer)
    wait_held(request.flow)
    request.cancel()
    while not request.done:
        pass
    assert [response.final for response in responses] == [False, False, True]


def test_final_response_waits_for_nobody():
    """The last response is delivered at once, and nothing that comes after it waits."""
    request, responses = request_with_flow()
    for _ in range(2):
        request.respond(InferenceResponse(final=False))
    request.respond(InferenceResponse())
    request.respond(InferenceResponse(final=False))
    assert [response.final for response in responses] == [False, False, True]
