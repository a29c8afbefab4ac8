"""Ensembles for the Charonia inference server, models that are graphs of other models. It only tells where things are."""

from __future__ import annotations

from charonia.hookspecs import hookimpl


@hookimpl
def charonia_schedulers() -> dict[str, str]:
    """Offer the scheduler for the configuration's section of that name."""
    return {"ensemble_scheduling": "charonia_scheduler_ensemble.scheduler:EnsembleScheduler"}
