"""Many clients load and unload at the same time: whatever the order, what serves is what one of the orders would have given."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from charonia import Server, ServerOptions
from charonia.errors import InferenceError, InvalidArgumentError, NotFoundError
from charonia.plugins import Plugins
from charonia.testing.builders import model_config, write_model
from charonia.testing.fakes import ArithmeticPlugin
from google.protobuf import text_format
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

NAMES = ("a", "b", "c")
RELOADS = 100
CALLERS = 3
TIMES = itertools.count(1_000)
ONES = np.ones(16, np.float32)


def explicit_server(repository):
    return Server(
        repository,
        options=ServerOptions(model_control_mode="explicit"),
        plugins=Plugins(entry_points=(), extra=[ArithmeticPlugin()]),
    )


def infer(server, name):
    return server.model(name).infer({"INPUT0": ONES})["OUTPUT0"][0]


def config_of(name, count=1):
    return model_config(name, max_batch_size=0, instance_count=count)


def write(repository, name, scale):
    """Write the one version of a model; without a scale it fails to load. Each file is newer than those before it."""
    text = "[" if scale is None else json.dumps({"scale": scale})
    directory = write_model(repository, config_of(name), {"1/model.json": text})
    newer = next(TIMES)
    os.utime(directory / "1" / "model.json", (newer, newer))


class ConcurrentLoads(RuleBasedStateMachine):
    """A repository of three models that change, and a server that loads and unloads them from several threads at once.

    `possible` has for each model the scales that it may serve with now, None among them if it may be out of service.
    """

    def __init__(self):
        super().__init__()
        self.repository = Path(tempfile.mkdtemp())
        self.server = explicit_server(self.repository)
        self.server.start()
        self.pool = ThreadPoolExecutor(6)
        self.stored = {}
        self.possible = {name: {None} for name in NAMES}
        self.number = 0

    @rule(name=st.sampled_from(NAMES), broken=st.booleans())
    def store(self, name, broken):
        self.number += 1
        scale = None if broken else float(self.number)
        write(self.repository, name, scale)
        self.stored[name] = scale

    @rule(name=st.sampled_from(NAMES), count=st.integers(1, 3))
    def change_count(self, name, count):
        """Have another number of instances at the next load, which changes nothing else."""
        if name in self.stored:
            (self.repository / name / "config.pbtxt").write_text(text_format.MessageToString(config_of(name, count)))

    @rule(name=st.sampled_from(NAMES))
    def remove(self, name):
        shutil.rmtree(self.repository / name, ignore_errors=True)
        self.stored.pop(name, None)

    @rule(wishes=st.lists(st.tuples(st.sampled_from(["load", "unload"]), st.sampled_from(NAMES)), max_size=8))
    def ask_at_once(self, wishes):
        asked = [(wish, name, self.pool.submit(getattr(self.server, wish), name)) for wish, name in wishes]
        for wish, name, future in asked:
            error = future.exception(30)
            if wish == "unload" or self.stored.get(name) is not None:
                assert error is None
            else:  # it is not there, or broken
                assert isinstance(error, InferenceError)
        for name in {name for _, name in wishes}:
            self.possible[name] = self.after(name, {wish for wish, asked_name in wishes if asked_name == name})

    def after(self, name, wishes):
        """Tell what the model may serve with, once these were asked for in an order that nobody knows."""
        if "load" not in wishes:
            return {None}
        scale = self.stored.get(name)
        loaded = self.possible[name] if scale is None else {scale}  # a load that fails leaves what serves
        return loaded | {None} if "unload" in wishes else loaded

    @invariant()
    def every_model_serves_what_it_may(self):
        for name in NAMES:
            try:
                served = infer(self.server, name)
            except NotFoundError:
                served = None
            assert served in self.possible[name]
            self.possible[name] = {served}
            ready = [row for row in self.server.index() if (row.name, row.state) == (name, "READY")]
            assert len(ready) == (served is not None)

    def teardown(self):
        self.pool.shutdown()
        assert self.server.close()
        shutil.rmtree(self.repository)
        assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("charonia-")]


TestConcurrentLoads = pytest.mark.timeout(120)(ConcurrentLoads.TestCase)
TestConcurrentLoads.settings = settings(max_examples=40, stateful_step_count=12, deadline=None)


def test_a_hundred_reloads_lose_no_request(tmp_path):
    """While a model is loaded anew a hundred times, each of its requests is answered, by the model before or the one after."""
    write(tmp_path, "m", 0.0)
    answers, ended = [], threading.Event()

    def call(server):
        while not ended.is_set():
            before = loaded[0]
            answer = infer(server, "m")
            answers.append(before <= answer <= loaded[0] + 1)

    loaded = [0]
    with explicit_server(tmp_path) as server, ThreadPoolExecutor(CALLERS) as pool:
        server.load("m")
        callers = [pool.submit(call, server) for _ in range(CALLERS)]
        for number in range(1, RELOADS + 1):
            write(tmp_path, "m", float(number))
            server.load("m")
            loaded[0] = number
        ended.set()
        for caller in callers:
            caller.result(30)
        assert infer(server, "m") == RELOADS
    assert answers
    assert all(answers)


def test_failed_loads_of_many_clients_are_told_to_each(tmp_path):
    """Clients that ask for one broken model at the same time each learn why it does not load."""
    write(tmp_path, "m", None)
    with explicit_server(tmp_path) as server, ThreadPoolExecutor(CALLERS) as pool:
        for future in [pool.submit(server.load, "m") for _ in range(CALLERS)]:
            assert isinstance(future.exception(30), InvalidArgumentError)
