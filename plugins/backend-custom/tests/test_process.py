"""Models in processes of their own: they answer as those in the server's process do, and harm nobody when they end."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
import triton_python_backend_utils as pb_utils
from charonia.errors import InferenceError, InternalError, InvalidArgumentError, UnavailableError
from charonia.testing.backend_suite import BackendSuite, Sample
from charonia.testing.builders import model_config, write_model
from charonia.testing.patience import PATIENCE_SECONDS, wait_until

APART = {"parameters": {"EXECUTION_MODE": "process"}}

MOODY = """\
import os
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            a, b = (pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in ("INPUT0", "INPUT1"))
            if a.min() < 0:
                raise ValueError("INPUT0 is negative")
            text = np.array([[str(row.sum())] for row in a + b], dtype=np.object_)
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("SUM", a + b), pb_utils.Tensor("TEXT", text)]))
        return responses
"""

TENSORS = {
    "inputs": [("INPUT0", "FP32", [-1]), ("INPUT1", "FP32", [-1])],
    "outputs": [("SUM", "FP32", [-1]), ("TEXT", "BYTES", [1])],
}

WHERE = """
    def execute(self, requests):
        responses = []
        for request in requests:
            x = pb_utils.get_input_tensor_by_name(request, "X").as_numpy()
            if x[0] < 0:
                os.kill(os.getpid(), -int(x[0]))
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("Y", np.array([os.getpid()], np.int32))]))
        return responses
"""
MORTAL = "import os\nclass TritonPythonModel:" + WHERE


class TestProcess(BackendSuite):
    backend = "python"

    def write_model(self, repository, name):
        write_model(repository, model_config(name, backend="python", **TENSORS, **APART), {"1/model.py": MOODY})

    def write_broken_model(self, repository, name):
        write_model(repository, model_config(name, backend="python", **TENSORS, **APART), {"1/model.py": "class ("})

    def samples(self):
        samples = []
        for batch, value in ((1, 1.0), (3, 2.0)):
            array = np.full((batch, 4), value, np.float32)
            text = np.array([[str(np.float32(8 * value)).encode()]] * batch, np.object_)
            samples.append(Sample({"INPUT0": array, "INPUT1": array}, {"SUM": array * 2, "TEXT": text}))
        return samples

    def failing_inputs(self):
        array = np.full((1, 4), -1, np.float32)
        return {"INPUT0": array, "INPUT1": array}


def restarts(server):
    """Tell how often processes were started again."""
    (family,) = (family for family in server.metrics() if family.name == "charonia_python_process_restarts_total")
    return [(dict(sample.labels), sample.value) for sample in family.samples]


def test_each_instance_has_a_process(serve):
    """Instances run outside of the server's process, each in another one."""
    serve.write("m", MORTAL, instance_count=2, **APART)
    server = serve.start()
    handle = server.model("m")
    seen = set()
    wait_until(lambda: seen.add(int(handle.infer({"X": [1]})["Y"][0])) or seen)
    assert os.getpid() not in seen


@pytest.mark.parametrize("length", [1, 5_000, 3_000_000])
def test_tensors_of_all_sizes(serve, length):
    """Small tensors go with the message, others through shared memory, the largest through blocks that are used once."""
    serve.write("m", MOODY, head="", **{**TENSORS, "max_batch_size": 4}, **APART)
    handle = serve.start().model("m")
    for value in (1, 2, 3):
        array = np.arange(value, value + 2 * length, dtype=np.float32).reshape(2, length)
        answer = handle.infer({"INPUT0": array, "INPUT1": array})
        np.testing.assert_array_equal(answer["SUM"], 2 * array)
        assert [float(text) for text in answer["TEXT"].ravel()] == pytest.approx(
            (2 * array).sum(axis=1).tolist(), rel=1e-3
        )


@pytest.mark.parametrize("datatype", ["BOOL", "UINT8", "INT64", "FP16", "BF16", "FP64", "BYTES"])
def test_datatypes_there_and_back(serve, datatype):
    """Every kind of element comes back as it was, also none at all."""
    source = """
    class TritonPythonModel:
        def execute(self, requests):
            tensors = [pb_utils.get_input_tensor_by_name(request, "X").as_numpy() for request in requests]
            return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", tensor)]) for tensor in tensors]
    """
    handle = serve(source, inputs=[("X", datatype, [-1])], outputs=[("Y", datatype, [-1])], **APART)
    dtype = pb_utils.triton_string_to_numpy("TYPE_STRING" if datatype == "BYTES" else f"TYPE_{datatype}")
    words = np.array([b"", b"\0a\0", "ü".encode() * 9000], np.object_)
    array = words if datatype == "BYTES" else np.array([0, 1, 1], dtype)
    for given in (array, array[:0]):
        got = handle.infer({"X": given})["Y"]
        assert got.dtype == given.dtype
        assert got.tolist() == given.tolist()


def test_a_process_that_ends_fails_its_requests_and_comes_back(serve):
    """Its request is UNAVAILABLE, with how it ended; nobody else is harmed; soon the model answers again, and it is counted."""
    serve.write("m", MORTAL, **APART)
    serve.write("other", MORTAL, **APART)
    server = serve.start()
    first = int(server.model("m").infer({"X": [1]})["Y"][0])
    other = int(server.model("other").infer({"X": [1]})["Y"][0])
    with pytest.raises(
        UnavailableError, match="the process of model instance 'm_0' was ended by SIGSEGV while it had this"
    ):
        server.model("m").infer({"X": [-signal.SIGSEGV]})
    second = int(server.model("m").infer({"X": [1]})["Y"][0])
    assert second not in (first, other)
    assert int(server.model("other").infer({"X": [1]})["Y"][0]) == other
    wait_until(lambda: ({"model": "m", "version": "1"}, 1.0) in restarts(server))
    assert ({"model": "other", "version": "1"}, 0.0) in restarts(server)


def test_a_request_that_ends_it_twice_is_refused(serve):
    """The third time it is not executed; others with other inputs are."""
    serve.write("m", MORTAL, **APART)
    server = serve.start()
    handle = server.model("m")
    for _ in range(2):
        wait_until(lambda: handle.ready)
        with pytest.raises(UnavailableError):
            handle.infer({"X": [-9]})
    wait_until(lambda: handle.ready)
    with pytest.raises(InvalidArgumentError, match="this request has twice ended the process"):
        handle.infer({"X": [-9]})
    assert handle.infer({"X": [1]})["Y"][0]
    assert restarts(server)[0][1] == 2.0


def test_readiness_and_refusals_in_a_pause(serve):
    """While it waits for the second start, the model is not ready, and tells so at once instead of letting anybody wait."""
    source = MORTAL.replace(
        "    def execute",
        "    def initialize(self, args):\n        open(pb_utils.get_model_dir() + '/ok').close()\n\n    def execute",
        1,
    )
    directory = serve.write("m", source, files={"1/ok": ""}, **APART)
    server = serve.start()
    (directory / "1/ok").unlink()
    with pytest.raises(UnavailableError):
        server.model("m").infer({"X": [-9]})
    assert not server.model("m").ready
    with pytest.raises(UnavailableError, match="has ended again and again: the next one is started in"):
        server.model("m").infer({"X": [1]})
    (directory / "1/ok").touch()
    wait_until(lambda: server.model("m").ready)
    assert server.model("m").infer({"X": [1]})["Y"][0]


def test_a_process_that_ends_between_requests(serve):
    """Nobody notices but the counter."""
    serve.write("m", MORTAL, **APART)
    server = serve.start()
    os.kill(int(server.model("m").infer({"X": [1]})["Y"][0]), signal.SIGKILL)
    wait_until(lambda: restarts(server)[0][1] == 1.0)
    assert server.model("m").infer({"X": [1]})["Y"][0]


def test_closing_while_it_is_started_again(serve):
    """A server that closes does not wait for a pause to be over."""
    directory = serve.write("m", MORTAL, **APART)
    server = serve.start()
    (directory / "1/model.py").write_text("1 / 0")
    with pytest.raises(UnavailableError):
        server.model("m").infer({"X": [-9]})
    server.close()


def test_open_streams_end_with_their_process(serve):
    """A decoupled model's requests that it has not ended yet are UNAVAILABLE, whichever execution they came with."""
    source = """
    import os

    class TritonPythonModel:
        def execute(self, requests):
            for request in requests:
                x = pb_utils.get_input_tensor_by_name(request, "X").as_numpy()
                if x[0] < 0:
                    os._exit(3)
                request.get_response_sender().send(pb_utils.InferenceResponse([pb_utils.Tensor("Y", x)]))
    """
    handle = serve(source, decoupled=True, **APART)
    stream = handle.stream({"X": [1]})
    assert next(stream)["Y"].tolist() == [1]
    with pytest.raises(UnavailableError, match="exited with status 3"):
        list(handle.stream({"X": [-1]}))
    with pytest.raises(UnavailableError, match="exited with status 3"):
        next(stream)


def test_a_decoupled_model_streams_and_sees_cancellation(serve):
    """Senders work over the line, and a request that was taken back is known to be."""
    source = """
    class TritonPythonModel:
        def execute(self, requests):
            for request in requests:
                threading.Thread(target=self.answer, args=(request.get_response_sender(), request)).start()

        def answer(self, sender, request):
            number = 0
            while not sender.is_cancelled() and not (number == 3 and request.request_id() == "three"):
                number += 1
                sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("Y", np.array([number], np.int32))]))
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
    """
    handle = serve(source, decoupled=True, **APART)
    assert [int(response["Y"][0]) for response in handle.stream({"X": [0]}, id="three")] == [1, 2, 3]
    stream = handle.stream({"X": [0]})
    assert int(next(stream)["Y"][0]) == 1
    stream.close()


CALLER = """
class TritonPythonModel:
    {async_}def execute(self, requests):
        responses = []
        for request in requests:
            x = pb_utils.get_input_tensor_by_name(request, "X")
            call = pb_utils.InferenceRequest(model_name="echo", inputs=[x], requested_output_names=["Y"])
            responses.append({await_})
        return responses
"""
ECHO = """
class TritonPythonModel:
    def execute(self, requests):
        tensors = [pb_utils.get_input_tensor_by_name(request, "X").as_numpy() for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", 2 * tensor)]) for tensor in tensors]
"""


@pytest.mark.parametrize("apart", [("m",), ("echo",), ("m", "echo")])
@pytest.mark.parametrize(("async_", "await_"), [("", "call.exec()"), ("async ", "await call.async_exec()")])
def test_calls_of_other_models(serve, apart, async_, await_):
    """Calls pass from and to processes."""
    shape = {"inputs": [("X", "INT32", [-1])], "outputs": [("Y", "INT32", [-1])]}
    serve.write("m", CALLER.format(async_=async_, await_=await_), **shape, **(APART if "m" in apart else {}))
    serve.write("echo", ECHO, **shape, **(APART if "echo" in apart else {}))
    handle = serve.start().model("m")
    for size in (1, 100_000):
        assert handle.infer({"X": np.full(size, 4, np.int32)})["Y"].tolist() == [8] * size


def test_calls_in_a_circle_are_named(serve):
    """Waiting executions in processes are known to the server, too."""
    for name, other in (("m", "n"), ("n", "m")):
        body = f"return [{serve.call(other)} for _ in requests]"
        serve.write(name, f"class TritonPythonModel:\n    def execute(self, requests):\n        {body}\n", **APART)
    with pytest.raises(InferenceError, match="wait for each other in a circle"):
        serve.start().model("m").infer({"X": [1]})


def test_lines_of_the_log_come_over(serve, caplog):
    """Records of the model's own logger and of any other one reach the server's log with their place in the model's file."""
    source = """
    import logging

    class TritonPythonModel:
        def execute(self, requests):
            pb_utils.Logger.log_warn("own 100%")
            logging.getLogger("mine").warning("other %s", 7)
            try:
                1 / 0
            except ZeroDivisionError:
                logging.getLogger("mine").exception("caught")
            return [pb_utils.InferenceResponse([]) for _ in requests]
    """
    serve(source, **APART).infer({"X": [1]})
    lines = [(record.name, record.getMessage(), Path(record.pathname).name) for record in caplog.records]
    assert ("charonia.model.m", "own 100%", "model.py") in lines
    assert ("mine", "other 7", "model.py") in lines
    assert "ZeroDivisionError: division by zero" in caplog.text


def test_what_is_raised_has_the_models_lines(serve):
    """Errors are worded as in the server's own process."""
    handle = serve(
        "class TritonPythonModel:\n    def execute(self, requests):\n        raise KeyError('gone')\n", **APART
    )
    expected = f"Failed to process the request\\(s\\) for model 'm_0', message: KeyError: 'gone'\n\nAt:\n  {serve.repository}/m/1/model.py\\(9\\): execute\n"
    with pytest.raises(InternalError, match=expected):
        handle.infer({"X": [1]})


def test_a_process_that_ends_while_it_is_loaded(serve):
    """The reason tells how it ended, and what was written before is on stderr."""
    assert serve.reason("import os\nos._exit(7)", **APART) == (
        "Internal: the process of model instance 'm' exited with status 7 while its model was loaded"
    )


def test_completion_and_finalize_happen_in_the_process(serve):
    """`auto_complete_config` runs where the model runs, and `finalize` is waited for."""
    source = """
    import os

    class TritonPythonModel:
        @staticmethod
        def auto_complete_config(config):
            config.add_input({"name": "P", "data_type": "TYPE_INT32", "dims": [os.getpid()]})
            return config

        def finalize(self):
            with open(pb_utils.get_model_dir() + "/bye", "w") as file:
                file.write(str(os.getpid()))
    """
    serve.write("m", source, **APART)
    server = serve.start()
    (completed,) = [tensor for tensor in server.model_config("m").input if tensor.name == "P"]
    assert completed.dims[0] != os.getpid()
    server.close()
    assert int((serve.repository / "m/1/bye").read_text()) != os.getpid()


def test_many_coroutines_in_one_process(serve):
    """An `execute` that is a coroutine has many batches in progress, over the line, too."""
    source = """
    import asyncio

    class TritonPythonModel:
        def initialize(self, args):
            self.waiting = []

        async def execute(self, requests):
            future = asyncio.get_running_loop().create_future()
            self.waiting.append(future)
            if len(self.waiting) == 3:
                for waiting in self.waiting:
                    waiting.set_result(None)
            await future
            return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", np.array([1], np.int32))]) for _ in requests]
    """
    handle = serve(source, **APART)
    threads = [threading.Thread(target=handle.infer, args=({"X": [number]},)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()


def test_a_coroutine_that_raises_answers(serve):
    """What a coroutine raises in its process is the answer to its requests, and the next ones are executed."""
    source = """
    class TritonPythonModel:
        async def execute(self, requests):
            x = pb_utils.get_input_tensor_by_name(requests[0], "X").as_numpy()
            if x[0] < 0:
                raise ValueError("less than nothing")
            return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", x)]) for _ in requests]
    """
    handle = serve(source, **APART)
    for number in range(3):
        with pytest.raises(InternalError, match="less than nothing"):
            handle.infer({"X": [-1]})
        assert handle.infer({"X": [number]})["Y"].tolist() == [number]


def test_an_unloaded_model_leaves_no_process_and_no_mapping(serve):
    """What the two shared is given back, and the process is gone, with all that it has started."""
    shape = {"inputs": [("X", "INT32", [-1])], "outputs": [("Y", "INT32", [-1])]}
    serve.write("m", ECHO, **shape, **APART)
    server = serve.start(model_control_mode="explicit")
    for _ in range(3):
        server.load("m")
        server.model("m").infer({"X": np.zeros(1_000_000, np.int32)})
        server.unload("m")
    wait_until(lambda: server.index()[0].state == "UNAVAILABLE")
    wait_until(lambda: "charonia-block" not in Path("/proc/self/maps").read_text())  # the first two may go last


def test_what_a_process_has_not_begun_with_is_executed_by_the_next_one(serve):
    """A process that dies takes the request with it that it executes, and none that waits for its turn, there or in the queue."""
    source = """
    import os
    import time
    import pathlib

    class TritonPythonModel:
        def execute(self, requests):
            (request,) = requests
            x = pb_utils.get_input_tensor_by_name(request, "X").as_numpy()
            if x[0] < 0:
                while not pathlib.Path(pb_utils.get_model_dir(), "now").exists():
                    time.sleep(0.01)
                os._exit(1)
            return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", x)])]
    """
    handle = serve(source, **APART)
    for number in range(500):  # such quick ones are passed on ahead of their turn
        assert handle.infer({"X": [number]})["Y"].tolist() == [number]
    outcomes = {}

    def ask(number):
        try:
            outcomes[number] = handle.infer({"X": [number]})["Y"].tolist()
        except UnavailableError as error:
            outcomes[number] = error

    threads = [threading.Thread(target=ask, args=(number,)) for number in (-1, 1, 2, 3, 4)]
    threads[0].start()
    wait_until(lambda: handle.statistics().in_flight)
    for thread in threads[1:]:
        thread.start()
    wait_until(lambda: handle.statistics().in_flight == len(threads))
    (serve.repository / "m/1/now").touch()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert isinstance(outcomes.pop(-1), UnavailableError)
    assert outcomes == {number: [number] for number in (1, 2, 3, 4)}


@pytest.mark.parametrize("async_", ["", "async "])
def test_computing_time_is_that_of_the_model(serve, async_):
    """The statistics tell how long the model computed, wherever it did."""
    source = f"""
    import time

    class TritonPythonModel:
        {async_}def execute(self, requests):
            time.sleep(0.05)
            return [pb_utils.InferenceResponse([]) for _ in requests]
    """
    handle = serve(source, **APART)
    handle.infer({"X": [1]})
    counted = handle.statistics()
    assert counted.execution_count == 1
    assert counted.compute_infer.ns >= 50_000_000
