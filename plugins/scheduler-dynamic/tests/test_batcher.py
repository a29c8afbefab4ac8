"""Which batch is formed when, to the request: the reference's observations, and what follows from its rules."""

from __future__ import annotations

import pytest
from charonia.errors import CancelledError

WHILE_BUSY = 50  # a moment, in milliseconds, at which the first request is being executed


def ones(count, at=WHILE_BUSY):
    """Name arrivals of batch size 1 at one time."""
    return [(at, 1)] * count


OBSERVED = {
    "as many as fit, then the rest": ("", ones(11), [1, 8, 3]),
    "a request is never split": ("", [(50, 3), (51, 3), (52, 3), (53, 2)], [1, 6, 5]),
    "the first preferred size that is reached": ("preferred_batch_size: [4, 6]", ones(11), [1, 4, 6, 1]),
    "what is left is executed, too": ("preferred_batch_size: [4, 6]", ones(5), [1, 4, 1]),
    "past the preferred sizes, but within the greatest": ("preferred_batch_size: [4, 6]", [(50, 5), (60, 3)], [1, 8]),
    "full": ("", [(50, 8)], [1, 8]),
    "full between others": ("", [(50, 1), (51, 8), (52, 1)], [1, 1, 8, 1]),
}


@pytest.mark.parametrize("name", OBSERVED)
def test_batches_while_the_instance_is_busy(simulate, arrival, name):
    """The batch sizes are those that were observed with the reference, whose one instance is busy with a first request."""
    section, arrivals, sizes = OBSERVED[name]
    assert simulate(section, [arrival(0), *[arrival(*each) for each in arrivals]]).sizes == sizes


DELAY = "max_queue_delay_microseconds: 800000"
DELAYED = {
    "held until the delay is over": (DELAY, 3, [(800, 3, "delay_over")]),
    "full at once": (DELAY, 8, [(0, 8, "full")]),
    "full at once, the rest later": (DELAY, 9, [(0, 8, "full"), (800, 1, "delay_over")]),
    "preferred at once, the rest later": (
        DELAY + " preferred_batch_size: [3]",
        4,
        [(0, 3, "preferred_size"), (800, 1, "delay_over")],
    ),
}


@pytest.mark.parametrize("name", DELAYED)
def test_batches_with_a_delay(simulate, arrival, name):
    """An idle instance waits for a preferred size, but not longer than the delay."""
    section, count, expected = DELAYED[name]
    played = simulate(section, [arrival(0)] * count, execution_ms=10)
    assert list(zip([run.at for run in played.runs], played.sizes, played.reasons, strict=True)) == expected


def test_delay_counts_from_the_oldest_request(simulate, arrival):
    """Later requests do not put off the moment at which the first one may not be held any longer."""
    played = simulate(DELAY, [arrival(0), arrival(500), arrival(790)], execution_ms=10)
    assert [(run.at, run.places) for run in played.runs] == [(800, [0, 1, 2])]


def test_delay_that_passes_while_all_are_busy(simulate, arrival):
    """A request that has waited long enough while the instance was busy is executed as soon as that is free."""
    section = "max_queue_delay_microseconds: 100000 preferred_batch_size: [2]"
    played = simulate(section, [arrival(0, 2), arrival(50), arrival(350)], execution_ms=300)
    assert [(run.at, run.places) for run in played.runs] == [(0, [0]), (300, [1]), (600, [2])]


def test_instances_share_the_queue(simulate, arrival):
    """Each idle instance takes what is queued."""
    played = simulate("", [arrival(0), arrival(10), *[arrival(50)] * 10], instances=2)
    assert played.sizes == [1, 1, 8, 2]
    assert [run.at for run in played.runs] == [0, 10, 300, 310]


def test_other_shapes_end_a_batch(simulate, arrival):
    """Requests of other shapes are not mixed, and none is passed over."""
    widths = [2, 2, 3, 2]
    played = simulate("", [arrival(0), *[arrival(50, width=width) for width in widths]])
    assert played.order == [[0], [1, 2], [3], [4]]
    assert played.reasons[1] == "signature_changed"


def test_model_without_batches(simulate, arrival):
    """With max_batch_size 0 each request is executed alone."""
    played = simulate("", [arrival(0), *[arrival(50)] * 3], max_batch_size=0)
    assert played.order == [[0], [1], [2], [3]]


PRIORITIES = "priority_levels: 3 default_priority_level: 2"


def test_levels_go_first_to_last(simulate, arrival):
    """All of a level go before any of the next; a priority that does not exist is the default one."""
    priorities = [3, 2, 0, 1, 9]
    arrivals = [arrival(0), *[arrival(50, priority=priority) for priority in priorities]]
    played = simulate(PRIORITIES, arrivals, max_batch_size=1)
    assert played.order == [[0], [4], [2], [3], [5], [1]]


def test_levels_share_batches(simulate, arrival):
    """A batch is filled from the highest level down."""
    priorities = [3, 2, 1, 1, 3]
    arrivals = [arrival(0), *[arrival(50, priority=priority) for priority in priorities]]
    assert simulate(PRIORITIES, arrivals, max_batch_size=3).order == [[0], [3, 4, 2], [1, 5]]


def test_later_request_of_a_higher_level_comes_first(simulate, arrival):
    """While a request is held back, one of a higher level goes in front of it."""
    section = PRIORITIES + " max_queue_delay_microseconds: 100000"
    played = simulate(section, [arrival(0), arrival(10, priority=1)], max_batch_size=4)
    assert played.order == [[1, 0]]
    assert played.runs[0].at == 100


REJECT = "default_queue_policy { default_timeout_microseconds: 100000 allow_timeout_override: true }"


def test_time_out_is_told_at_its_time(simulate, arrival):
    """A request that may wait no longer is refused then, though the instance is busy."""
    played = simulate(REJECT, [arrival(0), arrival(50), arrival(250)])
    assert played.dropped == {1: (150, "Request timeout expired")}
    assert played.order == [[0], [2]]


def test_time_out_of_a_cancelled_request_is_none(simulate, arrival):
    """What was taken back before its time was over is told as cancelled, as in the reference, and not as refused."""
    played = simulate(REJECT, [arrival(0), arrival(50)], cancels=[(60, 1)])
    assert played.dropped == {1: (150, str(CancelledError("")))}


@pytest.mark.parametrize(("asked", "at"), [(20_000, 70), (0, 150), (500_000, 150)])
def test_request_can_shorten_its_time(simulate, arrival, asked, at):
    """A request's own time-out holds where it is the shorter one."""
    played = simulate(REJECT, [arrival(0), arrival(50, timeout_us=asked)])
    assert played.dropped[1] == (at, "Request timeout expired")


@pytest.mark.parametrize("section", ["", "default_queue_policy { allow_timeout_override: true }"])
def test_request_cannot_set_a_time_where_there_is_none(simulate, arrival, section):
    """Without a default time-out the request's own does nothing, as in the reference."""
    assert simulate(section, [arrival(0), arrival(50, timeout_us=1000)]).order == [[0], [1]]


def test_held_request_that_times_out(simulate, arrival):
    """A time-out that comes before the end of the delay is kept, too."""
    played = simulate(f"{DELAY} {REJECT}", [arrival(0)])
    assert played.dropped == {0: (100, "Request timeout expired")}
    assert played.runs == []


def test_delayed_requests_go_behind_their_level(simulate, arrival):
    """With DELAY a request whose time is over is executed behind its level, before the next one, and never refused."""
    late = "{ timeout_action: DELAY default_timeout_microseconds: 100000 }"
    section = f"priority_levels: 2 default_priority_level: 2 priority_queue_policy {{ key: 1 value {late} }}"
    arrivals = [arrival(0), arrival(50, priority=2), arrival(60, priority=1), arrival(250, priority=1)]
    played = simulate(section, arrivals, max_batch_size=1)
    assert played.order == [[0], [3], [2], [1]]
    assert played.dropped == {}


def test_full_level_refuses(simulate, arrival):
    """Only so many may wait, in each level for itself; what is executed does not count."""
    section = PRIORITIES + " priority_queue_policy { key: 1 value { max_queue_size: 2 } }"
    arrivals = [arrival(0, priority=1), *[arrival(50, priority=1)] * 3, *[arrival(60)] * 3]
    played = simulate(section, arrivals)
    assert played.refused == {3: "[request id: 3] Exceeds maximum queue size"}
    assert played.order == [[0], [1, 2, 4, 5, 6]]


def test_delayed_requests_count_for_the_bound(simulate, arrival):
    """A request that waits behind its level is one that waits."""
    section = "default_queue_policy { timeout_action: DELAY default_timeout_microseconds: 10000 max_queue_size: 1 }"
    played = simulate(section, [arrival(0), arrival(50), arrival(100)])
    assert list(played.refused) == [2]


PATIENT = "default_queue_policy { default_timeout_microseconds: 1000000 }"


@pytest.mark.parametrize("section", ["", PATIENT, DELAY])
def test_cancelled_requests_are_not_executed(simulate, arrival, section):
    """What was cancelled in the queue leaves it unexecuted, and does not count for the batch."""
    arrivals = [arrival(0, 8), *[arrival(50)] * 12]
    played = simulate(section, arrivals, max_batch_size=8, cancels=[(60, 11), (60, 12)])
    executed = [place for places in played.order for place in places]
    assert {11, 12} & set(executed) == set()
    assert played.sizes[:2] == [8, 8]


REASONS = {
    "full": ("", ones(8), "full"),
    "the next one does not fit": ("", [(50, 5), (50, 4)], "would_overflow"),
    "a preferred size": ("preferred_batch_size: [4]", ones(4), "preferred_size"),
    "past all of them": ("preferred_batch_size: [4, 6]", [(50, 5), (60, 2)], "past_preferred"),
    "nobody else waits": ("", ones(3), "queue_empty"),
}


@pytest.mark.parametrize("name", REASONS)
def test_reasons(simulate, arrival, name):
    """Each batch tells why it was closed."""
    section, arrivals, reason = REASONS[name]
    assert simulate(section, [arrival(0), *[arrival(*each) for each in arrivals]]).reasons[1] == reason


def test_bound_on_bytes(simulate, arrival):
    """Only so many bytes may wait, formed ahead or not; what is executed, or gone, does not count; and a lone one always may."""
    arrivals = [arrival(0, 8), arrival(50, 8), *[arrival(60, 1)] * 2, arrival(310, 1)]
    played = simulate("", arrivals, parameters={"max_queue_bytes": str(8 * 16 + 16)})
    assert list(played.refused) == [3]
    assert played.refused[3].startswith(
        "[request id: 3] Exceeds maximum queue bytes: 144 bytes wait, and 16 more would be over the 144"
    )
    assert played.order == [[0], [1], [2, 4]]
    lone = simulate("", [arrival(0), arrival(50, 8), arrival(60)], parameters={"max_queue_bytes": "1"})
    assert list(lone.refused) == [2]


def test_bytes_of_those_who_left_are_free_again(simulate, arrival):
    """Requests that time out or are cancelled make room."""
    arrivals = [arrival(0), arrival(50), arrival(60), arrival(200), arrival(210)]
    played = simulate(REJECT, arrivals, parameters={"max_queue_bytes": "20"})
    assert list(played.refused) == [2, 4]
    assert list(played.dropped) == [1, 3]
