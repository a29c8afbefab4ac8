"""Configurations of sequences, with traces whose outcome is certain: what waits does so while the instance is held."""

from __future__ import annotations

from traces import Ask, Schedule

A_MOMENT = 80
"""How long an execution takes in which later requests make up their minds."""


def said(at: int, name: int, *, start: bool = False, end: bool = False, hold: int = A_MOMENT, **more: int) -> Ask:
    """Make a request of a sequence; `more` are its batch, its width, and its timeout in microseconds."""
    options = {"sequence_id": name, "sequence_start": start, "sequence_end": end}
    if "timeout" in more:
        options["timeout"] = more.pop("timeout")
    return Ask(at, hold, more.get("batch", 1), more.get("width"), options)


def started(*names: int, at: int = 0, hold: int = A_MOMENT, gap: int = 25) -> list[Ask]:
    """Start sequences one after the other."""
    return [said(at + gap * place, name, start=True, hold=hold) for place, name in enumerate(names)]


IDLE = "max_sequence_idle_microseconds: 20000000 "
READY = 'control_input { name: "READY" control { kind: CONTROL_SEQUENCE_READY int32_false_true: [ 0, 1 ] } } '
DIRECT = f"sequence_batching {{ {IDLE} {READY} }}"
OLDEST = f"sequence_batching {{ {IDLE} oldest {{ max_candidate_sequences: 8 }} }}"
X = 'input [ { name: "X" data_type: TYPE_INT32 dims: [ -1 ] } ] '
NO_START = (
    "inference request for sequence {} to model '{}' must specify the START flag on the first request of the sequence"
)
BATCH = "inference request to model '{}' must specify batch-size 1 due to requirements of sequence batcher"
NO_ID = "inference request to model '{}' must specify a non-zero or non-empty correlation ID"
EXPIRED = "timeout of the corresponding sequence has been expired"


def waiting(section: str, **more: object) -> str:
    """Write the section with another idle time or other settings."""
    settings = " ".join(f"{name}: {value}" for name, value in more.items())
    return f"sequence_batching {{ {settings} {READY} {section} }}"


HELD = said(0, 1, start=True, hold=700)

SHORT_AND_LONG = [
    said(0, 1, start=True, end=True, hold=700),
    said(50, 2, start=True, end=True, hold=700),
    said(100, 3, start=True),
    said(150, 4, start=True, timeout=300_000),
]
"""On two instances with a slot each, all have one at once: the second is not put behind the first, beside an idle instance."""

SCHEDULES = [
    Schedule("direct places", DIRECT, [HELD, *started(2, 3, 4, at=150)], [[0], [None, 1, 2, 3]], most=4),
    Schedule(
        "direct places stay",
        DIRECT,
        [HELD, *started(2, 3, at=150), said(1300, 3), said(1600, 1), said(1900, 2)],
        [[0], [None, 1, 2], [None, None, 3], [4], [None, 5]],
        most=4,
    ),
    Schedule(
        "direct in turn",
        DIRECT,
        [HELD, said(150, 1), said(175, 1), *started(2, at=200), said(225, 2)],
        [[0], [1, 3], [2, 4]],
        most=4,
    ),
    Schedule(
        "direct backlog",
        DIRECT,
        [HELD, *started(2, at=150), *started(3, at=175), said(200, 3, end=True), said(225, 1, end=True)],
        [[0], [4, 1], [2], [3]],
        most=2,
    ),
    Schedule(
        "direct restart",
        DIRECT,
        [HELD, *started(2, at=150), said(175, 2, start=True), said(200, 1)],
        [[0], [3, 1], [None, 2]],
        most=4,
    ),
    Schedule(
        "direct shapes",
        X + DIRECT,
        [
            said(0, 1, start=True, hold=700, width=2),
            said(150, 2, start=True, width=2),
            said(175, 3, start=True, width=3),
            said(200, 4, start=True, width=2),
        ],
        [[0], [None, 1, None, 3], [None, None, 2]],
        most=4,
    ),
    Schedule(
        "direct utilization",
        waiting(
            "direct { minimum_slot_utilization: 0.75 max_queue_delay_microseconds: 600000 }",
            max_sequence_idle_microseconds=20_000_000,
        ),
        [*started(1, 2), said(1500, 1), said(1525, 2), *started(3, at=1550)],
        [[0, 1], [2, 3, 4]],
        most=4,
    ),
    Schedule(
        "direct without batches", DIRECT, [HELD, said(150, 1, end=True), *started(2, at=175)], [[0], [1], [2]], most=0
    ),
    Schedule(
        "direct instances",
        DIRECT,
        [*started(1, 2, 3, hold=400), said(1200, 1), said(1225, 2), said(1250, 3)],
        [[0], [1], [None, 2], [3], [4], [None, 5]],
        most=2,
        instances=2,
    ),
    Schedule("direct short sequences", DIRECT, SHORT_AND_LONG, [[0], [1], [2], [3]], most=1, instances=2),
    Schedule("oldest together", OLDEST, [HELD, *started(2, 3, 4, at=150)], [[0], [1, 2, 3]], most=4),
    Schedule(
        "oldest in turn", OLDEST, [HELD, said(150, 1), *started(2, 3, 4, 5, at=175)], [[0], [2, 3, 4, 5], [1]], most=4
    ),
    Schedule(
        "oldest joins again",
        OLDEST,
        [HELD, said(150, 1), *started(2, 3, at=175)],
        [[0], [2, 3, 1]],
        most=4,
        by_chance=[[0], [2, 3], [1]],
    ),
    Schedule(
        "oldest and full", OLDEST, [HELD, *started(2, 3, 4, 5, 6, 7, at=150)], [[0], [1, 2, 3, 4], [5, 6]], most=4
    ),
    Schedule(
        "oldest candidates",
        waiting("oldest { max_candidate_sequences: 2 }", max_sequence_idle_microseconds=20_000_000),
        [HELD, *started(2, 3, at=150), said(1400, 1, end=True)],
        [[0], [1], [3], [2]],
        most=4,
    ),
    Schedule(
        "oldest short sequences",
        waiting("oldest { max_candidate_sequences: 1 }", max_sequence_idle_microseconds=20_000_000),
        SHORT_AND_LONG,
        [[0], [1], [2], [3]],
        most=4,
        instances=2,
    ),
    Schedule(
        "oldest preferred and delay",
        waiting(
            "oldest { max_candidate_sequences: 8 preferred_batch_size: 2 max_queue_delay_microseconds: 500000 }",
            max_sequence_idle_microseconds=20_000_000,
        ),
        started(1, 2, 3),
        [[0, 1], [2]],
        most=4,
    ),
    Schedule(
        "no start",
        DIRECT,
        [said(0, 7), said(100, 1, start=True, end=True), said(400, 1)],
        [[1]],
        {0: NO_START.format(7, "no_start"), 2: NO_START.format(1, "no_start")},
        most=4,
    ),
    Schedule("batch of two", OLDEST, [said(0, 1, start=True, batch=2)], [], {0: BATCH.format("batch_of_two")}, most=4),
    Schedule("no id", OLDEST, [Ask(0)], [], {0: NO_ID.format("no_id")}, most=4),
    Schedule(
        "idle",
        waiting("", max_sequence_idle_microseconds=500_000),
        [*started(1), said(1500, 1)],
        [[0]],
        {1: NO_START.format(1, "idle")},
        most=4,
    ),
    Schedule(
        "idle slot",
        waiting("", max_sequence_idle_microseconds=1_000_000),
        [*started(1), *started(2, at=150)],
        [[0], [1]],
        most=1,
    ),
    Schedule(
        "backlog timeout",
        DIRECT,
        [*started(1), said(150, 2, start=True, timeout=300_000), said(200, 2)],
        [[0]],
        {1: EXPIRED, 2: EXPIRED},
        most=1,
    ),
]
