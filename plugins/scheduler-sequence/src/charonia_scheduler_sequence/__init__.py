"""Sequences for the Charonia inference server, requests that belong together. This module only tells where things are."""

from __future__ import annotations

from charonia.hookspecs import hookimpl


@hookimpl
def charonia_schedulers() -> dict[str, str]:
    """Offer the scheduler for the configuration's section of that name."""
    return {"sequence_batching": "charonia_scheduler_sequence.scheduler:SequenceScheduler"}
