"""What holds for the batches whatever comes when, under whichever rules."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

MOST = 6


@st.composite
def sections(draw):
    """Make a section `dynamic_batching`, and what of it the tests need to know."""
    delay_ms = draw(st.sampled_from([0, 0, 5, 40]))
    levels = draw(st.sampled_from([0, 0, 3]))
    timeout_ms = draw(st.sampled_from([0, 0, 30]))
    delays = draw(st.booleans())
    most_waiting = draw(st.sampled_from([0, 0, 3]))
    preferred = draw(st.lists(st.integers(1, MOST), max_size=3))
    parts = [f"max_queue_delay_microseconds: {delay_ms * 1000}", f"preferred_batch_size: {preferred}"]
    if levels:
        parts.append(f"priority_levels: {levels} default_priority_level: {draw(st.integers(1, levels))}")
    if timeout_ms or most_waiting:  # without a policy, batches are formed ahead
        parts.append(
            f"default_queue_policy {{ default_timeout_microseconds: {timeout_ms * 1000} max_queue_size: {most_waiting} "
            f"timeout_action: {'DELAY' if delays else 'REJECT'} allow_timeout_override: true }}"
        )
    return " ".join(parts), delay_ms, timeout_ms, delays


arrivals_of = st.lists(
    st.tuples(
        st.integers(0, 100),  # when, in milliseconds
        st.integers(1, MOST),  # batch size
        st.integers(0, 4),  # priority
        st.sampled_from([0, 0, 3000]),  # time-out in microseconds
        st.integers(1, 2),  # the size that must be equal in a batch
    ),
    max_size=40,
)


def played_of(simulate, arrival, section, tuples, instances, execution_ms, cancels):
    arrivals = [arrival(*each) for each in sorted(tuples, key=lambda each: each[0])]
    places = [(at, place) for at, place in cancels if place < len(arrivals)]
    played = simulate(
        section, arrivals, instances=instances, execution_ms=execution_ms, cancels=places, max_batch_size=MOST
    )
    return arrivals, played, {place for _, place in places}


@settings(max_examples=300, deadline=None)
@given(
    sections(),
    arrivals_of,
    st.integers(1, 3),
    st.integers(1, 50),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 39)), max_size=5),
)
def test_every_request_has_one_end(simulate, arrival, section, tuples, instances, execution_ms, cancels):
    """Whatever comes, each request is executed, refused or dropped, once; batches are legal; and nobody is held for too long."""
    text, delay_ms, timeout_ms, delays = section
    arrivals, played, cancelled = played_of(simulate, arrival, text, tuples, instances, execution_ms, cancels)
    executed = [place for places in played.order for place in places]
    assert sorted([*executed, *played.refused, *played.dropped]) == list(range(len(arrivals)))
    for run in played.runs:
        assert sum(arrivals[place].size for place in run.places) <= MOST
        assert len({arrivals[place].width for place in run.places}) == 1
        assert run.reason
    _check_order(played, arrivals, executed, timeout_ms)
    _check_drops(played, arrivals, cancelled, timeout_ms if not delays else 0)
    _check_delay(played, arrivals, delay_ms, instances, execution_ms)


def _check_order(played, arrivals, executed, timeout_ms):
    """Within a level requests keep their order, unless their time was over and that puts them behind."""
    if timeout_ms:
        return
    for level in {played.rules.level_of(arrival.priority) for arrival in arrivals}:
        places = [place for place in executed if played.rules.level_of(arrivals[place].priority) == level]
        assert places == sorted(places)


def _check_drops(played, arrivals, cancelled, timeout_ms):
    """Nobody is dropped but for being cancelled, or exactly when the time is over."""
    for place, (at, error) in played.dropped.items():
        if error:
            allowed_ms = arrivals[place].timeout_us / 1000 or timeout_ms
            assert timeout_ms
            assert at - arrivals[place].at == min(allowed_ms, timeout_ms)
        else:
            assert place in cancelled


def _check_delay(played, arrivals, delay_ms, instances, execution_ms):
    """A request waits longer than the delay only while all instances are busy."""
    starts = [run.at for run in played.runs]
    for run in played.runs:
        first = min(arrivals[place].at for place in run.places)
        if run.at > first + delay_ms:
            others = [at for at in starts if at < run.at < at + execution_ms or at + execution_ms == run.at]
            assert len(others) >= instances


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, MOST), min_size=1, max_size=30), st.integers(1, 3))
def test_nothing_waits_without_need(simulate, arrival, sizes, instances):
    """Without a delay an instance that is free always takes what there is."""
    played = simulate("", [arrival(0, size) for size in sizes], instances=instances, max_batch_size=MOST)
    assert [run.at for run in played.runs] == [index // instances * 300 for index in range(len(played.runs))]
