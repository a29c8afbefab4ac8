"""The registry of shared memory, whatever clients do to it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
from charonia.errors import (
    AlreadyExistsError,
    InvalidArgumentError,
    NotFoundError,
)
from charonia.shared_memory import SharedMemory, SystemRegion
from charonia.testing.shared_objects import SharedObjects
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule


def test_threads_do_not_disturb_each_other():
    """While some threads register and unregister a region, others find it or not, and read and write what they have found."""
    with SharedObjects() as client:
        memory = SharedMemory(allowed=True)
        key = client.make("a", bytes(64))

        def come_and_go(_):
            with suppress(AlreadyExistsError):
                memory.register_system("r", key, 0, 64)
            memory.unregister_system("r")

        def use(_):
            try:
                place = memory.slice("r", 0, 64)
            except NotFoundError:
                return
            view = place.view()
            place.write_tensor("O", np.zeros(64, np.uint8))
            assert bytes(view) == bytes(64)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda turn: (come_and_go if turn % 2 else use)(turn), range(2000)))
        memory.close()


class Registry(RuleBasedStateMachine):
    """Whatever clients do, in any order, the registry agrees with a dictionary, and maps what it has and nothing else."""

    names = st.sampled_from(["", "a", "b", "c"])
    labels = st.sampled_from(["x", "y"])

    @initialize()
    def begin(self):
        self.client = SharedObjects()
        self.memory = SharedMemory(allowed=True)
        self.known = {}
        self.held = []
        self.sizes = {"x": 64, "y": 5000}
        for label, size in self.sizes.items():
            self.client.make(label, bytes(place % 251 for place in range(size)))

    @rule(name=names, label=labels, offset=st.integers(-1, 5001), size=st.integers(-1, 5001))
    def register(self, name, label, offset, size):
        fits = offset >= 0 and size > 0 and offset + size <= self.sizes[label]
        facts = SystemRegion(name, self.client.key(label), offset, size)
        try:
            self.memory.register_system(name, facts.key, offset, size)
        except AlreadyExistsError:
            assert name in self.known
        except InvalidArgumentError:
            assert not fits
        else:
            assert fits
            assert name not in self.known
            self.known[name] = (facts, label)

    @rule(name=names, offset=st.integers(-1, 5001), size=st.integers(-1, 5001))
    def use(self, name, offset, size):
        try:
            view = self.memory.slice(name, offset, size).view()
        except NotFoundError:
            assert name not in self.known
            return
        except InvalidArgumentError:
            region, label = self.known[name]
            inside = offset >= 0 and size > 0 and offset + size <= region.byte_size
            assert not inside or region.offset + offset + size > self.sizes[label]
            return
        region, _ = self.known[name]
        start = region.offset + offset
        assert bytes(view) == bytes(place % 251 for place in range(start, start + size))
        self.held.append((view, region.key))

    @rule()
    def end_a_use(self):
        if self.held:
            self.held.pop(0)

    @rule(name=names)
    def unregister(self, name):
        self.memory.unregister_system(name)
        if name:
            self.known.pop(name, None)
        else:
            self.known.clear()

    @invariant()
    def tells_what_is_known(self):
        assert self.memory.system_regions() == [self.known[name][0] for name in sorted(self.known)]

    def teardown(self):
        self.memory.close()
        assert bool(self.client.mapped) is bool(self.held)
        self.held.clear()
        self.client.__exit__()


TestRegistry = Registry.TestCase
TestRegistry.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
