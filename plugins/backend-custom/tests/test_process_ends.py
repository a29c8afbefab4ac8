"""What becomes of requests whose process ends: those that it had, those that wait, and those that come meanwhile."""

from __future__ import annotations

import os
import signal
import threading

import pytest
from charonia.errors import InvalidArgumentError, UnavailableError
from charonia.testing.patience import PATIENCE_SECONDS, wait_until
from models_apart import APART, MORTAL


def restarts(server):
    """Tell how often processes were started again."""
    (family,) = (family for family in server.metrics() if family.name == "charonia_python_process_restarts_total")
    return [(dict(sample.labels), sample.value) for sample in family.samples]


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


def test_a_process_that_ends_while_it_is_loaded(serve):
    """The reason tells how it ended, and what was written before is on stderr."""
    assert serve.reason("import os\nos._exit(7)", **APART) == (
        "Internal: the process of model instance 'm' exited with status 7 while its model was loaded"
    )


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
