"""Configurations of iterative sequences, with traces whose outcome is certain, also where the reference's threads race."""

from __future__ import annotations

from traces import Ask, Schedule

NO_START = (
    "inference request for sequence {} to model '{}' must specify the START flag on the first request of the sequence"
)
BATCH = "inference request to model '{}' must specify batch-size 1 due to requirements of sequence batcher"
EXPIRED = "timeout of the corresponding sequence has been expired"

HELD_MS = 700
"""How long the first execution takes, in which the other requests come."""


def asked(at: int, turns: int, hold: int = 80, **options: object) -> Ask:
    """Make a request that wants so many turns."""
    return Ask(at, hold, turns=turns, options=options)


def section(strategy: str = "") -> str:
    """Write the section with a strategy, and the inputs that the recorder of turns needs."""
    return f"""
input [ {{ name: "TURNS" data_type: TYPE_INT32 dims: [ 1 ] }} ]
sequence_batching {{
  iterative_sequence: true
  max_sequence_idle_microseconds: 20000000
  control_input {{ name: "READY" control {{ kind: CONTROL_SEQUENCE_READY int32_false_true: [ 0, 1 ] }} }}
  {strategy}
}}
"""


def oldest(candidates: int, more: str = "") -> str:
    """Write the section with the strategy oldest."""
    return section(f"oldest {{ max_candidate_sequences: {candidates} {more} }}")


DIRECT = section()
PAIRS = "preferred_batch_size: 2 max_queue_delay_microseconds: 600000"

SCHEDULES = [
    Schedule("turns", oldest(4), [asked(0, 4)], [[0], [0], [0], [0]], most=4),
    Schedule("turns direct", DIRECT, [asked(0, 4)], [[0], [0], [0], [0]], most=4),
    Schedule("turns of one", oldest(4), [asked(0, 1), asked(400, 1)], [[0], [1]], most=4),
    Schedule("turns by turns", oldest(2), [asked(0, 3, HELD_MS), asked(150, 2)], [[0], [1], [0], [1], [0]], most=1),
    Schedule(
        "turns of one candidate",
        oldest(1),
        [asked(0, 3, HELD_MS), asked(150, 2)],
        [[0], [0], [0], [1], [1]],
        most=4,
    ),
    Schedule("turns in pairs", oldest(4, PAIRS), [asked(0, 3), asked(25, 3)], [[0, 1], [0, 1], [0, 1]], most=4),
    Schedule(
        "turns direct together",
        DIRECT,
        [asked(0, 3, HELD_MS), asked(150, 2), asked(175, 3)],
        [[0], [0, 1, 2], [0, 1, 2], [None, None, 2]],
        most=4,
    ),
    Schedule(
        "turns direct backlog",
        DIRECT,
        [asked(0, 2, HELD_MS), asked(150, 3), asked(175, 1)],
        [[0], [0, 1], [2, 1], [None, 1]],
        most=2,
    ),
    Schedule(
        "turns direct without batches",
        DIRECT,
        [asked(0, 2, HELD_MS), asked(150, 2)],
        [[0], [0], [1], [1]],
        most=0,
    ),
    Schedule(
        "turns instances",
        oldest(1),
        [asked(0, 3), asked(25, 2)],
        [[0], [0], [0], [1], [1]],
        most=4,
        instances=2,
    ),
    Schedule("turns decoupled", oldest(4), [asked(0, 3)], [[0], [0], [0]], most=4, decoupled=True),
    Schedule(
        "turns decoupled by turns",
        oldest(2),
        [asked(0, 2, HELD_MS), asked(150, 2)],
        [[0], [1], [0], [1]],
        most=1,
        decoupled=True,
    ),
    Schedule(
        "turns decoupled direct",
        DIRECT,
        [asked(0, 2, HELD_MS), asked(150, 3)],
        [[0], [0, 1], [None, 1], [None, 1]],
        most=4,
        decoupled=True,
    ),
    Schedule(
        "turns with ids",
        oldest(4),
        [
            asked(0, 2, sequence_id=7, sequence_start=True),
            asked(500, 2, sequence_id=8),
            asked(600, 1, sequence_id=7, sequence_end=True),
        ],
        [[0], [0]],
        {1: NO_START.format(8, "turns_with_ids"), 2: NO_START.format(7, "turns_with_ids")},
        most=4,
    ),
    Schedule(
        "turns in a batch",
        oldest(4),
        [Ask(0, batch=2, turns=2)],
        [],
        {0: BATCH.format("turns_in_a_batch")},
        most=4,
    ),
    Schedule(
        "turns and a timeout",
        oldest(1),
        [asked(0, 3, HELD_MS, timeout=100_000), asked(150, 2, timeout=300_000)],
        [[0], [0], [0]],
        {1: EXPIRED},
        most=4,
    ),
]
