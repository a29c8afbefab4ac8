"""Models that do what nobody expects of them: whatever that is, the server lives, tells, and starts their processes again."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from charonia.errors import InferenceError, InternalError, UnavailableError
from charonia.testing.patience import wait_until
from models_apart import APART

LARGE = {"inputs": [("X", "INT32", [-1])], "outputs": [("Y", "INT32", [-1])]}

UNRULY = """
import os, signal, sys

class TritonPythonModel:
    def execute(self, requests):
        (request,) = requests
        x = pb_utils.get_input_tensor_by_name(request, "X").as_numpy()
        y = x
        if x[0] < 0:
            {deed}
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", y)])]

    def say(self, content):
        for descriptor in range(3, 64):
            if "socket" in os.path.realpath(f"/proc/self/fd/{{descriptor}}"):
                os.write(descriptor, content)
        threading.Event().wait(60)
"""


def unruly(deed):
    """Write a model that answers with its input, unless it is negative."""
    return UNRULY.format(deed="; ".join(deed))


def has_ended(pid):
    """Tell whether a process has ended and was waited for."""
    return not Path(f"/proc/{pid}").exists()


def answered(handle, number):
    """Ask, again if it was the process's last moment, and give the answer."""
    try:
        return handle.infer({"X": [number]})["Y"].tolist()
    except UnavailableError:
        wait_until(lambda: handle.ready)
        return handle.infer({"X": [number]})["Y"].tolist()


@pytest.mark.parametrize(
    "deed",
    [
        ["os.closerange(3, 256)"],
        ["os.closerange(0, 256)"],
        ["os.closerange(3, 256)", "self.files = [open('/dev/zero', 'r+b') for _ in range(64)]"],
        ["self.say(b'nonsense' * 9)"],
        ["self.say(bytes(99))"],
        ["self.say(bytes([3]) + bytes(8) + b'abc')"],
        ["os._exit(0)"],
        ["import faulthandler", "faulthandler._sigsegv()"],
        ["os.abort()"],
    ],
    ids=[
        "closes",
        "closes all",
        "opens others",
        "writes nonsense",
        "writes zeros",
        "writes a frame",
        "ends well",
        "falls",
        "aborts",
    ],
)
def test_what_breaks_the_line_ends_the_process(serve, deed):
    """Whatever a model does to its line, its request fails, and the next process answers as if nothing had been."""
    handle = serve(unruly(deed), **APART)
    assert handle.infer({"X": [1]})["Y"].tolist() == [1]
    with pytest.raises(UnavailableError, match="the process of model instance 'm_0'"):
        handle.infer({"X": [-1]})
    for number in range(3):
        assert handle.infer({"X": [number]})["Y"].tolist() == [number]


def test_what_takes_no_memory_is_told(serve):
    """Where the system has no memory for a large answer, or no descriptors, its request fails, and small ones go on."""
    deed = [
        "import errno",
        "os.memfd_create = self.refuse",
        "y = np.zeros(1 << 20, np.int32)",
    ]
    source = (
        unruly(deed)
        + """
    def refuse(self, *arguments):
        raise OSError(28, "No space left on device")
"""
    )
    handle = serve(source, **LARGE, **APART)
    with pytest.raises(InferenceError, match="No space left on device"):
        handle.infer({"X": [-1]})
    assert handle.infer({"X": [5]})["Y"].tolist() == [5]


def test_a_server_without_memory_tells_so(serve, monkeypatch):
    """Where the server itself gets no memory for a large request, that request fails, and the process is as it was."""
    handle = serve(unruly(["pass"]), **LARGE, **APART)

    def refuse(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("charonia_backend_custom.process.blocks.os.ftruncate", refuse)
        with pytest.raises(InferenceError, match="No space left on device"):
            handle.infer({"X": np.zeros(1 << 20, np.int32)})
    assert handle.infer({"X": np.arange(1 << 20, dtype=np.int32)})["Y"][-1] == (1 << 20) - 1


def test_a_large_answer_outlives_its_process(serve):
    """What an answer lies in is there as long as somebody looks at it, whatever becomes of the process that wrote it."""
    handle = serve(unruly(["y = np.full(1 << 20, os.getpid(), np.int32)"]), **LARGE, **APART)
    answer = handle.infer({"X": [-1]})["Y"]
    os.kill(int(answer[0]), signal.SIGKILL)
    wait_until(lambda: has_ended(int(answer[0])))
    assert (answer == answer[0]).all()
    assert handle.infer({"X": [5]})["Y"].tolist() == [5]


@pytest.mark.parametrize("microseconds", [0, 300, 1_000, 3_000, 10_000])
def test_ending_while_it_answers(serve, microseconds):
    """A process that ends somewhere in its answer has given it or has not: there is nothing in between."""
    deed = [
        f"threading.Timer({microseconds} / 1e6, os._exit, [3]).start()",
        "y = np.arange(4_000, dtype=np.int32)",
        "logging.getLogger('m').warning('x' * 3_000_000)",
    ]
    handle = serve("import logging\n" + unruly(deed), **LARGE, **APART)
    try:
        outcome = handle.infer({"X": [-1]})["Y"].tolist()
    except UnavailableError as error:
        outcome = str(error)
    assert outcome == list(range(4_000)) or "exited with status 3" in outcome
    for number in range(3):
        assert answered(handle, number) == [number]


def test_much_that_is_printed(serve, capfd):
    """Megabytes on both standard streams pass, and are the server's."""
    deed = ["print('o' * 5_000_000)", "print('e' * 5_000_000, file=sys.stderr)"]
    handle = serve(unruly(deed), **APART)
    assert handle.infer({"X": [-1]})["Y"].tolist() == [-1]
    told = capfd.readouterr()
    assert told.out.count("o") == told.err.count("e") == 5_000_000


def test_forks_that_go_on_as_if_they_were_the_model(serve):
    """What a fork of the process answers goes nowhere, nor into the memory of the model's own answer, which counts."""
    deed = [
        "pid = os.fork()",
        "pid or time.sleep(0.3)",
        "y = np.full(1 << 20, pid, np.int32)",
        "pid and threading.Thread(target=os.waitpid, args=(pid, 0)).start()",
    ]
    handle = serve("import time\n" + unruly(deed), **LARGE, **APART)
    for _ in range(3):
        assert handle.infer({"X": np.zeros(1 << 20, np.int32)})["Y"].shape == (1 << 20,)
        answer = handle.infer({"X": [-1]})["Y"]
        wait_until(lambda answer=answer: has_ended(int(answer[0])))
        assert answer[0]
        assert (answer == answer[0]).all()


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("#!/bin/sh\nexit 3\n", "exited with status 3 while its model was loaded"),
        ("#!/bin/sh\nkill -9 $$\n", "was ended by SIGKILL while its model was loaded"),
        ("#!/nowhere\n", "cannot be started: "),
        ("", "cannot be started: "),
    ],
)
def test_ending_before_it_says_anything(serve, tmp_path, program, reason):
    """An interpreter that does not come to the model is a reason why the model is not there, and nothing is left of it."""
    python = tmp_path / "environment" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(program)
    python.chmod(0o755)
    assert reason in serve.reason(unruly(["pass"]), parameters={"EXECUTION_ENV_PATH": str(tmp_path / "environment")})


@pytest.mark.parametrize("kind", ["SystemExit", "KeyboardInterrupt"])
@pytest.mark.parametrize("config", [{}, APART], ids=["in the server", "apart"])
def test_a_task_that_wants_to_exit(serve, kind, config):
    """It fails the request that awaits it, or none, and the others on its event loop are answered."""
    source = f"""
    import asyncio

    async def leave():
        raise {kind}("left")

    class TritonPythonModel:
        async def execute(self, requests):
            x = requests[0].inputs()[0].as_numpy()
            task = asyncio.create_task(leave()) if x[0] else None
            if x[0] == 1:
                await task
            await asyncio.sleep(0)
            return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", x)])]
    """
    model = serve(source, **config)
    for _ in range(2):
        with pytest.raises(InternalError, match=f"{kind}: left"):
            model.infer({"X": [1]})
        assert model.infer({"X": [0]})["Y"] == 0
        assert model.infer({"X": [2]})["Y"] == 2


@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("config", [{}, APART], ids=["in the server", "apart"])
def test_a_model_that_raises_what_interrupts_programs(serve, config, decoupled):
    """On threads on which nobody can have meant the program it fails its requests, and nothing else."""
    source = """
    import os
    class TritonPythonModel:
        def execute(self, requests):
            x = requests[0].inputs()[0].as_numpy()
            if x[0]:
                raise KeyboardInterrupt("stop")
            answer = pb_utils.InferenceResponse([pb_utils.Tensor("Y", np.array([os.getpid()], np.int32))])
            if not DECOUPLED:
                return [answer]
            requests[0].get_response_sender().send(answer, pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
    """.replace("DECOUPLED", str(decoupled))
    model = serve(source, decoupled=decoupled, **config)

    def ask(x):
        answers = list(model.stream({"X": [x]}))
        return int(answers[0]["Y"][0])

    before = ask(0)
    for _ in range(2):
        with pytest.raises(InternalError, match="KeyboardInterrupt: stop\n\nAt:"):
            ask(1)
    assert ask(0) == before
