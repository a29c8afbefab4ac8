"""What a model forks has nothing to do with the signals of the server, and may have handlers of its own."""

from __future__ import annotations

import subprocess
import sys

from charonia.testing.patience import PATIENCE_SECONDS

FORKS = """
import os
import signal

from charonia.own_signals import kept_from_forks

HANDLED = 7


def handle():
    signal.signal(signal.SIGTERM, lambda *_: os._exit(HANDLED))


def forked(run):
    child = os.fork()
    if child == 0:
        run()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def terminated():
    os.kill(os.getpid(), signal.SIGTERM)


def handling():
    handle()
    os._exit(forked(terminated))


handle()
before = forked(terminated)
with kept_from_forks():
    with kept_from_forks():
        inner = forked(terminated)
    outer = forked(terminated)
    below = forked(handling)
print(before, inner, outer, below, forked(terminated))
"""


def test_only_forks_of_the_server_itself_lose_its_handlers():
    """While it handles signals, and no longer; what a fork forks in its turn has the handlers of that fork."""
    told = subprocess.run(
        [sys.executable, "-c", FORKS], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=True
    )
    assert told.stdout == "7 -15 -15 7 7\n"
