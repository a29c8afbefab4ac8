"""Instances that answer each request once: what `execute` gets, and what becomes of what it gives."""

from __future__ import annotations

import asyncio
import json
import queue

import numpy as np
import pytest
from charonia.errors import (
    AlreadyExistsError,
    CancelledError,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    UnavailableError,
    UnknownError,
    UnsupportedError,
)
from charonia.plugins import Plugins
from charonia.request import InferenceRequest
from charonia.testing.backend_bench import Bench

ANSWER = "pb_utils.InferenceResponse([pb_utils.Tensor('Y', np.zeros(1, np.int32))])"
FAILED = "Failed to process the request(s) for model 'm_0', message: "


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise ValueError('xx')", "ValueError: xx\n\nAt:\n  {path}(9): execute\n"),
        ("raise SystemExit(3)", "SystemExit: 3\n\nAt:\n  {path}(9): execute\n"),
        ("raise GeneratorExit('over')", "GeneratorExit: over\n\nAt:\n  {path}(9): execute\n"),
        ("def f(): raise KeyError('k')\nf()", "KeyError: 'k'\n\nAt:\n  {path}(9): f\n  {path}(10): execute\n"),
        ("pb_utils.triton_string_to_numpy('NO')", "KeyError: 'NO'\n\nAt:\n  {path}(9): execute\n"),
        (
            "return []",
            (
                "Number of InferenceResponse objects do not match the number of InferenceRequest objects. "
                "InferenceRequest(s) size is:1, and InferenceResponse(s) size is:0\n"
            ),
        ),
        ("return 5", "Expected a list in the execute return, found type '<class 'int'>'."),
        ("return None", "Expected a list in the execute return, found type '<class 'NoneType'>'."),
        (
            "return [5]",
            "Expected an 'InferenceResponse' object in the execute function return list, found type '<class 'int'>'.",
        ),
        (
            "return [pb_utils.InferenceResponse([pb_utils.Tensor('', np.zeros(1))])]",
            "TritonModelException: Tensor name cannot be an empty string.\n\nAt:\n  {path}(9): execute\n",
        ),
    ],
)
def test_what_fails_the_batch(execute, serve, body, message):
    """What `execute` raises, or gives in a wrong form, is INTERNAL, in the reference's words; the instance goes on."""
    model = execute(body)
    for _ in range(2):
        with pytest.raises(InternalError) as told:
            model.infer({"X": [1]})
        assert str(told.value) == FAILED + message.format(path=serve.repository / "m/1/model.py")
    assert model.statistics().fail.count == 2


def test_exception_without_a_text_of_its_own_is_told_nevertheless(execute):
    """An exception whose own code fails still becomes the answer."""
    model = execute("class Odd(Exception):\n    def __str__(self): raise ValueError\nraise Odd")
    with pytest.raises(InternalError, match=r"Odd: .*its text cannot be had: ValueError"):
        model.infer({"X": [1]})


def test_what_a_caller_protects_is_not_changed(execute):
    """A model may write into its inputs, and gets a copy of an array that is read-only; each time the same one."""
    model = execute(
        """
        tensor = requests[0].inputs()[0]
        tensor.as_numpy()[0] += 1
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", tensor.as_numpy())])]
        """
    )
    x = np.array([1], np.int32)
    x.flags.writeable = False
    assert model.infer({"X": x})["Y"].tolist() == [2]
    assert x.tolist() == [1]


def test_a_model_without_execute(serve):
    """Such a model loads, and fails its requests, as in the reference."""
    model = serve("class TritonPythonModel: pass\n")
    with pytest.raises(InternalError) as told:
        model.infer({"X": [1]})
    path = serve.repository / "m/1/model.py"
    assert str(told.value) == f"{FAILED}Python model {path} does not implement `execute` method."


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("UNKNOWN", UnknownError),
        ("INTERNAL", InternalError),
        ("NOT_FOUND", NotFoundError),
        ("INVALID_ARG", InvalidArgumentError),
        ("UNAVAILABLE", UnavailableError),
        ("UNSUPPORTED", UnsupportedError),
        ("ALREADY_EXISTS", AlreadyExistsError),
        ("CANCELLED", CancelledError),
    ],
)
def test_error_of_one_request_has_its_code(execute, code, kind):
    """A TritonError is the request's answer, with its code and its text as it is."""
    model = execute(
        f"return [pb_utils.InferenceResponse(error=pb_utils.TritonError('only this', pb_utils.TritonError.{code}))]"
    )
    with pytest.raises(kind, match=r"^only this$") as told:
        model.infer({"X": [1]})
    assert type(told.value) is kind


def test_error_of_one_request_leaves_the_others_of_its_batch_alone(serve):
    """In one batch, one request has an error and the others their outputs."""
    source = """
    class TritonPythonModel:
        def execute(self, requests):
            responses = []
            for request in requests:
                x = request.inputs()[0].as_numpy()
                if x[0, 0] < 0:
                    responses.append(pb_utils.InferenceResponse(error=pb_utils.TritonError("negative")))
                else:
                    responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("Y", x + len(requests))]))
            return responses
    """
    serve.write("m", source, max_batch_size=8)
    config = serve.start().model_config("m")
    with Bench(Plugins().backend("python", asker="the test"), config, serve.repository / "m") as bench:
        good, bad, other = bench.execute(0, [{"X": np.array([[value]], np.int32)} for value in (1, -1, 5)])
    assert good["Y"].tolist() == [[4]]
    assert str(bad.error) == "negative"
    assert other["Y"].tolist() == [[8]]


def test_outputs_not_asked_for_or_not_declared_are_dropped(execute, caplog):
    """As in the reference, such outputs are dropped, and a declared one that is missing is simply not there.

    The log tells once of what nobody could get.
    """
    body = "return [pb_utils.InferenceResponse([pb_utils.Tensor(n, np.zeros(1, np.int32)) for n in ('Z', 'Y', 'NO')])]"
    outputs = [("Y", "INT32", [1]), ("Z", "INT32", [1]), ("MISSING", "INT32", [1])]
    model = execute(body, outputs=outputs)
    assert list(model.infer({"X": [1]}).outputs) == ["Z", "Y"]
    assert list(model.infer({"X": [1]}, outputs=["Y", "MISSING"]).outputs) == ["Y"]
    (told,) = [record.getMessage() for record in caplog.records if "dropped" in record.getMessage()]
    assert "gave the output 'NO', which is dropped: its configuration has 'Y', 'Z', 'MISSING'. Rename it" in told


def test_names_that_are_invented_anew_do_not_fill_the_log(execute, caplog):
    """After some outputs that are not declared, the log says that it tells of no more of them."""
    body = "return [pb_utils.InferenceResponse([pb_utils.Tensor(f'N{i}', np.zeros(1, np.int32)) for i in range(99)])]"
    model = execute(body, outputs=[("Y", "INT32", [1])])
    assert list(model.infer({"X": [1]}).outputs) == list(model.infer({"X": [1]}).outputs) == []
    told = [record.getMessage() for record in caplog.records if "dropped" in record.getMessage()]
    assert [f"'N{number}'" in message for number, message in enumerate(told)] == [True] * 8
    assert [message.endswith("Further ones are not told of") for message in told] == [False] * 7 + [True]


def test_outputs_pass_as_they_are_produced(execute):
    """Datatype and shape of an output are not checked against the configuration, as in the reference."""
    model = execute("return [pb_utils.InferenceResponse([pb_utils.Tensor('Y', np.zeros((2, 3), np.float64))])]")
    answer = model.infer({"X": [1]})["Y"]
    assert (answer.shape, answer.dtype) == ((2, 3), np.float64)


def test_elements_of_string_outputs_become_bytes(execute):
    """Text is encoded, numbers become their digits, bytes stay."""
    body = "return [pb_utils.InferenceResponse([pb_utils.Tensor('Y', np.array(['ä', b'\\xff', 5], np.object_))])]"
    model = execute(body, outputs=[("Y", "BYTES", [-1])])
    assert model.infer({"X": [1]})["Y"].tolist() == ["ä".encode(), b"\xff", b"5"]


def test_reshape_is_undone_on_outputs(serve):
    """A model sees the shape of `reshape`, and clients that of `dims`."""
    source = """
    class TritonPythonModel:
        def execute(self, requests):
            x = requests[0].inputs()[0]
            assert x.shape() == [1, 2, 2]
            return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", x.as_numpy() + 1)])]
    """
    serve.write("m", source, max_batch_size=4)
    (serve.repository / "m/config.pbtxt").write_text(
        'backend: "python" max_batch_size: 4\n'
        'input { name: "X" data_type: TYPE_INT32 dims: 4 reshape { shape: [2, 2] } }\n'
        'output { name: "Y" data_type: TYPE_INT32 dims: 4 reshape { shape: [2, 2] } }\n'
    )
    assert serve.start().model("m").infer({"X": [[1, 2, 3, 4]]})["Y"].tolist() == [[2, 3, 4, 5]]


ASK = """
request = requests[0]
told = {
    "id": request.request_id(), "correlation": request.correlation_id(), "flags": request.flags(),
    "timeout": request.timeout(), "parameters": json.loads(request.parameters()),
    "outputs": sorted(request.requested_output_names()), "inputs": [tensor.name() for tensor in request.inputs()],
    "cancelled": request.is_cancelled(), "same": request.inputs() is request.inputs(),
}
answer = pb_utils.Tensor("Y", np.array([json.dumps(told)], np.object_))
return [pb_utils.InferenceResponse([answer], parameters={"text": "a", "number": 1, "yes": True, "part": 0.5})]
"""


def test_a_request_tells_what_its_caller_said(execute):
    """Id, sequence, flags, time-out, parameters and outputs reach the model; parameters come back."""
    model = execute(ASK, outputs=[("Y", "BYTES", [1]), ("Z", "BYTES", [1])])
    answer = model.infer(
        {"X": [1]},
        id="i",
        sequence_id="s",
        sequence_start=True,
        timeout_us=7,
        parameters={"a": 1, "b": "c"},
        outputs=["Y"],
    )
    assert answer.parameters == {"text": "a", "number": 1, "yes": True, "part": 0.5}
    assert json.loads(answer["Y"][0]) == {
        "id": "i",
        "correlation": "s",
        "flags": 1,
        "timeout": 7,
        "parameters": {"a": 1, "b": "c"},
        "outputs": ["Y"],
        "inputs": ["X"],
        "cancelled": False,
        "same": True,
    }


def test_a_request_that_names_no_outputs_wants_all(execute):
    """As in the reference, `requested_output_names` has all outputs then."""
    model = execute(ASK, outputs=[("Y", "BYTES", [1]), ("Z", "BYTES", [1])])
    told = json.loads(model.infer({"X": [1]})["Y"][0])
    assert told["outputs"] == ["Y", "Z"]
    assert (told["correlation"], told["flags"], told["parameters"]) == (0, 0, {})


def test_inputs_are_not_copied(serve):
    """The array that a model gets is the caller's."""
    source = """
    class TritonPythonModel:
        def execute(self, requests):
            return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", r.inputs()[0].as_numpy())]) for r in requests]
    """
    array = np.array([5], np.int32)
    assert np.shares_memory(serve(source).infer({"X": array})["Y"], array)


def test_a_sender_may_answer_instead(execute):
    """A sender's one response is the answer, with the final flag or without, and `execute` may return None."""
    for flags in (0, 1):
        model = execute(f"requests[0].get_response_sender().send({ANSWER}, flags={flags})")
        assert model.infer({"X": [1]})["Y"].tolist() == [0]


def test_a_sender_sends_one_response(execute):
    """A second one is refused; what `execute` returns beside the first is dropped, as in the reference."""
    model = execute(f"requests[0].get_response_sender().send({ANSWER})\nreturn [pb_utils.InferenceResponse([])]")
    assert model.infer({"X": [1]})["Y"].tolist() == [0]


def test_execute_may_be_a_coroutine(serve):
    """A request is answered when its coroutine ends; coroutines of an instance share one event loop."""
    source = f"""
    import asyncio

    class TritonPythonModel:
        loop = None

        async def execute(self, requests):
            await asyncio.sleep(0)
            assert self.loop in (None, asyncio.get_running_loop())
            self.loop = asyncio.get_running_loop()
            return [{ANSWER}]
    """
    model = serve(source)
    for _ in range(3):
        assert model.infer({"X": [1]})["Y"].tolist() == [0]


MEETING = f"""
import asyncio

class TritonPythonModel:
    waiting = []

    async def execute(self, requests):
        me = asyncio.Event()
        self.waiting.append(me)
        if len(self.waiting) == 3:
            for event in self.waiting:
                event.set()
        await asyncio.wait_for(me.wait(), {{patience}})
        return [{ANSWER}]
"""


def test_coroutines_of_one_instance_are_in_progress_together(serve):
    """Three requests that wait for each other are all answered by one instance."""
    model = serve(MEETING.format(patience=30))

    async def ask():
        return await asyncio.gather(*(model.infer_async({"X": [1]}) for _ in range(3)))

    assert [answer["Y"].tolist() for answer in asyncio.run(ask())] == [[0]] * 3
    assert model.statistics().fail.count == 0


def test_a_model_may_want_one_coroutine_at_a_time(serve):
    """With the parameter ASYNC_EXECUTIONS at 1, each batch ends before the next begins, as in the reference."""
    model = serve(MEETING.format(patience=0.01), parameters={"ASYNC_EXECUTIONS": "1"})
    for _ in range(2):
        with pytest.raises(InternalError, match="TimeoutError"):
            model.infer({"X": [1]})


def test_a_coroutine_that_fails(serve):
    """Its exception, whatever it is, is told with the model's own lines only, and the event loop goes on."""
    source = """
    import asyncio

    KINDS = [ValueError, SystemExit, KeyboardInterrupt, asyncio.CancelledError]

    class TritonPythonModel:
        async def execute(self, requests):
            raise KINDS[requests[0].inputs()[0].as_numpy()[0]]("late")
    """
    model = serve(source)
    path = serve.repository / "m/1/model.py"
    kinds = [(1, "SystemExit"), (0, "ValueError"), (1, "SystemExit"), (2, "KeyboardInterrupt"), (3, "CancelledError")]
    for x, kind in kinds:
        with pytest.raises(InternalError) as told:
            model.infer({"X": [x]})
        assert str(told.value) == f"{FAILED}{kind}: late\n\nAt:\n  {path}(14): execute\n"


def test_from_a_coroutine_of_the_caller(execute):
    """A caller's own event loop goes on while the model executes."""
    model = execute(f"return [{ANSWER}]")

    async def ask():
        return await asyncio.gather(*(model.infer_async({"X": [1]}) for _ in range(5)))

    assert [answer["Y"].tolist() for answer in asyncio.run(ask())] == [[0]] * 5


def test_a_model_sees_that_its_request_was_cancelled(serve):
    """`is_cancelled` turns true while the model executes, and the caller gets CANCELLED."""
    source = f"""
    class TritonPythonModel:
        def execute(self, requests):
            assert not requests[0].is_cancelled()
            begun.set()
            assert go_on.wait(30)
            seen.append(requests[0].is_cancelled())
            return [{ANSWER}]

    begun, go_on, seen = threading.Event(), threading.Event(), []
    """
    serve.write("m", source)
    server = serve.start()
    module = serve.module()
    answers = queue.SimpleQueue()
    request = InferenceRequest("m", {"X": np.zeros(1, np.int32)}, answers.put)
    server.submit(request)
    assert module.begun.wait(30)
    request.cancel()
    module.go_on.set()
    assert isinstance(answers.get(timeout=30).error, CancelledError)
    assert module.seen == [True]


def test_failures_are_logged(execute, caplog):
    """What fails a batch stands in the server's log, with the model's lines."""
    model = execute("raise ValueError('xx')")
    with pytest.raises(InternalError):
        model.infer({"X": [1]})
    assert "ValueError: xx" in caplog.text
    assert "execute" in caplog.text
