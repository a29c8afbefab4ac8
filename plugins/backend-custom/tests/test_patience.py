"""Who looks after what a thread holds back."""

from __future__ import annotations

import threading
from queue import SimpleQueue

import pytest
from charonia.testing.patience import PATIENCE_SECONDS
from charonia_backend_custom.process.patience import Patience


class StopError(Exception):
    """Ends the watching thread, which otherwise ends with its process."""


@pytest.fixture
def watched():
    """What is looked after, and the queue that gets a note at each sending."""
    sent, ended = SimpleQueue(), threading.Event()

    def send():
        sent.put("sent")
        if ended.is_set():
            raise StopError

    patience = Patience(send)

    def watch():
        with pytest.raises(StopError):
            patience.watch()

    thread = threading.Thread(target=watch)
    thread.start()
    yield patience, sent
    ended.set()
    patience.begin()
    thread.join()


def test_what_takes_long_is_not_waited_for(watched):
    """Each time that something is held back and then nothing happens, it is sent."""
    patience, sent = watched
    for _ in range(5):
        patience.begin()
        assert sent.get(timeout=PATIENCE_SECONDS) == "sent"
