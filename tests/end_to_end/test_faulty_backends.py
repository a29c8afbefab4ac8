"""A backend that does everything wrong harms no other model, however that is asked."""

from __future__ import annotations

import queue
import threading

import numpy as np
import pytest
from asking import WAYS_OF_ASKING, Served, addresses_of, frontends
from charonia import Server, ServerOptions
from charonia.backend import ArrayExecution, Backend, Execution, LoadedModel
from charonia.errors import InternalError
from charonia.hookspecs import hookimpl
from charonia.plugins import Plugins
from charonia.request import InferenceRequest, InferenceResponse
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticPlugin
from tritonclient.utils import InferenceServerException

ONES = np.ones((1, 16), np.float32)
PATIENCE_SECONDS = 30
GATE = threading.Event()


class Raises(ArrayExecution):
    def run(self, inputs):
        raise RuntimeError("broken")


class Exits(ArrayExecution):
    def run(self, inputs):
        raise SystemExit(9)


class Hangs(ArrayExecution):
    def run(self, inputs):
        GATE.wait()
        raise RuntimeError("late")


class GivesNothing(ArrayExecution):
    def run(self, inputs):
        return {}


class GivesNoMapping(ArrayExecution):
    def run(self, inputs):
        return 7


class GivesTooFewRows(ArrayExecution):
    def run(self, inputs):
        return {"OUTPUT0": inputs["INPUT0"][:0]}


class GivesAnotherShape(ArrayExecution):
    def run(self, inputs):
        return {"OUTPUT0": np.zeros((len(inputs["INPUT0"]), 3, 3), np.float32)}


class GivesAnotherDatatype(ArrayExecution):
    def run(self, inputs):
        return {"OUTPUT0": inputs["INPUT0"].astype(np.int64)}


class AnswersTooFew(Execution):
    def execute(self, batch):
        batch.respond_all([])


class AnswersNobody(Execution):
    def execute(self, batch):
        pass


class SendsAfterTheEnd(Execution):
    def execute(self, batch):
        for request in batch.requests:
            for _ in range(3):
                request.respond(InferenceResponse({"OUTPUT0": request.inputs["INPUT0"]}))


class FailsToClose(ArrayExecution):
    def run(self, inputs):
        return {"OUTPUT0": inputs["INPUT0"]}

    def close(self):
        raise RuntimeError("not now")


KINDS = {
    kind.__name__: kind
    for kind in (
        *(Raises, Exits, Hangs, GivesNothing, GivesNoMapping, GivesTooFewRows, GivesAnotherShape),
        *(GivesAnotherDatatype, AnswersTooFew, AnswersNobody, SendsAfterTheEnd, FailsToClose),
    )
}


class FaultyModel(LoadedModel):
    def instantiate(self, context):
        name = context.model.config.parameters["kind"].string_value
        if name == "FailsToStart":
            raise SystemExit(9)
        return KINDS[name](context)


class FaultyBackend(Backend):
    def load(self, context):
        if context.config.parameters["kind"].string_value == "FailsToLoad":
            raise MemoryError("too much")
        return FaultyModel(context)


class FaultyPlugin:
    @hookimpl
    def charonia_backends(self):
        return {"faulty": f"{__name__}:FaultyBackend"}


@pytest.fixture
def beside(model_repository, no_surviving_threads):
    """Serve a good model beside a faulty one of some kind; gives the server."""
    del no_surviving_threads
    GATE.clear()
    servers = []

    def start(kind):
        write_model(model_repository, model_config("good", parameters={"scale": "2"}))
        write_model(model_repository, model_config("bad", backend="faulty", parameters={"kind": kind}))
        plugins = Plugins(extra=[ArithmeticPlugin(), FaultyPlugin()])
        servers.append(Server(model_repository, options=ServerOptions(exit_on_error=False), plugins=plugins))
        servers[-1].start()
        return servers[-1]

    yield start
    for server in servers:
        GATE.set()
        server.close()


def good_answers(served):
    assert served.ask("good", {"INPUT0": ONES})["OUTPUT0"].tolist() == (2 * ONES).tolist()


def in_process(server):
    return Served(server, "in process", {})


@pytest.mark.parametrize(
    "kind",
    [
        *("Raises", "Exits", "AnswersTooFew", "AnswersNobody"),
    ],
)
def test_a_fault_is_the_answer_and_no_more(beside, kind):
    """Each request gets its error, time after time, and the other model goes on."""
    server = beside(kind)
    for _ in range(2):
        with pytest.raises(InternalError):
            server.model("bad").infer({"INPUT0": ONES})
        good_answers(in_process(server))


ODD = {
    "GivesNothing": None,
    "GivesTooFewRows": ((0, 16), np.float32),
    "GivesAnotherShape": ((1, 3, 3), np.float32),
    "GivesAnotherDatatype": ((1, 16), np.int64),
}
"""What clients get of outputs that are not what the configuration says: shape and dtype, or no output."""


@pytest.mark.parametrize("way", WAYS_OF_ASKING)
@pytest.mark.parametrize("kind", ODD)
def test_an_odd_output_is_passed_on_and_harms_nobody(beside, kind, way):
    """A request that was executed alone gets what the backend gave, as from the reference, and the other model goes on."""
    server = beside(kind)
    with frontends(server) as urls:
        served = Served(server, way, addresses_of(urls))
        for _ in range(2):
            output = served.ask("bad", {"INPUT0": ONES}).get("OUTPUT0")
            assert (None if output is None else (output.shape, output.dtype)) == ODD[kind]
            good_answers(served)


@pytest.mark.parametrize("way", WAYS_OF_ASKING)
def test_outputs_that_are_none_harm_nobody(beside, way):
    """What is no mapping of outputs is an error for whoever asked, and nobody waits for ever."""
    server = beside("GivesNoMapping")
    with frontends(server) as urls:
        served = Served(server, way, addresses_of(urls))
        for _ in range(2):
            with pytest.raises((TypeError, InferenceServerException)):
                served.ask("bad", {"INPUT0": ONES})
            good_answers(served)


def test_what_is_sent_after_the_end_is_dropped(beside):
    """A request has one final response, whatever its backend sends later."""
    server = beside("SendsAfterTheEnd")
    for _ in range(2):
        answers = queue.SimpleQueue()
        server.submit(InferenceRequest("bad", {"INPUT0": ONES}, answers.put))
        assert answers.get(timeout=PATIENCE_SECONDS).error is None
        good_answers(in_process(server))
        assert answers.empty()


def test_who_waits_for_a_model_that_hangs_waits_alone(beside):
    """The other model answers meanwhile, and loads anew; the one that hangs answers when it goes on."""
    server = beside("Hangs")
    answers = queue.SimpleQueue()
    server.submit(InferenceRequest("bad", {"INPUT0": ONES}, answers.put))
    for _ in range(5):
        good_answers(in_process(server))
    server.load("good")
    good_answers(in_process(server))
    GATE.set()
    assert "late" in str(answers.get(timeout=PATIENCE_SECONDS).error)


@pytest.mark.parametrize("kind", ["FailsToLoad", "FailsToStart"])
def test_a_model_that_cannot_be_made_is_told(beside, kind):
    """It does not serve, the reason is there, and loading it again fails alike."""
    server = beside(kind)
    assert not server.model_ready("bad")
    assert next(row.reason for row in server.index() if row.name == "bad")
    good_answers(in_process(server))


def test_a_clean_up_that_fails_is_logged(beside, caplog):
    """The model is unloaded nevertheless, and can be loaded again."""
    server = beside("FailsToClose")
    server.unload("bad")
    good_answers(in_process(server))
    server.load("bad")
    assert server.model("bad").infer({"INPUT0": ONES})["OUTPUT0"].tolist() == ONES.tolist()
    server.close()
    assert caplog.text.count('model instance "bad_0" failed to close') == 2
