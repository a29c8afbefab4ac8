"""What a decision of the dynamic batcher costs: how long a request is in its code, with a queue of thousands before it."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import numpy as np

__all__ = ["DecisionCost", "measure_decisions"]

QUEUED = 10_000

_SECTIONS = {
    "plain": "",
    "delay": "max_queue_delay_microseconds: 1000000 preferred_batch_size: [ 4, 8 ]",
    "levels and time-outs": (
        "priority_levels: 3 default_priority_level: 2 default_queue_policy { default_timeout_microseconds: 60000000 }"
    ),
}


@dataclass(frozen=True)
class DecisionCost:
    """The medians over the rounds, in microseconds a request.

    Attributes:
        section: what the configuration asks for.
        enqueue_us: putting a request into a queue in which up to 10,000 wait.
        batch_us: a request's part of forming the batches from it.
    """

    section: str
    enqueue_us: float
    batch_us: float


def measure_decisions(rounds: int, queued: int = QUEUED) -> list[DecisionCost]:
    """Fill a queue and empty it, as often as `rounds` says, for each kind of configuration."""
    return [_measure(section, rounds, queued) for section in _SECTIONS]


def _measure(section: str, rounds: int, queued: int) -> DecisionCost:
    turns = [_turn(section, queued) for _ in range(rounds)]
    return DecisionCost(
        section,
        enqueue_us=statistics.median(enqueue_us for enqueue_us, _ in turns),
        batch_us=statistics.median(batch_us for _, batch_us in turns),
    )


def _turn(section: str, queued: int) -> tuple[float, float]:
    from charonia.clock import Clock
    from charonia.request import InferenceRequest
    from charonia.testing.builders import model_config, scheduler_context
    from charonia_scheduler_dynamic.scheduler import DynamicScheduler
    from google.protobuf import text_format

    config = model_config()
    config.dynamic_batching.SetInParent()
    text_format.Parse(_SECTIONS[section], config.dynamic_batching)
    clock = Clock()
    scheduler = DynamicScheduler(scheduler_context(config, clock=clock))
    inputs = {"INPUT0": np.zeros((1, 16), np.float32)}
    requests = [InferenceRequest("model", inputs, lambda _: None, priority=number % 4) for number in range(queued)]
    begun = time.perf_counter()
    for request in requests:
        scheduler.enqueue(request)
    queued_at = time.perf_counter()
    while scheduler.pending:
        scheduler.next_batch("only")
    emptied_at = time.perf_counter()
    scheduler.close()
    clock.close()
    return (queued_at - begun) / queued * 1e6, (emptied_at - queued_at) / queued * 1e6
