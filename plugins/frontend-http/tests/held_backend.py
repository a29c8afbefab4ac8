"""A backend whose requests are answered by the test: it takes each one from `HeldBackend.taken`.

It is a module of its own since plugins are found by import path, and the tests' folders have none.
"""

from __future__ import annotations

import queue
from typing import ClassVar

from charonia.backend import Backend, Execution, LoadedModel
from charonia.hookspecs import hookimpl


class HeldExecution(Execution):
    """Hands each request over."""

    answers_late = True

    def execute(self, batch):
        """Hand the requests over."""
        for request in batch.requests:
            HeldBackend.taken.put(request)


class HeldModel(LoadedModel):
    """Nothing but its instances."""

    def instantiate(self, context):
        """Make one."""
        return HeldExecution(context)


class HeldBackend(Backend):
    """See the module's description."""

    taken: ClassVar[queue.SimpleQueue] = queue.SimpleQueue()

    def load(self, context):
        """Load nothing."""
        return HeldModel(context)


class HeldPlugin:
    """Offers the backend "held"."""

    @hookimpl
    def charonia_backends(self):
        """Offer the one backend."""
        return {"held": f"{__name__}:HeldBackend"}
