"""Models in processes of their own answer as those in the server's process do."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import triton_python_backend_utils as pb_utils
from arithmetic_suite import ArithmeticSuite
from charonia.errors import InferenceError, InternalError
from charonia.testing.patience import PATIENCE_SECONDS, wait_until
from models_apart import APART


class TestProcess(ArithmeticSuite):
    """A model in a process passes the suite that every backend passes."""

    settings = APART


def test_each_instance_has_a_process(serve):
    """Instances run outside of the server's process, each in another one."""
    source = """
    import os
    import pathlib

    class TritonPythonModel:
        def execute(self, requests):
            here = pathlib.Path(pb_utils.get_model_dir())
            (here / f"{os.getpid()}.pid").touch()
            while len(list(here.glob("*.pid"))) < 2:  # the other instance comes, too
                threading.Event().wait(0.01)
            return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", np.array([os.getpid()], np.int32))])]
    """
    handle = serve(source, instance_count=2, **APART)
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(handle.infer, {"X": [1]}) for _ in range(2)]
    assert len({int(answer.result()["Y"][0]) for answer in answers} | {os.getpid()}) == 3


@pytest.mark.parametrize("length", [1, 5_000, 3_000_000])
def test_tensors_of_all_sizes(serve, length):
    """Small tensors go with the message, others through shared memory, the largest through blocks that are used once."""
    source = """
    class TritonPythonModel:
        def execute(self, requests):
            responses = []
            for request in requests:
                a, b = (pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in ("A", "B"))
                text = np.array([[str(row.sum())] for row in a + b], dtype=np.object_)
                responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("SUM", a + b), pb_utils.Tensor("TEXT", text)]))
            return responses
    """
    inputs, outputs = [(name, "FP32", [-1]) for name in "AB"], [("SUM", "FP32", [-1]), ("TEXT", "BYTES", [1])]
    handle = serve(source, inputs=inputs, outputs=outputs, max_batch_size=4, **APART)
    for value in (1, 2, 3):
        array = np.arange(value, value + 2 * length, dtype=np.float32).reshape(2, length)
        answer = handle.infer({"A": array, "B": array})
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
