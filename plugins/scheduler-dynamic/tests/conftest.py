"""A simulation of instances around the batcher: time is a number, so that every batch is certain."""

from __future__ import annotations

import heapq
from typing import NamedTuple

import numpy as np
import pytest
from charonia.errors import UnavailableError
from charonia.request import InferenceRequest
from charonia.testing.builders import model_config
from charonia_scheduler_dynamic.batch_signature import BatchSignature
from charonia_scheduler_dynamic.batcher import Batcher
from charonia_scheduler_dynamic.rules import Rules
from google.protobuf import text_format


class Arrival(NamedTuple):
    """A request to come: when, in milliseconds, and with what."""

    at: float
    size: int = 1
    priority: int = 0
    timeout_us: int = 0
    width: int = 4


class Run(NamedTuple):
    """An execution: when it started, in milliseconds, the arrivals' places, and why the batch was closed."""

    at: float
    places: list[int]
    reason: str


class Simulation:
    """What became of the arrivals: the executions, and when which of them was dropped with which error."""

    def __init__(self, config, instances=1, execution_ms=300, strategy=None):
        self.rules = Rules.of(config, strategy)
        self.signature = BatchSignature(config)
        self.batcher = Batcher(self.rules, instances)
        self.idle = instances
        self.busy = []  # a heap of the times at which instances are free again
        self.execution_ns = round(execution_ms * 1e6)
        self.runs = []
        self.dropped = {}
        self.refused = {}
        self.requests = []
        self.now_ns = 0

    def play(self, arrivals, cancels=()):
        """Let the arrivals come, in the order of their times, cancel places at their times, and wait for the end."""
        events = [(round(arrival.at * 1e6), place, arrival) for place, arrival in enumerate(arrivals)]
        cancels = [(round(at * 1e6), place) for at, place in cancels]
        self.requests = [None] * len(arrivals)
        heapq.heapify(events)
        heapq.heapify(cancels)
        while True:
            times = [events[0][0]] if events else []
            times += self.busy[:1]
            times += [cancels[0][0]] if cancels else []
            until_ns = self.batcher.until_ns(idle=self.idle > 0)
            times += [] if until_ns is None else [max(until_ns, self.now_ns)]
            if not times:
                return self
            self.now_ns = min(times)
            while cancels and cancels[0][0] <= self.now_ns:
                request = self.requests[heapq.heappop(cancels)[1]]
                if request is not None:
                    request.cancel()
            if self.busy and self.busy[0] <= self.now_ns:
                heapq.heappop(self.busy)
                self.idle += 1
            elif events and events[0][0] <= self.now_ns:
                _, place, arrival = heapq.heappop(events)
                self.arrive(place, arrival)
            self.serve()

    def arrive(self, place, arrival):
        """Enqueue one request."""
        request = InferenceRequest(
            "model",
            {"INPUT0": np.zeros((arrival.size, arrival.width), np.float32)},
            lambda _: None,
            id=str(place),
            priority=arrival.priority,
            timeout_us=arrival.timeout_us,
        )
        request.batch_size = arrival.size
        self.requests[place] = request
        try:
            self.batcher.add(request, self.now_ns, self.signature.of(request))
        except UnavailableError as error:
            self.refused[place] = str(error)

    def serve(self):
        """Do what the scheduler does: hand over, form ahead, and answer what is dropped."""
        while self.idle and (formed := self.batcher.take(self.now_ns)):
            self.idle -= 1
            heapq.heappush(self.busy, self.now_ns + self.execution_ns)
            places = [int(request.id) for request in formed.requests]
            self.runs.append(Run(self.now_ns / 1e6, places, str(formed.reason)))
        if not self.idle:
            self.batcher.form_ahead(self.now_ns)
        for request, error in self.batcher.drop():
            self.dropped[int(request.id)] = (self.now_ns / 1e6, str(error))

    @property
    def sizes(self):
        """The batch sizes of the executions, in order."""
        return [sum(self.requests[place].batch_size for place in run.places) for run in self.runs]

    @property
    def order(self):
        """The places of the arrivals, execution by execution."""
        return [run.places for run in self.runs]

    @property
    def reasons(self):
        """The reasons of the executions, in order."""
        return [run.reason for run in self.runs]


def config_of(section, **options):
    """Make a model's configuration with the section `dynamic_batching`, written as in config.pbtxt."""
    config = model_config(inputs=options.pop("inputs", (("INPUT0", "FP32", [-1]),)), **options)
    text_format.Parse(section, config.dynamic_batching)
    config.dynamic_batching.SetInParent()
    return config


@pytest.fixture(scope="session")
def simulate():
    """Give the function that plays arrivals under a section, and gives what became of them."""

    def play(section, arrivals, *, instances=1, execution_ms=300, strategy=None, cancels=(), **options):
        return Simulation(config_of(section, **options), instances, execution_ms, strategy).play(arrivals, cancels)

    return play


@pytest.fixture(scope="session")
def arrival():
    """Give the class of arrivals."""
    return Arrival


@pytest.fixture
def dynamic_config():
    """Give the function that makes a configuration from a section."""
    return config_of
