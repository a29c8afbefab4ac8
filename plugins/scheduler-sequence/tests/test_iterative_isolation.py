"""Whatever comes together in whatever order, each request that is executed in turns sees its own state, and is answered once."""

from __future__ import annotations

import numpy as np
import pytest
from charonia.batch import NullRequest
from charonia.request import SEQUENCE_START, InferenceRequest, InferenceResponse
from charonia.testing.builders import scheduler_context
from charonia.testing.virtual_clock import VirtualClock
from charonia_scheduler_sequence.scheduler import SequenceScheduler
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

INSTANCES = ("A", "B")
DIRECT = """
    iterative_sequence: true
    max_sequence_idle_microseconds: 1000000
    state { input_name: "HISTORY" output_name: "HISTORY" data_type: TYPE_STRING dims: [ 1 ] }
    control_input { name: "START" control { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } }
"""
OLDEST = DIRECT + "oldest { max_candidate_sequences: 2 }"


class Sent:
    """A request that was sent, with what became of it.

    Attributes:
        request: the client's request.
        answers: its responses.
        told: what its turns have told, in their order, as numbers that no other turn tells.
        turns: how many turns it has had.
        place: the instance, and where the batch has places of its own that, too.
    """

    def __init__(self):
        self.request = None
        self.answers = []
        self.told = []
        self.turns = 0
        self.place = None

    @property
    def ended(self):
        """Whether it has its final response."""
        return any(answer.final for answer in self.answers)


class Clients(RuleBasedStateMachine):
    """Clients that ask and take back, and instances whose turns go on, end, fail and are late.

    A request's state is the text of all that its turns have told. Each tells something unlike any other, so that a state shows
    whose it is.
    """

    section = DIRECT
    fixed_places = True

    def __init__(self):
        super().__init__()
        self.clock = VirtualClock()
        self.scheduler = SequenceScheduler(scheduler_context(self.make_config(self.section), clock=self.clock))
        self.scheduler.attach(INSTANCES)
        self.count = 0
        self.sent = {}  # by the text of the input
        self.running = []
        self.resting = []  # given back, and not given out again, as far as the model knows

    @rule(named=st.booleans())
    def ask(self, named):
        """Send a request, with an id that others may have, too, or without one."""
        self.count += 1
        text = f"{self.count}"
        sent = self.sent[text] = Sent()
        sent.request = InferenceRequest(
            "model",
            {"X": np.array([[text.encode()]], np.object_)},
            sent.answers.append,
            correlation_id=1 if named else 0,
            flags=SEQUENCE_START if named else 0,
        )
        self.scheduler.enqueue(sent.request)

    @rule(data=st.data())
    def take_back(self, data):
        """Cancel a request that has no final answer yet."""
        open_ones = [sent for sent in self.sent.values() if not sent.ended]
        if open_ones:
            data.draw(st.sampled_from(open_ones)).request.cancel()

    @rule()
    def wait(self):
        """Let time pass."""
        self.clock.advance(1.1)

    @rule(instance=st.sampled_from(INSTANCES))
    def take(self, instance):
        """Give an instance its next batch, though it may not be done with the last one."""
        formed = self.scheduler.ready_batch(instance)
        if formed is None:
            return
        assert len(formed.requests) <= 2
        for place, request in enumerate(formed.requests):
            if not isinstance(request, NullRequest):
                self._check_turn(request, (instance, place if self.fixed_places else None))
                self.running.append(request)
                if request in self.resting:
                    self.resting.remove(request)

    def _check_turn(self, request, place):
        sent = self._sent(request)
        assert not sent.ended
        assert request not in self.running
        assert request.inputs["HISTORY"].item().decode().split() == sent.told
        assert request.inputs["START"].item() == (sent.turns == 0)
        assert sent.place in {None, place}
        sent.place = place
        sent.turns += 1

    def _sent(self, request):
        return self.sent[request.inputs["X"].item().decode()]

    @rule(data=st.data(), fate=st.sampled_from(["again", "again", "tells and again", "ends", "fails"]))
    def end_turn(self, data, fate):
        """Have a turn end, in any order."""
        if not self.running:
            return
        request = data.draw(st.sampled_from(self.running))
        self.running.remove(request)
        if fate == "fails":
            request.fail(ValueError("no more"))
            return
        if fate != "again":
            self._tell(request, final=fate == "ends")
        if fate != "ends":
            self.resting.append(request)
            request.reschedule()

    @rule(data=st.data(), final=st.booleans())
    def tell_between_turns(self, data, final):
        """Have a request told something, or ended, while it waits for its next turn; or when it has ended long ago."""
        if self.resting:
            self._tell(data.draw(st.sampled_from(self.resting)), final=final)

    def _tell(self, request, *, final):
        """Tell something; where a turn does so, the state, too."""
        sent = self._sent(request)
        self.count += 1
        outputs = {"Y": np.full(1, self.count)}
        if request not in self.resting:
            told = [*sent.told, f"{self.count}"]
            outputs["HISTORY"] = np.array([[" ".join(told).encode()]], np.object_)
            sent.told = told
        request.respond(InferenceResponse(outputs, final=final))

    @invariant()
    def every_request_is_answered_once(self):
        """No request has two final answers, what it is told comes in order, and those that wait are counted."""
        for sent in self.sent.values():
            assert [answer.final for answer in sent.answers[:-1]] == [False] * len(sent.answers[:-1])
            numbers = [int(answer["Y"].item()) for answer in sent.answers if "Y" in answer.outputs]
            assert numbers == sorted(numbers)
        waiting = sum(not sent.ended for sent in self.sent.values()) - len(self.running)
        assert self.scheduler.pending == waiting

    def teardown(self):
        """Let everything end: then every request is answered, and every slot is free."""
        for _ in range(10_000):
            for request in self.running:
                request.fail(ValueError("the end"))
            self.running.clear()
            if not self.scheduler.pending:
                break
            for instance in INSTANCES:
                self.take(instance)
        assert all(sent.ended for sent in self.sent.values())
        for _ in range(4):
            self.ask(named=False)
        for instance in INSTANCES:
            self.take(instance)
        assert len(self.running) == 4
        for request in self.running:
            request.respond(InferenceResponse({}))
        self.scheduler.close()
        assert self.scheduler.next_batch("A") is None


class OldestClients(Clients):
    """The same with batches of the oldest."""

    section = OLDEST
    fixed_places = False


@pytest.mark.parametrize("clients", [Clients, OldestClients])
def test_isolation(clients, run_clients):
    """Turns, cancellation, failures and late answers in any order leave each request its own state and slot, and lose none."""
    run_clients(clients)
