"""Processes and what they share live as long as they are needed, however one of the two sides ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from charonia.errors import CancelledError, UnavailableError
from charonia.request import InferenceRequest
from charonia.testing.patience import PATIENCE_SECONDS, wait_until
from models_apart import APART

LARGE = {"inputs": [("X", "INT32", [-1])], "outputs": [("Y", "INT32", [-1])]}

PARENT = """
import os, subprocess

class TritonPythonModel:
    def initialize(self, args):
        told, tell = os.pipe()
        if os.fork() == 0:
            logging.getLogger("fork").error("from the fork")
            os.write(tell, b".")
            signal.pause()
        os.read(told, 1)
        os.system("sleep 600 &")
        os.posix_spawn("/bin/sleep", ["sleep", "600"], os.environ)

    def execute(self, requests):
        os._exit(7)
"""

SERVER = """
import os, signal, sys
import numpy as np
from charonia import Server

with Server(sys.argv[1]) as server:
    answer = server.model("m").infer({"X": np.arange(100_000, dtype=np.int32)})
    fork = os.fork() if sys.argv[2:] else None
    if fork == 0:
        signal.pause()
    print(answer["Y"][0], flush=True)
    print(fork, flush=True)
    sys.stdin.read()
"""


def named_memory(pid):
    """List what a process has mapped of the machine's shared memory by name, which would outlive it."""
    return [line for line in Path(f"/proc/{pid}/maps").read_text().splitlines() if "/dev/shm/" in line]


def has_ended(pid):
    """Tell whether a process has ended, waited for by its parent or not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return True
    return state == "Z"


def test_what_a_model_has_started_does_not_hide_its_end(serve, capfd):
    """Neither a fork of the model's process nor another program that it runs keeps the line to the server open."""
    handle = serve(f"import logging\nimport signal\n{PARENT}", **APART)
    for _ in range(2):
        with pytest.raises(UnavailableError, match="exited with status 7"):
            handle.infer({"X": [np.random.default_rng().integers(1 << 30)]})
    assert "from the fork" in capfd.readouterr().err


SERVED = """
    import os, time

    class TritonPythonModel:
        def execute(self, requests):
            x = pb_utils.get_input_tensor_by_name(requests[0], "X").as_numpy()
            pid = np.full(x.shape, os.getpid(), np.int32)
            threading.Timer(0.0, lambda: time.sleep(600)).start()
            return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", pid)])]
"""


@contextmanager
def killed_server(repository, *options):
    """Serve in a process of its own, which is killed at the end of the block; gives it, its model's process and its fork."""
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(repository), *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with server:
        yield server.pid, int(server.stdout.readline()), server.stdout.readline()
        server.send_signal(signal.SIGKILL)


def test_a_process_ends_with_its_server(serve):
    """When the server is killed, the process of a model goes, whatever it is doing, and nothing is left of what the two shared."""
    serve.write("m", SERVED, **LARGE, **APART)
    with killed_server(serve.repository) as (server, pid, _):
        assert "memfd:charonia-block" in Path(f"/proc/{pid}/maps").read_text()
        assert named_memory(pid) == named_memory(server) == []
    wait_until(lambda: has_ended(pid))


def test_a_fork_of_the_server_keeps_no_process_alive(serve):
    """What an embedding program forks does not take the server's place, so that the process of a model goes with the server."""
    serve.write("m", SERVED, **LARGE, **APART)
    with killed_server(serve.repository, "fork") as (_, pid, fork):
        assert not has_ended(int(fork))
    try:
        wait_until(lambda: has_ended(pid))
        assert not has_ended(int(fork))
    finally:
        os.kill(int(fork), signal.SIGKILL)


def test_ending_while_it_completes_a_configuration(serve):
    """It is told how the process ended."""
    source = """
    import os

    class TritonPythonModel:
        @staticmethod
        def auto_complete_config(config):
            os._exit(4)
    """
    assert "exited with status 4 while its model was loaded" in serve.reason(source, **APART)


@pytest.mark.parametrize(
    "ending", ["os._exit(5)", "sys.exit(5)", "raise GeneratorExit", "1 / 0", "os.kill(os.getpid(), 9)"]
)
def test_ending_while_it_finalizes(serve, ending):
    """However `finalize` ends, the model is unloaded, and its name can be used again."""
    source = f"""
    import os, sys

    class TritonPythonModel:
        def execute(self, requests):
            return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", np.array([os.getpid()], np.int32))]) for _ in requests]

        def finalize(self):
            {ending}
    """
    serve.write("m", source, **APART)
    server = serve.start(model_control_mode="explicit")
    pids = set()
    for _ in range(2):
        server.load("m")
        pids.add(int(server.model("m").infer({"X": [1]})["Y"][0]))
        server.unload("m")
    assert len(pids) == 2
    wait_until(lambda: all(map(has_ended, pids)))


def test_ending_while_it_is_asked_whether_it_is_ready(serve):
    """A process that ends over the question is not ready, and the next one is asked anew."""
    source = """
    import os

    class TritonPythonModel:
        def execute(self, requests):
            return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", np.array([7], np.int32))]) for _ in requests]

        def is_ready(self):
            marker = os.path.join(pb_utils.get_model_dir(), "marker")
            if os.path.exists(marker):
                return True
            open(marker, "w").close()
            os._exit(6)
    """
    serve.write("m", source, **APART)
    server = serve.start()
    assert not server.model_ready("m")
    wait_until(lambda: server.model_ready("m"))
    assert server.model("m").infer({"X": [1]})["Y"].tolist() == [7]


def test_a_request_that_was_taken_back_is_known_to_be(serve):
    """A model that answers each request once, too, can ask whether anybody still waits."""
    source = """
    class TritonPythonModel:
        def execute(self, requests):
            open(pb_utils.get_model_dir() + "/begun", "w").close()
            while not requests[0].is_cancelled():
                threading.Event().wait(0.01)
            return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", np.array([1], np.int32))])]
    """
    directory = serve.write("m", source, **APART)
    server = serve.start()
    answers = []
    done = threading.Event()
    request = InferenceRequest(
        "m", {"X": np.array([1], np.int32)}, lambda response: (answers.append(response), done.set())
    )
    server.submit(request)
    wait_until((directory / "1/begun").exists)
    request.cancel()
    assert done.wait(PATIENCE_SECONDS)
    assert isinstance(answers[0].error, CancelledError)


def test_parameters_pass_both_ways(serve):
    """What the caller says, and what the model says, has its type on the other side."""
    source = """
    class TritonPythonModel:
        def execute(self, requests):
            told = json.loads(requests[0].parameters())
            y = pb_utils.Tensor("Y", np.array([len(told)], np.int32))
            return [pb_utils.InferenceResponse([y], parameters={**told, "seen": True}) for _ in requests]
    """
    said = {"text": "ä", "number": 7, "truth": True, "fraction": 0.5}
    answer = serve(source, **APART).infer({"X": [1]}, parameters=said)
    assert answer.parameters == {**said, "seen": True}
