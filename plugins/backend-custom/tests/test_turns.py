"""Models that have a request executed again and again, until they answer it: in this process, and in one of their own."""

from __future__ import annotations

import os
import signal

import pytest
from charonia.errors import InternalError, UnavailableError, UnsupportedError
from charonia.testing.builders import model_config, write_model
from google.protobuf import text_format

HEAD = """\
import os
import threading
import numpy as np
import triton_python_backend_utils as pb_utils

AGAIN = pb_utils.TRITONSERVER_REQUEST_RELEASE_RESCHEDULE
FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


def value(request, name="X"):
    return int(pb_utils.get_input_tensor_by_name(request, name).as_numpy().item())


def answer(number, **more):
    outputs = [pb_utils.Tensor(name, np.array([[number]], np.int32)) for name, number in {"Y": number, **more}.items()]
    return pb_utils.InferenceResponse(outputs)


"""
OLDEST = "iterative_sequence: true oldest { max_candidate_sequences: 8 } "
DIRECT = "iterative_sequence: true "
STATE = """
state {
  input_name: "BEFORE" output_name: "AFTER" data_type: TYPE_INT32 dims: [ 1 ]
  initial_state { name: "nothing" data_type: TYPE_INT32 dims: [ 1 ] zero_data: true }
}
"""

COUNTS = """
class TritonPythonModel:
    def initialize(self, args):
        self.turns = {}

    def execute(self, requests):
        return [self.turn(request) for request in requests]

    def turn(self, request):
        name = request.correlation_id()
        self.turns[name] = 1 if request.flags() else self.turns.get(name, 0) + 1
        if self.turns[name] < value(request):
            request.set_release_flags(AGAIN)
            return None
        return answer(self.turns.pop(name))
"""
TELLS = """
class TritonPythonModel:
    def initialize(self, args):
        self.turns = {}

    def execute(self, requests):
        for request in requests:
            name = request.correlation_id()
            turn = self.turns[name] = 1 if request.flags() else self.turns.get(name, 0) + 1
            last = turn == value(request)
            request.get_response_sender().send(answer(turn), FINAL * last)
            if not last:
                request.set_release_flags(AGAIN)
"""

both = pytest.mark.parametrize("mode", ["thread", "process"])


@pytest.fixture
def serve(model_repository, server):
    """Serve a model "m": the source after the head of imports, the section `sequence_batching`, and what `model_config` takes."""

    def start(source, section=OLDEST, *, mode="thread", **options):
        config = model_config(
            "m",
            backend="python",
            inputs=[("X", "INT32", [1])],
            outputs=[("Y", "INT32", [1])],
            parameters={"EXECUTION_MODE": mode},
            **options,
        )
        if section:
            text_format.Parse(section, config.sequence_batching)
        write_model(model_repository, config, {"1/model.py": HEAD + source})
        return server(model_repository).model("m")

    return start


def told(handle, x=3):
    """Collect a stream's numbers."""
    return [int(response["Y"].item()) for response in handle.stream({"X": [[x]]})]


@both
@pytest.mark.parametrize("section", [OLDEST, DIRECT], ids=["oldest", "direct"])
def test_one_answer_after_several_turns(serve, mode, section):
    """A model answers None until it has the answer. Each turn is an execution and an inference, the request one success."""
    model = serve(COUNTS, section, mode=mode)
    assert [model.infer({"X": [[turns]]})["Y"].item() for turns in (3, 1, 20)] == [3, 1, 20]
    counted = model.statistics()
    assert (counted.execution_count, counted.inference_count, counted.success.count, counted.fail.count) == (
        24,
        24,
        3,
        0,
    )


@both
@pytest.mark.parametrize("section", [OLDEST, DIRECT], ids=["oldest", "direct"])
def test_a_response_in_every_turn(serve, mode, section):
    """A decoupled model tells something in each turn; the last one carries the final flag."""
    model = serve(TELLS, section, mode=mode, decoupled=True)
    streams = [model.stream({"X": [[length]]}) for length in (4, 1, 30)]
    assert [[int(response["Y"].item()) for response in stream] for stream in streams] == [
        list(range(1, length + 1)) for length in (4, 1, 30)
    ]


@both
def test_coroutines(serve, mode):
    """An `execute` that is a coroutine may have its requests again, too, with responses and without."""
    tells = TELLS.replace("    def execute", "    async def execute")
    assert told(serve(tells, mode=mode, decoupled=True), 5) == [1, 2, 3, 4, 5]


@both
def test_coroutines_that_answer_once(serve, mode):
    """The same where each request has one answer."""
    counts = COUNTS.replace("    def execute", "    async def execute")
    assert serve(counts, mode=mode).infer({"X": [[5]]})["Y"].item() == 5


@both
def test_states(serve, mode):
    """What the server keeps for a request is there in its next turn, and the client does not see it."""
    source = """
class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            before = value(request, "BEFORE")
            last = before + 1 == value(request)
            request.get_response_sender().send(answer(before, AFTER=before + 1), FINAL * last)
            if not last:
                request.set_release_flags(AGAIN)
"""
    model = serve(source, OLDEST + STATE, mode=mode, decoupled=True)
    streams = [model.stream({"X": [[length]]}) for length in (3, 5)]
    responses = [list(stream) for stream in streams]
    assert [[response["Y"].item() for response in each] for each in responses] == [[0, 1, 2], [0, 1, 2, 3, 4]]
    assert {tuple(response.outputs) for each in responses for response in each} == {("Y",)}


@both
def test_one_sender_through_all_turns(serve, mode):
    """A sender of an earlier turn still sends, also the end."""
    source = """
class TritonPythonModel:
    def execute(self, requests):
        (request,) = requests
        if request.flags():
            self.sender, self.turn = request.get_response_sender(), 0
        self.turn += 1
        self.sender.send(answer(self.turn), FINAL * (self.turn == 3))
        if self.turn < 3:
            request.set_release_flags(AGAIN)
"""
    model = serve(source, mode=mode, decoupled=True)
    assert [told(model), told(model)] == [[1, 2, 3], [1, 2, 3]]


@both
def test_taken_back(serve, mode):
    """A request that would go on for ever ends when its client takes it back, and others go on."""
    model = serve(TELLS, mode=mode, decoupled=True, max_batch_size=1)
    endless = model.stream({"X": [[-1]]})
    assert [next(endless)["Y"].item() for _ in range(3)] == [1, 2, 3]
    endless.close()
    assert told(model, 2) == [1, 2]


@both
def test_what_raises_ends(serve, mode):
    """A turn that raises is the last one of all requests in its batch."""
    source = COUNTS.replace(
        "        if self.turns",
        "        if self.turns[name] == 3:\n            raise ValueError('tired')\n        if self.turns",
    )
    model = serve(source, mode=mode)
    with pytest.raises(InternalError, match="ValueError: tired"):
        model.infer({"X": [[9]]})
    assert model.infer({"X": [[2]]})["Y"].item() == 2
    assert model.statistics().fail.count == 1


EVERYBODY = """
class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            request.set_release_flags(AGAIN)
"""


@both
@pytest.mark.parametrize("decoupled", [False, True], ids=["once", "decoupled"])
def test_other_models_are_told(serve, mode, decoupled):
    """Without iterative sequences, a request is not executed again but answered with what is missing."""
    source = EVERYBODY if decoupled else EVERYBODY + "        return [None] * len(requests)\n"
    model = serve(source, "", mode=mode, decoupled=decoupled)
    with pytest.raises(UnsupportedError, match="iterative_sequence: true"):
        list(model.stream({"X": [[1]]}))


@both
@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ("[answer(1)]", "Expected a None object in the execute function return list for rescheduled request"),
        ("None", "Expected a list in the execute return"),
    ],
)
def test_answers_that_contradict(serve, mode, answers, message):
    """Who asks for another turn gives no answer, in the list in which there is one for each request."""
    model = serve(EVERYBODY + f"        return {answers}\n", mode=mode)
    with pytest.raises(InternalError, match=message):
        model.infer({"X": [[1]]})


@both
def test_no_answer(serve, mode):
    """Who asks for no other turn gives an answer."""
    model = serve("class TritonPythonModel:\n    def execute(self, requests):\n        return [None]\n", mode=mode)
    with pytest.raises(InternalError, match=r"Expected an .InferenceResponse. object .*NoneType"):
        model.infer({"X": [[1]]})


@both
def test_the_final_response_counts(serve, mode):
    """Who asks for another turn after the end gets none."""
    source = """
class TritonPythonModel:
    def initialize(self, args):
        self.turns = 0

    def execute(self, requests):
        self.turns += len(requests)
        for request in requests:
            request.get_response_sender().send(answer(self.turns), FINAL)
            request.set_release_flags(AGAIN)
"""
    model = serve(source, mode=mode, decoupled=True)
    assert [told(model), told(model), told(model)] == [[1], [2], [3]]


def test_places_without_a_request(serve):
    """A model may treat a place of the batch that nobody has asked for like all others."""
    source = """
class TritonPythonModel:
    def initialize(self, args):
        self.turns = 0

    def execute(self, requests):
        self.turns += 1
        return [self.turn(request) for request in requests]

    def turn(self, request):
        if value(request) > self.turns or not request.correlation_id():
            request.set_release_flags(AGAIN)
            return None
        return answer(len(request.inputs()))
"""
    model = serve(source, DIRECT, max_batch_size=2)
    streams = [model.stream({"X": [[turns]]}) for turns in (2, 5)]
    assert [len(list(stream)) for stream in streams] == [1, 1]


def test_what_rests_ends_with_the_process(serve):
    """When a process dies, the requests that it has begun do not go on in the next one, which knows nothing of them."""
    source = """
class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            request.get_response_sender().send(answer(os.getpid()))
            request.set_release_flags(AGAIN)
            if value(request) == 13:
                os.kill(os.getpid(), 9)
"""
    model = serve(source, DIRECT, mode="process", decoupled=True, max_batch_size=1)
    stream = model.stream({"X": [[1]]})
    os.kill(next(stream)["Y"].item(), signal.SIGKILL)
    with pytest.raises(UnavailableError, match="was ended by SIGKILL"):
        for _ in stream:
            pass
    again = model.stream({"X": [[2]]})
    assert next(again)["Y"].item() > 0
    again.close()
