"""`charonia serve` as a process of its own: what it says, that it goes on, and that it ends without losing a request."""

from __future__ import annotations

import http.client
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

CHARONIA = str(Path(sys.executable).with_name("charonia"))
PATIENCE = 60

GATED = '''
from charonia.backend import ArrayExecution, Backend, LoadedModel
from charonia.hookspecs import hookimpl


@hookimpl
def charonia_backends():
    return {"gated": "acme_gated:GatedBackend"}


class GatedExecution(ArrayExecution):
    """Writes down what it executes. With a pipe beside the model, says so and waits to be let on first."""

    def run(self, inputs):
        folder = self.context.model.directory
        if (folder / "entered").exists():
            with open(folder / "entered", "wb", buffering=0) as entered:
                entered.write(b".")
            with open(folder / "gate", "rb", buffering=0) as gate:
                gate.read(1)
        with open(folder / "executed", "a") as executed:
            executed.write("".join(f"{int(value)}\\n" for value in inputs["X"].ravel()))
        return {"Y": inputs["X"] * 2}


class GatedModel(LoadedModel):
    def instantiate(self, context):
        return GatedExecution(context)


class GatedBackend(Backend):
    def load(self, context):
        if (context.directory / "loading").exists():
            with open(context.directory / "loading", "rb", buffering=0) as loading:
                loading.read(1)
        return GatedModel(context)
'''
CONFIG = """
backend: "gated"
input [ { name: "X" data_type: TYPE_INT32 dims: [ 1 ] } ]
output [ { name: "Y" data_type: TYPE_INT32 dims: [ 1 ] } ]
instance_group [ { kind: KIND_CPU count: 4 } ]
"""


class Process:
    """A server in a process, and the lines that it has printed."""

    def __init__(self, words, environment):
        self._popen = subprocess.Popen(
            [CHARONIA, "serve", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.out, self.err = [], []
        self._news = queue.SimpleQueue()
        self._readers = [
            threading.Thread(target=self._read, args=(stream, lines))
            for stream, lines in ((self._popen.stdout, self.out), (self._popen.stderr, self.err))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream, lines):
        for line in stream:
            lines.append(line.rstrip("\n"))
            self._news.put(lines[-1])
        self._news.put(None)

    def wait_for(self, text):
        """Wait for a line that has the text."""
        while (line := self._news.get(timeout=PATIENCE)) is not None:
            if text in line:
                return
        raise AssertionError(f"no line has {text!r}:\n" + "\n".join(self.out + self.err))

    @property
    def port(self):
        return next(int(match[1]) for line in self.out if (match := re.fullmatch(r"  http://127\.0\.0\.1:(\d+)", line)))

    def signal(self, number):
        self._popen.send_signal(number)

    def end(self):
        """Wait for the end and give the exit code."""
        code = self._popen.wait(PATIENCE)
        for reader in self._readers:
            reader.join()
        self._popen.stdout.close()
        self._popen.stderr.close()
        return code

    def kill(self):
        if self._popen.poll() is None:
            self._popen.kill()
            self.end()


@pytest.fixture
def environment(tmp_path):
    """The environment of a server process, with the gated backend installed."""
    site = tmp_path / "site"
    info = site / "acme_gated-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "acme_gated.py").write_text(GATED)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-gated\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[charonia]\nbackend-gated = acme_gated\n")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CHARONIA_")}
    return {**kept, "PYTHONPATH": str(site), "CHARONIA_SERVE_GRPC_PORT": "0"}


@pytest.fixture
def serve(environment):
    """Start servers on free ports; what is left of them is killed."""
    processes = []

    def start(*words):
        processes.append(Process(["--http-port=0", *map(str, words)], environment))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()


@pytest.fixture
def run(environment):
    """Run another command and give what became of it."""
    return lambda *words: subprocess.run(
        [CHARONIA, *map(str, words)], env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE
    )


@pytest.fixture
def models(tmp_path):
    path = tmp_path / "models"
    path.mkdir()
    return path


def write(models, name, config=CONFIG):
    (models / name / "1").mkdir(parents=True)
    (models / name / "config.pbtxt").write_text(config)
    return models / name


class Gate:
    """The pipes at which the executions of a model say that they have begun, and wait to be let on."""

    def __init__(self, folder):
        for name in ("entered", "gate"):
            os.mkfifo(folder / name)
        # opened for both directions, so that no byte is lost between two readers or writers
        self._entered, self._gate = (os.open(folder / name, os.O_RDWR) for name in ("entered", "gate"))

    def wait_entered(self, count):
        """Wait until so many executions have begun."""
        while count:
            count -= len(os.read(self._entered, count))

    def let_on(self, count):
        """Let so many executions go on."""
        os.write(self._gate, b"." * count)

    def close(self):
        os.close(self._entered)
        os.close(self._gate)


def ask(connection, model, value):
    """Send one request and give the status and the answer's value."""
    tensor = {"name": "X", "datatype": "INT32", "shape": [1], "data": [value]}
    connection.request("POST", f"/v2/models/{model}/infer", json.dumps({"inputs": [tensor]}))
    response = connection.getresponse()
    document = json.loads(response.read())
    return response.status, document["outputs"][0]["data"][0] if response.status == 200 else document["error"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_requests_in_progress_are_answered_after_the_signal(serve, models, number):
    """What was accepted before the signal gets its answer, new work is refused meanwhile, and the exit code is 0."""
    gate = Gate(write(models, "held"))
    server = serve(f"--model-repository={models}")
    server.wait_for("Ctrl-C")
    with closing(gate), ThreadPoolExecutor(4) as pool:
        connections = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE) for _ in range(4)]
        answers = [pool.submit(ask, connection, "held", index) for index, connection in enumerate(connections)]
        gate.wait_entered(4)
        server.signal(number)
        server.wait_for("stopping: requests in progress have 30 s to finish")
        assert not any(answer.done() for answer in answers)
        gate.let_on(4)
        assert [answer.result(PATIENCE) for answer in answers] == [(200, 0), (200, 2), (200, 4), (200, 6)]
        for connection in connections:
            connection.close()
    assert server.end() == 0
    assert server.out[-1] == "Stopped."


def test_a_signal_under_load_loses_no_accepted_request(serve, models):
    """While clients send as fast as they can, every request that was executed is answered, and none wrongly."""
    folder = write(models, "busy")
    server = serve(f"--model-repository={models}")
    server.wait_for("Ctrl-C")
    port, answered = server.port, queue.SimpleQueue()

    def hammer(client):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        refusals = []
        for value in range(client, 1_000_000, 8):
            try:
                status, answer = ask(connection, "busy", value)
            except (OSError, http.client.HTTPException):
                break  # the door is closed, or the idle connection was
            if status != 200:
                refusals.append((status, answer))
                break
            assert answer == 2 * value
            answered.put(value)
        connection.close()
        return refusals

    with ThreadPoolExecutor(8) as pool:
        clients = [pool.submit(hammer, client) for client in range(8)]
        got = [answered.get(timeout=PATIENCE) for _ in range(200)]
        server.signal(signal.SIGTERM)
        refusals = [refusal for client in clients for refusal in client.result(PATIENCE)]
    assert server.end() == 0
    while not answered.empty():
        got.append(answered.get())
    assert sorted(map(int, (folder / "executed").read_text().split())) == sorted(got)
    assert all(status == 503 and "Server exiting" in text for status, text in refusals)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_models_load_ends_the_start(serve, models, number):
    """A start that is stopped says so, lets the load that is under way finish, closes everything, and gives the exit code 1."""
    folder = write(models, "slow")
    os.mkfifo(folder / "loading")
    server = serve(f"--model-repository={models}")
    server.wait_for("slow version 1: loading")
    server.signal(number)
    server.wait_for("stopping: models that are loading have to finish that first")
    (folder / "loading").write_bytes(b".")
    assert server.end() == 1
    assert server.err[-1] == "charonia: stopped before all models were loaded"


def test_a_second_signal_while_models_load_ends_at_once(serve, models):
    """Who cannot wait for a load that hangs sends the signal again."""
    folder = write(models, "slow")
    os.mkfifo(folder / "loading")
    server = serve(f"--model-repository={models}")
    server.wait_for("slow version 1: loading")
    server.signal(signal.SIGTERM)
    server.wait_for("another signal ends the server at once")
    server.signal(signal.SIGTERM)
    assert server.end() == -signal.SIGTERM


def test_what_takes_too_long_is_reported(serve, models):
    """A request that outlives the time-out makes the exit code 1."""
    gate = Gate(write(models, "held"))
    server = serve(f"--model-repository={models}", "--exit-timeout-secs=0.1")
    server.wait_for("Ctrl-C")
    with closing(gate), ThreadPoolExecutor(1) as pool:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        answer = pool.submit(ask, connection, "held", 1)
        gate.wait_entered(1)
        server.signal(signal.SIGTERM)
        server.wait_for("Stopped with requests in progress: --exit-timeout-secs was over.")
        assert answer.exception(PATIENCE) is not None
        connection.close()
    assert server.end() == 1


def test_whatever_is_wrong_has_its_message_and_the_rest_goes_on(serve, run, models, save_identity):
    """A corrupt model, a missing plugin, a bad configuration and a bad request harm nobody else."""
    save_identity(models, "good")
    save_identity(models, "corrupt")
    (models / "corrupt" / "1" / "model.onnx").write_bytes(b"no model at all")
    write(models, "lacking", 'backend: "openvino"')
    write(models, "misspelt", 'backend: "gated"\nmax_batchsize: 4')
    server = serve(f"--model-repository={models}", "--exit-on-error=false")
    server.wait_for("Ctrl-C")
    told = "\n".join(server.out)
    for message in (
        "corrupt/1/model.onnx' is no ONNX model, or is damaged",
        'model "lacking" (config.pbtxt) needs the backend "openvino"',
        'model "misspelt" (config.pbtxt:2): ',
        '(did you mean "max_batch_size"?)',
        "Serving 1 model, 3 failed:",
        "Only this machine can reach it; --grpc-address=0.0.0.0 --http-address=0.0.0.0 --metrics-address=0.0.0.0 opens it",
    ):
        assert message in told
    url = f"--url=http://127.0.0.1:{server.port}"
    bad = run("infer", "good", "X=[1,2]", url)
    assert bad.returncode == 4
    assert "unexpected shape for input 'X' for model 'good'" in bad.stderr
    assert run("infer", "corrupt", "X=[1,2,3]", url).returncode == 4
    good = run("infer", "good", "X=[1,2,3]", url)
    assert good.stdout == "Y  FP32 [1, 3]\n[[1., 2., 3.]]\n"
    index = run("models", url).stdout
    assert re.search(r"^good +1 +READY *$", index, re.MULTILINE)
    assert "is no ONNX model, or is damaged" in index
    server.signal(signal.SIGTERM)
    assert server.end() == 0


def test_exit_on_error_ends_the_start(serve, models):
    """By default a model that fails keeps the server from serving, as in the reference, and the exit code is 1."""
    write(models, "misspelt", 'backendd: "gated"')
    server = serve(f"--model-repository={models}")
    assert server.end() == 1
    assert "FAILED  misspelt" in "\n".join(server.out)
    assert server.err == [
        "charonia: not serving, since a model failed to load; --exit-on-error=false serves the others without it"
    ]


def test_a_wrong_option_of_a_frontend_is_told_before_models_are_loaded(serve, models):
    """Nobody waits for a large model to learn of a number that is too large."""
    write(models, "m")
    server = serve(f"--model-repository={models}", "--http-port=70000")
    assert server.end() == 1
    assert server.err == ["charonia: --http-port=70000: expected a whole number from 0 to 65535"]
    assert "READY" not in "\n".join(server.out)


def test_a_taken_port_is_told(serve, models):
    """Two servers at one address: the second one says so and ends with the exit code 1."""
    write(models, "m")
    first = serve(f"--model-repository={models}")
    first.wait_for("Ctrl-C")
    second = serve(f"--model-repository={models}", f"--http-port={first.port}")
    assert second.end() == 1
    assert 'charonia: the frontend "http" cannot listen: ' in "\n".join(second.err)
    assert "choose another address or port" in "\n".join(second.err)


def test_a_terminal_gets_a_table(environment, models):
    """On a terminal the loads are drawn as a table in place, and the rest reads as elsewhere."""
    write(models, "m")
    leader, follower = os.openpty()
    words = [CHARONIA, "serve", f"--model-repository={models}", "--http-port=0"]
    with subprocess.Popen(words, stdout=follower, stderr=follower, env={**environment, "TERM": "xterm"}) as process:
        os.close(follower)
        seen = b""
        while b"Ctrl-C" not in seen:
            seen += os.read(leader, 4096)
        process.terminate()
        while True:
            try:
                seen += os.read(leader, 4096)
            except OSError:  # the other side is closed
                break
        assert process.wait(PATIENCE) == 0
    os.close(leader)
    assert b"Phase" in seen
    assert b"\x1b[" in seen
    assert b"Stopped." in seen
