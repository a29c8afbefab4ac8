"""Traces that are asked through an ensemble, whose step is the model: sizes, priorities and sequences reach it as if it were asked."""

from __future__ import annotations

from dataclasses import replace

import dynamic
import sequences

_THROUGH_AN_ENSEMBLE = {
    "as many as fit",
    "never split",
    "preferred sizes",
    "delay and preferred",
    "priorities",
    "late ones go behind",
    "no batch dimension",
    "direct places",
    "direct backlog",
    "direct restart",
    "oldest together",
    "oldest candidates",
}

SCHEDULES = [
    replace(schedule, name=f"{schedule.name} in an ensemble", ensemble=True)
    for schedule in [*dynamic.SCHEDULES, *sequences.SCHEDULES]
    if schedule.name in _THROUGH_AN_ENSEMBLE
]
