"""Configurations of dynamic batching, with traces whose outcome is certain: what waits does so while the instance is held."""

from __future__ import annotations

from traces import Ask, Schedule

HELD = Ask(0, hold=700)
"""A first request, while whose execution the others come."""

A_MOMENT = 80
"""How long an execution takes in which later requests make up their minds."""


def later(*asks: Ask) -> list[Ask]:
    """Give the held request, and others one after the other while it is executed."""
    return [
        HELD,
        *[Ask(150 + 25 * place, A_MOMENT, ask.batch, ask.width, ask.options) for place, ask in enumerate(asks)],
    ]


def sizes(*batches: int) -> list[Ask]:
    """Give the held request, and others of these batch sizes."""
    return later(*[Ask(0, batch=batch) for batch in batches])


def priorities(*levels: int) -> list[Ask]:
    """Give the held request, and others of these priorities."""
    return later(*[Ask(0, options={"priority": level}) for level in levels])


def widths(*numbers: int | None) -> list[Ask]:
    """Give the held request, and others whose input X is so large."""
    first = Ask(0, HELD.hold, width=numbers[0])
    return [first, *later(*[Ask(0, width=width) for width in numbers])[1:]]


X = 'input [ { name: "X" data_type: TYPE_INT32 dims: [ -1 ] } ] '
OPTIONAL_X = 'input [ { name: "X" data_type: TYPE_INT32 dims: [ -1 ] optional: true } ] '
RAGGED_X = 'input [ { name: "X" data_type: TYPE_INT32 dims: [ -1 ] allow_ragged_batch: true } ] '
LEVELS = "priority_levels: 3 default_priority_level: 2 "
EXPIRED = "Request timeout expired"
FULL = "[request id: <id_unknown>] Exceeds maximum queue size"

SCHEDULES = [
    Schedule("no batching", "", sizes(1, 1, 1), [[0], [1], [2], [3]]),
    Schedule("as many as fit", "dynamic_batching {}", sizes(*[1] * 11), [[0], [1, 2, 3, 4, 5, 6, 7, 8], [9, 10, 11]]),
    Schedule("never split", "dynamic_batching {}", sizes(3, 3, 3, 2), [[0], [1, 2], [3, 4]]),
    Schedule("full between others", "dynamic_batching {}", sizes(1, 8, 1), [[0], [1], [2], [3]]),
    Schedule(
        "preferred sizes",
        "dynamic_batching { preferred_batch_size: [ 4, 6 ] }",
        sizes(*[1] * 11),
        [[0], [1, 2, 3, 4], [5, 6, 7, 8, 9, 10], [11]],
    ),
    Schedule(
        "less than preferred",
        "dynamic_batching { preferred_batch_size: [ 4, 6 ] }",
        sizes(*[1] * 5),
        [[0], [1, 2, 3, 4], [5]],
    ),
    Schedule("past preferred", "dynamic_batching { preferred_batch_size: [ 4, 6 ] }", sizes(5, 3), [[0], [1, 2]]),
    Schedule(
        "preferred and mixed",
        "dynamic_batching { preferred_batch_size: [ 4 ] }",
        sizes(3, 2, 4, 1, 5),
        [[0], [1, 2], [3], [4], [5]],
    ),
    Schedule(
        "delay", "dynamic_batching { max_queue_delay_microseconds: 400000 }", [Ask(0), Ask(50), Ask(100)], [[0, 1, 2]]
    ),
    Schedule(
        "delay and full",
        "dynamic_batching { max_queue_delay_microseconds: 400000 }",
        [Ask(10 * n) for n in range(9)],
        [[0, 1, 2, 3, 4, 5, 6, 7], [8]],
    ),
    Schedule(
        "delay and preferred",
        "dynamic_batching { preferred_batch_size: [ 3 ] max_queue_delay_microseconds: 400000 }",
        [Ask(20 * n) for n in range(4)],
        [[0, 1, 2], [3]],
    ),
    Schedule(
        "delay while busy",
        "dynamic_batching { preferred_batch_size: [ 3 ] max_queue_delay_microseconds: 200000 }",
        [Ask(0, 700, 3), *[Ask(150 + 25 * n, A_MOMENT) for n in range(5)]],
        [[0], [1, 2, 3, 4, 5]],
    ),
    Schedule(
        "priorities",
        f"dynamic_batching {{ {LEVELS} }}",
        priorities(3, 2, 0, 1, 9),
        [[0], [4], [2], [3], [5], [1]],
        most=1,
    ),
    Schedule(
        "priorities in batches",
        f"dynamic_batching {{ {LEVELS} }}",
        priorities(3, 2, 1, 1, 3, 2),
        [[0], [3, 4, 2, 6], [1, 5]],
        most=4,
    ),
    Schedule(
        "time-outs",
        "dynamic_batching { default_queue_policy { default_timeout_microseconds: 200000 } }",
        [HELD, *[Ask(at, A_MOMENT) for at in (150, 175)]],
        [[0]],
        {1: EXPIRED, 2: EXPIRED},
    ),
    Schedule(
        "shorter time-outs",
        "dynamic_batching { default_queue_policy { default_timeout_microseconds: 5000000 allow_timeout_override: true } }",
        later(Ask(0, options={"timeout": 100000}), Ask(0), Ask(0, options={"timeout": 9000000})),
        [[0], [2, 3]],
        {1: EXPIRED},
    ),
    Schedule(
        "time-outs without a default",
        "dynamic_batching { default_queue_policy { allow_timeout_override: true } }",
        later(Ask(0, options={"timeout": 100000}), Ask(0)),
        [[0], [1, 2]],
    ),
    Schedule(
        "late ones go behind",
        "dynamic_batching { default_queue_policy { timeout_action: DELAY default_timeout_microseconds: 550000 } }",
        [HELD, *[Ask(at, A_MOMENT) for at in (50, 75, 680)]],
        [[0], [3], [1], [2]],
        most=1,
    ),
    Schedule(
        "full queue",
        "dynamic_batching { default_queue_policy { max_queue_size: 2 } }",
        sizes(1, 1, 1, 1),
        [[0], [1, 2]],
        {3: FULL, 4: FULL},
    ),
    Schedule(
        "policies of levels",
        f"dynamic_batching {{ {LEVELS} priority_queue_policy {{ key: 1 value {{ max_queue_size: 1 }} }} }}",
        priorities(1, 1, 2, 2, 3),
        [[0], [1, 3, 4, 5]],
        {2: FULL},
    ),
    Schedule("shapes", "dynamic_batching {} " + X, widths(2, 2, 2, 3, 2), [[0], [1, 2, 3], [4], [5]]),
    Schedule(
        "optional inputs", "dynamic_batching {} " + OPTIONAL_X, widths(2, 2, None, None, 2), [[0], [1, 2], [3, 4], [5]]
    ),
    Schedule("ragged", "dynamic_batching {} " + RAGGED_X, widths(2, 2, 3, 2), [[0], [1, 2, 3, 4]]),
    Schedule("no batch dimension", "dynamic_batching {}", later(Ask(0), Ask(0)), [[0], [1], [2]], most=0),
    Schedule(
        "two instances",
        "dynamic_batching {}",
        [Ask(0, 700), Ask(50, 700), *[Ask(150 + 25 * n, A_MOMENT) for n in range(10)]],
        [[0], [1], [2, 3, 4, 5, 6, 7, 8, 9], [10, 11]],
        instances=2,
    ),
    Schedule(
        "two instances and preferred sizes",
        "dynamic_batching { preferred_batch_size: [ 2, 4 ] }",
        [Ask(0, 700), Ask(50, 800), *[Ask(150 + 25 * n, A_MOMENT) for n in range(12)]],
        [[0], [1], [2, 3], [4, 5], [6, 7], [8, 9, 10, 11], [12, 13]],
        instances=2,
    ),
    Schedule(
        "priorities with a delay",
        f"dynamic_batching {{ max_queue_delay_microseconds: 300000 {LEVELS} }}",
        [
            Ask(0),
            Ask(50, options={"priority": 1}),
            Ask(100, options={"priority": 3}),
            Ask(150, options={"priority": 1}),
        ],
        [[1, 3, 0, 2]],
    ),
    Schedule(
        "shapes with a delay",
        "dynamic_batching { max_queue_delay_microseconds: 300000 } " + X,
        [Ask(0, width=2), Ask(50, width=2), Ask(100, width=3), Ask(150, width=3)],
        [[0, 1], [2, 3]],
    ),
    Schedule(
        "preferred sizes and mixed shapes",
        "dynamic_batching { preferred_batch_size: [ 2 ] } " + X,
        widths(2, 2, 3, 3, 3, 2),
        [[0], [1, 2], [3, 4], [5], [6]],
    ),
    Schedule("in order", "dynamic_batching { preserve_ordering: true }", sizes(3, 3, 3, 2), [[0], [1, 2], [3, 4]]),
]
