"""Items from any thread reach one other thread, in groups: each once, and those of one thread in their order."""

from __future__ import annotations

import threading

import pytest
from charonia.gathering import Gathering


@pytest.fixture
def groups():
    """Keep the groups that are handed over."""
    return []


@pytest.fixture
def held(groups):
    """Give what is released when a group arrives, what lets it and those after it go on, and what takes them."""
    arrived, may_go_on = threading.Semaphore(0), threading.Event()

    def take(group):
        groups.append(group)
        arrived.release()
        assert may_go_on.wait(60)

    return arrived, may_go_on, take


def test_what_was_put_is_handed_over_at_the_latest_at_the_end(groups):
    """Closing waits until everything has been taken, and may be repeated."""
    gathering = Gathering("tested", groups.append)
    for item in range(3):
        gathering.put(item)
    gathering.close()
    gathering.close()
    assert [item for group in groups for item in group] == [0, 1, 2]


def test_a_group_is_taken_while_nobody_closes(groups):
    """Whoever waits for an item gets it, also after a time in which there was none."""
    arrived = threading.Semaphore(0)

    def take(group):
        groups.append(group)
        arrived.release(len(group))

    gathering = Gathering("tested", take)
    for item in range(3):
        gathering.put(item)
        assert arrived.acquire(timeout=60)
    gathering.close()
    assert groups == [[0], [1], [2]]


def test_enough_items_are_handed_over_before_the_time_is_over(groups):
    """Whoever gathers for a long time gets a group when it is large enough, and the rest at the end."""
    arrived = threading.Semaphore(0)

    def take(group):
        groups.append(group)
        arrived.release()

    gathering = Gathering("tested", take, seconds=3600, enough=3)
    gathering.put(0)
    assert arrived.acquire(timeout=60)
    for item in (1, 2, 3):
        assert groups == [[0]]
        gathering.put(item)
    assert arrived.acquire(timeout=60)
    gathering.put(4)
    gathering.close()
    assert groups == [[0], [1, 2, 3], [4]]


def test_no_group_is_larger_than_enough(groups, held):
    """What has come meanwhile is handed over in groups of that size without a wait, and the rest when its time comes."""
    arrived, may_go_on, take = held
    gathering = Gathering("tested", take, seconds=3600, enough=3)
    gathering.put(0)
    assert arrived.acquire(timeout=60)
    for item in range(1, 9):
        gathering.put(item)
    may_go_on.set()
    for _ in range(2):
        assert arrived.acquire(timeout=60)
    assert groups == [[0], [1, 2, 3], [4, 5, 6]]
    gathering.close()
    assert groups[3:] == [[7, 8]]


def test_there_is_room_for_so_many_and_no_more(groups, held):
    """What comes while so many wait that were there before is dropped, and counted."""
    arrived, may_go_on, take = held
    gathering = Gathering("tested", take, most=2)
    gathering.put(0)
    assert arrived.acquire(timeout=60)
    for item in (1, 2, 3):
        gathering.put(item)
    may_go_on.set()
    gathering.close()
    assert groups == [[0], [1, 2]]
    assert gathering.refused == 1


def test_items_of_many_threads_are_all_taken_by_one(groups):
    """None is lost and none comes twice, whoever puts it when."""
    takers = set()

    def take(group):
        takers.add(threading.current_thread().name)
        groups.append(group)

    gathering = Gathering("tested", take)

    def put(source):
        for number in range(2000):
            gathering.put((source, number))

    threads = [threading.Thread(target=put, args=(source,)) for source in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gathering.close()
    taken = [item for group in groups for item in group]
    assert len(taken) == 8000
    for source in range(4):
        assert [number for whose, number in taken if whose == source] == list(range(2000))
    assert takers == {"tested"}


def test_what_comes_after_the_end_is_dropped(groups):
    """A closed one starts no thread."""
    gathering = Gathering("tested", groups.append)
    gathering.close()
    gathering.put(1)
    assert groups == []
    assert "tested" not in {thread.name for thread in threading.enumerate()}
