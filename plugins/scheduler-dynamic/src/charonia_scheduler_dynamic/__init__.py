"""Dynamic batching for the Charonia inference server. This module only tells where things are."""

from __future__ import annotations

from charonia.hookspecs import hookimpl


@hookimpl
def charonia_schedulers() -> dict[str, str]:
    """Offer the scheduler for the configuration's section of that name."""
    return {"dynamic_batching": "charonia_scheduler_dynamic.scheduler:DynamicScheduler"}
