"""The rules of polling: what has held still for the settle time is acted on once, and nothing else is."""

from __future__ import annotations

from charonia.repository_watch import RepositoryWatch
from hypothesis import given
from hypothesis import strategies as st

OLD, NEW, NEWER = {"f": "1"}, {"f": "2"}, {"f": "3"}


def test_change_counts_when_it_has_held_still():
    """A model that someone is copying into is left alone until its files have not changed for the settle time."""
    watch = RepositoryWatch(10, {"m": OLD})
    assert watch.look(0, {"m": NEW}, retry=False) == set()
    assert watch.next_ns == 10
    assert watch.look(9, {"m": NEWER}, retry=False) == set()
    assert watch.look(18, {"m": NEWER}, retry=False) == set()
    assert watch.next_ns == 19
    assert watch.look(19, {"m": NEWER}, retry=False) == {"m"}
    assert watch.look(100, {"m": NEWER}, retry=False) == set()
    assert watch.next_ns is None


def test_models_come_and_go():
    """A new directory is due, and so is one that is not there any more, each after the settle time."""
    watch = RepositoryWatch(10, {"old": OLD})
    assert watch.look(0, {"new": NEW}, retry=False) == set()
    assert watch.look(10, {"new": NEW}, retry=False) == {"old", "new"}


def test_replaced_directory_is_one_change():
    """A directory that is removed and copied anew within the settle time is never unloaded."""
    watch = RepositoryWatch(10, {"m": OLD})
    assert watch.look(0, {}, retry=False) == set()
    assert watch.look(5, {"m": NEW}, retry=False) == set()
    assert watch.look(15, {"m": NEW}, retry=False) == {"m"}


def test_change_that_is_taken_back_is_none():
    """Files that are again as they were loaded are no reason to do anything."""
    watch = RepositoryWatch(10, {"m": OLD})
    watch.look(0, {"m": NEW}, retry=False)
    assert watch.look(20, {"m": OLD}, retry=False) == set()
    assert watch.next_ns is None


def test_failed_models_are_tried_again_at_polls():
    """A model whose load failed is due at each poll, not at each look, and once for each failure that is told."""
    watch = RepositoryWatch(10, {"m": OLD, "n": OLD})
    watch.note_failures(["m", "gone"])
    stored = {"m": OLD, "n": OLD}
    assert watch.look(0, stored, retry=False) == set()
    assert watch.look(1, stored, retry=True) == {"m"}
    assert watch.look(2, stored, retry=True) == set()


def test_without_a_settle_time_every_change_counts_at_once():
    """A settle time of 0 is none."""
    watch = RepositoryWatch(0, {})
    assert watch.look(0, {"m": NEW}, retry=False) == {"m"}


STATES = st.dictionaries(st.sampled_from("abc"), st.fixed_dictionaries({"f": st.sampled_from("12")}))


@given(st.lists(st.tuples(st.integers(0, 20), STATES), max_size=30), STATES)
def test_what_holds_still_is_followed(history, last):
    """Whatever happened before, once nothing changes for the settle time, all that differs from what was done is due."""
    watch = RepositoryWatch(10, {})
    done, now = {}, 0
    for pause, stored in [*history, (0, last), (10, last)]:
        now += pause
        for name in watch.look(now, stored, retry=False):
            assert stored.get(name) != done.get(name)
            if name in stored:
                done[name] = stored[name]
            else:
                del done[name]
    assert done == last
    assert watch.look(now, last, retry=False) == set()
