"""Models with any number of responses: senders, at once and later, from other threads and from coroutines."""

from __future__ import annotations

import queue

import numpy as np
import pytest
from charonia.errors import InternalError, NotFoundError
from charonia.request import InferenceRequest

DECOUPLED = {"decoupled": True}
FINAL = "flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL"


def number(expression):
    """The source of a response that holds a number."""
    return f"pb_utils.InferenceResponse([pb_utils.Tensor('Y', np.array([{expression}], np.int32))])"


def values(handle, x=3):
    """Collect a stream's numbers."""
    return [int(response["Y"][0]) for response in handle.stream({"X": [x]})]


def test_responses_leave_before_execute_returns(execute):
    """A sender sends any number of responses; the last one carries the final flag, or the flag comes alone."""
    for last in (f"sender.send({number(0)}, {FINAL})", f"sender.send({number(0)})\nsender.send({FINAL})"):
        body = f"""
sender = requests[0].get_response_sender()
assert sender is requests[0].get_response_sender()
for left in range(int(requests[0].inputs()[0].as_numpy()[0]), 0, -1):
    sender.send({number("left")})
{last}
"""
        assert values(execute(body, **DECOUPLED)) == [3, 2, 1, 0]


def test_a_request_may_have_no_response(execute):
    """The final flag alone ends it."""
    model = execute(f"requests[0].get_response_sender().send({FINAL})", **DECOUPLED)
    assert list(model.stream({"X": [1]})) == []
    assert model.statistics().inference_count == 1


LATE = f"""
class TritonPythonModel:
    def initialize(self, args):
        self.threads = []

    def execute(self, requests):
        for request in requests:
            thread = threading.Thread(target=self.answer, args=[request.get_response_sender(), request.inputs()[0].as_numpy()])
            thread.start()
            self.threads.append(thread)

    def answer(self, sender, x):
        for value in range(int(x[0])):
            sender.send({number("value")})
        sender.send({FINAL})

    def finalize(self):
        for thread in self.threads:
            thread.join()
"""


def test_senders_work_from_other_threads_after_execute_has_returned(serve):
    """Each request gets its own responses, in their order, whichever thread sends them."""
    model = serve(LATE, **DECOUPLED)
    streams = [model.stream({"X": [length]}) for length in (4, 0, 2)]
    assert [[int(response["Y"][0]) for response in stream] for stream in streams] == [[0, 1, 2, 3], [], [0, 1]]


def test_unloading_waits_for_the_last_response(serve):
    """A model is unloaded when all of its requests have ended."""
    serve.write("m", LATE, **DECOUPLED)
    server = serve.start()
    stream = server.model("m").stream({"X": [5]})
    server.unload("m")
    assert len(list(stream)) == 5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("flags=7", "TritonModelException: Unable to send response. Unsupported flag provided."),
        (
            "",
            "TritonModelException: Inference Response object must be provided when the response flags is set to zero.",
        ),
    ],
)
def test_wrong_use_of_a_sender_fails_the_request(serve, execute, call, message):
    """The request that is still open gets the exception as its error."""
    model = execute(f"requests[0].get_response_sender().send({call})", **DECOUPLED)
    path = serve.repository / "m/1/model.py"
    with pytest.raises(InternalError) as told:
        values(model)
    expected = f"Failed to process the request(s) for model 'm_0', message: {message}\n\nAt:\n  {path}(9): execute\n"
    assert str(told.value) == expected


def test_what_is_raised_after_the_end_changes_nothing(execute):
    """A request that has ended stays as it is."""
    model = execute(f"requests[0].get_response_sender().send({number(4)}, {FINAL})\nraise ValueError", **DECOUPLED)
    assert values(model) == [4]
    assert values(model) == [4]


def test_a_value_returned_is_an_error(execute):
    """Decoupled models answer by senders only."""
    model = execute("return []", **DECOUPLED)
    expected = "Python model 'm_0' is using the decoupled mode and the execute function must return None.$"
    with pytest.raises(InternalError, match=expected):
        values(model)


def test_an_error_does_not_end_a_stream(serve, execute):
    """As in the reference, responses may follow an error, which has its own code."""
    error = "pb_utils.InferenceResponse(error=pb_utils.TritonError('gone', pb_utils.TritonError.NOT_FOUND))"
    execute(f"s = requests[0].get_response_sender()\ns.send({error})\ns.send({number(1)}, {FINAL})", **DECOUPLED)
    server = serve.start()
    responses = queue.SimpleQueue()
    server.submit(InferenceRequest("m", {"X": np.zeros(1, np.int32)}, responses.put))
    first, last = responses.get(timeout=30), responses.get(timeout=30)
    assert isinstance(first.error, NotFoundError)
    assert not first.final
    assert last["Y"].tolist() == [1]
    assert last.final


MEETING = f"""
import asyncio

class TritonPythonModel:
    def initialize(self, args):
        self.waiting = []

    async def execute(self, requests):
        (request,) = requests
        me = asyncio.Event()
        self.waiting.append(me)
        if len(self.waiting) == 3:
            for event in self.waiting:
                event.set()
        await me.wait()
        request.get_response_sender().send({number("len(self.waiting)")}, {FINAL})
"""


def test_coroutines_of_one_instance_are_in_progress_together(serve):
    """Three requests that wait for each other are all answered by one instance."""
    model = serve(MEETING, **DECOUPLED)
    streams = [model.stream({"X": [0]}) for _ in range(3)]
    assert [[int(response["Y"][0]) for response in stream] for stream in streams] == [[3]] * 3


def test_a_coroutine_that_fails_ends_its_request(serve):
    """What it raises is the error of the request; a value that it returns, too."""
    source = """
    class TritonPythonModel:
        async def execute(self, requests):
            if requests[0].inputs()[0].as_numpy()[0]:
                raise ValueError("async boom")
            return 5
    """
    model = serve(source, **DECOUPLED)
    with pytest.raises(InternalError, match=r"message: ValueError: async boom\n\nAt:\n  .*: execute\n$"):
        values(model, 1)
    with pytest.raises(InternalError, match="must return None"):
        values(model, 0)


def test_a_coroutine_that_outlives_its_request_is_cancelled_at_unload(serve):
    """What a coroutine does after the end of its request holds nothing up."""
    source = f"""
    import asyncio

    class TritonPythonModel:
        async def execute(self, requests):
            requests[0].get_response_sender().send({number(1)}, {FINAL})
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

    ended = threading.Event()
    """
    serve.write("m", source, **DECOUPLED)
    server = serve.start()
    module = serve.module()
    assert values(server.model("m")) == [1]
    server.close()
    assert module.ended.is_set()


def test_a_sender_sees_that_the_caller_has_gone(serve):
    """`is_cancelled` turns true when the reader of the stream leaves."""
    source = f"""
    class TritonPythonModel:
        def execute(self, requests):
            sender = requests[0].get_response_sender()
            sender.send({number(1)})
            assert left.wait(30)
            seen.append(sender.is_cancelled())
            sender.send({number(2)}, {FINAL})

    left, seen = threading.Event(), []
    """
    serve.write("m", source, **DECOUPLED)
    server = serve.start()
    module = serve.module()
    stream = server.model("m").stream({"X": [0]})
    next(stream)
    stream.close()
    module.left.set()
    server.close()
    assert module.seen == [True]
