"""`charonia explain`."""

from __future__ import annotations

import json
from typing import Any

import click

from charonia.cli.batching_advice import advise
from charonia.cli.client import Client, timeout_option, url_option
from charonia.cli.exit_codes import EXIT_CODES_EPILOG, RefusedError
from charonia.cli.observed_batches import Observed

__all__ = ["explain"]

_HELP = """Tell why a model's requests are executed together, or why not.

What the running server has counted since the model was loaded is told in sentences, with the change of the model's
configuration that is worth a try.

\b
Example:
  charonia explain resnet --url http://127.0.0.1:8000
"""


@click.command(help=_HELP, epilog=EXIT_CODES_EPILOG)
@click.argument("model")
@url_option
@timeout_option
def explain(*, model: str, url: str, timeout: float) -> None:
    """Ask for the statistics and the configuration, and explain them."""
    from charonia.config import config_from_json

    client = Client(url, timeout)
    document = client.get("models", model, "stats").document
    try:
        versions = document["model_stats"]
    except (TypeError, KeyError) as error:
        raise RefusedError(f"{url} answered with what are no statistics: {json.dumps(document)[:200]}") from error
    for told in versions:
        path = ("models", model, "versions", told["version"], "config")
        config = config_from_json(json.dumps(client.get(*path).document), model=model)
        advice = advise(config, observed(told))
        click.echo(f"{model} {told['version']}:")
        for sentence in advice.sentences:
            click.echo(f"  {sentence}")
        if told["execution_count"] and not told.get("batch_reasons"):
            click.echo("  Why batches were closed is not known, since the server does not tell.")
        if advice.change:
            click.echo(f"  Try this in its configuration, since {advice.because}:")
            for line in advice.change.splitlines():
                click.echo(f"    {line}")


def observed(told: dict[str, Any]) -> Observed:
    """Take what matters out of the statistics of a version. Only servers of this house tell the reasons."""
    batches = {batch["batch_size"]: batch["compute_infer"] for batch in told["batch_stats"]}
    computed = sum(duration["count"] for duration in batches.values())
    requests = told["inference_stats"]
    cached = requests["cache_hit"]["count"]
    # those from the cache are counted there, too, as waiting for nothing
    executed = requests["queue"]["count"] - cached
    return Observed(
        {size: duration["count"] for size, duration in batches.items() if duration["count"]},
        told.get("batch_reasons", {}),
        executed,
        queue_us=requests["queue"]["ns"] / 1000 / max(executed, 1),
        compute_us=sum(duration["ns"] for duration in batches.values()) / 1000 / max(computed, 1),
        compute_us_by_size={
            size: duration["ns"] / 1000 / duration["count"] for size, duration in batches.items() if duration["count"]
        },
        cached=cached,
        failed=requests["fail"]["count"],
    )
