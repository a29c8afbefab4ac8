"""A thread that looks again and again, while somebody wants it."""

from __future__ import annotations

import threading

from charonia_backend_custom.watch import Watch


def test_it_looks_as_long_as_somebody_wants_it():
    """It looks in one block after the other, on one thread, which the end joins."""
    looks = threading.Semaphore(0)
    watchers = set()

    def look():
        watchers.add(threading.current_thread())
        looks.release()

    watch = Watch(look, "a-watch", 0.001)
    for _ in range(2):
        with watch:
            for _ in range(3):
                assert looks.acquire(timeout=30)
    watch.close()
    (thread,) = watchers
    assert thread.name == "a-watch"
    assert not thread.is_alive()


def test_it_can_be_closed_unused_twice_and_before():
    """A watch that nobody wanted has no thread, and one that is closed begins none."""
    watch = Watch(lambda: None, "a-watch", 0.001)
    watch.close()
    with watch:
        assert "a-watch" not in {thread.name for thread in threading.enumerate()}
    watch.close()
