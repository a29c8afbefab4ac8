"""The CPU times of another process's threads are whole, and told apart."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

from benchmarks.cpu_times import cpu_ns, thread_times_reader

PROGRAM = """
import sys, threading, time

def spend(seconds, spent):
    begun_ns = time.thread_time_ns()
    while time.thread_time_ns() - begun_ns < seconds * 1e9:
        pass
    spent.append(time.thread_time_ns() - begun_ns)

print(flush=True)
for line in sys.stdin:
    spent = []
    other = threading.Thread(target=spend, args=(0.03, spent))
    other.start()
    other.join()
    spend(0.05, spent)
    print(*spent, flush=True)
"""


@pytest.fixture
def spending():
    """Start a process that uses CPU time on two threads when it is told to."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    process.stdout.readline()
    with process:
        yield process
        process.stdin.close()


def test_all_that_the_threads_have_used_is_told(spending):
    """It is at least what they say of themselves, that of a thread which has ended included."""
    read = thread_times_reader(spending.pid)
    before = read()
    spending.stdin.write("\n")
    spending.stdin.flush()
    others_ns, first_ns = map(int, spending.stdout.readline().split())
    after = read()
    assert after.first_ns - before.first_ns >= first_ns >= 50_000_000
    assert after.others_ns - before.others_ns >= others_ns >= 30_000_000
    assert sum(after) == cpu_ns(spending.pid)


def test_a_process_that_is_not_there_is_an_error(spending):
    """That is so at the beginning, and later on."""
    read = thread_times_reader(spending.pid)
    spending.kill()
    spending.wait()
    with pytest.raises(OSError, match=str(spending.pid)):
        read()
    assert not psutil.pid_exists(spending.pid)
    with pytest.raises(OSError, match=str(spending.pid)):
        thread_times_reader(spending.pid)
