"""Versions of models that leave: who waits for them waits for all that they leave by."""

from __future__ import annotations

import threading

from charonia.deadline import Deadline
from charonia.departures import Departures
from charonia.testing.patience import PATIENCE_SECONDS


def test_threads_are_waited_for_to_their_very_end(monkeypatch):
    """One that has closed everything may still be a thread, which nobody else would join."""
    closed, go_on = threading.Event(), threading.Event()

    class Lingering(threading.Thread):
        def run(self):
            super().run()
            closed.set()
            go_on.wait(PATIENCE_SECONDS)

    monkeypatch.setattr(threading, "Thread", Lingering)
    departures = Departures()
    departures.close("m", {}, [], gone=lambda _: None)
    assert closed.wait(PATIENCE_SECONDS)
    assert not departures.wait(Deadline(0))
    go_on.set()
    assert departures.wait(Deadline(PATIENCE_SECONDS))
    assert not [thread for thread in threading.enumerate() if isinstance(thread, Lingering)]


def test_no_thread_is_remembered_for_ever():
    """However often a model leaves, there are but the threads that have not ended, and the last one."""
    departures = Departures()
    for _ in range(20):
        departures.close("m", {}, [], gone=lambda _: None)
        assert departures.wait(Deadline(PATIENCE_SECONDS))
    assert len(departures._threads["m"]) == 1
