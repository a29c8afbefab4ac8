"""Whatever comes together in whatever order, no client ever sees another one's state."""

from __future__ import annotations

import numpy as np
import pytest
from charonia.batch import NullRequest
from charonia.errors import CancelledError, InvalidArgumentError
from charonia.request import SEQUENCE_END, SEQUENCE_START, InferenceRequest, InferenceResponse
from charonia.testing.builders import scheduler_context
from charonia.testing.virtual_clock import VirtualClock
from charonia_scheduler_sequence.scheduler import SequenceScheduler
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

IDS = st.sampled_from([1, 2, "1"])
PLACES = st.integers(0, 1)
SECTION = """
    max_sequence_idle_microseconds: 1000000
    state { input_name: "HISTORY" output_name: "HISTORY" data_type: TYPE_STRING dims: [ 1 ] }
    control_input { name: "START" control { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } }
"""


class Clients(RuleBasedStateMachine):
    """Clients that start, go on, end, are silent and take back, and instances that execute, fail, and are late.

    The state of a sequence is the text of all inputs since its start. Each input is unlike any other, so that a state tells whose
    it is; the test keeps for each request which history it must find.
    """

    section = SECTION
    instances = ("A",)
    fixed_places = True

    def __init__(self):
        super().__init__()
        self.clock = VirtualClock()
        self.scheduler = SequenceScheduler(scheduler_context(self.make_config(self.section), clock=self.clock))
        self.scheduler.attach(self.instances)
        self.count = 0
        self.lives = {}  # by id: the inputs of the sequence that goes on under it
        self.sent = {}  # by input: (life, request, answers)
        self.running = {instance: [] for instance in self.instances}
        self.over = []  # lives that ended since a request was taken back while it was executed
        self.memory = {}  # what a model remembers that keeps the state by itself, by instance and place

    def _send(self, name, flags):
        self.count += 1
        text = f"{self.count}"
        answers = []
        request = InferenceRequest(
            "model",
            {"X": np.array([[text.encode()]], np.object_)},
            answers.append,
            correlation_id=name,
            flags=flags,
        )
        self.scheduler.enqueue(request)
        if flags & SEQUENCE_START:
            self.lives[name] = []
        self.sent[text] = (self.lives[name], request, answers)

    @rule(name=IDS, ends=st.booleans())
    def start(self, name, ends):
        """Start a sequence, perhaps one that goes on already."""
        self._send(name, SEQUENCE_START | (SEQUENCE_END if ends else 0))

    @rule(name=IDS, ends=st.booleans())
    def go_on(self, name, ends):
        """Go on with a sequence, if there is one."""
        try:
            self._send(name, SEQUENCE_END if ends else 0)
        except InvalidArgumentError:
            self.count -= 1

    @rule(data=st.data())
    def take_back(self, data):
        """Cancel a request that has no answer yet."""
        unanswered = [request for _, request, answers in self.sent.values() if not answers]
        if unanswered:
            data.draw(st.sampled_from(unanswered)).cancel()

    @rule(seconds=st.sampled_from([0.3, 1.1]))
    def be_silent(self, seconds):
        """Let time pass, so that sequences end."""
        self.clock.advance(seconds)

    @rule(place=PLACES)
    def take(self, place):
        """Give an instance its next batch, though it may not be done with the last one."""
        self._take(self._instance(place))

    def _instance(self, place):
        return self.instances[place % len(self.instances)]

    def _take(self, instance):
        """Do so, and tell whether there was one."""
        formed = self.scheduler.ready_batch(instance)
        if formed is None:
            return False
        assert len(formed.requests) <= 2
        for position, request in enumerate(formed.requests):
            if not isinstance(request, NullRequest):
                self._check_state(instance, position, request)
                self.running[instance].append(request)
        return True

    def _check_state(self, instance, position, request):
        text = request.inputs["X"].item().decode()
        life, _, answers = self.sent[text]
        history = request.inputs["HISTORY"].item().decode().split()
        assert not answers
        assert history == life
        assert not any(life is other for other in self.over)
        assert request.inputs["START"].item() == bool(request.flags & SEQUENCE_START)
        if self.fixed_places:
            if request.flags & SEQUENCE_START:
                self.memory[instance, position] = life
            assert self.memory[instance, position] is life

    @rule(place=PLACES, fails=st.booleans(), data=st.data())
    def answer(self, place, fails, data):
        """Have a request answered, in any order, with an error or with its own input added to the state."""
        instance = self._instance(place)
        if not self.running[instance]:
            return
        request = data.draw(st.sampled_from(self.running[instance]))
        self.running[instance].remove(request)
        text = request.inputs["X"].item().decode()
        if fails:
            request.fail(ValueError(text))
            return
        life = self.sent[text][0]
        if request.cancelled:  # what it leaves is dropped with its answer: this life has ended
            self.over.append(life)
        else:
            life.append(text)
        state = " ".join(life)
        request.respond(InferenceResponse({"HISTORY": np.array([[state.encode()]], np.object_)}))

    @invariant()
    def every_request_is_answered_once(self):
        """No request has two answers, and those that wait are counted."""
        unanswered = [request for _, request, answers in self.sent.values() if not answers]
        assert all(len(answers) <= 1 for _, _, answers in self.sent.values())
        assert self.scheduler.pending == len(unanswered) - sum(map(len, self.running.values()))

    @invariant()
    def who_starts_goes_on(self):
        """A request that starts a sequence is given up for its own cancellation only, whatever becomes of those before it."""
        for _, request, answers in self.sent.values():
            if answers and isinstance(answers[0].error, CancelledError):
                assert request.cancelled or not request.flags & SEQUENCE_START

    def teardown(self):
        """Let everything end: then every request is answered, and none has waited for longer than it must."""
        pending = None
        while True:
            taken = [self._take(instance) for instance in self.instances]
            assert any(taken) or self.scheduler.pending != pending or not pending
            for instance in self.instances:
                for request in self.running[instance]:
                    request.fail(ValueError("the end"))
                self.running[instance].clear()
            if not self.scheduler.pending:
                break
            self.clock.advance(1.1)  # longer than any delay: somebody is in the next batch, or has been taken back
            pending = self.scheduler.pending
        assert all(len(answers) == 1 for _, _, answers in self.sent.values())
        self.scheduler.close()
        assert all(self.scheduler.next_batch(instance) is None for instance in self.instances)


class OldestClients(Clients):
    """The same with batches of the oldest."""

    section = SECTION + "oldest { max_candidate_sequences: 2 }"
    fixed_places = False


class SpreadClients(Clients):
    """The same with places in the batches of two instances."""

    instances = ("A", "B")


class SpreadOldestClients(SpreadClients):
    """The same with two instances, each of which has one sequence at a time."""

    section = SECTION + "oldest { max_candidate_sequences: 1 }"


class HeldClients(SpreadClients):
    """The same where batches wait for more of their places."""

    section = SECTION + "direct { minimum_slot_utilization: 1 max_queue_delay_microseconds: 1000000 }"


class HeldOldestClients(OldestClients):
    """The same where batches wait for a second sequence."""

    section = (
        SECTION + "oldest { max_candidate_sequences: 3 preferred_batch_size: 2 max_queue_delay_microseconds: 1000000 }"
    )


ALL = [Clients, OldestClients, SpreadClients, SpreadOldestClients, HeldClients, HeldOldestClients]


@pytest.mark.parametrize("clients", ALL)
def test_isolation(clients, run_clients):
    """Cancellation, time-out, end and restart in any order leave each sequence its own state and slot, and lose no request."""
    run_clients(clients)
