"""Calls of other models: waiting and not, one response and many, what they hand on, and how they fail."""

from __future__ import annotations

import json
import queue

import numpy as np
import pytest
from charonia.errors import CancelledError
from charonia.request import InferenceRequest
from charonia.testing.fakes import ArithmeticPlugin, Gate

ECHO = """
class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        x = request.inputs()[0].as_numpy()
        if x[0] < 0:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError("negative", pb_utils.TritonError.INVALID_ARG))
        if x[0] == 1000:
            raise ValueError("thousand")
        told = [request.request_id(), request.correlation_id(), request.flags(), request.timeout(),
                json.loads(request.parameters()), sorted(request.requested_output_names())]
        return pb_utils.InferenceResponse([
            pb_utils.Tensor("Y", x), pb_utils.Tensor("T", np.array([json.dumps(told)], np.object_))
        ], parameters={"from": "echo"})
"""

MANY = """
class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            for value in range(int(request.inputs()[0].as_numpy()[0])):
                sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("Y", np.array([value], np.int32))]))
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""

CALLER = """
import asyncio

class TritonPythonModel:
    {kind} execute(self, requests):
        told = []
        for request in requests:
            {body}
        text = np.array([json.dumps(told)], np.object_)
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", text)]) for _ in requests]
"""

TOLD = (
    "told.append([r.has_error(), r.error() and [r.error().message(), r.error().code()], "
    "[[item.decode() if isinstance(item, bytes) else item for item in t.as_numpy().tolist()] for t in r.output_tensors()]])"
)
X = "pb_utils.Tensor('X', np.array([{}], np.int32))"


@pytest.fixture
def ask(serve):
    """Serve the models "echo" and "many", and one that calls them; gives what that one has noted in `told`."""
    serve.write("echo", ECHO, outputs=[("Y", "INT32", [1]), ("T", "BYTES", [1])])
    serve.write("many", MANY, decoupled=True)

    def ask(body, *, kind="def", **options):
        source = CALLER.format(kind=kind, body=body.replace("\n", "\n            "))
        serve.write("caller", source, outputs=[("Y", "BYTES", [1])])
        return json.loads(serve.start().model("caller").infer({"X": [3]}, **options)["Y"][0])

    return ask


@pytest.mark.parametrize(
    ("kind", "way"), [("def", "{}exec()"), ("async def", "await {}async_exec()"), ("async def", "{}exec()")]
)
@pytest.mark.parametrize(
    ("model", "x", "expected"),
    [
        ("echo", 3, [False, None, [[3]]]),
        ("echo", -1, [True, ["negative", 3], []]),
        (
            "ghost",
            3,
            [
                True,
                [
                    "Model ghost - Error when running inference: Failed for execute the inference request. Model 'ghost' is not ready.",
                    2,
                ],
                [],
            ],
        ),
        (
            "many",
            3,
            [
                True,
                [
                    (
                        "Model many - Error when running inference: Model many is using the decoupled. The current BLS request call "
                        "doesn't support models using the decoupled transaction policy. Please use 'decoupled=True' argument to the "
                        "'exec' or 'async_exec' calls for decoupled models.'"
                    ),
                    3,
                ],
                [],
            ],
        ),
    ],
)
def test_one_response(ask, serve, kind, way, model, x, expected):
    """A call gives the response; an error is a response, too, with the reference's text."""
    request = serve.call(model, [x], requested_output_names=["Y"], way="")
    assert ask(f"r = {way.format(request)}\n{TOLD}", kind=kind) == [expected]


@pytest.mark.parametrize(
    ("kind", "way"),
    [
        ("def", "{}exec(decoupled=True)"),
        ("async def", "await {}async_exec(decoupled=True)"),
        ("async def", "{}exec(decoupled=True)"),
    ],
)
@pytest.mark.parametrize(
    ("model", "x", "expected"),
    [("many", 3, [[[0]], [[1]], [[2]], []]), ("many", 0, [[]]), ("echo", 4, [[[4]]])],
)
def test_many_responses(ask, serve, kind, way, model, x, expected):
    """An iterator gives each response, an empty last one included, as in the reference; and again in a second loop."""
    request = serve.call(model, [x], requested_output_names=["Y"], way="")
    told = ask(f"rs = {way.format(request)}\nfor r in rs:\n    {TOLD}\nfor r in rs:\n    {TOLD}", kind=kind)
    assert [outputs for _, _, outputs in told] == expected * 2


def test_many_responses_in_an_asynchronous_loop(ask, serve):
    """A coroutine may wait for each response, and others go on meanwhile."""
    body = f"async for r in await {serve.call('many', way='async_exec(decoupled=True)')}:\n    {TOLD}"
    told = ask(body, kind="async def")
    assert [outputs for _, _, outputs in told] == [[[0]], [[1]], [[2]], []]


def test_an_iterator_asked_for_the_next(ask, serve):
    """`next` and `anext` go on from where the last one was."""
    body = f"rs = {serve.call('many', way='exec(decoupled=True)')}\nr = next(rs)\nr = next(rs)\n{TOLD}"
    assert ask(body) == [[False, None, [[1]]]]
    body = f"rs = await {serve.call('many', way='async_exec(decoupled=True)')}\nr = await anext(rs)\nr = await anext(rs)\n{TOLD}"
    assert ask(body, kind="async def") == [[False, None, [[1]]]]


def test_an_error_of_a_call_for_many_is_one_response(ask, serve):
    """What is refused is told by the iterator, once."""
    told = ask(f"for r in {serve.call('ghost', way='exec(decoupled=True)')}:\n    {TOLD}")
    assert [error[0][-31:] for _, error, _ in told] == ["quest. Model 'ghost' is not ready."[-31:]]


@pytest.mark.parametrize(
    ("request_source", "message"),
    [
        ("inputs=[pb_utils.Tensor('Z', np.zeros(1, np.int32))]", "unexpected inference input 'Z' for model 'echo'"),
        (
            "inputs=[pb_utils.Tensor('X', np.zeros(1, np.float32))]",
            "[request id: <id_unknown>] inference input 'X' data-type is 'FP32', but model 'echo' expects 'INT32'",
        ),
        (
            f"requested_output_names=['Q'], inputs=[{X.format(1)}]",
            "unexpected inference output 'Q' for model 'echo'",
        ),
    ],
)
def test_a_request_that_does_not_fit(ask, request_source, message):
    """What is wrong with a request is told as to any client, with the model that was asked."""
    ((failed, error, _),) = ask(f"r = pb_utils.InferenceRequest(model_name='echo', {request_source}).exec()\n{TOLD}")
    assert failed
    assert error[0] == f"Model echo - Error when running inference: {message}"


def test_a_model_that_fails_fails_the_call(ask, serve):
    """The traceback of the other model is the error of the call."""
    ((failed, error, _),) = ask(f"r = {serve.call('echo', [1000])}\n{TOLD}")
    assert failed
    assert error[0].startswith(
        "Failed to process the request(s) for model 'echo_0', message: ValueError: thousand\n\nAt:\n"
    )


def test_what_a_call_says_reaches_the_other_model(ask, serve):
    """Only what the call says itself: nothing is inherited from the request that the model is busy with."""
    given = {
        "request_id": "q",
        "correlation_id": 9,
        "flags": 1,
        "timeout": 5,
        "parameters": {"z": "y", "n": 2, "b": True},
        "requested_output_names": ["T"],
    }
    options = {"id": "outer", "sequence_id": 4, "timeout_us": 8, "parameters": {"o": 1}}
    told = ask(
        f"r = {serve.call('echo', **given)}\n{TOLD}\ntold.append(r.parameters())\n"
        f"r = {serve.call('echo', requested_output_names=['T'])}\n{TOLD}",
        **options,
    )
    assert json.loads(told[0][2][0][0]) == ["q", 9, 1, 5, {"z": "y", "n": 2, "b": True}, ["T"]]
    assert json.loads(told[1]) == {"from": "echo"}
    assert json.loads(told[2][2][0][0]) == ["", 0, 0, 0, {}, ["T"]]


def test_calls_side_by_side(ask, serve):
    """Calls are on their way as soon as they are made, and a coroutine gathers them."""
    calls = ", ".join(serve.call("echo", [x], requested_output_names=["Y"], way="async_exec()") for x in range(5))
    told = ask(f"for r in await asyncio.gather({calls}):\n    {TOLD}", kind="async def")
    assert [outputs for _, _, outputs in told] == [[[x]] for x in range(5)]


def test_calls_from_threads_of_the_model(ask, serve):
    """A thread that the model starts calls as well."""
    body = (
        f"results = []\nthread = threading.Thread(target=lambda: results.append({serve.call('echo', requested_output_names=['Y'])}))\n"
        f"thread.start()\nthread.join()\nr = results[0]\n{TOLD}"
    )
    assert ask(body) == [[False, None, [[3]]]]


def test_outputs_of_a_call_are_not_copied(serve):
    """What the other model answers is what the caller gets, as it is."""
    source = """
    class TritonPythonModel:
        def execute(self, requests):
            x = requests[0].inputs()[0]
            request = pb_utils.InferenceRequest(model_name="echo", requested_output_names=["Y"], inputs=[x])
            return [request.exec()]
    """
    serve.write("echo", ECHO, outputs=[("Y", "INT32", [1]), ("T", "BYTES", [1])])
    serve.write("m", source)
    array = np.array([5], np.int32)
    answer = serve.start().model("m").infer({"X": array})
    assert np.shares_memory(answer["Y"], array)
    assert answer.parameters == {"from": "echo"}


def test_calls_are_steps_of_sequences(ask, serve):
    """Calls that say to which sequence they belong, where it begins and where it ends, reach the instance that has it."""
    source = """
    class TritonPythonModel:
        def execute(self, requests):
            return [self.answer(request) for request in requests]

        def answer(self, request):
            started = self.total if request.flags() == 0 or request.flags() == 2 else 0
            self.total = request.inputs()[0].as_numpy() + started
            return pb_utils.InferenceResponse([pb_utils.Tensor("Y", self.total)])
    """
    directory = serve.write("sum", source, instance_count=2)
    with (directory / "config.pbtxt").open("a") as file:
        file.write("sequence_batching { max_sequence_idle_microseconds: 60000000 }\n")
    steps = [(5, 1, 1), (6, 10, 1), (5, 2, 0), (6, 20, 2), (5, 3, 2), (5, 7, 3)]
    calls = [serve.call("sum", [x], correlation_id=name, flags=flags) for name, x, flags in steps]
    told = ask("\n".join(f"r = {call}\n{TOLD}" for call in calls))
    assert [outputs for _, _, outputs in told] == [[[1]], [[10]], [[3]], [[30]], [[6]], [[7]]]


@pytest.mark.parametrize("method", ["initialize", "finalize"])
def test_models_are_called_during_execute_only(serve, method):
    """As in the reference, a call from `initialize` or `finalize` is refused."""
    source = f"""
    class TritonPythonModel:
        def {method}(self, *args):
            try:
                {serve.call("echo")}
            except pb_utils.TritonModelException as error:
                with open(pb_utils.get_model_dir() + "/told", "w") as file:
                    file.write(str(error))
    """
    serve.write("m", source)
    serve.start().close()
    assert (serve.repository / "m/1/told").read_text() == "BLS is only supported during the 'execute' function."


def test_a_clients_request_is_not_passed_on_itself(ask):
    """What a client has sent is no call; the error says what to do."""
    told = ask("try:\n    request.exec()\nexcept pb_utils.TritonModelException as error:\n    told.append(str(error))")
    assert told == [
        "this request came from a client, and cannot be passed on as it is: make an InferenceRequest to call another model"
    ]


def test_cancelling_a_request_cancels_its_calls(serve):
    """A caller that leaves takes the calls with it that its request has caused."""
    from charonia.plugins import Plugins
    from charonia.server import Server
    from charonia.testing.builders import model_config, write_model

    source = f"""
    class TritonPythonModel:
        def execute(self, requests):
            r = {serve.call("slow")}
            seen.append((r.error().code(), requests[0].is_cancelled()))
            return [pb_utils.InferenceResponse([])]

    seen = []
    """
    serve.write("m", source)
    tensors = {"inputs": [("X", "INT32", [1])], "outputs": [("Y", "INT32", [1])]}
    config = model_config("slow", max_batch_size=0, parameters={"gate": "calls"}, instance_count=1, **tensors)
    write_model(serve.repository, config)
    with Gate("calls") as gate, Server(serve.repository, plugins=Plugins(extra=[ArithmeticPlugin()])) as server:
        module = serve.module()
        answers = queue.SimpleQueue()
        request = InferenceRequest("m", {"X": np.zeros(1, np.int32)}, answers.put)
        server.submit(request)
        gate.wait_entered()
        request.cancel()
        gate.open()
        assert isinstance(answers.get(timeout=30).error, CancelledError)
    assert module.seen == [(7, True)]


def test_a_call_that_finds_the_queue_full(serve):
    """The caller gets the error as every other, and the model that was called has nothing in progress when it is done."""
    from charonia.plugins import Plugins
    from charonia.server import Server
    from charonia.testing.builders import model_config, write_model

    source = f"""
    class TritonPythonModel:
        def execute(self, requests):
            seen.append({serve.call("slow")}.error().message())
            return [pb_utils.InferenceResponse([])]

    seen = []
    """
    serve.write("m", source)
    tensors = {"inputs": [("X", "INT32", [1])], "outputs": [("Y", "INT32", [1])]}
    config = model_config("slow", max_batch_size=0, parameters={"gate": "full"}, instance_count=1, **tensors)
    config.dynamic_batching.default_queue_policy.max_queue_size = 1
    write_model(serve.repository, config)
    inputs = {"X": np.zeros(1, np.int32)}
    with Gate("full") as gate, Server(serve.repository, plugins=Plugins(extra=[ArithmeticPlugin()])) as server:
        executing = server.model("slow").stream(inputs)
        gate.wait_entered()
        queued = server.model("slow").stream(inputs)
        server.model("m").infer(inputs)
        gate.open()
        assert len([*executing, *queued]) == 2
        assert server.get("slow").idle
        (told,) = serve.module().seen
    assert "Exceeds maximum queue size" in told


def test_a_call_is_cancelled_by_itself(ask, serve):
    """An iterator, or the future of a call, takes its request back."""
    body = f"rs = {serve.call('many', [1000], way='exec(decoupled=True)')}\nrs.cancel()\nr = list(rs)[-1]\ntold.append(r.has_error())"
    assert ask(body) in ([True], [False])  # it may have ended before


def test_calls_go_on_while_the_server_closes(serve):
    """A request that was accepted finishes, with its calls, after the server has begun to close."""
    source = f"""
    class TritonPythonModel:
        def execute(self, requests):
            begun.set()
            assert go_on.wait(30)
            return [{serve.call("echo", requested_output_names=["Y"])}]

    begun, go_on = threading.Event(), threading.Event()
    """
    serve.write("echo", ECHO.replace("json.dumps", "str"), outputs=[("Y", "INT32", [1]), ("T", "BYTES", [1])])
    serve.write("a", source)
    server = serve.start()
    (module,) = [
        m for name, m in __import__("sys").modules.items() if name.startswith("charonia_model_") and hasattr(m, "begun")
    ]
    answers = queue.SimpleQueue()
    server.submit(InferenceRequest("a", {"X": np.zeros(1, np.int32)}, answers.put))
    assert module.begun.wait(30)
    server.begin_shutdown()
    module.go_on.set()
    assert answers.get(timeout=30)["Y"].tolist() == [3]
